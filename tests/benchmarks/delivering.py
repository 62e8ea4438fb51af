"""How fast a due day is delivered, next to the fastest that this machine's SMTP can be.

    uv run python -m tests.benchmarks.delivering PAPERS.jsonl.gz [--letters 50000] [--profile]

PAPERS is a file as `import_papers` reads it; its last are the day's papers. Their digests are
planned in a PostgreSQL database of their own. Then, in turn, `smtp-source -d` sends as many
messages of their size, one worker process composes and delivers them all with the whole ledger
kept, `smtp-source` sends again, and Django sends a sample letter by letter: each to a fresh
`smtp-sink` on loopback, over as many connections. What the sink counts is the proof. Unsigned.

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
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import django
import psutil

from tests.benchmarks import composing, due_day
from tests.benchmarks.sampling import Sampler

PICKS = 5  # A digest of so many papers takes about 23 kB.
NEW = 800  # Papers of the day: about as many as arXiv announces. Each is rendered once.
MEASURED = 500  # Letters composed beforehand, to know how large they are.
SAMPLE = 500  # Letters sent in the usual way, a twentieth of all at most.
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
    _tell_settings(folder)
    load = options.letters, size, options.connections
    before = source_rate(folder, *load)
    run = delivered(folder, options.letters, options.connections, options.profile)
    after = source_rate(folder, *load)
    source = (before + after) / 2
    sample = min(SAMPLE, max(options.letters // 20, 1))
    print(f"\n{'':42}letters/s   ratio")
    _tell_rate("smtp-source -d, before", before, source)
    _tell_rate("one worker", run.rate, source)
    _tell_rate("  in its last four fifths", run.late_rate(), source)
    _tell_rate("smtp-source -d, after", after, source)
    for name, shares in (("a connection each", False), ("one connection", True)):
        rate = usual_rate(folder, sample, shares)
        _tell_rate(f"the usual way, {name}, {sample} letters", rate, source)
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
    """Return how many octets a letter has, of some that lie apart."""
    from django.utils import timezone

    from subscriptions import registry
    from subscriptions.models import Letter
    from subscriptions.post import writing

    ids = list(Letter.objects.order_by("pk").values_list("pk", flat=True))
    some = Letter.objects.filter(pk__in=ids[:: max(len(ids) // MEASURED, 1)])
    letters, now = list(some.select_related("subscriber")), timezone.now()
    contents = registry.composers["digest"](letters, now)
    sizes = []
    for letter, content in zip(letters, contents, strict=True):
        if isinstance(content, Exception):
            raise content
        sizes.append(len(writing.freeze(letter, content, now).mime))
    return sum(sizes) // len(sizes)


def _tell_settings(folder):
    from django.db import connection

    names = ("fsync", "synchronous_commit", "full_page_writes", "autovacuum")
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(names)])
        found = dict(cursor.fetchall())
        cursor.execute("SHOW server_version")
        version = cursor.fetchone()[0].split()[0]
    told = ", ".join(f"{name} {found[name]}" for name in names)
    print(f"PostgreSQL {version}: {told}; the journal on {_filesystem(folder)}")
    if "off" in (found["fsync"], found["synchronous_commit"]):
        print("A COMMIT DOES NOT WAIT FOR THE DISK HERE: the rates are too good.")
    connection.close()


def _filesystem(folder):
    """Return the kind of file system that the folder is on: on tmpfs, nothing has to be synced."""
    mounts = [
        mount
        for mount in psutil.disk_partitions(all=True)
        if folder.is_relative_to(mount.mountpoint)
    ]
    return max(mounts, key=lambda mount: len(mount.mountpoint)).fstype


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
        return _cpu(psutil.Process(self._process.pid))


def source_rate(folder, letters, size, connections) -> float:
    """Return how many messages a second smtp-source sends."""
    command = ["smtp-source", "-d", "-l", str(size), "-m", str(letters), "-s", str(connections)]
    with Sink(folder, connections) as sink:
        started = time.perf_counter()
        subprocess.run([*command, f"127.0.0.1:{sink.port}"], check=True)
        seconds = time.perf_counter() - started
        assert sink.count() == letters
    return letters / seconds


def _cpu(process):
    times = process.cpu_times()
    return times.user + times.system


# ---- The worker


def deliver_everything() -> Counter:
    """Deliver all that is due, as a worker does."""
    from subscriptions.post import clock, delivery

    return delivery.deliver_due(clock.of_database)


def work(pipe, is_profiled):
    """Be the worker: deliver when told to, and tell how long it took and where the time went."""
    django.setup()
    pipe.send("ready")
    pipe.recv()
    profile, sampler = cProfile.Profile(), Sampler()
    started = time.perf_counter()
    if is_profiled:
        profile.runcall(deliver_everything)
    else:
        with sampler:
            deliver_everything()
    pipe.send((time.perf_counter() - started, sampler.parts))
    pipe.recv()  # Until then, what this process and its database connection took can be read.
    if is_profiled:
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        pstats.Stats(profile).sort_stats("cumtime").print_stats(45)


@dataclass
class Look:
    """How a run stood at a moment: how many letters had been taken, and the octets resident."""

    at: float
    taken: int
    resident: int

    @classmethod
    def at_once(cls, process, sink):
        return cls(time.perf_counter(), sink.count(), process.memory_info().rss)


@dataclass
class Run:
    """What became of a worker's run."""

    letters: int
    seconds: float
    parts: Counter[str]
    cpu: dict[str, float]  # Seconds, by whom they were spent.
    looks: list[Look]
    taken: int

    @property
    def rate(self):
        return self.letters / self.seconds

    def tell(self):
        whole = self.seconds / self.letters * 1e6
        print(f"\nOf the worker's {whole:,.0f} µs a letter:")
        for part, count in self.parts.most_common():
            share = count / self.parts.total()
            print(f"{share:8.1%}{share * whole:>9,.1f} µs  {part}")
        told = ", ".join(
            f"{who} {spent / self.letters * 1e6:,.0f}" for who, spent in self.cpu.items()
        )
        print(f"CPU, µs a letter: {told}")
        early, late = self.grown()
        print(
            f"memory: {early / 1e6:,.0f} MB at a fifth of the letters, at most {late / 1e6:,.0f} MB"
            f" from there to the last"
        )

    def grown(self):
        """Return what was resident at a fifth of the letters, and at most from there on."""
        late = self._late()
        return late[0].resident, max(look.resident for look in late)

    def late_rate(self):
        """Return how many letters a second were taken from a fifth on, most blocks being known."""
        first, last = self._late()[0], self.looks[-1]
        return (last.taken - first.taken) / max(last.at - first.at, WATCH_SECONDS)

    def _late(self):
        late = [look for look in self.looks if look.taken >= self.letters / 5]
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
        before = _spent(process, sink)
        ours.send("go")
        looks = _watched(ours, process, sink)
        seconds, parts = ours.recv()
        cpu = {who: spent - before[who] for who, spent in _spent(process, sink).items()}
        ours.send("thanks")
        worker.join()
        return Run(letters, seconds, parts, cpu, looks, sink.count())


