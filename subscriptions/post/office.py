"""The post office: a letter is written, claimed, frozen, fenced, handed over, recorded.

Exactly once is impossible over SMTP, so every step is chosen for what a crash right after it does:

- a *claim* is a lease. Whoever holds it composes the letter and freezes its bytes. Its holder dies:
  the lease runs out, and another tries again. Nothing was sent.
- the *fence* is passed when the server has everything but the final dot. It looks once more
  whether the letter is still wanted, under the lock that unsubscribing takes, and begins a lease
  of its own. Refused: the dot is not sent, and the server throws the letter away.
- past the fence, no answer means nobody knows. The letter is held, then sent once more with the
  same bytes and the same Message-ID; after a second silence it ends as failed, its picks kept.

Nothing here renders or talks inside a transaction.
"""

import hashlib
import logging
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connection, transaction
from django.utils.crypto import salted_hmac

from subscriptions import mail, registry
from subscriptions.models import Letter, LetterEvent, Subscriber
from subscriptions.post import signing
from subscriptions.post.transports import Envelope, Verdict, transport_for

logger = logging.getLogger(__name__)

LEASE = timedelta(minutes=15)  # DOT_SECONDS and RECORD_SECONDS fit in: none is doubted too soon.
HOLD = timedelta(minutes=15)  # Longer than servers keep a silent connection open.
MAX_STUMBLES = 5
MAX_REPEATS = 1
BACKOFF = [timedelta(minutes=minutes) for minutes in (1, 5, 15, 60)]
RECORD_SECONDS = 120  # A database that is restarted, or taken over from, is back by then.
RECORD_AGAIN_SECONDS = 1

State = Letter.State


class Overtaken(Exception):
    """Another worker has changed this letter since, or may. Whoever sees this does nothing more."""


class Withheld(Exception):
    """The fence was refused: the letter must not leave. Says why."""


def write(subscriber: Subscriber, kind: str, *, now, closes_at) -> Letter:
    """Write down a letter to be delivered as soon as may be. Its composer is asked when it is."""
    with transaction.atomic():
        letter = Letter.objects.create(
            subscriber=subscriber, kind=kind, created_at=now, next_try_at=now, closes_at=closes_at
        )
        LetterEvent.objects.create(letter=letter, at=now, became=State.PLANNED, attempt=0)
    return letter


def due(now, limit: int = 500) -> list[int]:
    """Return the ids of the letters that may be claimed now, those that waited longest first."""
    letters = Letter.objects.due(now).order_by("next_try_at", "pk")
    return list(letters.values_list("pk", flat=True)[:limit])


def deliver(letter_id: int, now) -> bool:
    """Deliver one letter, unless it is being delivered or was. Return whether it was accepted.

    `now` is when that begins. What happens later carries a later moment, however long it took.
    """
    clock = _running_from(now)
    letter = _claim(letter_id, now)
    if letter is None:
        return False
    try:
        if letter.mime is None:
            _freeze(letter, now)
        verdict = transport_for(settings.EMAIL_URL).hand_over(
            _envelope(letter),
            zlib.decompress(letter.mime),
            fence=lambda: _pass_fence(letter, clock()),
        )
        return _record(letter, verdict, clock())
    except Withheld as reason:
        _skip(letter, str(reason), clock())
    except mail.NothingToSay as reason:
        _skip(letter, str(reason) or "nothing to say", clock())
    except Overtaken as reason:
        said = str(reason) or "overtaken by another worker"
        logger.warning("letter %s: left alone: %s", letter_id, said)
    except ImproperlyConfigured as error:  # Our own fault, and mended by the next try, maybe.
        logger.error("letter %s: waits until this is mended: %s", letter_id, error)
        _quietly(_move, letter, State.PLANNED, clock(), next_try_at=_next_try(letter, clock()))
    except Exception:
        logger.exception("letter %s: attempt %s broke", letter_id, letter.attempt)
        _pick_up(letter, clock())
    return False


def sweep(now) -> None:
    """Take up what was left lying: expired leases, silence past the fence, letters too late."""
    for letter in Letter.objects.filter(state__in=Letter.NOT_LEFT, closes_at__lte=now)[:500]:
        if letter.state == State.PLANNED or letter.lease_until <= now:
            _quietly(_end, letter, State.MISSED, "its day ended first", now)
    expired = Letter.objects.filter(lease_until__lte=now)
    for letter in expired.filter(state=State.CLAIMED)[:500]:
        _quietly(_stumble, letter, now)
    for letter in expired.filter(state=State.TRANSMITTING)[:500]:
        _quietly(_doubt, letter, "no answer", now)
    held = Letter.objects.filter(state=State.UNCERTAIN, next_try_at__lte=now)
    for letter in held.select_related("subscriber")[:500]:
        _quietly(_after_hold, letter, now)


