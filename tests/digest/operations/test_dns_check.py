"""What the doctor says of SPF and DMARC records that a real DNS server holds."""

import time

import dns.rcode
import dns.resolver
import pytest

from digest.operations import dns_check, doctor
from tests.factories.make import NOW
from tests.helpers import data_files
from tests.servers.dns import DnsServer

DATA = data_files.load("dns_records.toml")
DOMAIN = "papers.example.org"
SPF = "v=spf1 a:mail.example.org -all"
DMARC = "v=DMARC1; p=quarantine; rua=mailto:you@example.org"


@pytest.fixture(autouse=True)
def installation(settings):
    """An installation that hands letters to a server of its own."""
    settings.DEFAULT_FROM_EMAIL = f"Paperboy <digest@{DOMAIN}>"
    settings.TRANSACTIONAL_FROM_EMAIL = f"Paperboy <hello@{DOMAIN}>"
    settings.EMAIL_URL = "smtp://mail.example.org:587"
    settings.SITE_URL = f"https://{DOMAIN}"


@pytest.fixture
def server():
    with DnsServer() as server:
        server.zone = {DOMAIN: [SPF], f"_dmarc.{DOMAIN}": [DMARC]}
        yield server


def grades(server):
    """Return the grade of each record that can be asked for."""
    found = dns_check.examine(server.resolver)
    return {what: grade for what, grade, _ in found if what != "DKIM"}


def check_result(server, record):
    """Return the grade of a record, and what is said of it."""
    found = {what: (grade, said) for what, grade, said in dns_check.examine(server.resolver)}
    return found[record]


# ---- The whole


def test_good_records_are_reported_in_one_line(server):
    assert list(dns_check.examine(server.resolver)) == [
        ("SPF", "ok", f"{DOMAIN}: “{SPF}”"),
        ("DKIM", "note", dns_check.DKIM_HINT),  # Its name isn't known here.
        ("DMARC", "ok", f"_dmarc.{DOMAIN}: “{DMARC}”"),
    ]


def test_published_suggestion_passes_the_check(server):
    server.zone = {}
    for record in (dns_check.spf(DOMAIN), dns_check.dmarc(DOMAIN)):
        grade, said = check_result(server, "DMARC" if "_dmarc" in record.name else "SPF")
        assert grade == "wrong"
        assert f'\n    {record.name}. TXT "{record.text}"' in said
        server.zone[record.name] = [record.text]
    assert set(grades(server).values()) == {"ok"}


def test_missing_records_are_notes_for_the_outbox(server, settings):
    server.zone, settings.EMAIL_URL = {}, "file:"
    assert set(grades(server).values()) == {"note"}


def test_two_sender_domains_need_records_each(server, settings):
    settings.TRANSACTIONAL_FROM_EMAIL = "hello@account.example.org"
    said = [(what, grade) for what, grade, _ in dns_check.examine(server.resolver)]
    of_both = [("SPF", "ok"), ("SPF", "wrong"), ("DKIM", "note"), ("DMARC", "ok")]
    assert said == [*of_both, ("DMARC", "wrong")]


# ---- DNS that can't be asked


def test_silent_server_is_queried_once_and_records_printed(server):
    server.silent = True
    findings = list(dns_check.examine(server.resolver))
    assert set(server.asked) == {DOMAIN}
    for (_, grade, said), text in zip(findings[::2], ("v=spf1", "v=DMARC1"), strict=True):
        assert grade == "note"
        assert said.startswith("cannot query DNS: no answer in time.")
        assert f'TXT "{text}' in said


def test_query_times_out_after_three_seconds(server, monkeypatch):
    server.silent = True
    resolver = server.resolver
    resolver.lifetime = 60
    monkeypatch.setattr(dns_check, "QUERY_SECONDS", 0.2)
    started = time.monotonic()
    list(dns_check.examine(resolver))
    assert time.monotonic() - started < 2


def test_failed_query_hides_no_other_record(server):
    server.broken = {DOMAIN: dns.rcode.SERVFAIL}
    assert grades(server) == {"SPF": "note", "DMARC": "ok"}


