"""How fast a due day is delivered, next to the fastest that this machine's SMTP can be.

    uv run python -m tests.benchmarks.delivering PAPERS.jsonl.gz [--letters 50000] [--profile]

PAPERS is a file as `import_papers` reads it; its last are the day's papers. Their digests are
planned in a PostgreSQL database of their own. Then, in turn, `smtp-source -d` sends as many
messages of their size, one worker process composes and delivers them all with the whole ledger
kept, and `smtp-source` sends again: each to a fresh `smtp-sink` on loopback, over as many
connections. What the sink counts is the proof. Unsigned.

Nothing else should run meanwhile: all of them share the cores. Fails where a check does.
"""

import argparse
import cProfile
import multiprocessing
import os
import pstats
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

import django
import psutil

from tests.benchmarks import composing, due_day

PICKS = 5  # A digest of so many papers takes about 23 kB.
NEW = 800  # Papers of the day: about as many as arXiv announces. Each is rendered once.
MEASURED = 500  # Letters composed beforehand, to know how large they are.
WATCH_SECONDS = 0.05
LOOKS_AT_POSTGRESQL = 10  # So many looks between two at its sessions, which take longer.
FLAT = 1.2  # So much may a worker grow between a fifth of the letters and the last.


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("papers")
    parser.add_argument("--letters", type=int, default=2_000)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--picks", type=int, default=PICKS, help="papers in a digest")
    parser.add_argument("--new", type=int, default=NEW, help="papers of the day, 2,000 at most")
    parser.add_argument("--profile", action="store_true", help="list functions; it runs slower")
    options = parser.parse_args()
    with due_day.database() as url, tempfile.TemporaryDirectory() as folder:
        bounces = "bounces@papers.example.org"
        due_day.set_up(url, folder, "https://papers.example.org", BOUNCE_ADDRESS=bounces)
        is_well = _compare(options, Path(folder))
    sys.exit(0 if is_well else 1)


def _compare(options, folder) -> bool:
    """Run all that is compared, and tell. Return whether the checks hold."""
    size = _load(options)
    _tell_settings()
    load = options.letters, size, options.connections
    before = source_rate(folder, *load)
    run = delivered(folder, options.letters, options.connections, options.profile)
    after = source_rate(folder, *load)
    source = (before + after) / 2
    print(f"\n{'':42}letters/s   ratio")
    _tell_rate("smtp-source -d, before", before, source)
    _tell_rate("one worker", run.rate, source)
    _tell_rate("  in its last four fifths", run.late_rate(), source)
    _tell_rate("smtp-source -d, after", after, source)
    run.tell()
    return _check(run)


def _load(options):
    """Load the day. Return how large its letters are."""
    from django.core.management import call_command
    from django.db import connection
    from django.utils import timezone

    from digest.models import Pick

    call_command("migrate", verbosity=0)
    started = time.perf_counter()
    papers = composing.read(options.papers)[-options.new :]
    due_day.load(papers, options.letters, options.picks, now=timezone.now())
    seconds = time.perf_counter() - started
    picked = Pick.objects.values("paper").distinct().count()
    size = _mean_size()
    print(
        f"{options.letters:,} digests, {Pick.objects.count():,} picks of {picked:,} papers, planned"
        f" in {seconds:.0f} s; {size:,} octets each"
    )
    connection.close()
    return size


def _mean_size():
    """Return how many octets a letter has, of the first."""
    from django.utils import timezone

    from subscriptions import registry
    from subscriptions.models import Letter
    from subscriptions.post import writing

    letters = list(Letter.objects.select_related("subscriber").order_by("pk")[:MEASURED])
    now = timezone.now()
    contents = registry.composers["digest"](letters, now)
    pairs = zip(letters, contents, strict=True)
    return sum(len(writing.freeze(*pair, now).mime) for pair in pairs) // len(letters)


def _tell_settings():
    from django.db import connection

    names = ["server_version", "fsync", "synchronous_commit", "full_page_writes", "autovacuum"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [names])
        found = dict(cursor.fetchall())
    print("PostgreSQL:", ", ".join(f"{name} {found[name]}" for name in names))
    if "off" in (found["fsync"], found["synchronous_commit"]):
        print("A COMMIT DOES NOT WAIT FOR THE DISK HERE: the rates are too good.")
    connection.close()


def _tell_rate(name, rate, source):
    print(f"{name:42}{rate:>9,.0f}{rate / source:>8.3f}")


# ---- The server, and the fastest client


class Sink:
    """Postfix's smtp-sink on a free port: it takes everything and counts it."""

    def __init__(self, folder: Path, connections: int = 1):
        self._said = folder / "sink"
        self._most = max(256, connections + 10)

    def __enter__(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = ["smtp-sink", "-c", "-m", str(self._most)]
        if os.geteuid() == 0:
            command += ["-u", pwd.getpwnam("nobody").pw_name]
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [*command, f"127.0.0.1:{self.port}", "100"], stdout=said
            )
        self._wait()
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()

    def _wait(self):
        for _ in range(100):
            with suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            time.sleep(0.05)
        raise RuntimeError("smtp-sink does not listen")

    def count(self) -> int:
        """Return how many messages came in so far."""
        with self._said.open("rb") as said:
            said.seek(max(self._said.stat().st_size - 200, 0))
            counts = re.findall(rb"mesg=(\d+)\r", said.read())
        return int(counts[-1]) if counts else 0

    def cpu(self) -> float:
        return due_day.cpu_of(psutil.Process(self._process.pid))