def cancel(subscriber: Subscriber, reason: str, now, kinds=None) -> int:
    """End her letters that have not left, inside the caller's transaction. Return how many may yet
    arrive: those past the fence.

    The caller holds the lock on the subscriber's row, which the fence takes too.
    """
    letters = Letter.objects.filter(subscriber=subscriber)
    if kinds is not None:
        letters = letters.filter(kind__in=kinds)
    # Locked, or a worker that claims one in this moment would make the click fail.
    waiting = letters.select_for_update().filter(state__in=Letter.NOT_LEFT)
    for letter in waiting.order_by("pk"):
        _end(letter, State.SKIPPED, reason, now)
    return letters.filter(state__in=[State.TRANSMITTING, State.UNCERTAIN]).count()


def why_unwanted(letter: Letter, now) -> str:
    """Return why this letter must not be sent to its subscriber now, or nothing."""
    subscriber, kind = letter.subscriber, letter.kind
    state = subscriber.state_at(now)
    if kind == Letter.Kind.BOUNCED:
        return "" if subscriber.may_vouch(letter.created_at) else "nothing to ask"
    if state == "suppressed":
        return "suppressed"
    if kind == Letter.Kind.GOODBYE:
        return "" if subscriber.may_come_back(letter.created_at) else "came back"
    if kind == Letter.Kind.CONFIRM:
        return ""
    return "" if state == "active" else state


def _running_from(now: datetime) -> Callable[[], datetime]:
    """Return a clock that shows `now` and runs from there."""
    started = time.monotonic()
    return lambda: now + timedelta(seconds=time.monotonic() - started)


def _claim(letter_id, now):
    """Take the one right to deliver this letter, or return None."""
    letter = Letter.objects.due(now).select_related("subscriber").filter(pk=letter_id).first()
    if letter is None:
        return None
    try:
        if letter.closes_at <= now:
            _end(letter, State.MISSED, "its day ended first", now)
            return None
        if reason := why_unwanted(letter, now):
            _skip(letter, reason, now)
            return None
        _move(letter, State.CLAIMED, now, attempt=letter.attempt + 1, lease_until=now + LEASE)
    except Overtaken:
        return None
    return letter


def _freeze(letter, now):
    """Compose the letter and keep its bytes: whatever is sent from here on is the same."""
    content = registry.composers[letter.kind](letter, now)
    opaque = salted_hmac("subscriptions.post.message_id", str(letter.pk), algorithm="sha256")
    message_id = f"<{letter.kind}.{opaque.hexdigest()[:32]}@{settings.MAIL_DOMAIN}>"
    mime = signing.sign(
        mail.as_bytes(content, to=letter.subscriber.email, message_id=message_id, date=now)
    )
    _change(
        letter,
        message_id=message_id,
        frozen_at=now,
        mime=zlib.compress(mime),
        mime_sha256=hashlib.sha256(mime).hexdigest(),
    )


def _envelope(letter):
    return Envelope(
        sender=mail.from_address(letter.kind).addr_spec,
        recipient=letter.subscriber.email,
        kind=letter.kind,
        letter_id=letter.pk,
        frozen_at=letter.frozen_at,
    )


def _pass_fence(letter, now):
    """Past this line the letter may have left. Raises Withheld where it must not.

    From here the lease runs anew, so that nobody doubts the letter while the server may still
    answer. Raises Overtaken where the old one has run out: the letter is anybody's then.
    """
    if letter.lease_until <= now:
        raise Overtaken("the lease ran out before the fence")
    with transaction.atomic():
        subscriber = Subscriber.objects.select_for_update().filter(pk=letter.subscriber_id).first()
        if subscriber is None:
            raise Withheld("erased")
        letter.subscriber = subscriber
        if reason := why_unwanted(letter, now):
            raise Withheld(reason)
        _move(letter, State.TRANSMITTING, now, lease_until=now + LEASE)


def _record(letter, verdict: Verdict, now):
    """Write down what the transport answered, once the database lets us: what is known must not be
    lost because it restarts in this moment. Return whether the letter was accepted.
    """
    state, give_up_at = letter.state, time.monotonic() + RECORD_SECONDS
    while True:
        try:
            return _write_down(letter, verdict, now)
        except Error as error:
            connection.close()  # The next query opens a new one.
            if time.monotonic() >= give_up_at:
                # Past the fence, the answer is forgotten then: the letter is doubted (by us, or
                # by the sweeper when its lease has run out), held, and sent once more with the
                # same bytes and Message-ID. One that was accepted may arrive twice, never not at
                # all. Before the fence, it is simply tried again.
                logger.error("letter %s: %s, not written down", letter.pk, verdict.answer)
                raise
            logger.warning("letter %s: not written down yet: %s", letter.pk, error)
        letter.state = state  # As the row is, if what broke was rolled back.
        time.sleep(RECORD_AGAIN_SECONDS)


