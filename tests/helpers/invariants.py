"""Which invariants are broken, as tests ask it after what they have done."""

from digest.operations import invariants


def broken(now, since=None) -> dict[str, list[int]]:
    """Return the names of the invariants that are broken, each with its examples."""
    found = invariants.examine(now, since)
    return {one.name: one.examples for one in found if one.count}
