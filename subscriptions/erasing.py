"""What is kept about a reader is forgotten: as she wishes, or where nobody ever confirmed it.

Each may be called twice: the second time changes nothing.
"""

from django.db import connection, transaction
from django.db.models import F

from subscriptions import registry, seals
from subscriptions.models import Consent, Subscriber
from subscriptions.post import ledger

#: So many unconfirmed addresses are forgotten at once: it is done each hour.
MOST_FORGOTTEN = 1_000


def erase(subscriber: Subscriber, *, now, for_good: bool = False) -> bool:
    """Delete her and all that is kept about her. A letter past the fence may still arrive. Return
    whether she was there.

    Of an address that must not be written to again, a seal stays: that is so where letters came
    back or were reported, and where she wants it `for_good`.
    """
    with transaction.atomic():
        subscriber = Subscriber.objects.select_for_update().filter(pk=subscriber.pk).first()
        if subscriber is None:
            return False
        if for_good:
            seals.keep(subscriber.email, seals.Why.ASKED, now)
        else:
            _seal_if_suppressed(subscriber, now)
        _erase(subscriber)
        transaction.on_commit(empty_log, robust=True)
        return True


def reset(subscriber: Subscriber) -> None:
    """Forget what she said of papers. Topics and settings stay."""
    with transaction.atomic():
        for forget in registry.on_reset:
            forget(subscriber)


def forget_unconfirmed(before, now) -> int:
    """Erase those who asked before then and never confirmed. Return how many.

    Their links have long expired. Who said no has nothing to come back to, and of an address that
    must not be written to a seal is enough. Each is looked at again under her lock: she may have
    asked anew.
    """
    silent = Subscriber.objects.filter(confirmed_at=None, asked_at__lt=before)
    count = 0
    for pk in list(silent.order_by("asked_at").values_list("pk", flat=True)[:MOST_FORGOTTEN]):
        with transaction.atomic():
            still = silent.select_for_update(skip_locked=True).filter(pk=pk).first()
            if still is not None:
                _seal_if_suppressed(still, now)
                _erase(still)
                count += 1
    return count


def forget_unanswered(before) -> None:
    """Forget what was asked for before then with the address of one who had left, and never
    confirmed: the wishes, and the network that they came from. A stranger may have typed it all.
    """
    asked = Subscriber.objects.filter(unsubscribed_at__lt=F("asked_at"), asked_at__lt=before)
    asked.exclude(asked_for={}).update(asked_for={})
    since = Consent.objects.filter(subscriber__in=asked, act=Consent.Act.ASKED)
    since.filter(at__gt=F("subscriber__unsubscribed_at")).delete()


def _erase(subscriber):
    # Locked before they go: a worker that claims one would wait for us, and we for it.
    letters = subscriber.letters.select_for_update().order_by("pk")
    ledger.erase_bytes(list(letters.only("volley", "mime_at", "mime_size")))
    for eraser in registry.erasers:
        eraser(subscriber)
    subscriber.delete()


def _seal_if_suppressed(subscriber, now):
    """Keep a seal of an address that must not be written to, which is about to be forgotten."""
    if subscriber.suppressed_at is not None:
        # Where nobody noted why, it was the operator, who had his reason.
        seals.keep(subscriber.email, subscriber.suppressed_by or seals.Why.COMPLAINED, now)


def empty_log():
    """Leave no erased address in SQLite's log, where it would stand until that is written over.

    Readers and writers that are busy aren't waited for: then the hourly clean-up empties the log.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        return
    with connection.cursor() as cursor:
        (waits,) = cursor.execute("PRAGMA busy_timeout").fetchone()
        cursor.execute("PRAGMA busy_timeout = 500")
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {waits:d}")
