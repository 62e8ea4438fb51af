"""What several do at one moment."""

from functools import partial

import pytest

from subscriptions.actions import change_address, erase
from subscriptions.delivery import queue
from subscriptions.models import Letter, Move, Subscriber
from tests.factories.make import NOW
from tests.helpers.threads import at_once, errors_of
from tests.subscriptions.actions.change_address_steps import NEW, agree, moved, reader

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
def test_many_clicks_at_once_are_one_move():
    one = reader()
    change_address.request(one, NEW, now=NOW)
    sides = [partial(agree, one, side) for side in ("old", "new")]
    raised = at_once(*5 * sides)
    assert errors_of(raised) == []
    assert moved(one)
    assert one.consents.count() == 2


@pytest.mark.django_db(transaction=True)
def test_two_who_ask_for_each_others_address_at_once_are_both_answered():
    """Each writes a letter to the other, for which the other's row must not be held."""
    pair = [reader("one@example.org"), reader("two@example.org")]
    asks = [
        partial(change_address.request, one, other.email, now=NOW)
        for one, other in zip(pair, reversed(pair), strict=True)
    ]
    assert at_once(*asks) == [None, None]
    assert Letter.objects.filter(kind="confirm").count() == 2


@pytest.mark.django_db(transaction=True)
def test_of_two_who_want_one_address_one_gets_it():
    pair = [reader("one@example.org"), reader("two@example.org")]
    for one in pair:
        change_address.request(one, NEW, now=NOW)
        agree(one, "old")
    at_once(*[partial(agree, one, "new") for one in pair])
    assert Subscriber.objects.filter(email=NEW).count() == 1
    assert Subscriber.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_who_erases_everything_amid_her_move_leaves_nothing():
    one = reader()
    change_address.request(one, NEW, now=NOW)
    agree(one, "old")
    at_once(
        partial(agree, one, "new"), partial(erase.erase, one, now=NOW), partial(queue.sweep, NOW)
    )
    assert not Subscriber.objects.exists()
    assert not Move.objects.exists()
