"""The interface of a source: a name, hosts, and an iterator over batches of records.

Each batch is stored, with its cursor, before the next is requested. A run that was cut off is
resumed at the cursor.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from digest.http.client import Web
from digest.sources.records import Record


class MalformedFeed(ValueError):
    """The response is not in the format of this source. The message says why."""


@dataclass(frozen=True)
class Batch:
    """The records of one response.

    Attributes:
        errors: of records that could not be read.
        cursor: where a later run resumes; empty at the end.
        day, category: of the list.
        state: fresh, stale (an earlier day's), empty, incomplete, or an empty string if unknown.
        offset: how many papers of the list earlier batches had.
        missing: how many more rows the list has, according to the source.
    """

    records: list[Record]
    errors: list[str] = field(default_factory=list)
    cursor: str = ""
    day: date | None = None
    category: str = ""
    state: str = ""
    note: str = ""
    missing: int = 0
    offset: int = 0


class Source(Protocol):
    """Where papers come from.

    A source with the hosts of another has an attribute `queue`: sources of one queue share the lock
    for requests. One that has single papers has a method `look_up(web, ids)`, which yields batches
    with the papers that have these arXiv ids.
    """

    name: str
    hosts: frozenset[str] | None  # None: any public host.
    seconds_between: float  # Between two requests, of all workers.

    def harvest(self, web: Web, *, today: date, since: date | None, cursor: str) -> Iterator[Batch]:
        """Yield new papers, or all since a day, from `cursor` on if there is one.

        Raises MalformedFeed, web.Unavailable or web.Refused.
        """
        ...
