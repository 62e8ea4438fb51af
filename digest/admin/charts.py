"""Charts of the daily counts on the panel's first page, each with a table."""

import json
import tomllib
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from django.urls import reverse
from django.utils.formats import date_format

from digest.models import DailyCount

DAY = timedelta(days=1)
#: The periods to choose from: days, label, days in a column.
PERIODS = [(30, "30 days", 1), (90, "90 days", 1), (364, "1 year", 7)]
#: Options of Chart.js. Axes have whole numbers, and each line of the grid has a label.
_TICKS = {"color": "#8a8f98", "precision": 0, "maxRotation": 0}
OPTIONS = json.dumps(
    {
        **{"animation": False, "maintainAspectRatio": False, "grouped": False},
        "plugins": {"legend": {"display": False}},
        "scales": {
            "x": {"grid": {"display": False}, "ticks": _TICKS | {"maxTicksLimit": 4}},
            "y": {"grid": {}, "ticks": _TICKS | {"maxTicksLimit": 5}, "suggestedMax": 4},
        },
    }
)


class Series(NamedTuple):
    """What is drawn in one colour (charts.toml)."""

    name: str
    colour: str
    words: str = ""
    sign: int = 1

    def total(self, counts: dict[str, int]) -> int:
        words = set((self.words or self.name).split())
        return sum(count for key, count in counts.items() if not words.isdisjoint(key.split()))


class Kind(NamedTuple):
    """A kind of chart (charts.toml)."""

    title: str
    unit: str
    measure: str
    series: list[Series]
    list_name: str = ""
    is_level: bool = False

    @property
    def url(self) -> str:
        """Return the URL of the list of the counted rows, or an empty string."""
        return self.list_name and reverse(f"admin:{self.list_name}_changelist")


def _read_kinds():
    config = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    for chart in config["chart"]:
        colours = config["colours"]
        series = [Series(**row | {"colour": colours[row["colour"]]}) for row in chart["series"]]
        yield Kind(**chart | {"series": series})


KINDS = list(_read_kinds())


class Column(NamedTuple):
    """Some days, and their counts by series, or None if they were not counted."""

    first_day: date
    last_day: date
    values: list[int] | None

    @property
    def name(self) -> str:
        is_one_day, end = self.first_day == self.last_day, date_format(self.last_day, "j M Y")
        return end if is_one_day else f"{date_format(self.first_day, 'j M')} – {end}"


class Plot(NamedTuple):
    """A chart as the template shows it."""

    kind: Kind
    columns: list[Column]
    column_days: int

    @property
    def legend(self) -> list[tuple[Series, str]]:
        """Return each series with today's figure."""
        return list(zip(self.kind.series, self._figures(self.columns[-1]), strict=True))

    @property
    def unit(self) -> str:
        """Return what is counted, and over how many days."""
        if self.kind.is_level:
            return f"{self.kind.unit} at the end of the day; latest count"
        if self.column_days == 1:
            return f"{self.kind.unit} per day; today so far"
        return f"{self.kind.unit} per week; last 7 days so far"

    @property
    def is_empty(self) -> bool:
        return not any(any(column.values or ()) for column in self.columns)

    @property
    def summary(self) -> str:
        """Return a sentence for screen readers."""
        start, end = map(date_format, (self.columns[0].first_day, self.columns[-1].last_day))
        figures = ", ".join(f"{series.name} {figure}" for series, figure in self.legend)
        return (
            f"{self.kind.title} from {start} to {end}, {self.unit}: {figures}. "
            "The table below has all figures."
        )

    @property
    def data(self) -> str:
        """Return the columns as JSON for Chart.js, stacked."""
        datasets = [
            {
                "label": series.name,
                "data": [
                    column.values and series.sign * column.values[index] for column in self.columns
                ],
                "backgroundColor": series.colour,
                "stack": "all",
                "borderRadius": 0,
                "maxBarThickness": 20,
            }
            for index, series in enumerate(self.kind.series)
        ]
        labels = [date_format(column.last_day, "j M") for column in self.columns]
        return json.dumps({"labels": labels, "datasets": datasets})

    @property
    def table(self) -> dict:
        """Return all figures for a table, the newest first."""
        rows = [[column.name, *self._figures(column)] for column in reversed(self.columns)]
        period = "Day" if self.column_days == 1 else "Week"
        return {"headers": [period, *(series.name for series in self.kind.series)], "rows": rows}

    def _figures(self, column) -> list[str]:
        values = column.values or [None] * len(self.kind.series)
        return ["–" if value is None else f"{value:,}" for value in values]


def plots_of(period: int, today: date, counts_today: dict[str, dict]) -> list[Plot]:
    """Return the charts of the last `period` days. `counts_today`: by measure, where known."""
    column_days = next(column_days for days, _, column_days in PERIODS if days == period)
    counts: dict[str, dict[date, dict]] = defaultdict(dict)
    daily_counts = DailyCount.objects.filter(day__gt=today - period * DAY, day__lte=today)
    for day, measure, day_counts in daily_counts.values_list("day", "measure", "counts"):
        counts[measure][day] = day_counts
    for measure, day_counts in counts_today.items():
        counts[measure][today] = day_counts
    last_days = [today - ago * DAY for ago in range(period - column_days, -1, -column_days)]
    return [
        Plot(kind, [_column(kind, day, column_days, counts) for day in last_days], column_days)
        for kind in KINDS
    ]


def _column(kind, last_day, column_days, counts) -> Column:
    """Return the sums of the days until `last_day`, or the last counts of a level."""
    days = [last_day - ago * DAY for ago in range(column_days - 1, -1, -1)]
    day_counts = [counts[kind.measure][day] for day in days if day in counts[kind.measure]]
    values = [[series.total(counted) for series in kind.series] for counted in day_counts]
    if not values or kind.is_level:
        return Column(days[0], last_day, values[-1] if values else None)
    return Column(days[0], last_day, list(map(sum, zip(*values, strict=True))))


def parse_period(text: str | None) -> int:
    """Return the period of a query string, or the first."""
    periods = [period for period, _, _ in PERIODS]
    return int(text) if text in map(str, periods) else periods[0]
