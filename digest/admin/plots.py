"""The plots on the panel's first page: what the tallies say of the last days, as SVG and as tables.

Columns stretch with the page, so their labels are text beside them. Each series of a plot is one
path; over each column lies a pane that says its figures to whoever points at it.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from digest.models import Tally
from subscriptions.models import Letter

DAY = timedelta(days=1)
#: The periods that are offered: how many days, how they are called, and how many a column has.
PERIODS = [(30, "30 days", 1), (90, "90 days", 1), (364, "a year", 7)]
WIDTH, GAP, HEIGHT = 10, 1.5, 100  # Of a column, between two of them, and of the plot.
ROUND = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)  # Ends of scales, in tenths of a power of 10.
ROOM = 12  # So far apart, in percent, labels of a scale are at least.


@dataclass(frozen=True)
class Series:
    """What is drawn in one colour: the sum of the counts whose key has a word that is in `words`.

    One that is `below` grows downwards. `tone` is as that of a badge.
    """

    name: str
    tone: str
    words: frozenset[str]
    below: bool = False

    def of(self, counts: dict[str, int]) -> int:
        return sum(count for key, count in counts.items() if not self.words.isdisjoint(key.split()))


def _series(name, tone, *words, below=False):
    return Series(name, tone, frozenset(words), below)


@dataclass(frozen=True)
class Kind:
    """A plot: of which measure, and what its columns are made of, from the ground up.

    Of a level, the last day of a week is shown, of all else the week's sum.
    """

    title: str
    unit: str
    measure: str
    series: tuple[Series, ...]
    list_name: str = ""
    list_title: str = ""
    is_level: bool = False

    def url_for(self, user) -> str:
        """Return the address of the list that it is about, where there is one that she may see."""
        app, _, model = self.list_name.partition("_")
        if not model or not user.has_perm(f"{app}.view_{model}"):
            return ""
        return reverse(f"admin:{self.list_name}_changelist")


KINDS = [
    Kind(
        "Subscribers",
        "addresses",
        "subscribers",
        (
            _series("active", "good", "active"),
            _series("paused", "held", "paused"),
            _series("pending", "open", "pending"),
            _series("unsubscribed", "quiet", "unsubscribed"),
            _series("suppressed", "bad", "suppressed"),
        ),
        "subscriptions_subscriber",
        "All subscribers",
        is_level=True,
    ),
    Kind(
        "Came and left",
        "people",
        "consents",
        (
            _series("confirmed", "good", "confirmed"),
            _series("unsubscribed", "quiet", "unsubscribed", below=True),
        ),
        "subscriptions_subscriber",
        "All subscribers",
    ),
    Kind(
        "Letters",
        "letters of all kinds",
        "letters",
        (
            _series("sent", "good", "accepted"),
            _series("open", "open", *Letter.OPEN),
            _series("did not leave", "quiet", "skipped", "failed", "missed"),
        ),
        "subscriptions_letter",
        "All letters",
    ),
    Kind(
        "Letters that did not leave",
        "letters of all kinds",
        "letters",
        (
            _series("nothing to send", "quiet", "skipped"),
            _series("failed", "bad", "failed"),
            _series("missed", "held", "missed"),
        ),
        "subscriptions_letter",
        "All letters",
    ),
    Kind(
        "What came back",
        "reports",
        "facts",
        (
            _series("no such address", "bad", "hard"),
            _series("not let in", "held", "policy"),
            _series("may pass", "open", "soft"),
            _series("unwanted", "quiet", "complained"),
        ),
        "subscriptions_letterfact",
        "All that came back",
    ),
    Kind(
        "Harvests",
        "papers",
        "harvests",
        (
            _series("new", "good", "new"),
            _series("changed", "open", "changed"),
            _series("unreadable", "bad", "bad"),
        ),
        "digest_harvest",
        "All harvests",
    ),
    Kind(
        "Coverage",
        "announced papers",
        "coverage",
        (_series("here", "good", "had"), _series("missing", "bad", "missing")),
        "digest_coverage",
        "All coverage",
    ),
    Kind(
        "Feedback",
        "papers that readers said something of",
        "feedback",
        (
            _series("more like this", "good", "more"),
            _series("saved", "open", "save"),
            _series("less like this", "held", "less"),
        ),
    ),
]


@dataclass(frozen=True)
class Column:
    """Some days side by side, and their counts by series; None where nobody has counted them."""

    first: date
    last: date
    values: tuple[int, ...] | None

    @property
    def name(self) -> str:
        """Return the days in words, short enough for a phone."""
        last = date_format(self.last, "j M Y")
        return last if self.first == self.last else f"{date_format(self.first, 'j M')} – {last}"


@dataclass(frozen=True)
class Plot:
    """A plot as the template shows it."""

    kind: Kind
    columns: list[Column]
    step: int

    @cached_property
    def legend(self) -> list[dict]:
        """Return each series with its colour and today's figure."""
        values = self.today.values or (None,) * len(self.kind.series)
        return [
            {"name": one.name, "tone": one.tone, "count": _figure(value)}
            for one, value in zip(self.kind.series, values, strict=True)
        ]

    @property
    def today(self) -> Column:
        return self.columns[-1]

    @property
    def since(self) -> str:
        """Return of which days the newest figures are."""
        if self.kind.is_level:
            return "now"
        return "today so far" if self.step == 1 else "these 7 days so far"

    @property
    def unit(self) -> str:
        if self.kind.is_level:
            return f"{self.kind.unit} at the end of the day"
        return f"{self.kind.unit} a {'day' if self.step == 1 else 'week'}"

    @property
    def is_empty(self) -> bool:
        return not any(any(column.values or ()) for column in self.columns)

    @cached_property
    def top(self) -> int:
        """Return the end of the scale above the ground: a round number."""
        return _round_up(max(self._heights(below=False), default=0))

    @cached_property
    def bottom(self) -> int:
        """Return the end of the scale beneath the ground, 0 where nothing grows there."""
        return _round_up(max(self._heights(below=True), default=0), least=0)

    def _heights(self, *, below):
        for column in self.columns:
            pairs = zip(self.kind.series, column.values or (), strict=False)
            yield sum(value for one, value in pairs if one.below is below)

    @cached_property
    def ticks(self) -> list[dict]:
        """Return the labels of the scale, each with how far down it stands, in percent."""
        ground = self._y(0)
        marks = [
            int(mark)
            for mark in (self.top, self.top / 2, -self.bottom)
            if mark == int(mark) and abs(self._y(mark) - ground) >= ROOM
        ]
        return [
            {"at": f"{self._y(mark):.2f}", "said": f"{abs(mark):,}"}
            for mark in sorted([*marks, 0], reverse=True)
        ]

    @property
    def label_width(self) -> int:
        """Return how many characters the longest label of the scale has."""
        return max(len(tick["said"]) for tick in self.ticks)

    def _y(self, value) -> float:
        return (self.top - value) / (self.top + self.bottom) * HEIGHT

    @property
    def days(self) -> list[str]:
        """Return the labels under the columns: the first, the one in the middle, the last."""
        ends = [self.columns[0].first, self.columns[len(self.columns) // 2].last, self.today.last]
        return [date_format(day, "j M") for day in ends]

    @property
    def width(self) -> int:
        return len(self.columns) * WIDTH

    @property
    def summary(self) -> str:
        """Return in a sentence what one sees, for those who don't."""
        first, last = (date_format(day) for day in (self.columns[0].first, self.today.last))
        told = ", ".join(f"{row['name']} {row['count']}" for row in self.legend)
        return (
            f"{self.kind.title}, {self.unit}, from {first} to {last}. The scale ends at "
            f"{self.top:,}. {self.since.capitalize()}: {told}. The table below has all figures."
        )

    @property
    def shapes(self) -> SafeString:
        """Return the paths of all series, one standing on the other, and the panes over them."""
        feet = [[0, 0] for _ in self.columns]  # Where the next series stands: above and below.
        paths = []
        for place, one in enumerate(self.kind.series):
            bars = []
            for number, column in enumerate(self.columns):
                if column.values and (value := column.values[place]):
                    bars.append(self._bar(number, feet[number], -value if one.below else value))
            paths.append((one.tone, " ".join(bars)))
        drawn = format_html_join("", '<path class="plot-{}" d="{}"/>', paths)
        return drawn + self._panes()

    def _bar(self, number, feet, value) -> str:
        foot = feet[value < 0]
        feet[value < 0] += value
        y, height = self._y(foot), self._y(foot + value) - self._y(foot)
        x = number * WIDTH + GAP / 2
        return f"M{x} {y:.2f}h{WIDTH - GAP}v{height:.2f}h-{WIDTH - GAP}z"

    def _panes(self) -> SafeString:
        pane = (
            '<rect class="plot-pane" x="{}" y="0" width="{}" height="{}"><title>{}</title></rect>'
        )
        panes = [
            (number * WIDTH, WIDTH, HEIGHT, self._said(column))
            for number, column in enumerate(self.columns)
        ]
        return format_html_join("", pane, panes)

    def _said(self, column):
        if column.values is None:
            return f"{column.name}: not counted"
        pairs = zip(self.kind.series, column.values, strict=True)
        return f"{column.name}: " + ", ".join(f"{one.name} {value:,}" for one, value in pairs)

    @property
    def rows(self) -> SafeString:
        """Return the table's rows, the newest first."""
        rows = []
        for column in reversed(self.columns):
            values = column.values or (None,) * len(self.kind.series)
            cells = format_html_join("", "<td>{}</td>", ((_figure(one),) for one in values))
            rows.append((column.name, cells))
        return format_html_join("", '<tr><th scope="row">{}</th>{}</tr>', rows)


def of_period(days: int, today: date) -> list[Plot]:
    """Return the plots of so many days up to today."""
    step = next(step for length, _, step in PERIODS if length == days)
    rows: dict[date, dict[str, dict]] = {}
    found = Tally.objects.filter(day__gt=today - days * DAY, day__lte=today)
    for day, measure, counts in found.values_list("day", "measure", "counts"):
        rows.setdefault(day, {})[measure] = counts
    lasts = [today - back * DAY for back in range(days - step, -1, -step)]
    return [
        Plot(kind, [_column(kind, last - (step - 1) * DAY, last, rows) for last in lasts], step)
        for kind in KINDS
    ]


def _column(kind, first, last, rows) -> Column:
    """Sum up the days from the first to the last, or take the last of them that was counted."""
    days = [first + number * DAY for number in range((last - first).days + 1)]
    found = [rows[day][kind.measure] for day in days if kind.measure in rows.get(day, {})]
    counted = [tuple(one.of(counts) for one in kind.series) for counts in found]
    if not counted:
        return Column(first, last, None)
    if kind.is_level:
        return Column(first, last, counted[-1])
    return Column(first, last, tuple(map(sum, zip(*counted, strict=True))))


def _figure(value) -> str:
    return "–" if value is None else f"{value:,}"


def _round_up(value: int, least: int = 1) -> int:
    """Return a round number that is not below the value, and not far above it."""
    if value <= least:
        return least
    size = 10 ** (len(str(value)) - 1)
    rounds = (size * factor / 10 for factor in ROUND)
    return next(int(end) for end in rounds if end >= value and end == int(end))


def chosen(text: str | None) -> int:
    """Return the period that an address names, or the first."""
    lengths = [length for length, _, _ in PERIODS]
    return int(text) if text in map(str, lengths) else lengths[0]
