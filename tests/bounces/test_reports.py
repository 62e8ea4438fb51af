"""Reports of delivery: what is a bounce, how bad, and of which letter."""

import pytest

from subscriptions.models import Letter
from subscriptions.post import office, reports
from tests import make
from tests.bounces.receiving import DAY, HOUR, receive, state_of, useless
from tests.came_back import address_of, group, report
from tests.make import NOW

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("status", ["5.1.1", "5.1.2", "5.1.6", "5.1.10", "5.2.1"])
def test_an_address_that_is_none_is_written_to_no_more(reader, letter, status):
    assert receive(report(address_of(letter), group(status=status))) == "recorded"
    assert state_of(reader) == "bounced"
    assert reader.suppressed_at == NOW + HOUR
    assert reader.suppressed_reason == f"550 {status} <…>: no"
    letter.refresh_from_db()
    assert letter.state == Letter.State.ACCEPTED
    fact = letter.facts.get()
    assert (fact.kind, fact.grade, fact.status) == ("bounced", "hard", status)


@pytest.mark.parametrize("status", ["5.7.1", "5.7.26", "5.2.2", "5.4.4", "4.4.1", "5.0.0", "4.2.2"])
def test_what_may_pass_is_noted_and_no_more(reader, letter, status):
    """Policy, a full mailbox, a domain or a server that is away."""
    assert receive(report(address_of(letter), group(status=status))) == "recorded"
    assert state_of(reader) == "written to"
    assert letter.facts.get().grade == ("policy" if ".7." in status else "soft")


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded"])
def test_news_of_a_letter_is_no_bounce(reader, letter, action):
    assert receive(report(address_of(letter), group(action, "2.1.5"))) == "recorded"
    assert state_of(reader) == "written to"
    fact = letter.facts.get()
    assert (fact.kind, fact.grade) == ({"expanded": "relayed"}.get(action, action), "")


def test_a_report_whose_actions_nobody_knows_reports_nothing(letter):
    receive(report(address_of(letter), group("vanished")))
    assert useless() == {"no-report": 1}


@pytest.mark.parametrize("status", ["5.0.0", ""])
def test_an_open_status_is_taken_from_the_servers_words(reader, letter, status):
    said = "smtp; 550-5.1.1 The account does not exist. See 5.7.1"
    receive(report(address_of(letter), group(status=status, said=said)))
    assert state_of(reader) == "bounced"
    assert letter.facts.get().status == "5.1.1"


def test_a_clear_status_counts_more_than_the_servers_words(reader, letter):
    receive(report(address_of(letter), group(status="5.7.1", said="smtp; 550 5.1.1 who?")))
    assert state_of(reader) == "written to"


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        ([group("delivered", "2.1.5"), group(status="4.2.2")], ("bounced", "soft", "4.2.2")),
        ([group(status="4.2.2"), group(status="5.1.1")], ("bounced", "hard", "5.1.1")),
        ([group(status="5.0.0", said="smtp; 421 4.2.1 later")], ("bounced", "soft", "5.0.0")),
    ],
)
def test_what_befell_the_worst_off_of_several_recipients_counts(groups, told):
    read = reports.read(report("x@x.example", *groups))
    assert (read.kind, read.grade, read.status) == told


def test_one_of_those_behind_a_shared_address_may_be_gone(reader, letter):
    groups = [group("delivered", "2.1.5"), group("failed", "5.1.1", recipient="old@example.org")]
    receive(report(address_of(letter), *groups))
    assert state_of(reader) == "written to"
    fact = letter.facts.get()
    assert (fact.kind, fact.grade) == ("bounced", "soft")


@pytest.mark.parametrize(
    "options", [{}, {"returned": "text/rfc822-headers"}, {"returned": "message/rfc822-headers"}]
)
def test_a_letter_without_an_address_of_its_own_is_known_by_its_name_in_its_header(
    settings, reader, letter, options
):
    settings.RECIPIENT_DELIMITER = ""
    receive(report("bounces@paperboy.example", message_id=letter.message_id, **options))
    assert state_of(reader) == "bounced"


def test_what_letters_wait_are_called_off_and_those_to_others_go_on(reader, letter):
    options = {"now": NOW, "closes_at": NOW + DAY}
    hers = office.write(reader, "goodbye", **options)
    another = office.write(make.subscriber(), "link", **options)
    receive(report(address_of(letter)))
    for waiting, ended in ((hers, ("skipped", "suppressed")), (another, ("planned", ""))):
        waiting.refresh_from_db()
        assert (waiting.state, waiting.reason) == ended


def test_the_envelope_says_to_which_letter_it_came_back(reader, letter):
    """Some servers address a report to nobody in particular."""
    assert receive(report("postmaster@paperboy.example"), to=(address_of(letter),)) == "recorded"
    assert state_of(reader) == "bounced"


def test_words_of_a_server_are_kept_without_addresses_and_oddities(letter):
    said = "smtp; 550 5.7.1 <reader@example.org>\x00 \x1b[31m not\u202e here" + "!" * 400
    receive(report(address_of(letter), group(status="5.7.1", said=said)))
    fact = letter.facts.get()
    assert "reader@" not in fact.said
    assert fact.said.isprintable()
    assert len(fact.said) <= 300