def _watched(pipe, process, sink) -> list[Look]:
    """Look at the worker until it has something to say. Raises EOFError where it dies."""
    looks = []
    while not pipe.poll(WATCH_SECONDS):
        looks.append(Look.at_once(process, sink))
        if len(looks) % LOOKS_AT_POSTGRESQL == 0:
            _cpu_of_postgresql()
    return [*looks, Look.at_once(process, sink)]


def _spent(worker, sink):
    """Return what was spent so far: by PostgreSQL, in what serves this database and in all else."""
    return {"worker": _cpu(worker), "PostgreSQL": _cpu_of_postgresql(), "sink": sink.cpu()}


#: What each process of PostgreSQL had spent when last seen: a session may end before the run does.
_spent_by: dict[int, float] = {}


def _cpu_of_postgresql():
    name = os.environ["DATABASE_URL"].rpartition("/")[2]
    ours = re.compile(rf"{name}|walwriter|checkpointer|background writer")
    for process in psutil.process_iter(["name", "cmdline"]):
        words = process.info["cmdline"] or []  # None: it ended a moment ago.
        if process.info["name"] == "postgres" and ours.search(" ".join(words)):
            with suppress(psutil.NoSuchProcess):
                _spent_by[process.pid] = _cpu(process)
    return sum(_spent_by.values())


# ---- The usual way


def usual_rate(folder, count, shares_connection) -> float:
    """Return how many letters a second Django sends that renders, inlines and sends each."""
    from django.core.mail import mailers
    from django.test import override_settings

    from digest.models import Digest

    digests = Digest.objects.select_related("subscriber").order_by("pk")[:count]
    _usual_message(digests[0])  # The first one waits for imports.
    with Sink(folder) as sink, override_settings(MAILERS=_mailers(sink.port)):
        started = time.perf_counter()
        if shares_connection:
            with mailers.default as connection:
                for digest in digests:
                    connection.send_messages([_usual_message(digest)])
        else:
            for digest in digests:
                _usual_message(digest).send()
        seconds = time.perf_counter() - started
        assert sink.count() == count
    return count / seconds


def _mailers(port):
    backend = "django.core.mail.backends.smtp.EmailBackend"
    return {"default": {"BACKEND": backend, "OPTIONS": {"host": "127.0.0.1", "port": port}}}


def _usual_message(digest):
    from django.core.mail import EmailMultiAlternatives

    from digest.composing import gather
    from tests.letters_alone import alone

    (material,) = gather([digest])
    content = alone(material)
    headers = dict(content.headers)
    sender, reader = headers.pop("From"), digest.subscriber.email
    message = EmailMultiAlternatives(
        content.subject, content.text, sender, [reader], headers=headers
    )
    message.attach_alternative(content.html, "text/html")
    return message


# ---- The proof


def _check(run: Run) -> bool:
    """Tell whether each letter was delivered once, with its ledger. Return whether all is so."""
    from django.db import connection

    from subscriptions.models import Letter

    accepted = Letter.objects.filter(state=Letter.State.ACCEPTED).count()
    early, late = run.grown()
    checks = {
        "each letter is accepted": accepted == run.letters,
        "none is left": not Letter.objects.open().exists(),
        "each has its four events, in order": _stories() == [(WHOLE_STORY, run.letters)],
        "the sink took each once": run.taken == run.letters,
        "memory is flat within a fifth": late <= early * FLAT,
    }
    connection.close()
    print()
    for said, is_so in checks.items():
        print(f"{'yes' if is_so else 'NO':>5}  {said}")
    return all(checks.values())


WHOLE_STORY = "planned claimed transmitting accepted"


def _stories():
    """Return the sequences of events that letters have, and how many letters have each."""
    from django.db import connection

    sql = """
        SELECT story, count(*) FROM (
            SELECT string_agg(became, ' ' ORDER BY id) AS story
            FROM subscriptions_letterevent GROUP BY letter_id
        ) AS stories GROUP BY story
    """
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


if __name__ == "__main__":
    if not shutil.which("smtp-sink"):
        sys.exit("smtp-sink and smtp-source, of Postfix, are not installed.")
    main()
