"""A due day as subscribers see it: from the moment at which all are due to the last email.

    uv run python -m tests.benchmarks.end_to_end PAPERS.jsonl.gz [--subscribers 50000] [--times 3]

PAPERS is a file as `import_papers` reads it; its last are the day's papers. A tenth of the
subscribers are new. The others have a digest of every day before, which PostgreSQL writes in bulk.
Then beat, a planner (queue `tick`) and a worker (queue `send`) run as docker-compose.yml starts
them, on a PostgreSQL and a Redis of their own, until Postfix's `smtp-sink` has the last email.
`smtp-source -d` runs before and after. A sample of earlier emails is sent in the usual way:
rendered and sent one by one. With --times, the day is removed and done again. --days is the length
of the history, --picks the papers in a digest, --new the papers of the day. A run is broken off
after --minutes.

Nothing else should run meanwhile: all of them share the cores. Fails where a check does.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import psutil

from tests.benchmarks import delivering, due_day, panel_rows
from tests.faults.cluster import Redis
from tests.helpers.statements import statements

NEW_ONE_OF = 10  # One of so many subscribers is new.
OLD = 10_000  # Papers that the history's digests hold.
AHEAD = timedelta(minutes=2)  # Until the moment, the seconds left out: a tick comes before it.
WATCH_SECONDS, ASK_SECONDS = 0.2, 2  # Between two looks at the processes, and at the database.
(REMOVE,) = statements(Path(__file__).with_suffix(".sql")).values()


def main():
    options = due_day.options(
        __doc__,
        "papers",
        subscribers=50_000,
        days=200,
        connections=100,
        picks=delivering.PICKS,
        new=delivering.NEW,
        times=1,
        minutes=15,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # What was started is stopped, too.
    with (
        tempfile.TemporaryDirectory() as scratch,
        closing(Redis(Path(scratch))) as redis,
        due_day.installation(CELERY_BROKER_URL=redis.url) as folder,
    ):
        last = _load(options)
        delivering.print_settings()
        is_well = True
        for _ in range(options.times):
            redis.flush()
            is_well &= _compare(options, folder, last)
    sys.exit(0 if is_well else 1)


# ---- What there is


def _load(options) -> int:
    """Load subscribers with their history, and the day's papers. Return the last letter's id."""
    from django.db import connection
    from django.utils import timezone

    from digest.indexing import index_store
    from digest.models import Paper, Pick
    from subscriptions.models import Letter, Subscriber

    now, started = timezone.now(), time.perf_counter()
    papers = due_day.read(options.papers)
    old, new = papers[-options.new - OLD : -options.new], papers[-options.new :]
    for number, paper in enumerate(old):
        back = options.days - number * options.days // len(old)
        paper.id, paper.day = panel_rows.paper(number), now.date() - timedelta(days=back)
        paper.came_in_at = paper.changed_at = now - timedelta(days=back)
    Paper.objects.bulk_create(old, batch_size=due_day.BATCH)
    due_day.store(new, options.subscribers, options.picks, now)
    began = now - timedelta(days=options.days + 1)
    had = options.subscribers - options.subscribers // NEW_ONE_OF
    Subscriber.objects.filter(pk__lte=had).update(asked_at=began, confirmed_at=began)
    history = SimpleNamespace(days=options.days, pick_days=options.days, event_days=0, fact_days=0)
    values = {"readers": had, "papers": len(old), "days": options.days, "size": options.picks}
    with connection.cursor() as cursor:
        yesterday = now - timedelta(days=1)
        panel_rows.fill_days(cursor, history, values, yesterday, gap=timedelta())
    connection.close()  # The next waits for the disk, as usual.
    index_store.renew(now)
    print(
        f"{options.subscribers:,} subscribers, {had:,} of them with {options.days} days:"
        f" {Pick.objects.count():,} picks; loaded in {time.perf_counter() - started:.0f} s"
    )
    return Letter.objects.order_by("pk").values_list("pk", flat=True).last()


# ---- What is measured


def _compare(options, folder, last) -> bool:
    """Run all that is compared, and tell. Return whether the checks hold."""
    usual = delivering.sent_as_usual(folder)
    load = options.subscribers, usual.octets, options.connections
    before = delivering.source_rate(folder, *load)
    run = _run(options, folder, last)
    after = delivering.source_rate(folder, *load)
    delivering.print_rates(
        {
            f"smtp-source -d, before, {usual.octets:,} octets": before,
            "subscribers, due to last email": options.subscribers / run.seconds,
            "the usual way, without planning": usual.rate,
            "smtp-source -d, after": after,
        }
    )
    run.cpu["the usual way"] = usual.cpu * run.accepted
    return _print(run, options.subscribers)


@contextmanager
def _celery(arguments, sink, options):
    """Run one of Celery's programs as docker-compose.yml does."""
    url = f"smtp://127.0.0.1:{sink.port}?connections={options.connections}"
    command = [sys.executable, "-W", "ignore", "-m", "celery", "-A", "config", *arguments.split()]
    process = subprocess.Popen(
        [*command, "--loglevel", "WARNING"],
        env=os.environ | {"EMAIL_URL": url},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _run(options, folder, last) -> SimpleNamespace:
    """Let all be due as a minute begins, when beat ticks, and watch until the last email is in."""
    from django.db import connection
    from django.db.models import Count, Q

    from config import celery_app
    from subscriptions.models import Letter, Subscriber

    def spent():
        cpu = {"planner": due_day.cpu_of(planner), "worker": due_day.cpu_of(worker)}
        cpu |= {"PostgreSQL": due_day.cpu_of_postgresql(), "sink": sink.cpu()}
        with connection.cursor() as cursor:
            cursor.execute("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint")
            return cpu, cursor.fetchone()[0]

    with connection.cursor() as cursor:
        cursor.execute(REMOVE, {"last": last})  # What was done before, if anything was.
    due_day.settle()
    letters = Letter.objects.filter(pk__gt=last)
    counts = {"planned": Count("pk"), "open": Count("pk", filter=Q(ended_at=None))}
    with (
        delivering.Sink(folder, options.connections) as sink,
        _celery("worker --queues tick --concurrency 2 -n planner@%h", sink, options) as planner,
        _celery("worker --queues send --concurrency 1 -n worker@%h", sink, options) as worker,
        _celery(f"beat --schedule {folder}/beat", sink, options),
    ):
        while len(celery_app.control.ping()) < 2:
            time.sleep(1)
        moment = (datetime.now(UTC) + AHEAD).replace(second=0, microsecond=0)
        Subscriber.objects.update(next_due_at=moment, hour=moment.hour)
        due_day.settle("subscriptions_subscriber")
        due = ask_at = moment.timestamp()
        time.sleep(max(due - 1 - time.time(), 0))
        cpu_before, written_before = spent()
        looks, planned_after, found = [], None, {}
        while (now := time.time()) < due + options.minutes * 60:
            looks.append((now - due, sink.count(), _resident(planner), _resident(worker)))
            if now >= ask_at:
                ask_at, found = now + ASK_SECONDS, letters.aggregate(**counts)
                if found["planned"] == options.subscribers:
                    planned_after = planned_after or now - due
                    if not found["open"]:
                        break
            time.sleep(WATCH_SECONDS)
        cpu, written = spent()
        taken = sink.count()
    return SimpleNamespace(
        **found,
        accepted=letters.filter(state="accepted").count(),
        picks=letters.aggregate(picks=Count("digest__picks"))["picks"],
        taken=taken,
        seconds=next(after for after, count, *_ in looks if count == looks[-1][1]),
        first_after=next((after for after, count, *_ in looks if count), 0),
        planned_after=planned_after or looks[-1][0],
        looks=looks,
        cpu={who: cpu[who] - before for who, before in cpu_before.items()},
        written=written - written_before,
    )


def _resident(process) -> int:
    """Return what the largest of a program's processes has resident, in octets."""
    return max(one.memory_info().rss for one in process.children())


def _print(run, subscribers) -> bool:
    """Tell what became of a run. Return whether the checks hold."""
    print(
        f"\n{run.accepted:,} digests of {run.picks / max(run.planned, 1):.1f} papers; seconds after"
        f" due: first email {run.first_after:.0f}, all planned {run.planned_after:.0f}, last"
        f" email {run.seconds:.0f}"
    )
    each = {who: seconds / max(run.accepted, 1) * 1e6 for who, seconds in run.cpu.items()}
    print("CPU, µs a digest:", ", ".join(f"{who} {spent:,.0f}" for who, spent in each.items()))
    print(f"WAL, bytes a digest: {run.written / max(run.accepted, 1):,.0f}")
    planner, worker = (max(look[which] for look in run.looks) / 1e6 for which in (2, 3))
    print(f"memory at most: planner {planner:,.0f} MB, worker {worker:,.0f} MB")
    checks = {
        "each subscriber has a letter of the day": run.planned == subscribers,
        "none is left": not run.open,
        "the sink took each once": run.taken == run.accepted,
    }
    return delivering.print_checks(checks)


if __name__ == "__main__":
    if not shutil.which("smtp-sink"):
        sys.exit("smtp-sink and smtp-source, of Postfix, are not installed.")
    main()
