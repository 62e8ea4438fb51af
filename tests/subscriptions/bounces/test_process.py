"""Whom to believe, and what is told again, in any order, or of a letter that nobody knows yet."""

import time

import pytest
from django.db import OperationalError

from subscriptions.actions import moderation, signup
from subscriptions.bounces import process
from subscriptions.delivery import message_ids, queue, retention
from subscriptions.models import Letter, LetterFact, UselessMail
from tests.factories import make, returned_mail
from tests.factories.make import NOW
from tests.factories.returned_mail import address_of, answer, complaint, report
from tests.subscriptions.bounces.receiving import DAY, HOUR, receive, state_of, useless
from tests.subscriptions.delivery.worker.held_locks import another_session, on_postgresql

pytestmark = pytest.mark.django_db


# ---- Whom to believe: forged and old addresses, and messages that are no report


def forged(address):
    local, _, domain = address.partition("@")
    return f"{local[:-1]}{'0' if local[-1] != '0' else '1'}@{domain}"


@pytest.mark.parametrize("delimiter", "+-")
def test_a_forged_or_old_address_changes_nothing_whatever_else_is_right(
    settings, reader, delimiter
):
    settings.RECIPIENT_DELIMITER = delimiter
    letter = returned_mail.letter(reader)
    for address, days in [(forged(address_of(letter)), 0), (address_of(letter), 16)]:
        mime = report(address, message_id=letter.message_id)
        assert receive(mime, now=NOW + days * DAY) == "useless"
    assert state_of(reader) == "written to"
    assert not LetterFact.objects.exists()
    assert useless() == {"forged": 1}  # On each of both days.


def test_a_letter_of_long_ago_does_not_come_back_by_its_name_either(settings, reader, letter):
    settings.RECIPIENT_DELIMITER = ""
    mime = report("bounces@x.example", message_id=letter.message_id)
    assert receive(mime, now=NOW + 30 * DAY) == "useless"
    assert state_of(reader) == "written to"


@pytest.mark.parametrize(
    "message_id",
    ["", "<x@y>", "<digest.2026-13-45.0123456789abcdef0123456789abcdef@paperboy.example>"],
)
def test_a_letter_of_somebody_else_is_none_of_ours(reader, letter, message_id):
    assert receive(report("someone@paperboy.example", message_id=message_id)) == "useless"
    assert useless() == {"foreign": 1}


def test_a_key_that_was_ours_is_believed(settings, reader, letter):
    address = address_of(letter)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", [settings.SECRET_KEY]
    assert receive(report(address)) == "recorded"


def test_messages_of_people_and_automatic_replies_are_counted_and_no_more(reader, letter):
    for headers in (
        {"Auto_Submitted": "auto-replied"},
        {"Auto_Submitted": "Auto-Generated; why"},
        {"X_Autoreply": "yes"},
        {"Precedence": "auto_reply"},
        {"Auto_Submitted": "no"},
    ):
        assert receive(answer(address_of(letter), **headers)) == "useless"
    # A report within a forwarded message is not read.
    forwarded = b"To: x@example.org\nMIME-Version: 1.0\nContent-Type: message/rfc822\n\n"
    assert receive(forwarded + report(address_of(letter))) == "useless"
    assert state_of(reader) == "written to"
    assert useless() == {"autoreply": 4, "no-report": 2}


# ---- What is told again, in any order, or of a letter that nobody knows yet; how long it is kept


@pytest.mark.parametrize("is_complaint", [False, True])
def test_the_same_report_again_changes_nothing(reader, letter, is_complaint):
    mime = report(address_of(letter))
    if is_complaint:
        mime = complaint("feedback@paperboy.example", message_id=letter.message_id)
    assert receive(mime) == "recorded"
    assert state_of(reader) == ("complained" if is_complaint else "bounced")
    if is_complaint:
        assert signup.unsuppress(reader, source=signup.ConsentSource("test"), now=NOW + 2 * HOUR)
    else:
        moderation.unsuppress(reader, now=NOW + 2 * HOUR)
    assert receive(b"Received: again\n" + mime, now=NOW + 3 * HOUR) == "known"
    assert state_of(reader) == "written to"
    # Nor does another bounce of a letter from before the address was lifted.
    assert receive(report(address_of(letter)), now=NOW + 3 * HOUR) == "recorded"
    assert state_of(reader) == "written to"
    assert letter.facts.count() == 2


def report_lost(settings, reader):
    """Tell that a letter came back that nobody knows any more. Return its name."""
    settings.RECIPIENT_DELIMITER = ""
    lost = returned_mail.letter(reader)
    lost.delete()
    assert receive(report("bounces@x.example", message_id=lost.message_id)) == "recorded"
    return lost.message_id


