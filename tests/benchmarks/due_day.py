"""A due day of many readers, planned by planning itself, in a PostgreSQL database of its own.

Each reader follows some topics of the house, drawn by Zipf's law, and every fifth also words of her
own. So their digests are different choices of several hundred papers, as on a real day.
"""

import os
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

import django
import psutil
import psycopg

from tests.services import POSTGRESQL

TOPICS, EACH, OWN_WORDS_EVERY = 400, 4, 5
PROVIDERS = 40  # Domains of the readers' addresses, by Zipf's law too.
BATCH = 5_000


@contextmanager
def database() -> Iterator[str]:
    """Yield the URL of a new database, which is dropped in the end."""
    name = f"paperboy_benchmark_{os.getpid()}"
    with psycopg.connect(f"{POSTGRESQL}/postgres", autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{POSTGRESQL}/{name}"
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def set_up(url: str, folder: str, site_url: str, **more: str) -> None:
    """Begin with Django on this database, whatever the environment says."""
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": url,
        "DATA_DIR": folder,
        "SECRET_KEY": "a benchmark's, of which nothing is kept",
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        "SITE_URL": site_url,
        **more,
    }
    django.setup()


def load(papers, letters: int, picks: int, now: datetime) -> None:
    """Write down so many digests of `picks` papers at most, all of them due now."""
    from django.db import connection

    from digest import planning
    from digest.models import Paper

    for paper in papers:
        paper.day, paper.changed_at = now.date(), now
    Paper.objects.bulk_create(papers)
    _readers(papers, letters, picks, now)
    planning.plan(now)
    # What the database does by itself within a minute: nobody is to pay for the loading.
    with connection.cursor() as cursor:
        for statement in ("SET statement_timeout = 0", "VACUUM ANALYZE", "CHECKPOINT"):
            cursor.execute(statement)


def _readers(papers, count, size, now):
    from subscriptions.models import Subscriber

    draw = random.Random(6)
    domains = [f"mail{number}.example.org" for number in range(PROVIDERS)]
    readers = [
        Subscriber(
            email=f"reader{number}@{domain}",
            asked_at=now,
            confirmed_at=now,
            next_due_at=now,
            hour=now.hour,
            size=size,
        )
        for number, domain in enumerate(_by_zipf(draw, domains, count))
    ]
    Subscriber.objects.bulk_create(readers, batch_size=BATCH)
    _preferences(readers, papers, draw)


def _preferences(readers, papers, draw):
    from subscriptions.models import Topic, TopicPreference

    topics = Topic.objects.bulk_create(
        Topic(name=query, slug=f"topic-{number}", query=query)
        for number, query in enumerate(_queries(papers, TOPICS, draw))
    )
    some = readers[::OWN_WORDS_EVERY]
    own = Topic.objects.bulk_create(
        Topic(name=query, query=query, owner=reader)
        for reader, query in zip(some, _queries(papers, len(some), draw), strict=True)
    )
    follows = [(topic.owner_id, topic.pk) for topic in own]
    for reader in readers:
        mine = {topic.pk for topic in _by_zipf(draw, topics, EACH)}
        follows += [(reader.pk, topic) for topic in sorted(mine)]
    TopicPreference.objects.bulk_create(
        [TopicPreference(subscriber_id=reader, topic_id=topic) for reader, topic in follows],
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


def cpu_of(process) -> float:
    """Return the seconds of CPU that a process and its children have taken."""
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


#: What each process of PostgreSQL had spent when last seen: a session may end before the run does.
_spent_by: dict[int, float] = {}


def cpu_of_postgresql() -> float:
    """Return what was spent by the processes that serve this database, or all databases."""
    name = os.environ["DATABASE_URL"].rpartition("/")[2]
    ours = re.compile(rf"{name}|walwriter|checkpointer|background writer")
    for process in psutil.process_iter(["name", "cmdline"]):
        words = process.info["cmdline"] or []  # None: it ended a moment ago.
        if process.info["name"] == "postgres" and ours.search(" ".join(words)):
            with suppress(psutil.NoSuchProcess):
                _spent_by[process.pid] = cpu_of(process)
    return sum(_spent_by.values())
