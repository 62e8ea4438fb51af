"""Whose turn it is, of all workers together, and what was answered already: in the database.

A turn is a row. Whoever holds it may ask a source, or do what one alone should; who dies with it
loses it after a while; and the next may ask a source only some seconds after the last has finished.
The clock is the database's.
"""

import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256

from django.db.models.functions import Now

from digest.models import Response, Turn
from digest.sources.web import Entry

HELD = timedelta(seconds=120)  # Longer than any request may take.
LOOK_AGAIN = 0.2  # Seconds.


class DatabaseGate:
    """One request at a time and `seconds` between two, of all that share the database."""

    def __init__(self, source: str, seconds: float, sleep: Callable[[float], None]):
        self.source, self.seconds, self.sleep = source, seconds, sleep

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until it is our turn, and hold it for the block."""
        holder = uuid.uuid4()
        Turn.objects.get_or_create(source=self.source, defaults={"free_at": Now()})
        free = Turn.objects.filter(source=self.source, free_at__lte=Now())
        while not free.update(holder=holder, free_at=Now() + HELD):
            self.sleep(LOOK_AGAIN)
        try:
            yield
        finally:
            ours = Turn.objects.filter(source=self.source, holder=holder)
            ours.update(holder=None, free_at=Now() + timedelta(seconds=self.seconds))


class Lease:
    """The right to do alone what two at once would only do twice. It is never waited for.

    It runs out `length` after it was last renewed: whoever renews it too late may find that another
    has it.
    """

    def __init__(self, name: str, length: timedelta):
        self.name, self.length = name, length
        self.holder = uuid.uuid4()

    def take(self) -> bool:
        """Take the lease, unless another has it. Return whether it is ours."""
        Turn.objects.get_or_create(source=self.name, defaults={"free_at": Now()})
        free = Turn.objects.filter(source=self.name, free_at__lte=Now())
        return bool(free.update(holder=self.holder, free_at=Now() + self.length))

    def renew(self) -> bool:
        """Begin its length anew. Return whether it is still ours."""
        return bool(self._ours().update(free_at=Now() + self.length))

    def give_back(self) -> None:
        """Let the next have it at once."""
        self._ours().update(holder=None, free_at=Now())

    def _ours(self):
        return Turn.objects.filter(source=self.name, holder=self.holder)


class DatabaseCache:
    """The last answer to each request."""

    def get(self, key: str) -> Entry | None:
        row = Response.objects.filter(key=_row_key(key)).first()
        if row is None:
            return None
        return Entry(zlib.decompress(row.body), row.headers, row.fetched_at)

    def put(self, key: str, entry: Entry) -> None:
        Response.objects.update_or_create(
            key=_row_key(key),
            defaults={
                "url": key,
                "headers": entry.headers,
                "body": zlib.compress(entry.body),
                "fetched_at": entry.fetched_at,
            },
        )


def _row_key(key):
    return sha256(key.encode()).hexdigest()