def _write_down(letter, verdict, now):
    facts = {"stage": verdict.stage, "last_reply": verdict.reply[:300]}
    if verdict.answer == "accepted":
        _accept(letter, now, **facts)
        return True
    if verdict.answer == "refused":
        _end(letter, State.FAILED, f"refused: {verdict.reply}"[:300], now, **facts)
    elif verdict.answer == "deferred":
        _move(letter, State.PLANNED, now, next_try_at=_next_try(letter, now), **facts)
    else:
        _doubt(letter, verdict.reply, now, **facts)
    return False


def _accept(letter, now, **facts):
    """End the letter as accepted, also where the sweeper doubted it before we could write it down.

    Raises Overtaken where another has claimed it since, or its story has ended otherwise.
    """
    with suppress(Overtaken):
        return _end(letter, State.ACCEPTED, "", now, **facts)
    if not _look_again(letter):
        raise Overtaken
    if letter.state in (State.UNCERTAIN, State.PLANNED):
        _end(letter, State.ACCEPTED, "", now, **facts)
    elif letter.state != State.ACCEPTED:  # By us: the commit arrived, its confirmation didn't.
        raise Overtaken


def _doubt(letter, note, now, **facts):
    """Hold a letter of which nobody knows whether it arrived."""
    _move(letter, State.UNCERTAIN, now, note=note, next_try_at=now + HOLD, **facts)


def _after_hold(letter, now):
    """Send a letter of unknown fate once more, or let it rest."""
    if letter.repeats < MAX_REPEATS and letter.closes_at > now and not why_unwanted(letter, now):
        _move(letter, State.PLANNED, now, repeats=letter.repeats + 1, next_try_at=now)
    else:
        logger.error("letter %s: nobody knows whether it arrived", letter.pk)
        _end(letter, State.FAILED, "unknown: the mail server never answered", now)


def _pick_up(letter, now):
    """See to a letter whose attempt broke, unless it is another's by now."""
    if not _look_again(letter):
        return
    if letter.state == State.TRANSMITTING:
        _quietly(_doubt, letter, "broke past the fence", now)
    elif letter.state == State.CLAIMED:
        _quietly(_stumble, letter, now)


def _look_again(letter):
    """Read where the letter stands. Return whether it is still of the attempt that we know."""
    same_attempt = Letter.objects.filter(attempt=letter.attempt)
    try:
        letter.refresh_from_db(fields=["state", "stumbles", "repeats"], from_queryset=same_attempt)
    except Letter.DoesNotExist:
        return False
    return True


def _stumble(letter, now):
    """Put a claimed letter back whose attempt broke; after too many, give it up."""
    stumbles = letter.stumbles + 1
    if stumbles >= MAX_STUMBLES:
        _end(letter, State.FAILED, "broken: it could not be written", now)
        logger.error("letter %s: given up after %s broken attempts", letter.pk, MAX_STUMBLES)
    else:
        again = _next_try(letter, now)
        _move(letter, State.PLANNED, now, stumbles=stumbles, next_try_at=again)


def _skip(letter, reason, now):
    _quietly(_end, letter, State.SKIPPED, reason, now)


def _end(letter, state, reason, now, **facts):
    """End the letter's story: its bytes are dropped, and what surely never left is told of."""
    # After a repeat or a silence, the letter may have arrived in spite of how its story ends.
    surely_never_left = (
        state != State.ACCEPTED and letter.state != State.UNCERTAIN and letter.repeats == 0
    )
    with transaction.atomic():
        _move(letter, state, now, reason=reason, note=reason, ended_at=now, mime=None, **facts)
        if surely_never_left:
            for take_back in registry.on_never_left:
                take_back([letter.pk])


def _move(letter, state, now, note="", **changes):
    """Change the letter's state if nobody else has, with the event that tells of it.

    A lease ends with the state it was given for.
    """
    changes.setdefault("lease_until", None)
    was, attempt = letter.state, changes.get("attempt", letter.attempt)
    with transaction.atomic():
        _change(letter, state=state, **changes)
        LetterEvent.objects.create(
            letter_id=letter.pk, at=now, was=was, became=state, attempt=attempt, note=note[:300]
        )


def _change(letter, **changes):
    """Update the row if its state and attempt are the ones we saw. Raises Overtaken."""
    seen = Letter.objects.filter(pk=letter.pk, state=letter.state, attempt=letter.attempt)
    if seen.update(**changes) != 1:
        raise Overtaken
    for name, value in changes.items():
        setattr(letter, name, value)


def _next_try(letter, now):
    """Return when to try again: later each time, and not all at once."""
    wait = BACKOFF[min(letter.attempt, len(BACKOFF)) - 1]
    jitter = zlib.crc32(b"%d.%d" % (letter.pk, letter.attempt)) % 256 / 256
    return now + wait * (1 + jitter / 4)


def _quietly(act, letter, *args, **kwargs):
    """Do it unless another worker came first."""
    try:
        act(letter, *args, **kwargs)
    except Overtaken:
        logger.info("letter %s: another worker came first", letter.pk)
