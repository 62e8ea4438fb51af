"""Celery's door into the post office. A message is a hint: the letters say what is due."""

import logging
import multiprocessing
import signal
import threading
from contextlib import contextmanager
from math import ceil

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import worker_init, worker_shutting_down
from django.db import connection

from subscriptions.post import clock, delivery, office, sweeper

logger = logging.getLogger(__name__)

SECONDS = 60  # Between two passes.
CLAIMS_FOR = 50  # Seconds: then a round only ends what it has begun, and the next pass goes on.
A_ROUND = 1_000  # So many letters are worth another round beside.
ROUNDS = 32  # In one pass at most: more than there are workers.

_stopping = threading.Event()


@worker_init.connect
def share_with_children(**kwargs):
    """Let the processes that a worker forks see when it is told to stop."""
    global _stopping
    _stopping = multiprocessing.Event()


@worker_shutting_down.connect
def stop_claiming(**kwargs):
    """Let rounds end what they have begun, and begin nothing more."""
    _stopping.set()


def is_stopping() -> bool:
    return _stopping.is_set()


class OutOfTime(BaseException):
    """The soft time limit. It is no Exception, or what it interrupts would be taken for what broke:
    a letter that is being written, say, and the round would go on.
    """


@contextmanager
def in_time():
    """Let Celery's soft time limit break off what is under way, whatever that catches."""
    if threading.current_thread() is not threading.main_thread():
        yield  # A pool of threads has no such limit.
        return

    def break_off(*_):
        raise OutOfTime

    usual = signal.signal(signal.SIGUSR1, break_off)  # With which Celery tells of it.
    try:
        yield
    except OutOfTime:
        raise SoftTimeLimitExceeded from None
    finally:
        signal.signal(signal.SIGUSR1, usual)


@shared_task
@in_time()
def deliver_letter(letter_id):
    """Deliver a letter that somebody waits for."""
    delivery.deliver_due(clock.of_database, ids=[letter_id], is_stopping=is_stopping)


@shared_task
@in_time()
def deliver_letters():
    """Deliver what is due, for most of a minute."""
    delivery.deliver_due(clock.of_database, seconds=CLAIMS_FOR, is_stopping=is_stopping)


@shared_task
def deliver_due_letters():
    """Take up what was left lying, and hint at rounds, one for each thousand letters that are due.

    Workers that are in one already leave the hint to others, and it expires when the next pass
    comes. On SQLite, where only one writes at a time, one round is the fastest.
    """
    now = clock.of_database()
    try:
        sweeper.sweep(now)
    except Exception:  # What is due leaves all the same.
        logger.exception("the sweep broke")
    rounds = ceil(office.waiting(now, limit=A_ROUND * ROUNDS) / A_ROUND)
    for _ in range(rounds if connection.vendor == "postgresql" else min(rounds, 1)):
        deliver_letters.apply_async(expires=SECONDS)
