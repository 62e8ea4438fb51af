"""Letters that were reported as unwanted."""

import threading

import pytest
from django.db import connection

from subscriptions import moving
from subscriptions.models import Letter, Seal
from subscriptions.post import suppression
from tests import came_back
from tests.bounces.receiving import (
    DAY,
    HOUR,
    bounce_softly,
    letters_of_days,
    make_suppressed,
    receive,
    state_of,
)
from tests.came_back import address_of, complaint, group, report
from tests.make import NOW
from tests.moving.acts import DOOR
from tests.threads import uncommitted

pytestmark = pytest.mark.django_db


def test_who_reports_a_letter_as_unwanted_gets_no_more(reader, letter):
    mime = complaint("feedback@paperboy.example", message_id=letter.message_id)
    assert receive(mime) == "recorded"
    assert state_of(reader) == "complained"
    assert receive(mime) == "known"


def test_a_complaint_is_known_by_the_letters_return_path(reader, letter):
    """Providers take out whatever may name a reader, the Message-ID at times among it."""
    receive(complaint("feedback@paperboy.example", return_path=address_of(letter)))
    assert state_of(reader) == "complained"


def test_a_complaint_outweighs_that_letters_came_back(reader, letter):
    make_suppressed(reader)
    receive(complaint("feedback@paperboy.example", message_id=letter.message_id))
    assert state_of(reader) == "complained"
    assert not reader.may_vouch(NOW + 9 * DAY)


@pytest.mark.parametrize(("status", "by"), [("", "complained"), ("5.1.1", "bounced")])
def test_what_is_told_by_the_mailbox_that_she_has_left_keeps_no_letter_from_her(
    reader, letter, status, by
):
    moving.ask(reader, "new@example.org", now=NOW + HOUR)
    for side in ("old", "new"):
        moving.agree(reader, side, NOW + HOUR, door=DOOR, now=NOW + HOUR)
    to_the_new_one = came_back.letter(reader, left_at=NOW + DAY)

    def tell(one):
        feedback = complaint("feedback@paperboy.example", message_id=one.message_id)
        bounce = report(address_of(one), group(status=status))
        assert receive(bounce if status else feedback, now=NOW + DAY + HOUR) == "recorded"
        return state_of(reader)

    assert tell(letter) == "written to"
    assert tell(to_the_new_one) == by


@pytest.mark.django_db(transaction=True)
def test_a_complaint_is_not_replaced_by_a_bounce_that_comes_in_the_same_moment(reader, letter):
    if connection.vendor != "postgresql":
        pytest.skip("on SQLite, writers come one after the other")
    thread, commit = uncommitted(lambda: suppression.after_complaint(reader.pk, "abuse", NOW))
    threading.Timer(0.5, commit.set).start()
    assert receive(report(address_of(letter))) == "recorded"
    thread.join(30)
    assert state_of(reader) == "complained"


@pytest.mark.parametrize("by", suppression.FOR_GOOD)
@pytest.mark.parametrize("status", ["5.1.1", "4.2.2"])
def test_what_comes_back_later_makes_nobody_an_address_that_may_be_tried_again(reader, by, status):
    """Who complained, or was left out by the operator, would be asked again by a sign-up."""
    letters = letters_of_days(reader, suppression.MOST_IN_A_ROW)
    reader.suppressed_at, reader.suppressed_by = NOW, by
    reader.save()
    bounce_softly(letters, status)
    suppression.suppress_bounced(reader.pk, reader.email, "550 5.1.1 no such user", NOW + HOUR)
    assert state_of(reader) == by
    assert reader.suppressed_at == NOW


def test_a_complaint_from_an_address_that_was_forgotten_seals_nothing(reader):
    elsewhere = came_back.letter(reader, kind="move", to=Letter.ELSEWHERE)
    receive(complaint("feedback@paperboy.example", message_id=elsewhere.message_id))
    assert elsewhere.facts.get().kind == "complained"
    assert not Seal.objects.exists()
    assert state_of(reader) == "written to"


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure", "virus", ""])
def test_other_feedback_is_no_complaint(reader, letter, kind):
    mime = complaint("feedback@paperboy.example", kind=kind, message_id=letter.message_id)
    assert receive(mime) == "useless"
    assert state_of(reader) == "written to"
