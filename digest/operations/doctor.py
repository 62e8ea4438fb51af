"""The doctor runs all checks, those of the installation too."""

from collections.abc import Iterator
from datetime import datetime

from digest.operations.checks import (
    CHECKS,
    Finding,
    installation,  # noqa: F401 -- They add their checks.
    mail,  # noqa: F401
    service,  # noqa: F401
)

#: Nearly all other checks query the database.
FIRST = ["settings", "data folder", "database"]


def examine(now: datetime) -> Iterator[Finding]:
    """Yield the result of each check. A check that raises is wrong, and the next one runs."""
    for check in sorted(CHECKS, key=lambda check: check.name not in FIRST):
        try:
            findings = check.current(now)
        except Exception as error:
            findings = [Finding(check, "wrong", f"check failed: {type(error).__name__}: {error}")]
        yield from findings or [Finding(check, "ok", check.title)]
        if check.name == "database" and any(finding.grade != "note" for finding in findings):
            return
