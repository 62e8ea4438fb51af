"""What must hold after each case, of the database and of what the mail server took."""

from dataclasses import dataclass
from pathlib import Path

from tests.faults.installation import Installation
from tests.helpers.statements import statements

#: Each counts the rows that break an invariant.
QUERIES = statements(Path(__file__).with_suffix(".sql"))


@dataclass(frozen=True)
class Outcome:
    """What became of the digests of a case, by the database and by the mail server."""

    accepted: int
    unknown: int
    ended_otherwise: int
    arrived: int  # Letters that the server took, whatever we know of them.
    doubled: int  # Of them, those that it took twice.
    lost: int  # Called accepted, but the server doesn't have them.
    missing: int  # Ended as unknown, and the server doesn't have them.
    mislabelled: int  # Arrived, and ended as if they had not.
    uncounted: int  # Taken more often than the database owns up to.


def check(installation: Installation, *, is_certain: bool = True) -> Outcome:
    """Assert the invariants. Return the counts.

    No letter is lost that wasn't called unknown, and none arrived more often than its repeats say.
    Where no outcome was uncertain, each letter arrived exactly once or, for a reason, never.
    """
    broken = {what: installation.ask(query)[0][0] for what, query in QUERIES.items()}
    assert not any(broken.values()), {what: count for what, count in broken.items() if count}
    outcome = weigh(installation)
    assert outcome.uncounted == 0, outcome
    assert outcome.lost == 0, outcome
    assert outcome.mislabelled == 0, outcome
    if is_certain:
        assert outcome.doubled == 0, outcome
        assert outcome.unknown == 0, outcome
    hashes = {}
    for arrival in installation.mail.arrived:
        first = hashes.setdefault(arrival.message_id, arrival.sha256)
        assert first == arrival.sha256, f"{arrival.message_id} left with other bytes"
    return outcome


def weigh(installation: Installation) -> Outcome:
    """Count, for the digests of the installation."""
    copies = installation.mail.copies()
    letters = installation.letters()
    accepted = [one for one in letters if one["state"] == "accepted"]
    unknown = [one for one in letters if one["reason"].startswith("unknown")]
    others = [one for one in letters if one not in accepted and one not in unknown]
    return Outcome(
        accepted=len(accepted),
        unknown=len(unknown),
        ended_otherwise=len(others),
        arrived=sum(copies[one["message_id"]] > 0 for one in letters),
        doubled=sum(copies[one["message_id"]] > 1 for one in letters),
        lost=sum(copies[one["message_id"]] == 0 for one in accepted),
        missing=sum(copies[one["message_id"]] == 0 for one in unknown),
        mislabelled=sum(copies[one["message_id"]] > 0 for one in others),
        uncounted=sum(copies[one["message_id"]] > 1 + one["repeats"] for one in letters)
        + sum(copies[one["message_id"]] > one["repeats"] for one in others if one["message_id"]),
    )
