"""How fast digests are composed, from the rows of the database to the bytes that SMTP carries.

    uv run python -m tests.benchmarks.composing PAPERS.jsonl.gz [--picks 10] [--letters 3000]
        [--sqlite]

PAPERS is a file as `import_papers` reads it; its last are the day's papers. Digests of so many of
them at most are planned in a PostgreSQL database of their own, or with `--sqlite` in a file, and
composed in batches of fifty, as in delivery. The first half of the subscribers meets most papers'
blocks for the first time, the second half finds them known. CPU is that of this process and its one
thread; what a database server takes is in the wall time alone.
"""

import gc
import statistics
import time
from datetime import UTC, datetime
from itertools import batched, pairwise

from django.conf import settings

from tests.benchmarks import due_day

NOW = datetime(2026, 6, 1, 7, tzinfo=UTC)
DAY = NOW.date()
PAPERS, BATCH = 500, 50


def main():
    options = due_day.options(__doc__, "papers", letters=3_000, picks=10, sqlite=False)
    with due_day.installation(url="" if options.sqlite else None):
        papers = due_day.read(options.papers)[-PAPERS:]
        due_day.load(papers, options.letters, options.picks, NOW)
        measure(options)


def measure(options):
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
    print(f"peak memory {due_day.peak_mb():,.0f} MB")


def timing(letters) -> str:
    """Tell the CPU that each part takes for the letters, a batch at a time, and the wall time.

    Prints the median of the batches and the best, which other work on the machine disturbs least.
    """
    from digest.letters import compose

    gc.collect()
    octets, batches, began = 0, [], time.perf_counter()
    for batch in batched(letters, BATCH):
        moments = [time.process_time()]
        materials = compose.load_each(batch)
        moments.append(time.process_time())
        contents = [compose.render(one) for one in materials]
        moments.append(time.process_time())
        mimes = [mime(*pair) for pair in zip(batch, contents, strict=True)]
        moments.append(time.process_time())
        octets += sum(map(len, mimes))
        spent = [(after - before) / len(batch) * 1e6 for before, after in pairwise(moments)]
        batches.append(spent)
    wall = (time.perf_counter() - began) / len(letters) * 1e6
    parts = [statistics.median(spent) for spent in zip(*batches, strict=True)]
    return (
        f"{sum(parts):.0f} µs of CPU a letter (reading {parts[0]:.0f}, filling {parts[1]:.0f}, "
        f"bytes {parts[2]:.0f}), best batch {min(map(sum, batches)):.0f}, wall {wall:.0f}, "
        f"{octets // len(letters):,} octets each"
    )


def mime(letter, content):
    from subscriptions.mail import render

    message_id = f"<digest.{DAY}.{letter.pk:032}@{settings.MAIL_DOMAIN}>"
    return render.as_bytes(content, to=letter.subscriber.email, message_id=message_id, date=NOW)


if __name__ == "__main__":
    main()
