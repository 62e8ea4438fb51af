"""A limit on how many previews are computed at the same time."""

from contextlib import contextmanager
from threading import BoundedSemaphore

#: How many previews are ranked at the same time, and how long others wait.
MAX_PREVIEWS, WAIT_SECONDS = 2, 3

_slots = BoundedSemaphore(MAX_PREVIEWS)


class Busy(Exception):
    """Too many previews are being ranked."""


@contextmanager
def slot():
    """Wait until fewer than MAX_PREVIEWS are being ranked. Raises Busy after WAIT_SECONDS."""
    if not _slots.acquire(timeout=WAIT_SECONDS):
        raise Busy
    try:
        yield
    finally:
        _slots.release()
