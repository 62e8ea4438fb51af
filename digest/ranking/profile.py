"""A reader, as the ranking knows her."""

from dataclasses import dataclass

from digest.ranking.learning import Learned

NAME = 200  # Characters of what an interest is called.


@dataclass(frozen=True)
class Interest:
    """What a reader follows or mutes: a name to say, and a text to look for, in some categories.

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
        """Return whether it is called what it looks for, as a reader's own words are."""
        return self.name == self.query[:NAME]


@dataclass(frozen=True)
class Profile:
    """One reader: what she follows and mutes, how many papers she wants, and what she taught.

    Of one who follows nothing, but `is_known` by what she taught, that alone is looked for.
    """

    follows: tuple[Interest, ...] = ()
    mutes: tuple[Interest, ...] = ()
    size: int = 10
    learned: Learned | None = None
    is_known: bool = False
