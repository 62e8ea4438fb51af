"""Messages of operators: who gets one, its start and its end, and the creation of its emails.

Emails are created in batches, so that a long list delays neither digests nor other transactions.
Each receiver gets at most one: a batch and the id of its last subscriber are stored together.
"""

from datetime import timedelta

from django.db import transaction
from django.db.models import Count, QuerySet

from subscriptions.delivery import circuit_breaker
from subscriptions.models import Group, Letter, LetterEvent, Message, Subscriber

START_DELAY = timedelta(minutes=10)
LIFETIME = timedelta(days=3)  # From the creation of an email.
MAX_DUE = 1_000  # Workers look through these for letters that a person waits for.

Kind, State = Letter.Kind, Letter.State


def receivers(group: Group | None, now) -> QuerySet[Subscriber]:
    """Return the subscribers who get a message now. Mailing lists and channels get none."""
    subscribers = Subscriber.objects.people().filter(takes_messages=True, group_of_list=None)
    if group is not None:
        subscribers = subscribers.filter(pk__in=group.memberships.joined().values("subscriber"))
    return subscribers.in_state("active", now).order_by("pk")


def schedule(message: Message, now) -> None:
    """Save a new message, which starts in START_DELAY, at the next whole minute."""
    starts_at = now + START_DELAY + timedelta(seconds=59)
    message.starts_at = starts_at.replace(second=0, microsecond=0)
    message.save()


def stop(message: Message, now) -> bool:
    """Send no more emails of a message. Return whether it was not stopped or over before.

    Workers skip its emails in the queue. Those past the final check may still arrive.
    """
    if message.state_at(now) == "sent":
        return False
    return bool(Message.objects.filter(pk=message.pk, stopped_at=None).update(stopped_at=now))


def write_due(now) -> None:
    """Create the next emails of messages that have started, as long as fewer than MAX_DUE wait.

    Several processes may call this at once.
    """
    if circuit_breaker.is_stopped():
        return
    unwritten_messages = Message.objects.unwritten(now).order_by("pk")
    for message_id in list(unwritten_messages.values_list("pk", flat=True)):
        with transaction.atomic():
            rows = unwritten_messages.select_for_update(skip_locked=True).filter(pk=message_id)
            if message := rows.first():
                _write_batch(message, now)


def _write_batch(message, now):
    waiting_letters = Letter.objects.due(now).filter(kind=Kind.MESSAGE, day=None)
    max_count = max(MAX_DUE - waiting_letters.count(), 0)
    next_receivers = receivers(message.group, now).filter(pk__gt=message.last_subscriber)
    ids = list(next_receivers.values_list("pk", flat=True)[:max_count])
    times = {"created_at": now, "next_try_at": now, "closes_at": now + LIFETIME}
    letters = Letter.objects.bulk_create(
        Letter(subscriber_id=pk, kind=Kind.MESSAGE, operator_message=message, **times) for pk in ids
    )
    event = {"at": now, "new_state": State.PLANNED, "attempt": 0}
    LetterEvent.objects.bulk_create(LetterEvent(letter=letter, **event) for letter in letters)
    message.last_subscriber = ids[-1] if ids else message.last_subscriber
    message.written_at = now if len(ids) < max_count else None
    message.save(update_fields=["last_subscriber", "written_at"])


def progress(message: Message) -> dict[str, int]:
    """Return how many emails of a message were sent, wait, or were not sent."""
    # By kind: an index has it.
    rows = message.letters.filter(kind=Kind.MESSAGE).order_by().values_list("state")
    counts = dict(rows.annotate(Count("pk")))
    waiting = sum(counts.get(state, 0) for state in Letter.OPEN)
    sent = counts.get(State.ACCEPTED, 0)
    return {"sent": sent, "waiting": waiting, "not sent": sum(counts.values()) - sent - waiting}
