"""A day's digest is planned anew, where an operator wants it: only where it surely never left.

One letter for one reader and day is a promise, so nothing is ever sent "again". What was sent, may
have been, or is about to be, stays as it is, and so does what was in doubt for a moment: what an
oracle said of it is enough for a machine that repeats the very same letter, and not for one that
writes another. What surely never left is ranked and written anew, as the same letter: its row, its
Message-ID, its attempts and its steps go on. See docs/decisions.
"""

from django.db import transaction
from django.utils.formats import date_format

from digest import coverage
from digest.models import Digest, Pick
from subscriptions.hints import hint
from subscriptions.models import Letter, Subscriber
from subscriptions.post import ledger
from subscriptions.tasks import deliver_letter

NOTE = "planned anew"

Kind, State = Letter.Kind, Letter.State

#: What is said of a letter that has not ended, or that arrived.
UNTOUCHED = {
    State.PLANNED: "it waits to be sent, and leaves by itself",
    State.CLAIMED: "it is being written at this moment",
    State.TRANSMITTING: "the mail server has it, and has not answered yet",
    State.UNCERTAIN: "nobody knows yet whether it arrived",
}


class Refused(Exception):
    """It is not planned anew. Says why, as the end of a sentence."""


def plan_anew(subscriber: Subscriber, now) -> Letter:
    """Write the digest of the day anew, and let it leave. Raises Refused, and nothing has changed.

    Ranked before the transaction that writes. Whatever was changed in between is refused. What was
    read to rank is kept for the next reader, until `forget_papers`.
    """
    from digest import planning  # It ranks, which few pages of the panel do.

    digest = _allowed(subscriber, now)
    fresh, planned = planning.ranked_for(subscriber, digest.day, now)
    kind = _kind(digest.letter, planned, subscriber)
    with transaction.atomic():
        _unchanged(subscriber, digest, now)
        try:
            ledger.reopen(digest.letter, kind, now, NOTE)
        except ledger.Overtaken:
            raise Refused("it was changed in this moment") from None
        digest.considered, digest.since = fresh.considered, fresh.since
        digest.receipt = coverage.receipt_to_keep(now)
        digest.save(update_fields=["considered", "since", "receipt"])
        planning.write_picks([(digest, planned)])
        transaction.on_commit(lambda: hint(deliver_letter, digest.letter_id), robust=True)
    return digest.letter


def forget_papers() -> None:
    """Let go of what was read for readers who have had no digest for long: it is large."""
    from digest.editions import forget_longer

    forget_longer()


def why_not(subscriber: Subscriber, now) -> str:
    """Return why the day's digest can't be planned anew, as the end of a sentence, or nothing."""
    try:
        _allowed(subscriber, now)
    except Refused as reason:
        return str(reason)
    return ""


def latest(subscriber: Subscriber, now) -> Digest | None:
    """Return her last digest whose day has not closed: the only one that may still leave."""
    mine = Digest.objects.filter(subscriber=subscriber, letter__closes_at__gt=now)
    return mine.select_related("letter").order_by("-day").first()


def _allowed(subscriber, now) -> Digest:
    """Return the digest that may be planned anew. Raises Refused."""
    digest = latest(subscriber, now)
    if digest is None:
        raise Refused("she has none of a day that has not ended")
    _refuse(_of_letter(digest.letter))
    _refuse(_of_reader(subscriber, now))
    _refuse(_of_neighbours(subscriber, digest, now))
    return digest


def _refuse(reason):
    if reason:
        raise Refused(reason)


def _of_letter(letter) -> str:
    """Return what of the letter itself forbids it: that it left, or may have, or may yet."""
    if letter.state in UNTOUCHED:
        return UNTOUCHED[letter.state]
    if letter.state == State.ACCEPTED:
        moment = date_format(letter.ended_at, "DATETIME_FORMAT")
        return f"it was sent on {moment} (UTC); show it to her on the web instead"
    steps = set(letter.events.values_list("became", flat=True))
    if not steps or State.UNCERTAIN in steps or letter.repeats or letter.facts.exists():
        return "it was in doubt, so that it may have arrived"
    if Pick.objects.filter(digest__letter=letter).exists():
        return "its papers were not given back, so that it may have arrived"
    return ""


def _of_reader(subscriber, now) -> str:
    state = subscriber.state_at(now)
    if state != "active":
        return f"she is {state}"
    if subscriber.next_due_at is None or subscriber.next_due_at <= now:
        return "her next one is being planned"
    return ""


def _of_neighbours(subscriber, digest, now) -> str:
    """Return which digest of another day is too near. Nobody gets two in a row."""
    from digest.spacing import RECENT, ends_rest

    near = Letter.objects.filter(subscriber=subscriber, day__gt=digest.day - RECENT)
    for letter in near.exclude(day=digest.day):
        if letter.state in Letter.OPEN:
            return "another digest is on its way to her"
        until = ends_rest(letter, subscriber)
        if until is not None and until > now:
            return f"one of another day left not long ago; from {until:%H:%M} UTC on it may"
    return ""


def _kind(letter, planned, subscriber) -> str:
    """Return as what it is written: with papers a digest, without them only who wants it so."""
    if planned or (letter.kind == Kind.DIGEST and subscriber.wants_quiet_days):
        return Kind.DIGEST
    if letter.kind == Kind.WELCOME:
        return Kind.WELCOME
    raise Refused("no paper is new to her")


def _unchanged(subscriber, digest, now):
    """Look again under the locks that planning, the fence and leaving take. Raises Refused."""
    found = Subscriber.objects.select_for_update().filter(pk=subscriber.pk).first()
    letter = Letter.objects.select_for_update().filter(pk=digest.letter_id).first()
    if found is None or letter is None or found.next_due_at != subscriber.next_due_at:
        raise Refused("she was changed in this moment")
    if _allowed(found, now).pk != digest.pk:
        raise Refused("another day has begun")
