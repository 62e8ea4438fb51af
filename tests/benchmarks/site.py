"""How fast the site answers, with 100,000 papers and 100,000 subscribers.

    uv run python -m tests.benchmarks.site PAPERS.jsonl.gz [--papers 100000] [--readers 100000]
        [--requests 2000] [--clients 20]

PAPERS is a file as `import_papers` reads it. Where it has fewer papers, copies in other words are
of the days before. They are stored in a PostgreSQL database of their own, the
archive is written, and the web server is started by the command of docker-compose.yml. Then so many
clients ask at once, each for the next page as soon as it has one: every paper another one, every
search for other words, every subscriber's digest and preferences, so that little of these was made
before; the home page and the topics as people ask for them, again and again.

Nothing else should run meanwhile: all share the cores. Fails where a page takes longer than 100 ms
in 95 of 100 cases, or asks more queries than 15.
"""

import asyncio
import os
import random
import re
import shlex
import signal
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.parse import quote_plus

import psutil

from tests.benchmarks import due_day, panel_rows
from tests.config.environment import ROOT, SERVICES

MOST, MOST_QUERIES = 0.1, 15  # Seconds at the 95th percentile, and queries of a page.
PORT = 8765
PERSONAL = {"digest", "preferences"}  # One subscriber's pages: printed, and not held to MOST.
BATCH = 5_000
A_DAY, PICKS = 250, 10  # Papers of a day, and of a digest.
WARM = 60  # Requests of a kind, to each process some, before time is taken.
WORD = re.compile(r"[a-z]{4,}", re.IGNORECASE)


def main():
    options = due_day.options(
        __doc__, "file", papers=100_000, readers=100_000, requests=2_000, clients=20
    )
    with due_day.installation(f"http://127.0.0.1:{PORT}", EMAIL_URL="file:"):
        load(options)
        kinds = addresses(options.requests)
        most = print_queries(kinds)
        with server() as process:
            slowest = measure(kinds, options.clients, process)
    sys.exit(slowest > MOST or most > MOST_QUERIES)


# ---- What there is


def load(options):
    from django.db import connection
    from django.utils import timezone

    from digest.indexing import index_store
    from digest.models import Paper
    from digest.topics import starter_topics

    starter_topics.make_topics()
    now = timezone.now()
    papers = list(due_day.laid_over_days(options.file, options.papers, A_DAY, now))
    Paper.objects.bulk_create(papers, batch_size=BATCH)
    values = {"readers": options.readers, "days": 365, "today": now.date(), "midnight": now}
    with connection.cursor() as cursor:
        for statement in (*map(panel_rows.ROWS.get, ("SUBSCRIBERS", "PREFERENCES")), "ANALYZE"):
            cursor.execute(statement, values)
    store_digests(papers[:A_DAY], options.requests, now)
    for make in (index_store.renew, index_store.write):  # Fitted and written, then written anew.
        started = time.process_time()
        make(now)
        row = index_store.ArchiveFile.objects.first()
        print(
            f"archive.{make.__name__}: {time.process_time() - started:.1f} s of CPU, "
            f"{row.papers:,} papers, {row.size / 1e6:.0f} MB, {row.model.terms:,} terms; "
            f"at most {due_day.peak_mb():.0f} MB of memory"
        )
    connection.close()


def store_digests(papers, count, now):
    """Store digests of these papers for so many subscribers."""
    from digest.models import Digest, Pick
    from subscriptions.models import Letter, Subscriber

    day, draw = {"day": now.date()}, random.Random(5)
    moments = day | {"created_at": now, "closes_at": now}
    subscribers = Subscriber.objects.subscribed()[:count]
    letters = Letter.objects.bulk_create(
        Letter(subscriber=one, kind="digest", **moments) for one in subscribers
    )
    digests = Digest.objects.bulk_create(
        Digest(subscriber=letter.subscriber, letter=letter, considered=A_DAY, **day)
        for letter in letters
    )
    reason = {"score": 0.5, "basis": "topic", "topic_name": "graphs", "terms": ["graph", "network"]}
    Pick.objects.bulk_create(
        [
            Pick(digest=one, subscriber=one.subscriber, paper=paper, position=position, **reason)
            for one in digests
            for position, paper in enumerate(draw.sample(papers, PICKS), start=1)
        ],
        batch_size=BATCH,
    )


