"""The parameters of the ranking. docs/ranking.md has measurements of their effects."""

from dataclasses import dataclass
from math import log
from typing import Self


@dataclass(frozen=True)
class Parameters:
    """The settings of the ranking, the same for all subscribers."""

    #: The probability of being about an interest from which on a paper is sent.
    cut: float = 0.42
    #: How far below the cut near misses are, at most, in log-odds.
    near_margin: float = 1.0

    @property
    def cut_log_odds(self) -> float:
        """The log-odds of the cut."""
        return log(max(self.cut, 1e-9) / (1 - self.cut))

    @classmethod
    def of(cls, changes: dict[str, float]) -> Self:
        """Return the parameters with a changed cut. Raises ValueError for an invalid change."""
        if others := changes.keys() - {"cut"}:
            raise ValueError(f"only cut can be changed, not {min(others)}")
        cut = changes.get("cut", cls.cut)
        if not 0 <= cut < 1:
            raise ValueError(f"cut must be a probability from 0 to less than 1, not {cut!r}")
        return cls(cut=cut)
