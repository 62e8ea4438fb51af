"""One letter, and the steps that a worker takes with it."""

from django.db import transaction

from digest.planning import plan
from subscriptions.delivery import queue, transitions
from subscriptions.models import Letter
from tests.factories import make
from tests.factories.make import MINUTE, NOW


def letter_to(email="reader@example.org", **fields):
    """Make a digest letter to a subscriber who wants it, due now, with one pick."""
    subscriber = make.subscriber(email, interests="graphs")
    make.paper("Graphs")
    plan.plan(NOW)
    Letter.objects.filter(subscriber=subscriber).update(**fields)
    return Letter.objects.get(subscriber=subscriber)


def due(now):
    """Return the numbers of the letters that may be claimed now."""
    return [letter.pk for letter in Letter.objects.due(now)]


def claim(letter, now=NOW):
    """Claim the letter as a worker does. Return it, or None."""
    with transaction.atomic():
        claimed, _ = transitions.claim(now, 1, [letter.pk])
    return claimed[0] if claimed else None


def pass_final_check(letter, now=NOW, mime=b"Subject: Papers\r\n\r\nHello.\r\n"):
    """Let a claimed letter pass the final check. Return whether it did."""
    frozen = {letter.pk: transitions.FrozenMessage(mime, f"<{letter.pk}@example.org>", now)}
    with transaction.atomic():
        return bool(transitions.final_check([letter], frozen, now).passed)


def states(letter):
    return [event.new_state for event in letter.events.all()]


def past_the_final_check():
    """Return a claimed letter that has just passed the final check."""
    letter = claim(letter_to())
    assert pass_final_check(letter)
    return letter


def due_to_be_resent():
    """Return a letter whose worker died past the final check: to be resent half an hour later."""
    letter = past_the_final_check()
    for minutes in (15, 30):
        queue.sweep(NOW + minutes * MINUTE)
    return letter


def before(monkeypatch, owner, name, act):
    """Let `act` be called with a function's arguments before the function itself."""
    function = getattr(owner, name)

    def both(*args, **kwargs):
        act(*args)
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, both)
