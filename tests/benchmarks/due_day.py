"""A due day of many subscribers, in a PostgreSQL of its own.

Each subscriber follows some curated topics, drawn by Zipf's law, and every fifth also topics of
their own. So their digests are different choices of several hundred papers, as on a real day.
"""

import argparse
import gzip
import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from pathlib import Path

import django
import psutil
from django.core.management import call_command

from tests.faults.cluster import Postgres

TOPICS, EACH, OWN_WORDS_EVERY = 400, 4, 5
PROVIDERS = 40  # Domains of the subscribers' addresses, by Zipf's law too.
BATCH = 5_000


def options(doc: str, *positional: str, **defaults) -> argparse.Namespace:
    """Parse the command line: paths, options with these defaults, and flags, which are False."""
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    for name in positional:
        parser.add_argument(name, type=Path)
    for name, default in defaults.items():
        kind = (
            {"action": "store_true"}
            if default is False
            else {"type": type(default), "default": default}
        )
        parser.add_argument(f"--{name.replace('_', '-')}", **kind)
    return parser.parse_args()


@contextmanager
def installation(site_url: str = "https://papers.example.org", url: str | None = None, **more: str):
    """Set Django up with a migrated database: a new one, or that of `url`, "" for SQLite.

    Yield the folder of its data.
    """
    cluster = closing(Postgres()) if url is None else nullcontext()
    with cluster as server, tempfile.TemporaryDirectory() as folder:
        url = server.make("benchmark") if server else url
        os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": url}
        os.environ |= {"DATA_DIR": folder, "SITE_URL": site_url}
        os.environ |= {"ALLOWED_HOSTS": "127.0.0.1,localhost"}
        os.environ |= {"SECRET_KEY": "a benchmark's, of which nothing is kept"} | more
        django.setup()
        call_command("migrate", verbosity=0)
        yield Path(folder)


def read(path) -> list:
    """Return the papers of a file as `import_papers` reads it, without their days."""
    from digest.models import Paper

    names = ("id", "title", "abstract", "authors", "categories")
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    return [Paper(**{name: row[name] for name in names if name in row}) for row in rows]


def laid_over_days(path, count: int, a_day: int, now: datetime) -> Iterator:
    """Yield papers, those of the newest day first, `a_day` of them a day. Where the file has fewer,
    copies in other words follow.
    """
    from digest.models import Paper

    papers, draw = read(path), random.Random(7)
    for number in range(count):
        one = papers[-1 - number % len(papers)]
        words = one.abstract.split()
        if number >= len(papers):
            words = [word for word in words if draw.random() < 0.8]
        same = {"title": one.title, "authors": one.authors, "categories": one.categories}
        day, before = now.date() - timedelta(days=number // a_day), now - timedelta(days=1)
        votes = draw.randrange(100) if draw.random() < 0.05 else None
        known = {"abstract": " ".join(words), "day": day, "upvotes": votes, "changed_at": before}
        yield Paper(id=f"made:{number}", **same, **known)


def load(papers, letters: int, picks: int, now: datetime) -> float:
    """Write down so many digests of `picks` papers at most, all of them due now. Return how many
    seconds planning took.
    """
    from digest.indexing import index_store
    from digest.planning import plan

    store(papers, letters, picks, now)
    index_store.renew(now)
    settle()
    started = time.perf_counter()
    plan.plan(now)
    seconds = time.perf_counter() - started
    settle()
    return seconds


def store(papers, subscribers: int, picks: int, now: datetime) -> None:
    """Store the papers, dated today, and so many subscribers who are due now."""
    from digest.models import Paper
    from subscriptions.models import Subscriber

    for paper in papers:
        paper.day, paper.changed_at = now.date(), now
    Paper.objects.bulk_create(papers)
    draw = random.Random(6)
    domains = [f"mail{number}.example.org" for number in range(PROVIDERS)]
    due = {"asked_at": now, "confirmed_at": now, "next_due_at": now, "hour": now.hour}
    rows = [
        Subscriber(email=f"reader{number}@{domain}", size=picks, **due)
        for number, domain in enumerate(_by_zipf(draw, domains, subscribers))
    ]
    Subscriber.objects.bulk_create(rows, batch_size=BATCH)
    _preferences(rows, papers, draw)


def settle(table: str = "") -> None:
    """Do what the database does by itself within a minute: nobody is to pay for the loading."""
    from django.db import connection

    on_postgresql = "SET statement_timeout = 0", f"VACUUM ANALYZE {table}", "CHECKPOINT"
    with connection.cursor() as cursor:
        for statement in on_postgresql if connection.vendor == "postgresql" else ("ANALYZE",):
            cursor.execute(statement)


def _preferences(subscribers, papers, draw):
    from subscriptions.models import Topic, TopicPreference

    topics = Topic.objects.bulk_create(
        Topic(name=query, slug=f"topic-{number}", query=query)
        for number, query in enumerate(_queries(papers, TOPICS, draw))
    )
    some = subscribers[::OWN_WORDS_EVERY]
    own = Topic.objects.bulk_create(
        Topic(name=query, query=query, owner=subscriber)
        for subscriber, query in zip(some, _queries(papers, len(some), draw), strict=True)
    )
    follows = [(topic.owner_id, topic.pk) for topic in own]
    for subscriber in subscribers:
        mine = {topic.pk for topic in _by_zipf(draw, topics, EACH)}
        follows += [(subscriber.pk, topic) for topic in sorted(mine)]
    TopicPreference.objects.bulk_create(
        [
            TopicPreference(subscriber_id=subscriber, topic_id=topic)
            for subscriber, topic in follows
        ],
        batch_size=BATCH,
    )


def _queries(papers, count, draw):
    """Return queries of two to four words, as titles have them; some come more than once."""
    found = []
    while len(found) < count:
        words = draw.choice(papers).title.split()
        length = draw.randint(2, 4)
        start = draw.randint(0, max(len(words) - length, 0))
        found.append(" ".join(words[start : start + length])[:200])
    return found


def _by_zipf(draw, things, count):
    return draw.choices(things, [1 / place for place in range(1, len(things) + 1)], k=count)


def peak_mb() -> float:
    """Return the most memory that this process has taken."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cpu_of(process) -> float:
    """Return the seconds of CPU that a process and its children have taken, ended ones as well."""
    spent = 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # It ended a moment ago.
            spent += sum(one.cpu_times()[:4])
    return spent


def cpu_of_postgresql() -> float:
    """Return what PostgreSQL has taken, with all its processes."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cpu_of(psutil.Process(*cursor.fetchone()).parent())
