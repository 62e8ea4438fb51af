"""How fast digests are composed to the bytes that SMTP carries.

    uv run python -m tests.benchmarks.composing PAPERS.jsonl.gz [--letters 10000] [--dkim-key FILE]

PAPERS is a file as `import_papers` reads it; its last are the day's papers. Each reader has ten of
them, of five topics drawn by Zipf's law. In the same run, a sample is rendered and inlined letter
by letter, and the first of them is compared byte by byte. One process, one core.
"""

import argparse
import gc
import gzip
import json
import os
import random
import resource
import statistics
import time
import uuid
from datetime import UTC, date, datetime

import django
from django.conf import settings

NOW = datetime(2026, 6, 1, 7, tzinfo=UTC)
PAPERS, TOPICS, EACH, PICKS, SAMPLE = 2_000, 5_000, 5, 10, 200


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("papers")
    parser.add_argument("--letters", type=int, default=10_000)
    parser.add_argument("--dkim-key")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    settings.DKIM_KEY_FILE = ""
    materials = made(read(options.papers), options.letters)
    joined = timed(composed, materials)
    print(f"{len(joined.times):,} digests of {PICKS}: {joined}, {joined.octets:,} octets each")
    again = timed(composed, materials)
    print(f"again, all blocks known: {again}")
    usual = timed(rendered_alone, materials[:SAMPLE])
    print(f"rendered and inlined each alone, {SAMPLE}: {usual}")
    print(f"ratio of medians: {usual.median / joined.median:,.0f}")
    assert rendered_alone(materials[0]) == composed(materials[0])
    if options.dkim_key:
        settings.DKIM_KEY_FILE = options.dkim_key
        print(f"signed besides, {SAMPLE}: {timed(signed, materials[:SAMPLE])}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:,.0f} MB")


class timed:
    """The seconds that one call takes for each material."""

    def __init__(self, act, materials):
        self.times, self.octets = [], 0
        gc.collect()
        for material in materials:
            before = time.perf_counter()
            mime = act(material)
            self.times.append(time.perf_counter() - before)
            self.octets = len(mime)
        self.median = statistics.median(self.times)

    def __str__(self):
        whole = sum(self.times) / len(self.times)
        worst = sorted(self.times)[int(len(self.times) * 0.99)]
        return (
            f"median {self.median * 1e3:.3f} ms, mean {whole * 1e3:.3f} ms, "
            f"99th percentile {worst * 1e3:.3f} ms"
        )


def composed(material):
    from digest import composing
    from subscriptions import mail

    return mail.as_bytes(
        composing.content(material),
        to=material.subscriber.email,
        message_id=f"<digest.{material.digest.public_id.hex}@{settings.MAIL_DOMAIN}>",
        date=NOW,
    )


def rendered_alone(material):
    from subscriptions import mail
    from tests.letters_alone import alone

    return mail.as_bytes(
        alone(material),
        to=material.subscriber.email,
        message_id=f"<digest.{material.digest.public_id.hex}@{settings.MAIL_DOMAIN}>",
        date=NOW,
    )


def signed(material):
    from subscriptions.post import signing

    return signing.sign(composed(material))


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
            day=date(2026, 6, 1),
        )
        for row in rows
    ]


def made(papers, count):
    """Return what so many letters are made of. A paper is there for the same words for all."""
    from digest.composing import Material
    from digest.models import Digest, Pick
    from subscriptions.models import Subscriber

    draw = random.Random(5)
    topics = [" ".join(paper.title.split()[:4]) for paper in papers] * (TOPICS // len(papers) + 1)
    found = [draw.sample(range(len(papers)), 40) for _ in range(TOPICS)]
    weights = [1 / place for place in range(1, TOPICS + 1)]
    materials = []
    for number in range(count):
        subscriber = Subscriber(
            pk=number,
            email=f"r{number}@example.org",
            public_id=uuid.UUID(int=number),
            confirmed_at=NOW,
        )
        digest = Digest(
            pk=number,
            subscriber=subscriber,
            day=date(2026, 6, 1),
            public_id=uuid.UUID(int=number),
            considered=PAPERS - number % 50,
        )
        followed = draw.choices(range(TOPICS), weights, k=EACH)
        pairs = {draw.choice(found[topic]): topic for topic in followed * 8}
        picks = [
            Pick(
                digest=digest,
                subscriber=subscriber,
                paper=papers[paper],
                position=place,
                score=0.5,
                basis="topic",
                topic_name=topics[topic],
                terms=papers[paper].title.lower().split()[:3],
            )
            for place, (paper, topic) in enumerate(list(pairs.items())[:PICKS], start=1)
        ]
        for pick in picks:
            pick.would_fold = []
        materials.append(Material(digest, "digest", picks, [topics[one] for one in followed]))
    return materials


if __name__ == "__main__":
    main()
