"""What a source is: a name, the hosts that it may ask, and a way through what they tell.

A source yields batches of plain records. Each batch is stored before the next is asked for, and its
cursor written down, so that a run that was cut off goes on where it was.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol, runtime_checkable

from digest.sources.records import Record
from digest.sources.web import Web


class MalformedFeed(ValueError):
    """What came is not what this source speaks. Says why in plain words."""


@dataclass(frozen=True)
class Batch:
    """What one answer of a source told.

    `cursor` says where a later run goes on; it is empty at the end. `state` says how the list of
    `day` and `category` looked: fresh, stale (an earlier day's), empty, incomplete, or nothing
    where it can't be told. `missing` is how many more rows the source says the list has.
    """

    records: list[Record]
    bad: list[str] = field(default_factory=list)
    cursor: str = ""
    day: date | None = None
    category: str = ""
    state: str = ""
    note: str = ""
    missing: int = 0


class Source(Protocol):
    """Where papers come from."""

    name: str
    hosts: frozenset[str]
    seconds_between: float  # Between two requests, of all our machines together.

    def harvest(self, web: Web, *, today: date, since: date | None, cursor: str) -> Iterator[Batch]:
        """Yield what is new, or all since a day; go on at `cursor` where there is one.

        Raises MalformedFeed, web.Unavailable or web.Refused where it can't go on.
        """
        ...


@runtime_checkable
class LooksUp(Source, Protocol):
    """A source that can be asked for single papers, too."""

    def look_up(self, web: Web, ids: list[str]) -> Iterator[Batch]:
        """Yield those of the papers with these ids of arXiv's that it has. Raises as `harvest`."""
        ...


@runtime_checkable
class SharesHosts(Source, Protocol):
    """A source whose hosts another source asks, too. Those of one queue ask one after another."""

    queue: str
