"""How many letters in a row may come back, and what a complaint does."""

import threading

import pytest

from subscriptions.actions import change_address
from subscriptions.delivery import suppress
from subscriptions.models import Letter, Seal
from tests.factories import make, returned_mail
from tests.factories.make import NOW
from tests.factories.returned_mail import address_of, complaint, group, report
from tests.helpers.threads import uncommitted
from tests.subscriptions.actions.change_address_steps import DOOR
from tests.subscriptions.bounces.receiving import (
    DAY,
    HOUR,
    bounce_softly,
    letters_of_days,
    make_suppressed,
    receive,
    state_of,
)
from tests.subscriptions.delivery.worker.held_locks import on_postgresql

pytestmark = pytest.mark.django_db


# ---- How many letters in a row may come back softly before no more are sent


def test_a_letter_that_never_left_ends_no_row(reader):
    """It passed the fence, and was refused at the dot."""
    letters = letters_of_days(reader, 6)
    Letter.objects.filter(pk=letters.pop(3).pk).update(state="failed", reason="refused: 554")
    bounce_softly(letters)
    assert state_of(reader) == "bounced"


def test_a_letter_that_came_back_counts_though_nobody_knows_when_it_left(reader, letter):
    """As one that was found by reconcile."""
    Letter.objects.update(left_at=None)
    assert receive(report(address_of(letter))) == "recorded"
    assert state_of(reader) == "bounced"


@pytest.mark.parametrize("place", [2, 5])
def test_a_letter_that_surely_arrived_ends_the_row(reader, place):
    """Also one that had come back before, or a newer one."""
    letters = letters_of_days(reader, 6)
    receive(report(address_of(letters[place]), group("delivered", "2.1.5")))
    bounce_softly(letters[:5])
    assert state_of(reader) == "written to"


@pytest.mark.parametrize(("own", "state"), [(4, "written to"), (5, "bounced")])
def test_letters_to_another_address_are_no_part_of_a_row(reader, own, state):
    letters = letters_of_days(reader, own)
    elsewhere = returned_mail.letter(
        reader, left_at=NOW - 2 * DAY, kind="move", to="you@example.org"
    )
    if own < 5:
        bounce_softly([elsewhere])
    bounce_softly(letters)
    assert state_of(reader) == state
    assert not Seal.objects.exists()


def test_letters_of_others_or_of_long_ago_are_not_counted(reader):
    other = make.subscriber("other@example.org")
    bounce_softly(letters_of_days(other, 4))
    bounce_softly(letters_of_days(reader, 3, NOW - 15 * DAY) + letters_of_days(reader, 3))
    assert state_of(reader) == state_of(other) == "written to"


def test_letters_from_before_the_address_was_lifted_do_not_count(reader):
    letters = letters_of_days(reader, 5)
    bounce_softly(letters[:4])
    reader.lifted_at = letters[4].left_at
    reader.save()
    bounce_softly(letters[4:])
    assert state_of(reader) == "written to"


@pytest.mark.parametrize(
    ("count", "came_back", "state"),
    [
        (5, [4, 3, 2, 1], "written to"),
        (5, [4, 3, 2, 1, 0], "bounced"),  # In any order.
        (8, [0, 1, 2, 3, 5, 6, 7], "written to"),  # One between that stayed begins it anew.
        (7, [0, 1, 2, 3, 4], "bounced"),  # Of the newer ones, nothing is known yet.
    ],
)
def test_which_letters_make_a_row(reader, count, came_back, state):
    letters = letters_of_days(reader, count)
    bounce_softly([letters[place] for place in came_back])
    assert state_of(reader) == state
    if state == "bounced":
        assert reader.suppressed_reason.startswith("5 letters in a row came back: 550 4.2.2")


# ---- Letters that were reported as unwanted


def test_a_complaint_is_known_by_the_letters_return_path(reader, letter):
    """Providers take out whatever may name a reader, the Message-ID at times among it."""
    receive(complaint("feedback@paperboy.example", return_path=address_of(letter)))
    assert state_of(reader) == "complained"


def test_a_complaint_outweighs_that_letters_came_back(reader, letter):
    make_suppressed(reader)
    receive(complaint("feedback@paperboy.example", message_id=letter.message_id))
    assert state_of(reader) == "complained"
    assert not reader.can_confirm_address(NOW + 9 * DAY)


@pytest.mark.parametrize(("status", "by"), [("", "complained"), ("5.1.1", "bounced")])
def test_a_report_from_the_former_mailbox_suppresses_nobody(reader, letter, status, by):
    change_address.request(reader, "new@example.org", now=NOW + HOUR)
    for side in ("old", "new"):
        change_address.approve(reader, side, NOW + HOUR, source=DOOR, now=NOW + HOUR)
    to_the_new_one = returned_mail.letter(reader, left_at=NOW + DAY)

    def tell(one):
        feedback = complaint("feedback@paperboy.example", message_id=one.message_id)
        bounce = report(address_of(one), group(status=status))
        assert receive(bounce if status else feedback, now=NOW + DAY + HOUR) == "recorded"
        return state_of(reader)

    assert tell(letter) == "written to"
    assert tell(to_the_new_one) == by


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_complaint_is_not_replaced_by_a_bounce_that_comes_in_the_same_moment(reader, letter):
    thread, commit = uncommitted(lambda: suppress.after_complaint(reader.pk, "abuse", NOW))
    threading.Timer(0.5, commit.set).start()
    assert receive(report(address_of(letter))) == "recorded"
    thread.join(30)
    assert state_of(reader) == "complained"


@pytest.mark.parametrize(("by", "status"), [("complained", "5.1.1"), ("operator", "4.2.2")])
def test_what_comes_back_later_makes_nobody_an_address_that_may_be_tried_again(reader, by, status):
    """Who complained, or was left out by the operator, would be asked again by a sign-up."""
    letters = letters_of_days(reader, suppress.MAX_BOUNCES_IN_A_ROW)
    reader.suppressed_at, reader.suppressed_by = NOW, by
    reader.save()
    bounce_softly(letters, status)
    suppress.after_rejection(reader.pk, reader.email, "550 5.1.1 no such user", NOW + HOUR)
    assert state_of(reader) == by
    assert reader.suppressed_at == NOW


def test_a_complaint_from_an_address_that_was_forgotten_seals_nothing(reader):
    elsewhere = returned_mail.letter(reader, kind="move", to=Letter.FORGOTTEN_ADDRESS)
    receive(complaint("feedback@paperboy.example", message_id=elsewhere.message_id))
    assert elsewhere.facts.get().kind == "complained"
    assert not Seal.objects.exists()
    assert state_of(reader) == "written to"


def test_other_feedback_is_no_complaint(reader, letter):
    for kind in ("not-spam", "auth-failure", "virus", ""):
        mime = complaint("feedback@paperboy.example", kind=kind, message_id=letter.message_id)
        assert receive(mime) == "useless"
    assert state_of(reader) == "written to"
