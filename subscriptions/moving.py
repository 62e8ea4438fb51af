"""A reader's digest moves to another address, once both addresses have said yes.

The old one may have been left behind in a browser, the new one mistyped: neither moves anything
alone. What is answered tells nobody whether the new address is known here.

What lies in the old mailbox opens nothing of hers from then on (subscriptions.links).
"""

from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Lower

from subscriptions import correspondence, erasing, seals, signup
from subscriptions.links import CONFIRM_DAYS
from subscriptions.models import Consent, Letter, Move, Subscriber
from subscriptions.post import office

#: Whoever gets letters has a digest that can move.
MAY_MOVE = ("active", "paused")
LASTS = timedelta(days=CONFIRM_DAYS)
#: As fine as links tell one move from the next.
SECOND = timedelta(seconds=1)

Kind = Letter.Kind


class NotOpen(Exception):
    """What the link asks was answered, taken back or replaced, or she gets no digest any more."""


class Taken(Exception):
    """Someone gets the digest at the new address already."""


def ask(subscriber: Subscriber, new_email: str, *, now, may_write=True) -> None:
    """Ask both addresses whether her digest moves to this (normalised) one. Raises NotOpen.

    An earlier wish is replaced. Where the new address is not to be written to, or its mailbox has
    had enough (`may_write`), only the old one is asked; who gets the digest there is told so, as by
    a sign-up.
    """
    with transaction.atomic():
        subscriber, other = _both(subscriber, new_email)
        if subscriber.state_at(now) not in MAY_MOVE:
            raise NotOpen
        give_up(subscriber, now)
        Move.objects.create(subscriber=subscriber, new_email=new_email, asked_at=now)
        closes_at = now + correspondence.NOTICE_CLOSES
        correspondence.write(subscriber, Kind.MOVE, now, closes_at)
        is_shut = seals.is_shut(new_email, now)
        letter = None
        if may_write and not is_shut:
            if other and other.state_at(now) in MAY_MOVE:
                letter = correspondence.remind(other, now)
            else:
                letter = correspondence.write(subscriber, Kind.MOVE, now, closes_at, to=new_email)
        if letter is None:
            correspondence.write_or_pretend(None, Kind.MOVE, now, closes_at)


def give_up(subscriber: Subscriber, now) -> None:
    """Take back a wish to move, in the caller's transaction. Where there is none, nothing changes.

    The caller holds the lock on the subscriber's row.
    """
    office.cancel(subscriber, "not asked any more", now, kinds=[Kind.MOVE])
    Move.objects.filter(subscriber=subscriber).forget()


def under_way(subscriber: Subscriber) -> Move | None:
    """Return her wish to move that isn't fulfilled yet."""
    return Move.objects.filter(subscriber=subscriber, done_at=None).first()


def stay(subscriber: Subscriber, *, now) -> None:
    """Take back a wish to move."""
    with transaction.atomic():
        give_up(subscriber.locked(), now)


def agree(subscriber: Subscriber, side: str, asked_at, *, door: signup.Door, now) -> Move:
    """Say yes for the "old" or the "new" address; with the second yes the digest moves.

    Return the wish as it stands then. Raises NotOpen or Taken.
    """
    with transaction.atomic():
        subscriber, other = _both(subscriber, find(subscriber, asked_at).new_email)
        move = find(subscriber, asked_at)
        if move.done_at:
            return move
        if subscriber.state_at(now) not in MAY_MOVE:
            raise NotOpen
        if not move.has_agreed(side):
            setattr(move, f"{side}_agreed_at", now)
            move.save()
            signup.note(subscriber, Consent.Act.MOVED, door, now)
        if move.has_agreed("old") and move.has_agreed("new"):  # Before, nobody learns of others.
            if other and (other.suppressed_at or other.state_at(now) in MAY_MOVE):
                raise Taken
            _complete(move, subscriber, other, now)
        return move


def purge(now) -> int:
    """Forget wishes that can't come true any more, with their addresses. Return how many."""
    before = now - LASTS
    # The address of a wish that was taken back while its letter was on the way.
    asked = Letter.objects.filter(kind=Kind.MOVE, created_at__lt=before, ended_at__lt=now)
    asked.exclude(to__in=["", Letter.ELSEWHERE]).update(to=Letter.ELSEWHERE)
    return Move.objects.filter(asked_at__lt=before).forget()


def find(subscriber: Subscriber, asked_at) -> Move:
    """Return her wish of that moment. Raises NotOpen."""
    move = Move.objects.filter(subscriber=subscriber, asked_at=asked_at).first()
    if move is None:
        raise NotOpen
    return move


def _complete(move, subscriber, other, now):
    """Move. Whoever never confirmed the new address, or left it, makes room for who does now."""
    if other:
        erasing.erase(other, now=now)
    subscriber.email = move.new_email
    subscriber.confirmed_at = now  # The address that she has now.
    # After her last move, though the clock may have been set back since: or its links would open.
    subscriber.moved_at = max(now, (subscriber.moved_at or now - SECOND) + SECOND)
    try:
        with transaction.atomic():
            subscriber.save(update_fields=["email", "confirmed_at", "moved_at"])
    except IntegrityError:  # Someone signed it up in this very moment.
        raise Taken from None
    move.done_at = now
    move.save()


def _both(subscriber, new_email):
    """Return her row and that of another with the new address, locked in one order for all."""
    found = Subscriber.objects.alias(identity=Lower("email"))
    found = found.filter(Q(pk=subscriber.pk) | Q(identity=new_email.lower()))
    rows = {one.pk: one for one in found.select_for_update().order_by("pk")}
    hers = rows.pop(subscriber.pk, None)
    if hers is None:
        raise Subscriber.DoesNotExist
    return hers, next(iter(rows.values()), None)
