"""Changes of address: the digest moves once both the old and the new address have confirmed.

Either alone is not enough: the old one may be left open in a browser, the new one mistyped. The
answers do not tell whether the new address is known here. Links that were sent to the old address
are closed by the move (subscriptions.security.tokens).
"""

from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Lower

from subscriptions.actions import erase, signup
from subscriptions.delivery import queue
from subscriptions.models import Consent, Letter, Move, Subscriber
from subscriptions.notices import send
from subscriptions.security import api_tokens, suppression_list
from subscriptions.security.tokens import CONFIRM_DAYS, ExpiredToken

MOVABLE_STATES = ("active", "paused")
VALID_FOR = timedelta(days=CONFIRM_DAYS)
#: Tokens have the moment of the last change in seconds.
ONE_SECOND = timedelta(seconds=1)

Kind = Letter.Kind


class NoPendingMove(ExpiredToken):
    """The request was answered, cancelled or replaced, or the subscriber gets no digests."""


class AddressTaken(Exception):
    """Another subscriber gets the digest at the new address."""


def request(subscriber: Subscriber, new_email: str, *, now, may_write=True) -> None:
    """Ask both addresses to confirm a move to this (normalised) one. Replaces an earlier request.

    If no letter may be sent to the new address (suppressed, or not `may_write`), only the old one
    is asked. An active subscriber with the new address gets the reminder of a sign-up instead.
    Raises NoPendingMove.
    """
    with transaction.atomic():
        subscriber, new_owner = _lock_both(subscriber, new_email)
        if subscriber.state_at(now) not in MOVABLE_STATES:
            raise NoPendingMove
        cancel(subscriber, now)
        Move.objects.create(subscriber=subscriber, new_email=new_email, asked_at=now)
        closes_at = now + send.NOTICE_LIFETIME
        send.write(subscriber, Kind.MOVE, now, closes_at)
        is_blocked = suppression_list.is_blocked(new_email, now)
        is_backing_off = send.is_backing_off(new_owner, now)
        letter = None
        if may_write and not is_blocked:
            if new_owner and new_owner.state_at(now) in MOVABLE_STATES:
                letter = send.remind(new_owner, now, is_backing_off)
            else:
                letter = send.write(subscriber, Kind.MOVE, now, closes_at, to=new_email)
        if letter is None:
            send.write(None, Kind.MOVE, now, closes_at)


def cancel(subscriber: Subscriber, now) -> None:
    """Cancel a request, if there is one. The subscriber's row must be locked."""
    queue.cancel(subscriber, "not asked any more", now, kinds=[Kind.MOVE])
    Move.objects.filter(subscriber=subscriber).forget()


def keep_address(subscriber: Subscriber, *, now) -> None:
    """Cancel a request, as the subscriber asks."""
    with transaction.atomic():
        cancel(subscriber.locked(), now)


def pending_move(subscriber: Subscriber) -> Move | None:
    return Move.objects.filter(subscriber=subscriber, done_at=None).first()


def find_move(subscriber: Subscriber, asked_at) -> Move:
    """Return the move that was requested at `asked_at`. Raises NoPendingMove."""
    move = Move.objects.filter(subscriber=subscriber, asked_at=asked_at).first()
    if move is None:
        raise NoPendingMove
    return move


def approve(subscriber, side: str, asked_at, *, source: signup.ConsentSource, now) -> Move:
    """Confirm for the "old" or the "new" address (`side`). The second confirmation moves.

    A pending or unsubscribed subscriber with the new address is erased. Raises NoPendingMove or
    AddressTaken.
    """
    with transaction.atomic():
        subscriber, new_owner = _lock_both(subscriber, find_move(subscriber, asked_at).new_email)
        move = find_move(subscriber, asked_at)
        if move.done_at:
            return move
        if subscriber.state_at(now) not in MOVABLE_STATES:
            raise NoPendingMove
        if not move.has_agreed(side):
            setattr(move, f"{side}_agreed_at", now)
            move.save()
            signup.record_consent(subscriber, Consent.Act.MOVED, source, now)
        if not (move.has_agreed("old") and move.has_agreed("new")):
            return move
        if new_owner and (new_owner.suppressed_at or new_owner.state_at(now) in MOVABLE_STATES):
            raise AddressTaken  # Only now: before, nobody may learn of the other subscriber.
        if new_owner:
            erase.erase(new_owner, now=now)
        subscriber.email = move.new_email
        subscriber.confirmed_at = now
        # Later than the last move even if the clock was set back, or its links would open again.
        subscriber.moved_at = max(now, (subscriber.moved_at or now - ONE_SECOND) + ONE_SECOND)
        try:
            with transaction.atomic():
                subscriber.save(update_fields=["email", "confirmed_at", "moved_at"])
        except IntegrityError:  # A concurrent sign-up of the new address.
            raise AddressTaken from None
        api_tokens.revoke(subscriber)
        move.done_at = now
        move.save()
        return move


def purge(now) -> int:
    """Delete expired requests and the addresses in their letters. Return how many."""
    cutoff = now - VALID_FOR
    # Letters of requests that were cancelled while the letters were being sent.
    letters = Letter.objects.filter(kind=Kind.MOVE, created_at__lt=cutoff, ended_at__lt=now)
    letters.exclude(to__in=["", Letter.FORGOTTEN_ADDRESS]).update(to=Letter.FORGOTTEN_ADDRESS)
    return Move.objects.filter(asked_at__lt=cutoff).forget()


def _lock_both(subscriber, new_email) -> tuple[Subscriber, Subscriber | None]:
    """Lock the subscriber, and the one who has the new address, always in the same order."""
    subscribers = Subscriber.objects.alias(lower_email=Lower("email"))
    subscribers = subscribers.filter(Q(pk=subscriber.pk) | Q(lower_email=new_email.lower()))
    by_pk = {row.pk: row for row in subscribers.select_for_update().order_by("pk")}
    locked_subscriber = by_pk.pop(subscriber.pk, None)
    if locked_subscriber is None:
        raise Subscriber.DoesNotExist
    return locked_subscriber, next(iter(by_pk.values()), None)
