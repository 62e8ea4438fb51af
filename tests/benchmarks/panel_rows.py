"""Rows for tests.benchmarks.panel: a year of a large installation, in bulk, by PostgreSQL itself.

The numbers of subscribers, letters and digests are their moments in order, as in real life:
subscriber n gets theirs at the same moment of each day.
"""

import re
import time
from datetime import timedelta
from pathlib import Path

from tests.helpers.statements import statements

#: The id of the paper with this number.
PAPER = "'26' || lpad(({0} / 100000)::text, 2, '0') || '.' || lpad(({0} %% 100000)::text, 5, '0')"

#: The statements of panel_rows.sql, by name.
ROWS = {
    name: re.sub(r"PAPER\[(.+?)\]", lambda number: PAPER.format(number[1]), rows)
    for name, rows in statements(Path(__file__).with_suffix(".sql")).items()
}


def paper(number: int) -> str:
    """Return the id of the paper with this number."""
    return f"26{number // 100_000:02}.{number % 100_000:05}"


def fill(options, today, midnight) -> None:
    """Write the rows down, and tell how long it took."""
    from django.db import connection

    from digest.topics import starter_topics

    starter_topics.make_topics()
    values = vars(options) | {"today": today, "midnight": midnight, "size": 10}
    with connection.cursor() as cursor:
        first = ("SUBSCRIBERS", "OWN_TOPICS", "PREFERENCES", "CONSENTS", "PAPERS", "FEEDBACK")
        for name in (*first, "HARVESTS", "COVERAGE"):
            _execute(cursor, ROWS[name], values)
        cursor.execute(ROWS["TRAIL"])
        gap = timedelta(days=1) / (options.readers + 1)
        fill_days(cursor, options, values, midnight, gap)
        _execute(cursor, "VACUUM ANALYZE")


def fill_days(cursor, options, values, last, gap) -> None:
    """Write all days' letters, the last day's from the moment `last` on, `gap` apart, and of
    picks, events and facts those of the last days.
    """
    cursor.execute("SET statement_timeout = 0")
    cursor.execute("SET session_replication_role = replica")  # No look at what is referred to.
    first = 0
    started = time.perf_counter()
    for number in range(options.days):
        back = options.days - 1 - number
        begin = last - timedelta(days=back)
        values |= {"first": first, "number": number, "day": begin.date(), "begin": begin}
        parts = ["LETTERS", "OTHER_LETTERS", "DIGESTS"]
        parts += ["PICKS"] * (back < options.pick_days) + ["EVENTS"] * (back < options.event_days)
        parts += ["FACTS"] * (back < options.fact_days)
        for part in parts:
            cursor.execute(ROWS[part], values | {"gap": gap})
        cursor.execute("SELECT max(id) FROM subscriptions_letter")
        first = cursor.fetchone()[0]
    print(f"{first:,} letters written in {time.perf_counter() - started:.0f} s", flush=True)
    for table in ("subscriptions_subscriber", "subscriptions_letter", "digest_digest"):
        newest = f"(SELECT max(id) FROM {table})"  # New rows are numbered after ours.
        cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {newest})")
    cursor.execute("SET session_replication_role = DEFAULT")


def _execute(cursor, statement, values=None):
    started = time.perf_counter()
    cursor.execute(statement, values)
    what = " ".join(statement.split()[:3])
    print(f"{what}: {time.perf_counter() - started:.0f} s", flush=True)
