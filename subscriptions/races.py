"""Of two who act at one moment, the one who comes second by a hair."""

from functools import wraps

from django.db import IntegrityError

LOCK_NOT_AVAILABLE = "55P03"  # As PostgreSQL says that the wait for a lock was too long.


def once_more(act):
    """Make what is asked begin anew where another was quicker by a moment: it is judged by what
    holds by now. A name that was taken, or a topic that was deleted, is told as any such is, and
    what hangs on a row by now is deleted with it.
    """

    @wraps(act)
    def begun_anew(*args, **kwargs):
        try:
            return act(*args, **kwargs)
        except IntegrityError:
            return act(*args, **kwargs)

    return begun_anew


def is_of_a_lock(error) -> bool:
    """Return whether somebody held what we wanted, and nothing else is wrong."""
    return getattr(error.__cause__, "sqlstate", "") == LOCK_NOT_AVAILABLE