def test_control_characters_are_not_printed(server):
    server.zone[DOMAIN] = ["v=spf1 \\027[2J\\027]0;owned\\007 -all"]
    assert all(said.isprintable() for _, _, said in dns_check.examine(server.resolver))


# ---- SPF


def test_spf_record_is_good_when_it_forbids_others(server):
    for texts, why in DATA["spf"]:
        server.zone[DOMAIN] = texts
        grade, said = check_result(server, "SPF")
        assert (grade, why in said) == ("wrong" if why else "ok", True)
        assert (f'{DOMAIN}. TXT "{SPF}"' in said) == (grade == "wrong")


def test_suggested_sender_follows_the_mail_server(settings):
    for email_url, site_url, senders, hint in DATA["senders"]:
        settings.EMAIL_URL, settings.SITE_URL = email_url, site_url
        record = dns_check.spf(DOMAIN)
        assert record.text == f"v=spf1 {senders} -all"
        assert hint in record.hint


# ---- DMARC


def test_dmarc_record_is_graded_by_its_policy(server):
    for texts, grade, why in DATA["dmarc"]:
        server.zone[f"_dmarc.{DOMAIN}"] = texts
        given, said = check_result(server, "DMARC")
        assert given == grade
        assert why in said
        printed = f'_dmarc.{DOMAIN}. TXT "v=DMARC1; p=quarantine; rua=mailto:' in said
        assert printed == (grade != "ok")


def test_domain_without_a_policy_inherits_its_organisations(server, settings):
    settings.DEFAULT_FROM_EMAIL = settings.TRANSACTIONAL_FROM_EMAIL = "d@papers.sub.example.org"
    for parents, expected, where in DATA["organisations"]:
        records = (parent.split(": ") for parent in parents)
        server.zone = {f"_dmarc.{name}": [f"v=DMARC1; {text}"] for name, text in records}
        grade, said = check_result(server, "DMARC")
        assert grade == expected
        assert said.startswith(where)


# ---- Where letters come back to


def test_bounce_domain_must_accept_mail(server):
    """RFC 7505: one that takes none says so."""
    for mail, grade in ((["10 mail.example.org."], "ok"), (["0 ."], "wrong"), ([], "wrong")):
        server.mail[DOMAIN] = mail
        assert dns_check.check_bounce_domain(DOMAIN, server.resolver)[0] == grade
    server.silent = True
    grade, said = dns_check.check_bounce_domain(DOMAIN, server.resolver)
    assert (grade, "no answer in time" in said) == ("note", True)


# ---- The doctor


def findings(resolver=None):
    return {found.name: (found.grade, found.text) for found in doctor.examine(NOW, resolver)}


@pytest.mark.django_db
def test_doctor_reports_records_except_of_example_domains(server, settings):
    assert findings(server.resolver)["DNS records"][0] == "note"
    assert server.asked == []
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    settings.DEFAULT_FROM_EMAIL = settings.TRANSACTIONAL_FROM_EMAIL = "digest@paperboy.arpa"
    server.zone["paperboy.arpa"] = ["v=spf1 mx -all"]
    found = findings(server.resolver)
    assert found["SPF"] == ("ok", "paperboy.arpa: “v=spf1 mx -all”")
    assert (found["DKIM"][0], found["DMARC"][0]) == ("note", "wrong")


@pytest.mark.django_db
def test_doctor_names_senders_and_reply_address(settings):
    settings.REPLY_TO_EMAIL = "Editor <editor@example.org>"
    found = findings()
    assert found["senders"][0] == "ok"
    assert f"hello@{DOMAIN}" in found["senders"][1]
    assert found["reply address"] == ("ok", "replies go to editor@example.org")
    settings.REPLY_TO_EMAIL = ""
    settings.TRANSACTIONAL_FROM_EMAIL = settings.DEFAULT_FROM_EMAIL
    found = findings()
    assert found["senders"][0] == found["reply address"][0] == "note"
    assert "TRANSACTIONAL_FROM_EMAIL" in found["senders"][1]
