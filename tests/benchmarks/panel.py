"""How fast the panel's lists and its dashboard are, with 2,000 subscribers and a year of letters.

    uv run python -m tests.benchmarks.panel [--readers 2000] [--days 365] [--papers 100000]
        [--pick-days 2] [--event-days 2] [--fact-days 30] [--times 10] [--database URL]

The rows are made in bulk by PostgreSQL, in a database of their own: 730,000 letters and as many
digests, and of picks, events and facts the last days' alone.
With `--database`, an empty database is filled and kept, and one that is full is only looked at.

Then the web server is started by the command of docker-compose.yml, and one client, logged in, asks
for each page ten times, one after the other: the whole way of a request, the page read to its end.
The first time is printed apart: its data may lie on the disk. CPU is that of the web server
and of PostgreSQL for one page: about what it takes where nothing else runs. Fails where the median
of a page is above 500 ms.
"""

import http.client
import statistics
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Template
from urllib.parse import quote_plus

from tests.benchmarks import due_day, panel_rows, site

LIMIT = 0.5  # Seconds.


def main():
    options = due_day.options(
        __doc__,
        readers=2_000,
        days=365,
        papers=100_000,
        pick_days=2,
        event_days=2,
        fact_days=30,
        times=10,
        database="",
    )
    url = options.database or None
    with due_day.installation(f"http://127.0.0.1:{site.PORT}", url, EMAIL_URL="file:"):
        cookie = log_in()
        load(options)
        paths = pages()
        with site.server() as process:
            slow = measure(paths, cookie, options.times, process)
    sys.exit(slow)


# ---- What there is


def load(options):
    from django.utils import timezone

    from digest.operations import daily_stats
    from subscriptions.models import Letter

    now = timezone.now()
    if not Letter.objects.exists():
        midnight = datetime(now.year, now.month, now.day, tzinfo=UTC)
        panel_rows.fill(options, now.date(), midnight)
    started = time.perf_counter()
    daily_stats.count_days(now)
    print(f"The days were counted in {time.perf_counter() - started:.0f} s", flush=True)


def log_in() -> str:
    """Return the cookie of somebody who may see all of the panel."""
    from django.conf import settings
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client

    client = Client()
    user, _ = User.objects.get_or_create(
        username="benchmark", defaults={"is_staff": True, "is_superuser": True}
    )
    client.force_login(user)
    connection.close()
    name = settings.SESSION_COOKIE_NAME
    return f"{name}={client.cookies[name].value}"


def pages() -> list[str]:
    """Return the addresses that are asked for, of each list some: as it is, filtered, searched."""
    from django.utils import timezone

    from subscriptions.models import Letter

    today = timezone.now().date()
    letter = Letter.objects.filter(day__isnull=False).order_by("-pk")[1_000]
    values = {
        "week": f"day_from={today - timedelta(days=106)}&day_to={today - timedelta(days=100)}",
        "month": f"noted_at__year={today.year}&noted_at__month={today.month}",
        "subscriber": "q=reader777%40mail17.example.org",
        "message_id": quote_plus(letter.message_id),
    }
    lines = Path(__file__).with_name("panel_pages.txt").read_text()
    return Template(lines).substitute(values).splitlines()


# ---- What is measured


def measure(paths, cookie, times, process) -> bool:
    """Tell how long each page takes. Return whether one takes too long."""
    site.asyncio.run(site.until_up())

    def cpu():
        return due_day.cpu_of(process) + due_day.cpu_of_postgresql()

    for _ in range(8):  # To each process some.
        ask("/admin/digest/fittedmodel/", cookie)
    print(f"\n{'first':>8}{'median':>8}{'worst':>8}{'CPU':>8} ms     kB  page")
    slow = False
    for path in paths:
        first, size = ask(path, cookie)
        before = cpu()
        seconds = [ask(path, cookie)[0] for _ in range(times)]
        taken = (cpu() - before) / times
        is_slow = statistics.median(seconds) > LIMIT
        slow |= is_slow
        figures = [one * 1e3 for one in (first, statistics.median(seconds), max(seconds), taken)]
        print("".join(f"{one:8.0f}" for one in figures), end="")
        print(f"{size / 1e3:10.0f}  {path}{'  TOO SLOW' if is_slow else ''}", flush=True)
    return slow


def ask(path, cookie) -> tuple[float, int]:
    """Return how long the page took, and how many bytes it has."""
    connection = http.client.HTTPConnection("127.0.0.1", site.PORT, timeout=120)
    started = time.perf_counter()
    connection.request("GET", path, headers={"Cookie": cookie})
    answer = connection.getresponse()
    body = answer.read()
    took = time.perf_counter() - started
    connection.close()
    assert answer.status == 200, (path, answer.status, body[:500])
    return took, len(body)


if __name__ == "__main__":
    main()
