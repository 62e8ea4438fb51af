"""A subscriber, as the ranking knows them."""

from dataclasses import dataclass

from digest.ranking.relevance_feedback import Learned

NAME = 200  # Characters of what an interest is called.


@dataclass(frozen=True)
class Interest:
    """What a subscriber follows or mutes: a name, and a text to look for in some categories.

    Without categories, in all; without a text, all papers of the categories, or those in them that
    one of the `authors` wrote.
    """

    name: str
    query: str
    weight: float = 1.0
    categories: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()

    @property
    def is_own_words(self) -> bool:
        """Whether it is called what it looks for, as a subscriber's own words are."""
        return self.name == self.query[:NAME]


@dataclass(frozen=True)
class Profile:
    """One subscriber: what they follow and mute, how many papers they want, and what they taught.

    Of one who follows nothing, but `is_known` by what they taught, that alone is looked for.
    `wants_near`: near misses fill a digest that has room.
    """

    follows: tuple[Interest, ...] = ()
    mutes: tuple[Interest, ...] = ()
    size: int = 10
    learned: Learned | None = None
    is_known: bool = False
    wants_near: bool = False
