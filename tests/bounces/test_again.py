"""What is told again, in any order, or of a letter that nobody knows yet; how long it is kept."""

import time

import pytest
from django.db import OperationalError

from subscriptions import operating, returns, signup
from subscriptions.models import Letter, LetterFact, UselessMail
from subscriptions.post import message_ids, office, retention
from tests import came_back, make
from tests.bounces.receiving import DAY, HOUR, make_suppressed, receive, state_of, useless
from tests.came_back import address_of, answer, complaint, report
from tests.make import NOW
from tests.volleys.held import another_session, on_postgresql

pytestmark = pytest.mark.django_db


def test_the_same_report_again_changes_nothing(reader, letter):
    mime = report(address_of(letter))
    assert receive(mime) == "recorded"
    operating.lift(reader, now=NOW + 2 * HOUR)
    assert receive(b"Received: again\n" + mime, now=NOW + 3 * HOUR) == "known"
    assert state_of(reader) == "written to"
    assert letter.facts.count() == 1


def test_a_complaint_that_she_took_back_is_not_made_again_by_its_copy(reader, letter):
    mime = complaint("feedback@paperboy.example", message_id=letter.message_id)
    receive(mime)
    assert state_of(reader) == "complained"
    assert signup.lift(reader, door=signup.Door(via="a test"), now=NOW + 2 * HOUR)
    assert receive(mime, now=NOW + 3 * HOUR) == "known"
    assert state_of(reader) == "written to"


def test_what_is_told_of_an_unknown_letter_waits_for_it(settings, reader):
    """As after a restored backup, until reconcile has found the lost letters."""
    settings.RECIPIENT_DELIMITER = ""
    lost = came_back.letter(reader)
    message_id = lost.message_id
    lost.delete()
    assert receive(report("bounces@x.example", message_id=message_id)) == "recorded"
    assert state_of(reader) == "written to"
    assert returns.match_again(NOW + HOUR) == 0
    found = came_back.letter(reader)
    assert found.message_id == message_id
    assert returns.match_again(NOW + 2 * HOUR) == 1
    assert state_of(reader) == "bounced"
    assert found.facts.get().message_id == ""
    assert returns.match_again(NOW + 2 * HOUR) == 0


def test_of_two_who_find_a_letter_one_acts(settings, reader, letter, monkeypatch):
    settings.RECIPIENT_DELIMITER = ""
    message_id = letter.message_id
    letter.delete()
    receive(report("bounces@x.example", message_id=message_id))
    named = returns.named

    def meanwhile(message_id):
        found = named(message_id)
        LetterFact.objects.update(letter=found, message_id="")
        return found

    monkeypatch.setattr(returns, "named", meanwhile)
    came_back.letter(reader)
    assert returns.match_again(NOW + HOUR) == 0
    assert state_of(reader) == "written to"


@on_postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["readers", "letters"])
def test_rows_that_are_held_keep_no_other_fact_from_its_letter_and_are_not_waited_for(
    settings, what
):
    settings.RECIPIENT_DELIMITER = ""
    readers = [make.subscriber() for _ in range(3)]
    for one in readers:
        message_id = came_back.letter(one).message_id
        Letter.objects.all().delete()
        receive(report("bounces@x.example", message_id=message_id))
    *held, other = [came_back.letter(one).subscriber for one in readers]
    for one in held:  # They wait to be sent, and are called off when she is suppressed.
        office.write(one, "link", now=NOW, closes_at=NOW + DAY)
    waiting = Letter.objects.filter(state="planned").values_list("pk", flat=True)
    table, ids = {
        "readers": ("subscriptions_subscriber", [one.pk for one in held]),
        "letters": ("subscriptions_letter", list(waiting)),
    }[what]
    with another_session() as session:
        session.execute(f"SELECT 1 FROM {table} WHERE id = ANY(%s) FOR UPDATE", [ids])
        began = time.monotonic()
        assert returns.match_again(NOW + HOUR) == 1
        assert time.monotonic() - began < 4  # One alone would be waited for for five seconds.
    assert [state_of(one) for one in (*held, other)] == ["written to", "written to", "bounced"]
    assert returns.match_again(NOW + HOUR) == 2
    assert [state_of(one) for one in held] == ["bounced", "bounced"]


def test_what_else_is_wrong_with_the_database_is_no_row_that_is_held(settings, reader, monkeypatch):
    settings.RECIPIENT_DELIMITER = ""
    message_id = came_back.letter(reader).message_id
    Letter.objects.all().delete()
    receive(report("bounces@x.example", message_id=message_id))

    def away(*told):
        raise OperationalError("the disk is full")

    monkeypatch.setattr(returns, "named", away)
    with pytest.raises(OperationalError, match="full"):
        returns.match_again(NOW + HOUR)


@pytest.mark.parametrize("off", [-DAY, 6 * DAY])
def test_a_letter_is_found_though_it_was_not_written_on_the_day_of_its_name(letter, off):
    Letter.objects.update(created_at=message_ids.moment_of(letter.message_id) + off)
    assert returns.named(letter.message_id) == letter


def test_what_finds_no_letter_is_forgotten(settings, reader, letter):
    settings.RECIPIENT_DELIMITER = ""
    message_id = letter.message_id
    letter.delete()
    receive(report("bounces@x.example", message_id=message_id))
    returns.match_again(NOW + 40 * DAY)
    assert not LetterFact.objects.exists()


def test_no_more_than_so_many_unknown_letters_are_remembered(settings, letter, monkeypatch):
    monkeypatch.setattr(returns, "MOST_UNMATCHED", 2)
    settings.RECIPIENT_DELIMITER = ""
    for number in range(4):
        made_up = f"<digest.2026-06-01.{number:032x}@{settings.MAIL_DOMAIN}>"
        receive(report("bounces@x.example", message_id=made_up))
    assert LetterFact.objects.count() == 2
    assert useless() == {"too-many": 2}
    assert receive(report("bounces@x.example", message_id=letter.message_id)) == "recorded"


def test_a_number_that_is_another_letters_by_now_is_not_believed(reader, letter):
    """After a restored backup, numbers are given anew."""
    other = came_back.letter(make.subscriber("other@example.org"))
    receive(report(address_of(other), message_id=letter.message_id))
    assert state_of(reader) == "bounced"
    assert not other.facts.exists()


def test_what_came_back_before_she_was_reached_again_counts_no_more(reader, letter):
    operating.lift(make_suppressed(reader), now=NOW + HOUR)
    receive(report(address_of(letter)), now=NOW + 2 * HOUR)
    assert state_of(reader) == "written to"
    assert letter.facts.count() == 1


def test_old_facts_and_counts_go_with_the_events(reader, letter, settings):
    receive(report(address_of(letter)))
    receive(answer("x@paperboy.example"))
    retention.purge(NOW + settings.KEEP_EVENTS + 2 * DAY)
    assert not LetterFact.objects.exists()
    assert not UselessMail.objects.exists()


def test_old_facts_all_go_however_many(letter, settings, monkeypatch):
    monkeypatch.setattr(retention, "EVENTS", 2)
    for number in range(5):
        LetterFact.objects.create(letter=letter, kind="delayed", noted_at=NOW, key=f"{number}")
    assert retention.purge(NOW + settings.KEEP_EVENTS + DAY)["facts"] == 5