def addresses(count) -> dict[str, list[str]]:
    """Return what is asked for, kind by kind."""
    from digest.models import Digest, Paper
    from subscriptions.models import Subscriber, Topic
    from subscriptions.security import tokens

    chance = random.Random(9)
    papers = list(Paper.objects.values_list("pk", "title", "day"))
    some = chance.sample(papers, min(count, len(papers)))
    topics = list(Topic.objects.curated().values_list("slug", flat=True))
    by_subject = list(Topic.objects.curated().by_subject().values_list("slug", flat=True))
    days = sorted({day for _, _, day in papers})[-30:]
    kinds = {
        "home": ["/"] * count,
        "topic": [f"/topics/{chance.choice(topics)}/" for _ in range(count)],
        "subject": [f"/topics/{chance.choice(by_subject)}/" for _ in range(count)],
        "paper": [f"/papers/{pk}/" for pk, _, _ in some],
        "search": [f"/search/?q={quote_plus(words_of(title, chance))}" for _, title, _ in some],
        "topics": ["/topics/"] * count,
        "feed": [f"/topics/{chance.choice(by_subject)}/feed/" for _ in range(count)],
        "day": [f"/days/{chance.choice(days)}/" for _ in range(count)],
        "digest": [
            f"/digests/{tokens.own_token('digest', one.subscriber, one.public_id)}/"
            for one in Digest.objects.select_related("subscriber")[:count]
        ],
        "preferences": [
            f"/preferences/{tokens.token('preferences', one)}/"
            for one in Subscriber.objects.subscribed().values_list("public_id", flat=True)[:count]
        ],
    }
    asked = [kinds[kind] for kind in ("home", "topic", "paper", "search")]
    kinds["mixed"] = [chance.choice(chance.choice(asked)) for _ in range(count)]
    return kinds


def words_of(title, chance):
    """Return one to four words of a title, side by side."""
    words = WORD.findall(title) or ["graph"]
    start, length = chance.randrange(len(words)), chance.randint(1, 4)
    return " ".join(words[start : start + length])


# ---- What is measured


def print_queries(kinds) -> int:
    """Tell how many queries each kind of page asks where nothing was kept. Return the most."""
    from django.core.cache import caches
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    client, most = Client(SERVER_NAME="127.0.0.1"), 0
    print(f"\n{'':10}queries     CPU  (of one process, nothing kept)")
    for kind, paths in kinds.items():
        client.get(paths[0])
        counts, seconds = [], []
        for path in paths[1:30]:
            caches["pages"].clear()
            caches["default"].clear()
            started = time.process_time()
            with CaptureQueriesContext(connection) as asked:
                assert client.get(path).status_code == 200, path
            seconds.append(time.process_time() - started)
            counts.append(len(asked))
        most = max(most, *counts)
        print(f"{kind:10}{max(counts):7}{statistics.median(seconds) * 1e3:7.1f} ms")
    connection.close()
    return most


@contextmanager
def server():
    """Start the web server by the command of docker-compose.yml."""
    command = shlex.split(SERVICES["web"]["command"])
    command[command.index("--bind") + 1] = f"127.0.0.1:{PORT}"
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, start_new_session=True)
    try:
        yield psutil.Process(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def measure(kinds, clients, process) -> float:
    """Tell how long each kind of page takes. Return the slowest 95th percentile, in seconds.

    CPU is that of the web server's processes alone. What the database and the clients take comes on
    top of it.
    """
    asyncio.run(until_up())
    for paths in kinds.values():
        asyncio.run(ask(paths[:WARM], clients))
    print(f"\n{clients} clients{'p50':>7}{'p95':>8}{'p99':>8} ms  pages/s  CPU ms a page")
    slowest = 0.0
    for kind, paths in kinds.items():
        started, before = (time.perf_counter(), due_day.cpu_of(process))
        seconds = sorted(asyncio.run(ask(paths, clients)))
        rate = len(paths) / (time.perf_counter() - started)
        p50, p95, p99 = (seconds[int(len(seconds) * part)] * 1e3 for part in (0.5, 0.95, 0.99))
        cpu = (due_day.cpu_of(process) - before) / len(paths) * 1e3
        print(f"{kind:10}{p50:8.1f}{p95:8.1f}{p99:8.1f}{rate:12.0f}{cpu:10.1f}")
        slowest = max(slowest, p95 / 1e3 if kind not in PERSONAL else 0)
    return slowest


async def until_up():
    for _ in range(300):
        try:
            await ask(["/healthz/live/"], 1)
            return
        except OSError:
            await asyncio.sleep(0.1)
    raise SystemExit("The web server doesn't come up.")


async def ask(paths, clients) -> list[float]:
    """Ask for all pages, so many at once. Return how long each took."""
    waiting, seconds = iter(paths), []

    async def client():
        stream, writer = await asyncio.open_connection("127.0.0.1", PORT)
        for path in waiting:
            started = time.perf_counter()
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            head = await stream.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head, re.IGNORECASE)[1])
            await stream.readexactly(length)
            seconds.append(time.perf_counter() - started)
            assert head.startswith(b"HTTP/1.1 200"), (path, head)
            if b"connection: close" in head.lower():
                writer.close()
                stream, writer = await asyncio.open_connection("127.0.0.1", PORT)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return seconds


if __name__ == "__main__":
    main()