def test_a_report_on_an_unknown_letter_waits_for_it(settings, reader):
    """As after a restored backup, until reconcile has found the lost letters."""
    message_id = report_lost(settings, reader)
    assert state_of(reader) == "written to"
    assert process.match_again(NOW + HOUR) == 0
    found = returned_mail.letter(reader)
    assert found.message_id == message_id
    assert process.match_again(NOW + 2 * HOUR) == 1
    assert state_of(reader) == "bounced"
    assert found.facts.get().message_id == ""
    assert process.match_again(NOW + 2 * HOUR) == 0


def test_two_matches_of_one_letter_act_once(settings, reader, monkeypatch):
    report_lost(settings, reader)
    named = process.letter_named

    def meanwhile(message_id):
        found = named(message_id)
        LetterFact.objects.update(letter=found, message_id="")
        return found

    monkeypatch.setattr(process, "letter_named", meanwhile)
    returned_mail.letter(reader)
    assert process.match_again(NOW + HOUR) == 0
    assert state_of(reader) == "written to"


@on_postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["readers", "letters"])
def test_rows_that_are_held_keep_no_other_fact_from_its_letter_and_are_not_waited_for(
    settings, what
):
    readers = [make.subscriber() for _ in range(3)]
    for one in readers:
        report_lost(settings, one)
    *held, other = [returned_mail.letter(one).subscriber for one in readers]
    for one in held:  # They wait to be sent, and are called off when they are suppressed.
        queue.create(one, "link", now=NOW, closes_at=NOW + DAY)
    waiting = Letter.objects.filter(state="planned").values_list("pk", flat=True)
    table, ids = {
        "readers": ("subscriptions_subscriber", [one.pk for one in held]),
        "letters": ("subscriptions_letter", list(waiting)),
    }[what]
    with another_session() as session:
        session.execute(f"SELECT 1 FROM {table} WHERE id = ANY(%s) FOR UPDATE", [ids])
        began = time.monotonic()
        assert process.match_again(NOW + HOUR) == 1
        assert time.monotonic() - began < 4  # One alone would be waited for for five seconds.
    assert [state_of(one) for one in (*held, other)] == ["written to", "written to", "bounced"]
    assert process.match_again(NOW + HOUR) == 2
    assert [state_of(one) for one in held] == ["bounced", "bounced"]


def test_what_else_is_wrong_with_the_database_is_no_row_that_is_held(settings, reader, monkeypatch):
    report_lost(settings, reader)

    def away(*told):
        raise OperationalError("the disk is full")

    monkeypatch.setattr(process, "letter_named", away)
    with pytest.raises(OperationalError, match="full"):
        process.match_again(NOW + HOUR)


@pytest.mark.parametrize("off", [-DAY, 6 * DAY])
def test_a_letter_is_found_though_it_was_not_written_on_the_day_of_its_name(letter, off):
    Letter.objects.update(created_at=message_ids.day_of(letter.message_id) + off)
    assert process.letter_named(letter.message_id) == letter


def test_a_fact_of_no_letter_is_forgotten(settings, reader):
    report_lost(settings, reader)
    process.match_again(NOW + 40 * DAY)
    assert not LetterFact.objects.exists()


def test_no_more_than_so_many_unknown_letters_are_remembered(settings, letter, monkeypatch):
    monkeypatch.setattr(process, "MAX_UNMATCHED", 2)
    settings.RECIPIENT_DELIMITER = ""
    for number in range(4):
        made_up = f"<digest.2026-06-01.{number:032x}@{settings.MAIL_DOMAIN}>"
        receive(report("bounces@x.example", message_id=made_up))
    assert LetterFact.objects.count() == 2
    assert useless() == {"too-many": 2}
    assert receive(report("bounces@x.example", message_id=letter.message_id)) == "recorded"


def test_a_number_that_is_another_letters_by_now_is_not_believed(reader, letter):
    """After a restored backup, numbers are given anew."""
    other = returned_mail.letter(make.subscriber("other@example.org"))
    receive(report(address_of(other), message_id=letter.message_id))
    assert state_of(reader) == "bounced"
    assert not other.facts.exists()


def test_old_facts_and_counts_all_go_with_the_events(letter, settings, monkeypatch):
    monkeypatch.setattr(retention, "EVENT_BATCH", 2)
    for number in range(5):
        LetterFact.objects.create(letter=letter, kind="delayed", noted_at=NOW, key=f"{number}")
    receive(answer("x@paperboy.example"))
    assert retention.purge(NOW + settings.KEEP_EVENTS + 2 * DAY)["facts"] == 5
    assert not UselessMail.objects.exists()
