"""After a restored backup: count the days since then as sent.

A restored database does not know which digests were sent since the backup, and would send them
again. So the emails that wait in it, and each digest that came due since, count as sent. Papers
that were announced by then are not picked for these subscribers (see selection.py).
"""

from datetime import datetime
from itertools import batched

from django.db import transaction

from digest.planning.due import ONE_DAY, DueSubscriber, due_of
from digest.planning.plan import SAVE_BATCH, save_plan
from subscriptions.delivery import circuit_breaker, transitions
from subscriptions.models import Letter, Message, Subscriber


class Refused(Exception):
    """It cannot be done now. The message says why, in a sentence."""


def skip(since: datetime, now: datetime) -> tuple[int, int]:
    """Count what was sent since a backup as sent. Return how many waiting emails, and digests.

    Digests of days before `since` are missed, as after any pause. Nobody knows who got messages of
    operators since then: those that are being sent are stopped. Raises Refused unless sending is
    stopped.
    """
    stopped_at = circuit_breaker.current().stopped_at
    if stopped_at is None:
        raise Refused("Sending is on. Run `manage.py sending stop` first.")
    if since > now:
        raise Refused("The backup cannot be of the future.")
    Message.objects.unwritten(now).update(stopped_at=now)
    waiting_count = 0
    waiting = Letter.objects.open().filter(created_at__lte=max(since, stopped_at))
    for state in Letter.OPEN:
        for batch in batched(list(waiting.filter(state=state).order_by("pk")), SAVE_BATCH):
            with transaction.atomic():
                reason = Letter.COUNTED_AS_SENT
                ended = transitions.end(batch, Letter.State.ACCEPTED, reason, now)
            waiting_count += len(ended)
    digest_count = 0
    for batch in batched(Subscriber.objects.due(now).order_by("pk").iterator(), SAVE_BATCH):
        dues = [
            DueSubscriber(subscriber, None, tuple(due_of(subscriber, now).days))
            for subscriber in batch
        ]
        digest_count += save_plan(dues, {}, now, sent_from=since.date() - ONE_DAY).counted
    circuit_breaker.note_skipped(now.date() + ONE_DAY)
    return waiting_count, digest_count
