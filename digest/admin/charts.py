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
#: The periods to choose from: days, and their label. A year has a column a week.
PERIODS = {30: "30 days", 90: "90 days", 364: "1 year"}


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
        series = [Series(**row) for row in chart.pop("series")]
        yield Kind(**chart, series=series)


KINDS = list(_read_kinds())


class Column(NamedTuple):
    """Some days, and their counts by series, or None if they were not counted."""

    first_day: date
    last_day: date
    values: list[int] | None

    @property
    def name(self) -> str:
        end = date_format(self.last_day, "j M Y")
        if self.first_day == self.last_day:
            return end
        return f"{date_format(self.first_day, 'j M')} – {end}"


class Plot(NamedTuple):
    """A chart as the template shows it."""

    kind: Kind
    columns: list[Column]

    @property
    def legend(self) -> list[tuple[Series, str]]:
        """Return each series with today's figure."""
        return list(zip(self.kind.series, self._figures(self.columns[-1]), strict=True))

    @property
    def is_weekly(self) -> bool:
        return self.columns[0].first_day != self.columns[0].last_day

    @property
    def is_empty(self) -> bool:
        return not any(any(column.values or ()) for column in self.columns)

    @property
    def data(self) -> str:
        """Return the columns as JSON for Chart.js, stacked."""
        datasets = []
        for index, series in enumerate(self.kind.series):
            values = [
                column.values and series.sign * column.values[index] for column in self.columns
            ]
            dataset = {"label": series.name, "backgroundColor": series.colour, "data": values}
            datasets.append(dataset | DATASET)
        labels = [date_format(column.last_day, "j M") for column in self.columns]
        return json.dumps({"labels": labels, "datasets": datasets})

    @property
    def table(self) -> dict:
        """Return all figures for a table, the newest first."""
        rows = [[column.name, *self._figures(column)] for column in reversed(self.columns)]
        period = "Week" if self.is_weekly else "Day"
        return {"headers": [period, *(series.name for series in self.kind.series)], "rows": rows}

    def _figures(self, column) -> list[str]:
        values = column.values or [None] * len(self.kind.series)
        return ["–" if value is None else f"{value:,}" for value in values]


#: Options of Unfold's charts.
DATASET = {"stack": "all", "maxBarThickness": 20, "maxTicksXLimit": 4, "displayYAxis": True}


def plots_of(period: int, today: date, counts_today: dict[str, dict]) -> list[Plot]:
    """Return the charts of the last `period` days. `counts_today`: by measure, where known."""
    column_days = 7 if period == 364 else 1
    counts: dict[str, dict[date, dict]] = defaultdict(dict)
    daily_counts = DailyCount.objects.filter(day__gt=today - period * DAY, day__lte=today)
    for row in daily_counts:
        counts[row.measure][row.day] = row.counts
    for measure, day_counts in counts_today.items():
        counts[measure][today] = day_counts
    last_days = [today - ago * DAY for ago in range(period - column_days, -1, -column_days)]
    return [
        Plot(kind, [_column(kind, day, column_days, counts[kind.measure]) for day in last_days])
        for kind in KINDS
    ]


def _column(kind, last_day, column_days, counts) -> Column:
    """Return the sums of the days until `last_day`, or the last counts of a level."""
    days = [last_day - ago * DAY for ago in range(column_days - 1, -1, -1)]
    rows = [[series.total(counts[day]) for series in kind.series] for day in days if day in counts]
    if kind.is_level:
        rows = rows[-1:]
    return Column(days[0], last_day, [sum(values) for values in zip(*rows, strict=True)] or None)


def parse_period(text: str | None) -> int:
    """Return the period of a query string, or the first."""
    return next((days for days in PERIODS if str(days) == text), 30)
