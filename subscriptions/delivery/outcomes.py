"""Record the outcome of one letter: every outcome that is rarer than an acceptance.

Call each function in a transaction of its own. It raises ConcurrentUpdate if another worker changed
the letter first.
"""

import logging
from datetime import datetime, timedelta

from django.core.exceptions import ImproperlyConfigured
from django.db import Error

from subscriptions.delivery import circuit_breaker, suppress, sweep, transitions
from subscriptions.delivery.transitions import ConcurrentUpdate
from subscriptions.delivery.transports.base import DeliveryResult
from subscriptions.mail import render
from subscriptions.models import Letter

logger = logging.getLogger(__name__)

MAX_RETRY_AFTER = 86_400.0  # Seconds. By then, its day has ended.

State = Letter.State


def record_result(letter: Letter, now: datetime, result: DeliveryResult) -> None:
    """Record the outcome of an attempt to hand a letter over."""
    fields = {"stage": result.stage, "last_reply": result.reply[:300]}
    match result.status:
        case "accepted":
            sweep.accept_late(letter, result.reply, now)
        case "refused":
            if result.scope == "address":
                suppress.after_rejection(letter.subscriber_id, letter.recipient, result.reply, now)
            reason = f"{Letter.REFUSED}: {result.reply}"
            if not transitions.end([letter], State.FAILED, reason, now, **fields):
                raise ConcurrentUpdate
        case "deferred":
            retry_at = _back_off(result, now)
            transitions.put_back(letter, now, retry_at=retry_at, note=result.reply, **fields)
        case "unknown":
            sweep.mark_uncertain(letter, now, note=result.reply, **fields)


def _back_off(result, now) -> datetime | None:
    """Pause all sending if need be. Return when to try again, if the server said so."""
    if result.retry_after is not None:
        return now + timedelta(seconds=min(result.retry_after, MAX_RETRY_AFTER))
    if result.scope == "us":
        circuit_breaker.open(result.trouble, result.reply, now)
    return None


def release(letter: Letter, now: datetime, reason: str) -> None:
    """Let a letter in flight that surely was not sent be claimed again at once."""
    for state in (State.CLAIMED, State.TRANSMITTING):  # The final check may be committed or not.
        letter.state = state
        if transitions.change_state([letter], State.PLANNED, now, next_try_at=now, note=reason):
            return
    raise ConcurrentUpdate


def record_render_error(letter: Letter, now: datetime, error: Exception) -> None:
    """Record why a letter could not be rendered."""
    if isinstance(error, render.NoContent):
        transitions.end([letter], State.SKIPPED, str(error) or "nothing to say", now)
    elif isinstance(error, ImproperlyConfigured | Error):  # Not the letter's fault.
        logger.error("Email %s: waits until this is corrected: %s", letter.pk, error)
        transitions.put_back(letter, now, note=str(error))
    else:
        logger.error("Email %s: attempt %s failed", letter.pk, letter.attempt, exc_info=error)
        transitions.record_failed_attempt(letter, now, f"{type(error).__name__} in composing")
