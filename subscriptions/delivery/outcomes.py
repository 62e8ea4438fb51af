"""What is recorded about one letter by itself: all that is rarer than an acceptance.

Each function works in a transaction of its own, and raises Overtaken where another worker changed
the letter first.
"""

import logging
from datetime import datetime

from django.core.exceptions import ImproperlyConfigured
from django.db import Error

from subscriptions.delivery import circuit_breaker, suppress, throttling, transitions
from subscriptions.delivery.recovery import sweep
from subscriptions.delivery.transitions import Overtaken
from subscriptions.delivery.transports.base import DeliveryResult
from subscriptions.mail import render
from subscriptions.models import Letter

logger = logging.getLogger(__name__)

State = Letter.State


def record(
    letter: Letter,
    now: datetime,
    result: DeliveryResult,
    message_id: str,
    recipient: str,
    *,
    is_probe: bool = False,
) -> None:
    """Record what became of a letter at its transport."""
    facts = {"stage": result.stage, "last_reply": result.reply[:300]}
    match result.status:
        case "accepted":
            sweep.accept_late(letter.pk, letter.attempt, message_id, result.reply, now)
        case "refused":
            if result.scope == "address":
                subscriber_id = letter.subscriber_id
                suppress.suppress_bounced(subscriber_id, recipient, result.reply, now)
            reason = f"{Letter.REFUSED}: {result.reply}"
            if not transitions.end([letter], State.FAILED, reason, now, **facts):
                raise Overtaken
        case "deferred":
            until = _back_off(result, recipient, now, is_probe)
            transitions.put_back(letter, now, until=until, note=result.reply, **facts)
        case "unknown":
            sweep.doubt(letter, now, note=result.reply, **facts)


def _back_off(result, recipient, now, is_probe) -> datetime | None:
    """Slow down the provider, or all sending. Return until when the provider takes nothing."""
    if result.scope == "provider":
        return throttling.slow_down(throttling.provider_of(recipient), result.reply, now)
    if result.scope == "us":
        circuit_breaker.trip(result.trouble, result.reply, now, is_probe=is_probe)
    elif is_probe and result.is_let_in:
        circuit_breaker.mend()  # What it says is about this recipient: it may be greylisting all.
    return None


def release(letter: Letter, now: datetime, reason: str) -> None:
    """Let a letter wait for the next round that was claimed, and surely was not sent."""
    for state in (State.CLAIMED, State.TRANSMITTING):  # Its final check may be committed or not.
        letter.state = state
        if transitions.release([letter], now, reason):
            return
    raise Overtaken


def record_render_error(letter: Letter, now: datetime, error: Exception) -> None:
    """Record why the bytes of a letter could not be made."""
    if isinstance(error, render.NothingToSay):
        transitions.end([letter], State.SKIPPED, str(error) or "nothing to say", now)
    elif isinstance(error, ImproperlyConfigured | Error):  # Not the letter's fault.
        logger.error("letter %s: waits until this is mended: %s", letter.pk, error)
        transitions.put_back(letter, now, note=str(error))
    else:
        logger.error("letter %s: attempt %s broke", letter.pk, letter.attempt, exc_info=error)
        transitions.stumble(letter, now, f"{type(error).__name__} in composing")
