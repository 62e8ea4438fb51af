"""Charts of the daily counts on the panel's first page, each with a table."""

import json
import tomllib
from datetime import timedelta
from pathlib import Path

from django.urls import reverse
from django.utils.formats import date_format

from digest.models import DailyCount

DAY = timedelta(days=1)
#: The periods to choose from: days, and their label. A year has a column a week.
PERIODS = {"30": "30 days", "90": "90 days", "364": "1 year"}
#: Options of Unfold's charts.
DATASET = {"stack": "all", "maxBarThickness": 20, "maxTicksXLimit": 4, "displayYAxis": True}
KINDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))["chart"]


def charts_of(period: int, today) -> list[dict]:
    """Return the charts of the last `period` days, as the template shows them."""
    step = 7 if period == 364 else 1
    rows = DailyCount.objects.filter(day__gt=today - period * DAY, day__lte=today)
    counts = {(row.measure, row.day): row.counts for row in rows}
    days = [today - ago * DAY for ago in range(period - 1, -1, -1)]
    columns = [days[index : index + step] for index in range(0, period, step)]
    return [_chart(kind, columns, counts) for kind in KINDS]


def _chart(kind, columns, counts):
    values = [_values(kind, days, counts) for days in columns]
    figures = [["–" if value is None else f"{value:,}" for value in row] for row in values]
    names = [series["name"] for series in kind["series"]]
    datasets = [
        DATASET
        | {"label": series["name"], "backgroundColor": series["colour"]}
        | {"data": [value and value * series.get("sign", 1) for value in row]}
        for series, row in zip(kind["series"], zip(*values, strict=True), strict=True)
    ]
    labels = [date_format(days[-1], "j M") for days in columns]
    is_weekly = len(columns[0]) > 1
    rows = [[_title(days), *row] for days, row in zip(columns, figures, strict=True)]
    return kind | {
        "url": "list_name" in kind and reverse(f"admin:{kind['list_name']}_changelist"),
        "begin": columns[0][0],
        "is_weekly": is_weekly,
        "is_empty": not any(map(any, values)),
        "legend": list(zip(kind["series"], figures[-1], strict=True)),
        "data": json.dumps({"labels": labels, "datasets": datasets}),
        "table": {"headers": ["Week" if is_weekly else "Day", *names], "rows": rows[::-1]},
    }


def _values(kind, days, counts):
    """Return the sums of these days by series, or the last counts of a level.

    None if no day was counted.
    """
    rows = [counts[kind["measure"], day] for day in days if (kind["measure"], day) in counts]
    if kind.get("is_level"):
        rows = rows[-1:]
    return [sum(_total(series, row) for row in rows) if rows else None for series in kind["series"]]


def _total(series, row):
    words = set(series.get("words", series["name"]).split())
    return sum(count for key, count in row.items() if not words.isdisjoint(key.split()))


def _title(days):
    end = date_format(days[-1], "j M Y")
    return end if len(days) == 1 else f"{date_format(days[0], 'j M')} – {end}"
