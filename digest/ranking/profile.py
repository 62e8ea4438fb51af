"""The profile of a subscriber: what the ranking knows."""

from dataclasses import dataclass
from functools import cached_property

from digest.ranking.query import NAME, Query, lines, queries_of
from digest.ranking.relevance_feedback import LearnedProfile


@dataclass(frozen=True)
class Example:
    """A paper that somebody wants others like: its text for the model, and its embedding if any."""

    id: str
    title: str
    text: str
    meaning: tuple[float, ...] = ()


@dataclass(frozen=True)
class Interest:
    """A followed or muted interest: a name, and a query within categories.

    Without categories, the query is for all of them. Without a query, all papers of the categories
    match, or those that one of the `authors` wrote. A paper is about the query if it is about one
    of its lines: `read_lines`, or those of a topic's text. With `examples`, papers match that are
    like these together, but not these themselves.
    """

    name: str
    query: str
    weight: float = 1.0
    categories: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    read_lines: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        return self.read_lines or tuple(lines(self.query))

    @cached_property
    def queries(self) -> tuple[Query, ...]:
        return queries_of(self.lines)

    @property
    def key(self) -> tuple[tuple[object, ...], ...]:
        """What it matches, regardless of its name and weight."""
        return self.read_lines or (self.query,), self.categories, self.authors, self.examples

    @property
    def is_own_words(self) -> bool:
        """Whether the name is the query, as it is for a subscriber's own keywords."""
        return self.name == self.query[:NAME]


@dataclass(frozen=True)
class Profile:
    """The interests, digest size and preference model of one subscriber.

    Without follows, but with `is_known`, only the preference model is used. `wants_near`: near
    misses fill a digest that has room.
    """

    follows: tuple[Interest, ...] = ()
    mutes: tuple[Interest, ...] = ()
    size: int = 10
    learned: LearnedProfile | None = None
    is_known: bool = False
    wants_near: bool = False
