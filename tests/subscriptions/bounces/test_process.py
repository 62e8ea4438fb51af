"""Whom to believe, and reports that come again, in any order, or of a letter not known yet."""

import pytest

from subscriptions.actions import change_address, moderation, signup
from subscriptions.bounces import process
from subscriptions.delivery import message_ids, suppress
from subscriptions.models import Letter, LetterFact, Seal, Subscriber
from tests.factories import make, returned_mail
from tests.factories.make import CONSENT_SOURCE, DAY, HOUR, NOW
from tests.factories.returned_mail import address_of, answer, complaint, group, report
from tests.subscriptions.actions.change_address_steps import agree_both
from tests.subscriptions.bounces.receiving import (
    bounce_softly,
    letters_of_days,
    receive,
    state_of,
)

pytestmark = pytest.mark.django_db


# ---- Whom to believe: forged and old addresses, and messages that are no report


def forged(address):
    local, _, domain = address.partition("@")
    return f"{local[:-1]}{'0' if local[-1] != '0' else '1'}@{domain}"


@pytest.mark.parametrize("delimiter", "+-")
def test_forged_or_expired_address_changes_nothing(settings, subscriber, delimiter):
    settings.RECIPIENT_DELIMITER = delimiter
    letter = returned_mail.letter(subscriber)
    for address, days in [(forged(address_of(letter)), 0), (address_of(letter), 16)]:
        mime = report(address, message_id=letter.message_id)
        assert receive(mime, now=NOW + days * DAY) == "useless"
    assert state_of(subscriber) == "written to"
    assert not LetterFact.objects.exists()


OTHER_IDS = ["", "<x@y>", "<digest.2026-13-45.0123456789abcdef0123456789abcdef@paperboy.example>"]


def test_foreign_or_old_message_id_matches_no_letter(settings, subscriber, letter):
    settings.RECIPIENT_DELIMITER = ""
    for message_id, days in [*((name, 0) for name in OTHER_IDS), (letter.message_id, 30)]:
        mime = report("bounces@paperboy.example", message_id=message_id)
        assert receive(mime, now=NOW + days * DAY) == "useless"
    assert state_of(subscriber) == "written to"


def test_address_signed_with_a_former_key_is_accepted(settings, subscriber, letter):
    address = address_of(letter)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", [settings.SECRET_KEY]
    assert receive(report(address)) == "recorded"


def test_replies_and_automatic_answers_change_nothing(subscriber, letter):
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
    assert state_of(subscriber) == "written to"


# ---- Reports that come again, in any order, or of a letter not known yet; how long they are kept


@pytest.mark.parametrize("is_complaint", [False, True])
def test_repeated_report_changes_nothing(subscriber, letter, is_complaint):
    mime = report(address_of(letter))
    if is_complaint:
        mime = complaint("feedback@paperboy.example", message_id=letter.message_id)
    assert receive(mime) == "recorded"
    assert state_of(subscriber) == ("complained" if is_complaint else "bounced")
    if is_complaint:
        assert signup.unsuppress(subscriber, source=CONSENT_SOURCE, now=NOW + 2 * HOUR)
    else:
        moderation.unsuppress(subscriber, now=NOW + 2 * HOUR)
    assert receive(b"Received: again\n" + mime, now=NOW + 3 * HOUR) == "known"
    assert state_of(subscriber) == "written to"
    # Nor does another bounce of a letter from before the address was lifted.
    assert receive(report(address_of(letter)), now=NOW + 3 * HOUR) == "recorded"
    assert state_of(subscriber) == "written to"
    assert letter.facts.count() == 2


def report_lost(settings, subscriber):
    """Tell that a letter came back that nobody knows any more. Return its name."""
    settings.RECIPIENT_DELIMITER = ""
    lost = returned_mail.letter(subscriber)
    lost.delete()
    assert receive(report("bounces@x.example", message_id=lost.message_id)) == "recorded"
    return lost.message_id


def test_report_on_an_unknown_letter_waits_for_it(settings, subscriber):
    """Its letter may be stored a moment later."""
    message_id = report_lost(settings, subscriber)
    assert state_of(subscriber) == "written to"
    process.match_unmatched(NOW + HOUR)
    found = returned_mail.letter(subscriber)
    assert found.message_id == message_id
    process.match_unmatched(NOW + 2 * HOUR)
    assert state_of(subscriber) == "bounced"
    assert found.facts.get().message_id == ""


@pytest.mark.parametrize("off", [-DAY, 6 * DAY])
def test_letter_is_found_days_off_its_message_id(letter, off):
    Letter.objects.update(created_at=message_ids.day_of(letter.message_id) + off)
    assert process.letter_by_message_id(letter.message_id) == letter


def test_reused_letter_number_is_not_matched(subscriber, letter):
    """After a restored backup, numbers are given anew."""
    other = returned_mail.letter(make.subscriber("other@example.org"))
    receive(report(address_of(other), message_id=letter.message_id))
    assert state_of(subscriber) == "bounced"
    assert not other.facts.exists()


# ---- How many letters in a row may come back softly before no more are sent


def test_letter_that_never_left_does_not_end_a_row(subscriber):
    """It passed the final check, and was refused at the dot."""
    letters = letters_of_days(subscriber, 6)
    Letter.objects.filter(pk=letters.pop(3).pk).update(state="failed", reason="refused: 554")
    bounce_softly(letters)
    assert state_of(subscriber) == "bounced"


def test_bounce_counts_when_the_sending_time_is_unknown(subscriber, letter):
    """As one whose last attempt a failover has lost."""
    Letter.objects.update(left_at=None)
    assert receive(report(address_of(letter))) == "recorded"
    assert state_of(subscriber) == "bounced"


