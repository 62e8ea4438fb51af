"""Requests to sources, throttled and cached in the database for all processes together."""

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256

from digest.http.client import Entry
from digest.models import Response
from digest.models.locks import Lease

MAX_REQUEST = timedelta(seconds=120)
POLL_SECONDS = 0.2


class DatabaseGate:
    """Lets all workers make one request at a time to a source, with `seconds` between two."""

    def __init__(self, source: str, seconds: float, sleep: Callable[[float], None]):
        self.source, self.seconds, self.sleep = source, seconds, sleep

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the lock and hold it for the block."""
        lease = Lease(self.source, MAX_REQUEST)
        while not lease.acquire():
            self.sleep(POLL_SECONDS)
        try:
            yield
        finally:
            lease.release(pause=timedelta(seconds=self.seconds))


class DatabaseCache:
    """The latest response to each request."""

    def get(self, key: str) -> Entry | None:
        row = Response.objects.filter(key=_row_key(key)).first()
        return row and Entry(zlib.decompress(row.body), row.headers, row.fetched_at)

    def put(self, key: str, entry: Entry) -> None:
        fields = {"url": key, "headers": entry.headers, "fetched_at": entry.fetched_at}
        fields["body"] = zlib.compress(entry.body)
        Response.objects.update_or_create(key=_row_key(key), defaults=fields)


def _row_key(key):
    return sha256(key.encode()).hexdigest()
