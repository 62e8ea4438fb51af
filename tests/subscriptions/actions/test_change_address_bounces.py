"""What comes back from one address says nothing of the other."""

import pytest

from digest.planning import plan
from subscriptions.actions import change_address
from subscriptions.bounces import process
from subscriptions.delivery import outcomes
from subscriptions.delivery.transports.base import DeliveryResult
from subscriptions.delivery.worker import rounds
from subscriptions.models import Letter, LetterFact
from subscriptions.security import suppression_list
from tests.factories.make import NOW
from tests.subscriptions.actions.change_address_steps import MINUTE, NEW, OLD, agree, ask, reader

pytestmark = pytest.mark.django_db


def fact(letter, kind, grade=""):
    made = {"kind": kind, "grade": grade, "noted_at": NOW, "via": "mail", "key": kind}
    process._apply(LetterFact.objects.create(letter=letter, **made), letter, NOW)


def test_a_mistyped_address_does_not_keep_letters_from_the_old_one(client):
    one = reader()
    ask(client, one)
    letter = Letter.objects.get(to=NEW)
    (claimed,), _ = rounds.transitions.claim(NOW, 1, [letter.pk])
    for kind, grade in (("bounced", "hard"), ("bounced", "soft"), ("complained", "")):
        LetterFact.objects.all().delete()
        fact(letter, kind, grade)
    refused = DeliveryResult("refused", "rcpt", "550 5.1.1 no such user", scope="address")
    outcomes.record(claimed, NOW, refused, "<x@x>", NEW)
    one.refresh_from_db()
    assert one.suppressed_at is None
    letter.refresh_from_db()
    assert letter.state == "failed"
    assert suppression_list.contains(
        NEW, NOW
    )  # Its owner reported the letter: nobody has it written to again.
    assert not suppression_list.contains(OLD, NOW)


@pytest.mark.parametrize("kind", ["complained", "unsubscribed"])
def test_who_has_moved_and_reports_the_letter_that_asked_her_gets_no_more(client, kind):
    one = reader()
    ask(client, one)
    rounds.deliver_due(lambda: NOW)
    for side in ("old", "new"):
        agree(one, side)
    fact(Letter.objects.get(to=NEW), kind)
    one.refresh_from_db()
    state = {"complained": "suppressed", "unsubscribed": "unsubscribed"}[kind]
    assert (one.email, one.state_at(NOW)) == (NEW, state)


def test_a_refusal_of_the_old_address_that_comes_as_she_moves_says_nothing_of_the_new_one():
    one = reader(next_due_at=NOW, wants_quiet_days=True)
    plan.plan(NOW)
    (claimed,), _ = rounds.transitions.claim(NOW, 1)
    change_address.request(one, NEW, now=NOW)
    for side in ("old", "new"):
        agree(one, side)
    refused = DeliveryResult("refused", "rcpt", "550 5.1.1 no such user", scope="address")
    outcomes.record(claimed, NOW + MINUTE, refused, "<x@x>", OLD)
    one.refresh_from_db()
    assert one.suppressed_at is None
    claimed.refresh_from_db()
    assert claimed.state == "failed"
