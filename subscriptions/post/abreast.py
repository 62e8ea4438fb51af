"""Rounds of delivery abreast in one process: while one waits for the database, another composes.

Each has a thread and a connection to the database of its own, as if they were of two workers: what
keeps those from each other keeps these.
"""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from django.db import connection

#: Runs a round, which ends what it has begun once what it is given says so.
Run = Callable[[Callable[[], bool]], Counter[str]]


def run_abreast(run: Run, count: int) -> Counter[str]:
    """Run so many rounds, the first in the caller's thread. Return what became of all letters.

    What ends that one early, such as a worker's time limit, ends the others once their lines are.
    """
    is_over = Event()
    with ThreadPoolExecutor(max(count - 1, 1), thread_name_prefix="round") as threads:
        others = [threads.submit(_apart, run, is_over) for _ in range(count - 1)]
        try:
            counts = run(is_over.is_set)
        except BaseException:
            is_over.set()
            raise
    return sum((other.result() for other in others), counts)


def _apart(run, is_over):
    try:
        return run(is_over.is_set)
    finally:
        connection.close()
