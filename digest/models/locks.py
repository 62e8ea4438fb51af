"""Locks that all workers share, and the cache of responses of sources: in the database.

A lock is a row with a holder and an expiry, by the database's clock. A holder that dies loses it.
"""

import uuid
from datetime import timedelta

from django.db.models.functions import Now

from digest.models import Lock


class Lease:
    """A lock for work that only one worker should do. It is not waited for.

    It expires `length` after it was acquired or renewed. Then another worker may acquire it.
    """

    def __init__(self, name: str, length: timedelta):
        self.name, self.length = name, length
        self.holder = uuid.uuid4()

    def acquire(self) -> bool:
        """Acquire the lease unless another worker has it. Return whether it is ours."""
        Lock.objects.get_or_create(source=self.name, defaults={"free_at": Now()})
        free = Lock.objects.filter(source=self.name, free_at__lte=Now())
        return bool(free.update(holder=self.holder, free_at=Now() + self.length))

    def renew(self) -> bool:
        """Extend the lease. Return whether it is still ours."""
        return bool(self._row().update(free_at=Now() + self.length))

    def release(self, pause: timedelta = timedelta(0)) -> None:
        """Release the lease. Nobody may acquire it during the pause."""
        # SQLite's sum has microseconds, and so is later than a Now() of the same millisecond.
        self._row().update(holder=None, free_at=Now() + pause if pause else Now())

    def _row(self):
        return Lock.objects.filter(source=self.name, holder=self.holder)
