"""What the doctor says of SPF and DMARC records that a real DNS server holds."""

import dns.rcode
import dns.resolver
import pytest

from digest.operations.checks import CHECKS, mail
from tests.factories.make import NOW
from tests.helpers import data_files
from tests.helpers.checks import result
from tests.servers.dns import DnsServer

DATA = data_files.load("dns_records.toml")
DOMAIN = "papers.paperboy.arpa"
SPF = "v=spf1 a:mail.paperboy.arpa -all"
DMARC = "v=DMARC1; p=quarantine; rua=mailto:you@paperboy.arpa"


@pytest.fixture
def server(settings, monkeypatch):
    """An installation that hands emails to a server of its own, and its DNS."""
    settings.DEFAULT_FROM_EMAIL = f"Paperboy <digest@{DOMAIN}>"
    settings.TRANSACTIONAL_FROM_EMAIL = f"Paperboy <hello@{DOMAIN}>"
    settings.EMAIL_URL = "smtp://mail.paperboy.arpa:587"
    with DnsServer() as server:
        server.zone = {DOMAIN: [SPF], f"_dmarc.{DOMAIN}": [DMARC]}
        monkeypatch.setattr(dns.resolver, "default_resolver", server.resolver)
        yield server


def findings(name):
    """Return the grade of each domain's record, and what is said of it."""
    (check,) = (check for check in CHECKS if check.name == name)
    return [(finding.grade, finding.text) for finding in check.run(NOW)]


def grades(*names):
    return [[grade for grade, _ in findings(name)] for name in names]


def test_missing_records_are_printed_until_published(server, settings):
    assert grades("SPF", "DMARC", "DKIM") == [[], [], ["note"]]
    settings.TRANSACTIONAL_FROM_EMAIL = "hello@account.paperboy.arpa"
    assert grades("SPF", "DMARC") == [["wrong"], ["wrong"]]
    server.zone = {}
    assert grades("SPF", "DMARC") == [["wrong"] * 2] * 2
    for domain in mail.sender_domains():
        for name, record in [
            ("SPF", mail.spf_record(domain)),
            ("DMARC", mail.dmarc_record(domain)),
        ]:
            assert f'\n    {record.name}. TXT "{record.text}"' in findings(name)[0][1]
            server.zone[record.name] = [record.text]
    assert grades("SPF", "DMARC") == [[], []]
    server.zone, settings.EMAIL_URL = {}, "file:"
    assert grades("SPF", "DMARC", "DKIM") == [["note"] * 2, ["note"] * 2, []]


@pytest.mark.django_db
def test_example_domains_are_not_looked_up(server, settings):
    settings.DEFAULT_FROM_EMAIL = settings.TRANSACTIONAL_FROM_EMAIL = "digest@example.org"
    assert result("DNS records")[0] == "note"
    assert result("MX")[0] == "ok"
    assert server.asked == []


def test_silent_or_failing_server_is_a_note_with_the_record(server):
    server.broken = {DOMAIN: dns.rcode.SERVFAIL}
    assert grades("SPF", "DMARC") == [["note"], []]
    server.silent = True
    for name, text in [("SPF", "v=spf1"), ("DMARC", "v=DMARC1")]:
        ((grade, said),) = findings(name)
        assert grade == "note"
        assert said.startswith("cannot query DNS: ")
        assert f'TXT "{text}' in said


def test_spf_record_is_good_when_it_forbids_others(server):
    for texts, why in DATA["spf"]:
        server.zone[DOMAIN] = texts
        assert [(grade, why in said) for grade, said in findings("SPF")] == (
            [("wrong", True)] if why else []
        )


def test_suggested_sender_follows_the_mail_server(settings):
    for settings.EMAIL_URL, senders, hint in DATA["senders"]:
        record = mail.spf_record("papers.example.org")
        assert record.text == f"v=spf1 {senders} -all"
        assert hint in record.hint


def test_dmarc_record_is_graded_by_its_policy(server):
    for texts, grade, why in DATA["dmarc"]:
        server.zone[f"_dmarc.{DOMAIN}"] = texts
        assert [(given, why in said) for given, said in findings("DMARC")] == (
            [] if grade == "ok" else [(grade, True)]
        )


def test_domain_without_a_policy_inherits_its_organisations(server, settings):
    settings.DEFAULT_FROM_EMAIL = settings.TRANSACTIONAL_FROM_EMAIL = "d@papers.sub.paperboy.arpa"
    for parents, expected, where in DATA["organisations"]:
        records = (parent.split(": ") for parent in parents)
        server.zone = {f"_dmarc.{name}": [f"v=DMARC1; {text}"] for name, text in records}
        assert [(grade, said.startswith(where)) for grade, said in findings("DMARC")] == (
            [] if expected == "ok" else [(expected, True)]
        )


def test_bounce_domain_must_accept_mail(server):
    """RFC 7505: one that takes none says so."""
    for hosts, grade in ((["10 mail.example.org."], []), (["0 ."], ["wrong"]), ([], ["wrong"])):
        server.mail[DOMAIN] = hosts
        assert grades("MX") == [grade]
    server.silent = True
    assert grades("MX") == [["note"]]