def source_rate(folder, letters, size, connections) -> float:
    """Return how many messages a second smtp-source sends."""
    command = ["smtp-source", "-d", "-l", str(size), "-m", str(letters), "-s", str(connections)]
    with Sink(folder, connections) as sink:
        started = time.perf_counter()
        subprocess.run([*command, f"127.0.0.1:{sink.port}"], check=True)
        seconds = time.perf_counter() - started
        assert sink.count() == letters
    return letters / seconds


# ---- The worker


def work(pipe, is_profiled):
    """Be the worker: deliver when told to, and tell how long it took."""
    django.setup()
    from subscriptions.post import clock, delivery

    pipe.send("ready")
    pipe.recv()
    profile = cProfile.Profile() if is_profiled else nullcontext()
    started = time.perf_counter()
    with profile:
        delivery.deliver_due(clock.of_database)
    pipe.send(time.perf_counter() - started)
    pipe.recv()  # Until then, what this process and its database connection took can be read.
    if is_profiled:
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        pstats.Stats(profile).sort_stats("cumtime").print_stats(45)


@dataclass
class Run:
    """What became of a worker's run."""

    letters: int
    seconds: float
    cpu: dict[str, float]  # Seconds, by whom they were spent.
    looks: list[tuple[float, int, int]]  # The moment, letters taken by then, octets resident.
    taken: int

    @property
    def rate(self):
        return self.letters / self.seconds

    def tell(self):
        told = ", ".join(
            f"{who} {spent / self.letters * 1e6:,.0f}" for who, spent in self.cpu.items()
        )
        print(f"\nCPU, µs a letter: {told}")
        early, late = self.grown()
        print(
            f"memory: {early / 1e6:,.0f} MB at a fifth of the letters, at most {late / 1e6:,.0f} MB"
            f" from there to the last"
        )

    def grown(self):
        """Return what was resident at a fifth of the letters, and at most from there on."""
        resident = [octets for _, _, octets in self._late()]
        return resident[0], max(resident)

    def late_rate(self):
        """Return how many letters a second were taken from a fifth on, most blocks being known."""
        (began, taken, _), (ended, all_taken, _) = self._late()[0], self.looks[-1]
        return (all_taken - taken) / max(ended - began, WATCH_SECONDS)

    def _late(self):
        late = [look for look in self.looks if look[1] >= self.letters / 5]
        return late or self.looks[-1:]  # It did not come so far.


def delivered(folder, letters, connections, is_profiled=False) -> Run:
    """Let one worker process deliver the day, and watch it."""
    spawn = multiprocessing.get_context("spawn")
    ours, its = spawn.Pipe()
    with Sink(folder, connections) as sink:
        os.environ["EMAIL_URL"] = f"smtp://127.0.0.1:{sink.port}?connections={connections}"
        worker = spawn.Process(target=work, args=(its, is_profiled))
        worker.start()
        its.close()
        ours.recv()
        process = psutil.Process(worker.pid)

        def spent():
            cpu = {"worker": due_day.cpu_of(process), "sink": sink.cpu()}
            return cpu | {"PostgreSQL": due_day.cpu_of_postgresql()}

        before = spent()
        ours.send("go")
        looks = []
        while not ours.poll(WATCH_SECONDS) or not looks:
            looks.append((time.perf_counter(), sink.count(), process.memory_info().rss))
            if len(looks) % LOOKS_AT_POSTGRESQL == 0:
                due_day.cpu_of_postgresql()
        seconds = ours.recv()
        cpu = {who: spent - before[who] for who, spent in spent().items()}
        ours.send("thanks")
        worker.join()
        return Run(letters, seconds, cpu, looks, sink.count())


# ---- The proof


def _check(run: Run) -> bool:
    """Tell whether each letter was delivered once, with its ledger. Return whether all is so."""
    from django.db import connection

    from digest import promises
    from subscriptions.models import Letter
    from subscriptions.post import clock

    accepted = Letter.objects.filter(state=Letter.State.ACCEPTED).count()
    early, late = run.grown()
    checks = {
        "each letter is accepted": accepted == run.letters,
        "none is left": not Letter.objects.open().exists(),
        "every invariant holds": not any(
            found.count for found in promises.examine(clock.of_database())
        ),
        "the sink took each once": run.taken == run.letters,
        "memory is flat within a fifth": late <= early * FLAT,
    }
    connection.close()
    print()
    for said, is_so in checks.items():
        print(f"{'yes' if is_so else 'NO':>5}  {said}")
    return all(checks.values())


if __name__ == "__main__":
    if not shutil.which("smtp-sink"):
        sys.exit("smtp-sink and smtp-source, of Postfix, are not installed.")
    main()
