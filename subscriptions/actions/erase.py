"""Erasing subscribers and their data. Every function is idempotent."""

from django.db import connection, transaction
from django.db.models import F

from subscriptions import hooks
from subscriptions.delivery import transitions
from subscriptions.models import Consent, Subscriber
from subscriptions.security import suppression_list

#: Unconfirmed subscribers erased in one call. It is called every hour.
MAX_ERASED = 1_000


def erase(subscriber: Subscriber, *, now, for_good: bool = False) -> bool:
    """Delete the subscriber and all their data. Return whether they were there.

    The address goes on the suppression list if it is suppressed, or if they ask so (`for_good`).
    A letter past the final check may still arrive.
    """
    with transaction.atomic():
        subscriber = Subscriber.objects.select_for_update().filter(pk=subscriber.pk).first()
        if subscriber is None:
            return False
        if for_good:
            suppression_list.add(subscriber.email, suppression_list.Reason.ASKED, now)
        _erase_locked(subscriber, now)
        transaction.on_commit(truncate_wal, robust=True)
        return True


def forget_unconfirmed(cutoff, now) -> None:
    """Erase subscribers who signed up before `cutoff` and never confirmed."""
    unconfirmed = Subscriber.objects.filter(confirmed_at=None, asked_at__lt=cutoff)
    for pk in list(unconfirmed.order_by("asked_at").values_list("pk", flat=True)[:MAX_ERASED]):
        with transaction.atomic():  # Under a lock, since they may have signed up again.
            subscriber = unconfirmed.select_for_update(skip_locked=True).filter(pk=pk).first()
            if subscriber is not None:
                _erase_locked(subscriber, now)


def forget_unanswered(cutoff) -> None:
    """Delete sign-ups before `cutoff` that unsubscribed addresses never confirmed.

    That is the request and the network that it came from: a stranger may have typed it all.
    """
    subscribers = Subscriber.objects.filter(unsubscribed_at__lt=F("asked_at"), asked_at__lt=cutoff)
    subscribers.exclude(pending_settings={}).update(pending_settings={})
    consents = Consent.objects.filter(subscriber__in=subscribers, act=Consent.Act.ASKED)
    consents.filter(at__gt=F("subscriber__unsubscribed_at")).delete()


def _erase_locked(subscriber, now):
    if subscriber.suppressed_at is not None:  # Without a noted cause, an operator suppressed them.
        suppression_list.add(
            subscriber.email, subscriber.suppressed_by or suppression_list.Reason.COMPLAINED, now
        )
    # Locked first, to avoid a deadlock with a worker that claims one of them.
    letters = subscriber.letters.select_for_update().order_by("pk")
    transitions.erase_bytes(list(letters.only("mime_batch", "mime_offset", "mime_size")))
    for eraser in hooks.erasers:
        eraser(subscriber)
    subscriber.delete()


def truncate_wal():
    """Truncate SQLite's write-ahead log, which still holds erased addresses.

    Does not wait for busy readers and writers: the hourly clean-up tries again.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        return
    with connection.cursor() as cursor:
        (timeout,) = cursor.execute("PRAGMA busy_timeout").fetchone()
        cursor.execute("PRAGMA busy_timeout = 500")
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {timeout:d}")
