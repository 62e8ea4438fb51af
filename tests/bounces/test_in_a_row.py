"""How many letters in a row may come back softly before no more are sent."""

import pytest

from subscriptions.models import Letter, Seal
from tests import came_back, make
from tests.bounces.receiving import DAY, bounce_softly, letters_of_days, receive, state_of
from tests.came_back import address_of, group, report
from tests.make import NOW

pytestmark = pytest.mark.django_db


def test_letters_from_before_she_could_be_reached_again_do_not_count(reader):
    letters = letters_of_days(reader, 5)
    bounce_softly(letters[:4])
    reader.lifted_at = letters[4].left_at
    reader.save()
    bounce_softly(letters[4:])
    assert state_of(reader) == "written to"


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


def test_five_letters_in_a_row_that_come_back_end_it(reader):
    letters = letters_of_days(reader, 5)
    bounce_softly(letters[:4])
    assert state_of(reader) == "written to"
    bounce_softly(letters[4:])
    assert state_of(reader) == "bounced"
    assert reader.suppressed_reason.startswith("5 letters in a row came back: 550 4.2.2")


def test_a_letter_that_was_delivered_in_the_end_did_not_come_back(reader):
    letters = letters_of_days(reader, 5)
    receive(report(address_of(letters[2]), group("delivered", "2.1.5")))
    bounce_softly(letters)
    assert state_of(reader) == "written to"


def test_a_newer_letter_that_surely_arrived_ends_the_row(reader):
    letters = letters_of_days(reader, 6)
    receive(report(address_of(letters[5]), group("delivered", "2.1.5")))
    bounce_softly(letters[:5])
    assert state_of(reader) == "written to"


@pytest.mark.parametrize(("own", "state"), [(4, "written to"), (5, "bounced")])
def test_what_went_to_another_address_is_no_part_of_a_row(reader, own, state):
    letters = letters_of_days(reader, own)
    elsewhere = came_back.letter(reader, left_at=NOW - 2 * DAY, kind="move", to="you@example.org")
    if own < 5:
        bounce_softly([elsewhere])
    bounce_softly(letters)
    assert state_of(reader) == state
    assert not Seal.objects.exists()


def test_what_comes_back_from_another_makes_no_row(reader):
    other = make.subscriber("other@example.org")
    bounce_softly(letters_of_days(other, 4) + letters_of_days(reader, 1))
    assert state_of(reader) == state_of(other) == "written to"


def test_letters_of_long_ago_are_not_counted(reader):
    bounce_softly(letters_of_days(reader, 3, NOW - 15 * DAY) + letters_of_days(reader, 3))
    assert state_of(reader) == "written to"


@pytest.mark.parametrize(
    ("count", "came_back", "state"),
    [
        (5, [4, 3, 2, 1, 0], "bounced"),  # In any order.
        (8, [0, 1, 2, 3, 5, 6, 7], "written to"),  # One between that stayed begins it anew.
        (7, [0, 1, 2, 3, 4], "bounced"),  # Of the newer ones, nothing is known yet.
    ],
)
def test_which_letters_make_a_row(reader, count, came_back, state):
    letters = letters_of_days(reader, count)
    bounce_softly([letters[place] for place in came_back])
    assert state_of(reader) == state