@pytest.mark.parametrize("place", [2, 5])
def test_delivered_letter_ends_a_row_of_bounces(subscriber, place):
    """Also one that had come back before, or a newer one."""
    letters = letters_of_days(subscriber, 6)
    receive(report(address_of(letters[place]), group("delivered", "2.1.5")))
    bounce_softly(letters[:5])
    assert state_of(subscriber) == "written to"


@pytest.mark.parametrize(("own", "state"), [(4, "written to"), (5, "bounced")])
def test_letters_to_another_address_are_not_counted(subscriber, own, state):
    letters = letters_of_days(subscriber, own)
    elsewhere = returned_mail.letter(subscriber, left_at=NOW - 2 * DAY, kind="move", to="you@x.org")
    if own < 5:
        bounce_softly([elsewhere])
    bounce_softly(letters)
    assert state_of(subscriber) == state
    assert not Seal.objects.exists()


def test_letters_from_before_unblocking_are_not_counted(subscriber):
    letters = letters_of_days(subscriber, 5)
    bounce_softly(letters[:4])
    Subscriber.objects.update(lifted_at=letters[4].left_at)
    bounce_softly(letters[4:])
    assert state_of(subscriber) == "written to"


ROWS = [
    (5, [4, 3, 2, 1], "written to"),
    (5, [4, 3, 2, 1, 0], "bounced"),  # In any order.
    (8, [0, 1, 2, 3, 5, 6, 7], "written to"),  # One between that stayed begins it anew.
    (7, [0, 1, 2, 3, 4], "bounced"),  # Of the newer ones, nothing is known yet.
]


@pytest.mark.parametrize(("count", "came_back", "state"), ROWS)
def test_consecutive_soft_bounces_suppress_the_address(subscriber, count, came_back, state):
    letters = letters_of_days(subscriber, count)
    bounce_softly([letters[place] for place in came_back])
    assert state_of(subscriber) == state
    if state == "bounced":
        assert subscriber.suppressed_reason.startswith("5 letters in a row came back: 550 4.2.2")


# ---- Letters that were reported as unwanted


def test_complaint_is_matched_by_the_return_path(subscriber, letter):
    """Providers take out whatever may name a subscriber, the Message-ID at times among it."""
    receive(complaint("feedback@paperboy.example", return_path=address_of(letter)))
    assert state_of(subscriber) == "complained"


def test_complaint_of_hotmail_without_a_report_suppresses(subscriber, letter):
    mime = complaint("feedback@paperboy.example", message_id=letter.message_id)
    mime = mime.replace(b"message/feedback-report", b"text/plain")
    assert receive(mime) == "useless"
    original = b"X-HmXmrOriginalRecipient: reader@example.org\n"
    assert receive(mime.replace(b"Return-Path:", original + b"Return-Path:")) == "recorded"
    assert state_of(subscriber) == "complained"


def test_complaint_replaces_a_bounce(subscriber, letter):
    Subscriber.objects.update(suppressed_at=NOW, suppressed_by="bounced")
    receive(complaint("feedback@paperboy.example", message_id=letter.message_id))
    assert state_of(subscriber) == "complained"
    assert not subscriber.can_confirm_address(NOW + 9 * DAY)


@pytest.mark.parametrize(("status", "by"), [("", "complained"), ("5.1.1", "bounced")])
def test_report_from_the_former_mailbox_suppresses_nobody(subscriber, letter, status, by):
    change_address.request(subscriber, "new@example.org", now=NOW + HOUR)
    agree_both(subscriber, asked_at=NOW + HOUR, now=NOW + HOUR)
    to_the_new_one = returned_mail.letter(subscriber, left_at=NOW + DAY)

    def tell(one):
        feedback = complaint("feedback@paperboy.example", message_id=one.message_id)
        bounce = report(address_of(one), group(status=status))
        assert receive(bounce if status else feedback, now=NOW + DAY + HOUR) == "recorded"
        return state_of(subscriber)

    assert tell(letter) == "written to"
    assert tell(to_the_new_one) == by


@pytest.mark.parametrize(("by", "status"), [("complained", "5.1.1"), ("operator", "4.2.2")])
def test_later_bounce_does_not_replace_a_complaint_or_block(subscriber, by, status):
    """Who complained, or was left out by the operator, would be asked again by a sign-up."""
    letters = letters_of_days(subscriber, suppress.MAX_BOUNCES_IN_A_ROW)
    Subscriber.objects.update(suppressed_at=NOW, suppressed_by=by)
    bounce_softly(letters, status)
    suppress.after_rejection(subscriber.pk, subscriber.email, "550 5.1.1 no such user", NOW + HOUR)
    assert state_of(subscriber) == by
    assert subscriber.suppressed_at == NOW


def test_complaint_from_an_erased_address_makes_no_suppression_entry(subscriber):
    elsewhere = returned_mail.letter(subscriber, kind="move", to=Letter.FORGOTTEN_ADDRESS)
    receive(complaint("feedback@paperboy.example", message_id=elsewhere.message_id))
    assert elsewhere.facts.get().kind == "complained"
    assert not Seal.objects.exists()
    assert state_of(subscriber) == "written to"


def test_other_feedback_is_no_complaint(subscriber, letter):
    for kind in ("not-spam", "auth-failure", "virus", ""):
        mime = complaint("feedback@paperboy.example", kind=kind, message_id=letter.message_id)
        assert receive(mime) == "useless"
    assert state_of(subscriber) == "written to"
