"""The CPU of planning a due day, and a checksum of the rows that it writes.

    uv run python -m tests.benchmarks.planning PAPERS.jsonl.gz [--subscribers 20000] [--days 0]
        [--sqlite]

With `--days`, each subscriber has had a digest of five papers on so many days before. Two versions
that plan the same print the same checksum.
"""

import hashlib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from tests.benchmarks import due_day
from tests.helpers.statements import statements

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PICKS = 5

PAST_DAY = statements(Path(__file__).with_suffix(".sql")).values()


def main():
    options = due_day.options(__doc__, "papers", subscribers=20_000, days=0, sqlite=False)
    with due_day.installation(url="" if options.sqlite else None):
        fill(options.papers, options.subscribers, options.days)
        measure()


def fill(file: str, subscribers: int, days: int) -> None:
    """Store papers, subscribers who are all due, and the digests that they have had."""
    due_day.store(due_day.read(file)[-800:], subscribers, PICKS, NOW)
    for ago in range(days, 0, -1):
        _had_a_digest(NOW - timedelta(days=ago))
    due_day.settle()


def _had_a_digest(at):
    from django.db import connection

    from digest.models import Observation, Paper

    ids = [f"{at:%y%m%d}.{number}" for number in range(PICKS)]
    Paper.objects.bulk_create(
        Paper(id=one, title=f"Graph networks {one}", day=at.date(), came_in_at=at, changed_at=at)
        for one in ids
    )
    if at.day % 10 == 0:  # One of them has taken off since, and may have a second chance.
        Observation.objects.bulk_create(
            Observation(paper_id=ids[0], source="huggingface", day=NOW.date() - ago, upvotes=votes)
            for ago, votes in ((timedelta(days=8), 5), (timedelta(days=1), 300))
        )
    is_postgresql, adapted = connection.vendor == "postgresql", connection.ops
    values = {
        "day": adapted.adapt_datefield_value(at.date()),
        "at": adapted.adapt_datetimefield_value(at),
    }
    uuid = "gen_random_uuid()" if is_postgresql else "lower(hex(randomblob(16)))"
    with connection.cursor() as cursor:
        for statement in PAST_DAY:
            cursor.execute(statement.replace("%(uuid)s", uuid), values)


def measure() -> None:
    """Plan the day. Print what it took, and the checksum of what was written."""
    from django.db import connection

    from digest.indexing import candidate_windows
    from digest.planning import plan as planning

    candidate_windows.record_arrivals(NOW.date(), NOW)
    planning.rank_due(next(planning.due_batches(NOW))[:1], NOW)  # Fits the model.
    postgresql, python, wall = cpu_of_session(), time.process_time(), time.perf_counter()
    plan = planning.plan(NOW)
    python, wall = time.process_time() - python, time.perf_counter() - wall
    postgresql = cpu_of_session() - postgresql
    cpu = f"{python:.2f} Python + {postgresql:.2f} PostgreSQL"
    print(
        f"{plan.letters + plan.quiet:,} digests on {connection.vendor}: CPU"
        f" {python + postgresql:.2f} s = {cpu}; wall {wall:.1f} s; rows {checksum()}"
    )


def cpu_of_session() -> float:
    """Return the seconds of CPU that our session of PostgreSQL has taken."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return 0.0
    connection.ensure_connection()
    return due_day.cpu_of(psutil.Process(connection.connection.info.backend_pid))


def checksum() -> str:
    """Return the MD5 of the day's letters, events, digests and picks, and of who is due when."""
    from digest.models import Digest, Pick
    from subscriptions.models import Letter, LetterEvent, Subscriber

    found = hashlib.md5(usedforsecurity=False)
    of_digest = Digest.objects.filter(letter__created_at=NOW)
    of_pick = Pick.objects.filter(digest__letter__created_at=NOW)
    pick_key = ("subscriber", "digest__day", "leader__paper", "position", "paper")
    by_letter = ("letter__subscriber", "letter__day")
    for rows, key, left_out in (
        (Letter.objects.filter(created_at=NOW), ("subscriber", "day"), {"id"}),
        (LetterEvent.objects.filter(at=NOW), by_letter, {"id", "letter_id"}),
        (of_digest, ("subscriber", "day"), {"id", "letter_id", "public_id"}),
        (of_pick, pick_key, {"id", "digest_id", "leader_id"}),
        (Subscriber.objects.all(), ("id",), {"public_id"}),
    ):
        columns = [one.attname for one in rows.model._meta.concrete_fields]
        columns = [one for one in columns if one not in left_out]
        for row in rows.order_by(*key).values_list(*key, *columns).iterator(due_day.BATCH):
            found.update(repr(row).encode())
    return found.hexdigest()


if __name__ == "__main__":
    main()
