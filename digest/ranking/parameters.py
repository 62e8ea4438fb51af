"""The parameters of the ranking. docs/ranking.md has measurements of their effects."""

from dataclasses import dataclass, fields
from typing import Self

#: Names of former parameters, which have no effect.
OLD = frozenset({"expansion", "floor", "further", "latent"})


@dataclass(frozen=True)
class Parameters:
    """The settings of the ranking, the same for all subscribers."""

    #: The sum of rarity, similarity and coverage from which on a paper is about a line.
    cut: float = 3.85
    #: Added to the cut for papers with an embedding.
    semantic_cut: float = 0.4
    #: The weight of the similarity of embeddings, relative to that of words.
    semantic: float = 1.5
    #: How far above the cut a paper that was passed over must be to come again.
    missed: float = 0.5
    #: How far below the cut near misses are, at most.
    near: float = 0.3
    #: The weight of a subscriber's preference model, relative to their topics.
    learned: float = 1.5
    #: The weight of popularity for a paper that is about a topic.
    trend: float = 0.15
    #: The cosine from which on two papers are on the same idea.
    duplicate: float = 0.7

    @classmethod
    def of(cls, changes: dict[str, float]) -> Self:
        """Return the parameters with changes. Ignores OLD names.

        Raises ValueError for an unknown name or an invalid number.
        """
        known = {field.name for field in fields(cls)}
        changes = {name: value for name, value in changes.items() if name not in OLD}
        for name, value in changes.items():
            if name not in known:
                raise ValueError(
                    f"{name} is not a parameter. Choose from {', '.join(sorted(known))}"
                )
            if not isinstance(value, int | float) or not 0 <= value <= 10:
                raise ValueError(f"{name} must be a number from 0 to 10, not {value!r}")
        return cls(**changes)
