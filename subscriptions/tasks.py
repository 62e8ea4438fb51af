"""Celery tasks of delivery. A message is only a hint: the database says what is due."""

import logging
import multiprocessing
import threading
from math import ceil

from celery import shared_task
from celery.signals import worker_init, worker_shutting_down
from django.db import connection

from subscriptions.delivery import clock, messages, sweep, worker
from subscriptions.models import Letter

logger = logging.getLogger(__name__)

PASS_SECONDS = 60  # Between two passes of `deliver_due_letters`.
CLAIM_SECONDS = 50  # A round claims letters for this long, then finishes those.
CLAIM_POSTS_SECONDS = 20  # A channel may take 30: a round of posts ends before the next pass.
LETTERS_PER_ROUND = 1_000
MAX_ROUNDS = 32  # In one pass: more than there are workers.

_stopping = threading.Event()
_senders = threading.BoundedSemaphore(8)


def enqueue(task, *args) -> None:
    """Enqueue a Celery task from a background thread, so that a hanging broker delays no response.

    A message may be lost, and is not sent at all while many threads hang: the database says what
    is due.
    """

    def send():
        try:
            task.delay(*args)
        except Exception as error:  # Whatever the client raises: the next tick finds the work.
            logger.warning("Cannot enqueue %s: %s", task.name, type(error).__name__)
        finally:
            _senders.release()

    if _senders.acquire(blocking=False):
        threading.Thread(target=send, daemon=True).start()


@worker_init.connect
def share_with_children(**kwargs):
    """Share the event that stops claiming with the processes that a worker forks."""
    global _stopping
    _stopping = multiprocessing.Event()


@worker_shutting_down.connect
def stop_claiming(**kwargs):
    _stopping.set()


def is_stopping() -> bool:
    return _stopping.is_set()


@shared_task
def deliver_letter(letter_id):
    """Deliver one email that somebody waits for."""
    _deliver(Letter.EMAILS, ids=[letter_id])


@shared_task
def deliver_letters():
    """Deliver the emails that are due, for most of a minute."""
    _deliver(Letter.EMAILS, seconds=CLAIM_SECONDS)


@shared_task
def deliver_posts():
    """Deliver the posts that are due, for most of a minute."""
    _deliver(Letter.POSTS, seconds=CLAIM_POSTS_SECONDS)


def _deliver(medium, **limits):
    worker.deliver_due(clock.database_now, media=[medium], is_stopping=is_stopping, **limits)


@shared_task
def deliver_due_letters():
    """Recover interrupted letters, and enqueue a round for each thousand letters that are due.

    Posts have a round of their own, whatever their number. Messages of operators add no round: the
    workers must be free for the next digests.

    A message expires when the next pass comes: busy workers leave it to others. SQLite has one
    writer at a time, so one round is the fastest.
    """
    now = clock.database_now()
    for prepare in (sweep.sweep, messages.write_due):
        try:
            prepare(now)
        except Exception:
            logger.exception("%s failed", prepare.__qualname__)
    due_letters = Letter.objects.due(now).order_by()
    urgent_letters = due_letters.exclude(kind=Letter.Kind.MESSAGE)[: LETTERS_PER_ROUND * MAX_ROUNDS]
    count = max(int(due_letters.exists()), ceil(urgent_letters.count() / LETTERS_PER_ROUND))
    tasks = [deliver_letters] * (count if connection.vendor == "postgresql" else min(count, 1))
    if Letter.objects.due(now).filter(Letter.POSTS).exists():
        tasks.insert(1, deliver_posts)  # A worker with one process delivers emails first.
    for task in tasks:
        task.apply_async(expires=PASS_SECONDS)
