"""Hints to the worker, sent beside the request: a broker that hangs must keep no visitor waiting.

The database says what is due, so a hint may be lost. Where many hang already, no more are sent.
"""

import logging
import threading

logger = logging.getLogger(__name__)

_room = threading.BoundedSemaphore(8)


def hint(task, *args) -> None:
    """Send a task to the queue without waiting for the broker."""
    if _room.acquire(blocking=False):
        threading.Thread(target=_send, args=(task, *args), daemon=True).start()


def _send(task, *args):
    try:
        task.delay(*args)
    except Exception as error:  # Whatever the broker's client raises: the next tick finds the work.
        logger.warning("no hint for %s: %s", task.name, type(error).__name__)
    finally:
        _room.release()
