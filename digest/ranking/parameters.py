"""The numbers by which papers are chosen. What each does is measured in docs/ranking.md."""

from dataclasses import dataclass, fields
from typing import Self

#: Names that settings had once. They change nothing.
OLD = frozenset({"expansion", "floor", "further", "latent"})


@dataclass(frozen=True)
class Parameters:
    """The settings of the ranking, the same for all subscribers."""

    #: A paper is about a line if its rarity, similarity and coverage together come to so much.
    cut: float = 3.85
    #: Where it has an embedding, so much more.
    semantic_cut: float = 0.4
    #: What the similarity of the embeddings counts beside that of the words.
    semantic: float = 1.5
    #: What was passed over comes again if it is so far above the cut.
    missed: float = 0.5
    #: Near misses are so far below the cut at most.
    near: float = 0.3
    #: What a subscriber's own model counts beside their topics.
    learned: float = 1.5
    #: What popularity adds to a paper that is about a topic.
    trend: float = 0.15
    #: From this cosine on, two papers are the same idea.
    duplicate: float = 0.7

    @classmethod
    def of(cls, changes: dict[str, float]) -> Self:
        """Return the settings with changes, OLD names aside.

        Raises ValueError for what is no setting or number.
        """
        known = {field.name for field in fields(cls)}
        changes = {name: value for name, value in changes.items() if name not in OLD}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(f"{name} is no setting; there are {', '.join(sorted(known))}")
            if not isinstance(value, int | float) or not 0 <= value <= 10:
                raise ValueError(f"{name} must be a number from 0 to 10, not {value!r}")
        return cls(**changes)
