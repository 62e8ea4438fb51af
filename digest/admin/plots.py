"""The charts on the panel's first page: what the tallies say of the last days.

Unfold draws them with Chart.js. Each has its figures as a table too.
"""

import json
import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from django.urls import reverse
from django.utils.formats import date_format

from digest.models import Tally

DAY = timedelta(days=1)
#: The periods that are offered: how many days, how they are called, and how many a column has.
PERIODS = [(30, "30 days", 1), (90, "90 days", 1), (364, "a year", 7)]


class Series(NamedTuple):
    """What is drawn in one colour. See plots.toml."""

    name: str
    colour: str
    words: str = ""
    sign: int = 1

    def of(self, counts: dict[str, int]) -> int:
        words = set((self.words or self.name).split())
        return sum(count for key, count in counts.items() if not words.isdisjoint(key.split()))


class Kind(NamedTuple):
    """A chart. See plots.toml."""

    title: str
    unit: str
    measure: str
    series: list[Series]
    list_name: str = ""
    is_level: bool = False

    def url_for(self, user) -> str:
        """Return the address of the list that it is about, where there is one that she may see."""
        app, _, model = self.list_name.partition("_")
        if not model or not user.has_perm(f"{app}.view_{model}"):
            return ""
        return reverse(f"admin:{self.list_name}_changelist")


def _kinds():
    told = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    for chart in told["chart"]:
        series = [
            Series(**one | {"colour": told["colours"][one["colour"]]}) for one in chart["series"]
        ]
        yield Kind(**chart | {"series": series})


KINDS = list(_kinds())


class Column(NamedTuple):
    """Some days side by side, and their counts by series; None where nobody has counted them."""

    first: date
    last: date
    values: list[int] | None

    @property
    def name(self) -> str:
        """Return the days in words, short enough for a phone."""
        last = date_format(self.last, "j M Y")
        return last if self.first == self.last else f"{date_format(self.first, 'j M')} – {last}"


class Plot(NamedTuple):
    """A chart as the template shows it."""

    kind: Kind
    columns: list[Column]
    step: int

    @property
    def legend(self) -> list[tuple[Series, str]]:
        """Return each series with today's figure."""
        return list(zip(self.kind.series, self._figures(self.columns[-1]), strict=True))

    @property
    def unit(self) -> str:
        """Return what is counted, and of which days the newest figures are."""
        if self.kind.is_level:
            return f"{self.kind.unit} at the end of the day; now"
        if self.step == 1:
            return f"{self.kind.unit} a day; today so far"
        return f"{self.kind.unit} a week; these 7 days so far"

    @property
    def is_empty(self) -> bool:
        return not any(any(column.values or ()) for column in self.columns)

    @property
    def summary(self) -> str:
        """Return in a sentence what one sees, for those who don't."""
        first, last = (date_format(day) for day in (self.columns[0].first, self.columns[-1].last))
        told = ", ".join(f"{one.name} {figure}" for one, figure in self.legend)
        return (
            f"{self.kind.title} from {first} to {last}, {self.unit}: {told}. "
            "The table below has all figures."
        )

    @property
    def data(self) -> str:
        """Return the columns as Chart.js takes them, stacked. What was not counted is a gap."""
        datasets = [
            {
                "label": one.name,
                "data": [
                    column.values and one.sign * column.values[place] for column in self.columns
                ],
                "backgroundColor": one.colour,
                "stack": "all",
                "borderRadius": 0,
                "maxBarThickness": 20,
                "displayYAxis": True,
                "maxTicksXLimit": 4,
            }
            for place, one in enumerate(self.kind.series)
        ]
        labels = [date_format(column.last, "j M") for column in self.columns]
        return json.dumps({"labels": labels, "datasets": datasets})

    @property
    def table(self) -> dict:
        """Return all figures, the newest first."""
        rows = [[column.name, *self._figures(column)] for column in reversed(self.columns)]
        head = "Day" if self.step == 1 else "Week"
        return {"headers": [head, *(one.name for one in self.kind.series)], "rows": rows}

    def _figures(self, column) -> list[str]:
        values = column.values or [None] * len(self.kind.series)
        return ["–" if value is None else f"{value:,}" for value in values]


def of_period(days: int, today: date) -> list[Plot]:
    """Return the charts of so many days up to today."""
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
    counted = [[one.of(counts) for one in kind.series] for counts in found]
    if not counted or kind.is_level:
        return Column(first, last, counted[-1] if counted else None)
    return Column(first, last, list(map(sum, zip(*counted, strict=True))))


def chosen(text: str | None) -> int:
    """Return the period that an address names, or the first."""
    lengths = [length for length, _, _ in PERIODS]
    return int(text) if text in map(str, lengths) else lengths[0]
