"""One list of checks: what may be wrong with the service, and what to do about it.

To add a check, write a function of the current time in one of this package's modules. The first
line of its docstring says what is well whenever it returns nothing:

    @check("alarm", MINUTE)
    def uncertain(now):
        '''The outcome of every email is known.'''
        if count := Letter.objects.open().filter(state=State.UNCERTAIN).count():
            return f"The outcome of some emails is unknown: {counted(count, 'email')}."

The doctor tells what it returns; of those that recur, also the panel, and up to the first colon
`/healthz/` unless it is a note. Alarms are also in the log, the webhook and the metrics.

The test of an alarm is an entry of PROBLEMS in tests/digest/operations/test_alarms.py, which brings
it about; the test of any other check asks `tests.helpers.checks.result(NAME)`. Name and docstring
of alarms are in docs/monitoring.md: tests/test_manual.py prints the list when it has changed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from digest.models import Alarm

MINUTE = timedelta(minutes=1)
FIVE_MINUTES = timedelta(minutes=5)
DAY = timedelta(days=1)


class Note(str):
    """A text that is worth knowing, whatever the severity of its check."""


class Button(NamedTuple):
    """A button of the panel. `query` has {} where the subject belongs."""

    words: str
    page: str
    query: str = ""

    @property
    def asks(self) -> bool:
        """Return whether it acts, after a dialog."""
        return not self.page.endswith("_changelist")


class Finding(NamedTuple):
    """What a check found. `grade` is its severity, or ok."""

    check: "Check"
    grade: str
    text: str
    subject: str = ""

    @property
    def name(self) -> str:
        return self.check.name

    @property
    def public_text(self) -> str:
        """Return what visitors may read of it: the text up to the first colon."""
        return self.text.partition(": ")[0].rstrip(".") + "."


@dataclass(frozen=True)
class Check:
    """Something that may be wrong.

    Attributes:
        severity: wrong makes the doctor exit with 1; an alarm is reported to the operators, too.
        every: how often it runs by itself: each minute in all processes, more rarely by beat. The
            doctor alone runs those without.
        function: returns nothing, or what is wrong and what to do: a text without addresses, or
            (subject, text) for each of several.
        button: what may help, in the panel.
        is_local: other machines may find something else.
    """

    name: str
    severity: Literal["note", "wrong", "alarm"]
    every: timedelta | None
    function: Callable[[datetime], str | Iterable[tuple[str, str]] | None]
    button: Button | None
    is_local: bool

    @property
    def title(self) -> str:
        """Return what is well: the first line of the docstring."""
        return (self.function.__doc__ or "").partition("\n")[0]

    @property
    def is_rare(self) -> bool:
        """Return whether only one process runs it, so that others read the stored alarms."""
        return self.every is not None and self.every > MINUTE

    @property
    def holds_for(self) -> timedelta:
        """Return how long an alarm stands without being found again."""
        if self.is_rare or self.is_local:
            return (self.every or MINUTE) + timedelta(minutes=20)
        return timedelta(minutes=3)

    def run(self, now: datetime) -> list[Finding]:
        result = self.function(now) or ()
        pairs = [("", result)] if isinstance(result, str) else result
        return [self.finding(text, subject) for subject, text in pairs]

    def current(self, now: datetime) -> list[Finding]:
        """Return what is found here and now, and what other processes have found."""
        findings = [] if self.is_rare else self.run(now)
        if self.is_rare or self.is_local:
            subjects = [finding.subject for finding in findings]
            rows = Alarm.objects.standing().filter(name=self.name).exclude(subject__in=subjects)
            findings += [self.finding(row.text, row.subject) for row in rows]
        return findings

    def finding(self, text: str, subject: str = "") -> Finding:
        return Finding(self, "note" if isinstance(text, Note) else self.severity, text, subject)


CHECKS: list[Check] = []


def check(severity="wrong", every=None, button=None, is_local=False, name=""):
    """Add the decorated function to the list, by default with its name."""

    def add(function):
        check_name = name or function.__name__.replace("_", " ")
        CHECKS.append(Check(check_name, severity, every, function, button, is_local))
        return function

    return add
