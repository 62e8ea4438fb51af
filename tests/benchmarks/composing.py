"""How fast digests are composed, from the rows of the database to the bytes that SMTP carries.

    uv run python -m tests.benchmarks.composing PAPERS.jsonl.gz [--picks 10] [--letters 3000]

PAPERS is a file as `import_papers` reads it; its last are the day's papers. Each reader has so many
of them, of five topics drawn by Zipf's law. They are stored in a database of their own, beside that
of DATABASE_URL, and composed in volleys of fifty, as the post office does. The first half of the
readers meets most papers' blocks for the first time, the second half finds them known. CPU is that
of this process and its one thread; what a database server takes is in the wall time alone.

In the same run, a sample is rendered and inlined letter by letter, and compared byte by byte.
"""

import argparse
import gc
import gzip
import json
import os
import random
import resource
import statistics
import tempfile
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import batched, pairwise

import django
from django.conf import settings

NOW = datetime(2026, 6, 1, 7, tzinfo=UTC)
DAY = NOW.date()
PAPERS, TOPICS, EACH, VOLLEY, SAMPLE = 500, 500, 5, 50, 50
RECEIPT = {"day": DAY.isoformat(), "announced": 1043, "had": 1043, "is_verified": True}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("papers")
    parser.add_argument("--letters", type=int, default=3_000)
    parser.add_argument("--picks", type=int, default=10)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    with database():
        store(read(options.papers), options.letters, options.picks)
        measure(options)


def measure(options):
    from digest.letters import compose
    from subscriptions.models import Letter

    letters = list(Letter.objects.select_related("subscriber").filter(day=DAY).order_by("pk"))
    half = len(letters) // 2
    print(
        f"{len(letters):,} digests of {options.picks} on {settings.DATABASES['default']['ENGINE']}"
    )
    for name, some in (
        ("most blocks new", letters[:half]),
        ("most blocks known, other readers", letters[half:]),
        ("the same letters again", letters[half:]),
    ):
        print(f"{name}: {timing(some)}")
    usual = timed(alone, letters[:SAMPLE])
    print(f"rendered and inlined each alone: {usual:,.0f} µs a letter")
    some = letters[:3]
    together = map(mime, some, compose.compose(some, NOW))
    assert [alone(letter) for letter in some] == list(together)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:,.0f} MB")


def timing(letters) -> str:
    """Tell the CPU that each part takes for the letters, a volley at a time, and the wall time.

    Of the volleys the median is told and the best, which other work on the machine disturbs least.
    """
    from digest.letters import compose

    gc.collect()
    octets, volleys, began = 0, [], time.perf_counter()
    for volley in batched(letters, VOLLEY):
        moments = [time.process_time()]
        materials = compose.load_each(volley)
        moments.append(time.process_time())
        contents = [compose.render(one) for one in materials]
        moments.append(time.process_time())
        mimes = [mime(*pair) for pair in zip(volley, contents, strict=True)]
        moments.append(time.process_time())
        octets += sum(map(len, mimes))
        spent = [(after - before) / len(volley) * 1e6 for before, after in pairwise(moments)]
        volleys.append(spent)
    wall = (time.perf_counter() - began) / len(letters) * 1e6
    parts = [statistics.median(spent) for spent in zip(*volleys, strict=True)]
    return (
        f"{sum(parts):.0f} µs of CPU a letter (reading {parts[0]:.0f}, filling {parts[1]:.0f}, "
        f"bytes {parts[2]:.0f}), best volley {min(map(sum, volleys)):.0f}, wall {wall:.0f}, "
        f"{octets // len(letters):,} octets each"
    )


def timed(act, things):
    """Return the microseconds of CPU that the call takes for each of these."""
    before = time.process_time()
    for one in things:
        act(one)
    return (time.process_time() - before) / len(things) * 1e6


def mime(letter, content):
    from subscriptions.mail import render

    message_id = f"<digest.{DAY}.{letter.pk:032}@{settings.MAIL_DOMAIN}>"
    return render.as_bytes(content, to=letter.subscriber.email, message_id=message_id, date=NOW)


def alone(letter):
    from digest.letters import compose
    from tests.factories import reference_letter

    (material,) = compose.load_each([letter])
    return mime(letter, reference_letter.alone(material))


# ---- What is stored


@contextmanager
def database():
    """Let a database be there for this run."""
    from django.db import connection

    with tempfile.TemporaryDirectory() as folder:
        if connection.vendor == "sqlite":
            connection.settings_dict["TEST"]["NAME"] = f"{folder}/benchmark.sqlite3"
        usual = connection.settings_dict["NAME"]
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        yield
        connection.creation.destroy_test_db(usual, verbosity=0)


def read(path):
    from digest.models import Paper

    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file][-PAPERS:]
    return [
        Paper(
            id=row["id"],
            title=row["title"],
            abstract=row["abstract"],
            authors=row.get("authors", []),
            categories=row.get("categories", []),
            day=DAY,
            changed_at=NOW,
        )
        for row in rows
    ]


def store(papers, count, size):
    """Store so many letters. A paper is there for the same words for all who follow its topic."""
    from digest.models import Digest, Paper, Pick
    from subscriptions.models import Letter, Subscriber, Topic, TopicPreference

    Paper.objects.bulk_create(papers)
    names = [" ".join(paper.title.split()[:4])[:200] for paper in papers[:TOPICS]]
    topics = Topic.objects.bulk_create(
        Topic(name=name, slug=f"topic-{n}", query=name) for n, name in enumerate(names)
    )
    readers = Subscriber.objects.bulk_create(
        Subscriber(email=f"r{n}@example.org", asked_at=NOW, confirmed_at=NOW) for n in range(count)
    )
    for day in (DAY - timedelta(days=1), DAY):  # What they heard before counts as well.
        letters = Letter.objects.bulk_create(
            Letter(subscriber=one, kind="digest", day=day, created_at=NOW, closes_at=NOW)
            for one in readers
        )
        digests = Digest.objects.bulk_create(
            Digest(
                subscriber=letter.subscriber,
                day=day,
                letter=letter,
                considered=PAPERS - n % 50,
                receipt=RECEIPT,
            )
            for n, letter in enumerate(letters)
        )
    draw = random.Random(5)
    found = [draw.sample(papers, 10) for _ in topics]
    weights = [1 / place for place in range(1, len(topics) + 1)]
    preferences, picks = [], []
    for digest in digests:
        followed = draw.choices(range(len(topics)), weights, k=EACH)
        preferences += [
            TopicPreference(subscriber=digest.subscriber, topic=topics[one])
            for one in set(followed)
        ]
        pairs = {draw.choice(found[topic]): topics[topic] for topic in followed * size}
        picks += [
            Pick(
                digest=digest,
                subscriber=digest.subscriber,
                paper=paper,
                position=place,
                score=0.5,
                basis="topic",
                topic_name=topic.name,
                terms=paper.title.lower().split()[:3],
            )
            for place, (paper, topic) in enumerate(list(pairs.items())[:size], start=1)
        ]
    TopicPreference.objects.bulk_create(preferences)
    Pick.objects.bulk_create(picks)


if __name__ == "__main__":
    main()
