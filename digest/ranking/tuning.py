"""The numbers by which papers are chosen. What each does is measured in docs/ranking.md."""

from dataclasses import dataclass, fields
from typing import Self


@dataclass(frozen=True)
class Tuning:
    """The settings of the ranking, the same for all readers."""

    #: The least relevance, in [0, 1], with which a paper is about a topic.
    floor: float = 0.15
    #: What the latent similarity counts beside that of the words.
    latent: float = 0.5
    #: What the words of the best papers count beside those of the query: pseudo-relevance feedback.
    expansion: float = 0.5
    #: What further topics that a paper is about add to the best one.
    further: float = 0.3
    #: What a reader's own model counts beside her topics.
    learned: float = 1.5
    #: What popularity adds to a paper that is about a topic.
    trend: float = 0.15
    #: From this cosine on, two papers are the same idea.
    duplicate: float = 0.7

    @classmethod
    def of(cls, changes: dict[str, float]) -> Self:
        """Return the settings with changes. Raises ValueError for what is no setting or number."""
        known = {field.name for field in fields(cls)}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"{name} is no setting; there are {', '.join(sorted(known))}")
            if not isinstance(value, int | float) or not 0 <= value <= 10:
                raise ValueError(f"{name} must be a number from 0 to 10, not {value!r}")
        return cls(**changes)
