"""What a preview costs: someone's digests of eight days, ranked while they look.

    uv run python -m tests.benchmarks.preview PAPERS.jsonl.gz [--papers 100000] [--a-day 1000]
        [--questions 60]

PAPERS is a file as `import_papers` reads it. Its papers are laid over the last days, so many a day;
where they don't suffice, the oldest days have copies of them in other words. They are stored in a
PostgreSQL database of their own, with a model and an archive. The questions are
asked as by the page's script, each once: words of titles, curated topics, or both. The CPU
is that of this process, with no cache and no web server before it.
"""

import os
import random
import statistics
import time
from datetime import UTC, datetime
from itertools import islice

from tests.benchmarks import due_day

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SEED = 7


def main():
    options = due_day.options(__doc__, "file", papers=100_000, a_day=1_000, questions=60)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # As config.wsgi has it.
    with due_day.installation():
        store(options.file, options.papers, options.a_day)
        measure(options.questions)


def store(path, count, a_day):
    """Store papers, the curated topics, a model and its archive."""
    from digest.indexing import index_store
    from digest.models import Paper
    from digest.topics import starter_topics

    started = time.process_time()
    Paper.objects.bulk_create(due_day.laid_over_days(path, count, a_day, NOW), batch_size=2_000)
    starter_topics.make_topics()
    print(f"{count:,} papers stored", end=", ")
    index_store.renew(NOW)
    print(f"fitted and archived in {time.process_time() - started:.0f} s of CPU")


def questions() -> list[dict]:
    """Return questions as a form sends them."""
    from digest.models import Paper
    from subscriptions.models import Topic

    draw = random.Random(SEED)
    titles = [title.split() for title in Paper.objects.values_list("title", flat=True)[:5_000]]
    slugs = list(Topic.objects.by_subject().values_list("slug", flat=True))
    while True:
        words, start = draw.choice(titles), draw.randrange(3)
        said = " ".join(words[start : start + draw.randint(1, 4)])
        topics = draw.sample(slugs, draw.randint(1, 4))
        yield from ({"interests": said}, {"topics": topics}, {"interests": said, "topics": topics})


def measure(count):
    asked = list(islice(questions(), count))
    broad = [{"interests": "large language models"}, {"interests": "neural networks"}]
    most = {"interests": "\n".join(" ".join(q["interests"].split() * 9) for q in asked[::3])}
    print(f"first of this process: {figures(*timed(asked[0]))}")
    for name, some in (("first", broad), ("again", broad)):
        for one in some:
            print(f"{one['interests']!r}, {name}: {figures(*timed(one))}")
    print(f"as much as is looked at: {figures(*timed(most))}")
    summarize("questions", [timed(one) for one in asked[1:]])
    print(f"peak memory {due_day.peak_mb():,.0f} MB, fitting included")


def timed(asked):
    """Return the seconds of CPU and of the clock that the page's part took."""
    from django.core.cache import caches
    from django.http import QueryDict

    from digest.views.subscribing.preview import parts_for

    sent = QueryDict(mutable=True)
    for name, value in asked.items():
        sent.setlist(name, value if isinstance(value, list) else [value])
    caches["pages"].clear()
    cpu, wall = time.process_time(), time.perf_counter()
    parts = parts_for(sent, NOW)
    spent = time.process_time() - cpu, time.perf_counter() - wall
    assert 'id="day"' in parts.digest
    return spent


def summarize(what, times):
    cpu, wall = zip(*times, strict=True)
    print(f"{len(times)} {what}:")
    for share, place in (("half", 9), ("95 %", 18)):
        some = (statistics.quantiles(each, n=20)[place] for each in (cpu, wall))
        print(f"  {figures(*some)} in {share}")
    print(f"  {figures(max(cpu), max(wall))} at most")


def figures(cpu, wall):
    return f"{cpu * 1e3:,.0f} ms of CPU ({wall * 1e3:,.0f} by the clock)"


if __name__ == "__main__":
    main()
