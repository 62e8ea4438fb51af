"""What is written down about one letter by itself: all that is rarer than an acceptance.

Each function here returns what is done about a letter, to be called in a transaction of its own
with the letter and the moment; it raises Overtaken where another worker came first.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from django.core.exceptions import ImproperlyConfigured
from django.db import Error

from subscriptions import mail
from subscriptions.models import Letter
from subscriptions.post import ledger, providers, sending, suppression, sweeper
from subscriptions.post.ledger import Overtaken
from subscriptions.post.line import Verdict

logger = logging.getLogger(__name__)

State = Letter.State
Act = Callable[[Letter, datetime], None]


def of_verdict(verdict: Verdict, message_id: str, recipient: str, *, is_trial: bool = False) -> Act:
    """Return what writes down what became of a letter on its line."""
    facts = {"stage": verdict.stage, "last_reply": verdict.reply[:300]}

    def record(letter, now):
        match verdict.answer:
            case "accepted":
                sweeper.accept_late(letter.pk, letter.attempt, message_id, verdict.reply, now)
            case "refused":
                if verdict.about == "address":
                    subscriber_id = letter.subscriber_id
                    suppression.suppress_bounced(subscriber_id, recipient, verdict.reply, now)
                reason = f"{Letter.REFUSED}: {verdict.reply}"
                if not ledger.end([letter], State.FAILED, reason, now, **facts):
                    raise Overtaken
            case "deferred":
                until = _back_off(verdict, recipient, now, is_trial)
                ledger.put_back(letter, now, until=until, note=verdict.reply, **facts)
            case "unknown":
                sweeper.doubt(letter, now, note=verdict.reply, **facts)

    return record


def _back_off(verdict, recipient, now, is_trial) -> datetime | None:
    """Slow down the provider, or all sending. Return until when the provider takes nothing."""
    if verdict.about == "provider":
        return providers.slow_down(providers.provider_of(recipient), verdict.reply, now)
    if verdict.about == "us":
        passes = verdict.reply.startswith("4") or verdict.stage == "connect"
        trouble = "unreachable" if passes else "auth"
        sending.trip(trouble, verdict.reply, now, is_trial=is_trial)
    elif is_trial and verdict.stage == "rcpt" and verdict.reply.startswith("4"):
        sending.mend()  # It let us in, and speaks of this recipient: it may be greylisting all.
    return None


def of_withdrawal(reason: str) -> Act:
    """Return what lets a letter wait for the next round that was claimed, and surely got no dot."""

    def release(letter, now):
        for state in (State.CLAIMED, State.TRANSMITTING):  # Whether the fence was committed or not.
            letter.state = state
            if ledger.release([letter], now, reason):
                return
        raise Overtaken

    return release


def of_failed_writing(error: Exception) -> Act:
    """Return what is done about a letter whose bytes could not be made."""

    def record(letter, now):
        if isinstance(error, mail.NothingToSay):
            ledger.end([letter], State.SKIPPED, str(error) or "nothing to say", now)
        elif isinstance(error, ImproperlyConfigured | Error):  # Not the letter's fault.
            logger.error("letter %s: waits until this is mended: %s", letter.pk, error)
            ledger.put_back(letter, now, note=str(error))
        else:
            logger.error("letter %s: attempt %s broke", letter.pk, letter.attempt, exc_info=error)
            ledger.stumble(letter, now, f"{type(error).__name__} in composing")

    return record
