"""The profile of a subscriber: all that the ranking knows of them."""

from dataclasses import dataclass
from functools import cached_property

from digest.ranking.query import MAX_NAME, Query, lines, queries_of
from digest.ranking.relevance_feedback import LearnedProfile


@dataclass(frozen=True)
class Example:
    """A paper that somebody wants others like: its text for the model, and its embedding if any."""

    id: str
    title: str
    text: str
    embedding: tuple[float, ...] = ()


@dataclass(frozen=True)
class Interest:
    """A followed or muted interest: a name, and a query within categories.

    Without categories, papers of all categories match. Without a query, all papers of the
    categories match, or the papers by one of the `authors`. A paper is about the query if it is
    about one of its lines (`read_lines`, or the lines of a topic's text) and like the `whole`: all
    lines that a subscriber wrote, in this interest and others. In prose, only phrases of subjects
    are lines (`retrieval.is_telling`).
    With `examples`, the papers match that are like the examples, except the examples themselves.
    """

    name: str
    query: str
    weight: float = 1.0
    categories: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    read_lines: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    is_prose: bool = False
    examples: tuple[Example, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        return self.read_lines if self.is_prose else self.read_lines or tuple(lines(self.query))

    @cached_property
    def queries(self) -> tuple[Query, ...]:
        return queries_of(self.lines)

    @property
    def key(self) -> tuple[tuple[object, ...], ...]:
        """What it matches, regardless of its name and weight."""
        lines = self.read_lines or (self.query,)
        return lines, self.whole, self.categories, self.authors, self.examples

    @property
    def is_own_words(self) -> bool:
        """Whether the name is the query, as it is for a subscriber's own keywords."""
        return self.is_prose or self.name == self.query[:MAX_NAME]


@dataclass(frozen=True)
class Profile:
    """The interests, digest size and preference model of one subscriber.

    Without follows, but with `has_enough_liked`, only the preference model is used. With
    `wants_near`, near misses fill a digest that has room.
    """

    follows: tuple[Interest, ...] = ()
    mutes: tuple[Interest, ...] = ()
    size: int = 10
    learned: LearnedProfile | None = None
    has_enough_liked: bool = False
    wants_near: bool = False
