"""How fast a due day is delivered, next to the fastest that this machine's SMTP can be.

    uv run python -m tests.benchmarks.delivering PAPERS.jsonl.gz [--letters 50000] [--profile]

PAPERS is a file as `import_papers` reads it; its last are the day's papers. Their digests are
planned in a PostgreSQL database of their own. Then, in turn, `smtp-source -d` sends as many
messages of their size, one worker process composes and delivers them all with the whole ledger
kept, and `smtp-source` sends again: each to a fresh `smtp-sink` on loopback, over as many
connections. What the sink counts is the proof. Unsigned.

Nothing else should run meanwhile: all of them share the cores. Fails where a check does.
"""

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
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import django
import psutil

from tests.benchmarks import due_day
from tests.faults.ports import free_port
from tests.servers.postfix import wait_until

PICKS = 5  # A digest of so many papers takes about 23 kB.
NEW = 800  # Papers of the day: about as many as arXiv announces. Each is rendered once.
SAMPLE = 100  # Emails sent in the usual way.
WATCH_SECONDS = 0.05


def main():
    options = due_day.options(
        __doc__, "papers", letters=2_000, connections=50, picks=PICKS, new=NEW, profile=False
    )
    with due_day.installation(BOUNCE_ADDRESS="bounces@papers.example.org") as folder:
        is_well = _compare(options, folder)
    sys.exit(0 if is_well else 1)


def _compare(options, folder) -> bool:
    """Run all that is compared, and tell. Return whether the checks hold."""
    _load(options)
    print_settings()
    usual = sent_as_usual(folder)
    load = options.letters, usual.octets, options.connections
    before = source_rate(folder, *load)
    run = delivered(folder, options.letters, options.connections, options.profile)
    after = source_rate(folder, *load)
    print_rates(
        {
            "smtp-source -d, before": before,
            "one worker": run.rate,
            "the usual way": usual.rate,
            "smtp-source -d, after": after,
        }
    )
    each = ", ".join(f"{who} {cpu / run.letters * 1e6:,.0f}" for who, cpu in run.cpu.items())
    print(f"\nCPU, µs a letter: {each}; the worker's memory: {run.memory / 1e6:,.0f} MB at most")
    return _check(run)


def _load(options):
    """Load the day."""
    from django.utils import timezone

    from digest.models import Pick

    started = time.perf_counter()
    papers = due_day.read(options.papers)[-options.new :]
    planning = due_day.load(papers, options.letters, options.picks, now=timezone.now())
    loading = time.perf_counter() - started - planning
    picked = Pick.objects.values("paper").distinct().count()
    print(
        f"{options.letters:,} digests, {Pick.objects.count():,} picks of {picked:,} papers, planned"
        f" in {planning:.1f} s, all else loaded in {loading:.1f}"
    )


def print_settings():
    from django.db import connection

    names = ["server_version", "fsync", "synchronous_commit", "full_page_writes", "autovacuum"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [names])
        found = dict(cursor.fetchall())
    print("PostgreSQL:", ", ".join(f"{name} {found[name]}" for name in names))
    if "off" in (found["fsync"], found["synchronous_commit"]):
        print("A COMMIT DOES NOT WAIT FOR THE DISK HERE: the rates are too good.")


def print_rates(rates: dict[str, float]) -> None:
    """Tell rates, and their ratios to the mean of the first and the last."""
    first, *_, last = rates.values()
    print(f"\n{'':42} a second   ratio")
    for name, rate in rates.items():
        print(f"{name:42}{rate:>9,.0f}{2 * rate / (first + last):>8.3f}")


# ---- The server, and the fastest client


class Sink:
    """Postfix's smtp-sink on a free port: it takes everything and counts it."""

    def __init__(self, folder: Path, connections: int = 1):
        self._said = folder / "sink"
        self._most = max(256, connections + 10)

    def __enter__(self):
        self.port = free_port()
        command = ["smtp-sink", "-c", "-m", str(self._most)]
        if os.geteuid() == 0:
            command += ["-u", pwd.getpwnam("nobody").pw_name]
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                [*command, f"127.0.0.1:{self.port}", "100"], stdout=said
            )
        wait_until(self._listens)
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()

    def _listens(self):
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True

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


def sent_as_usual(folder) -> SimpleNamespace:
    """Render and send some digests one by one, as a Django project does. Return the rate,
    and for each email the seconds of CPU and the octets that it has where the product sends it.
    """
    from django.core.mail import EmailMultiAlternatives
    from django.core.mail.backends.smtp import EmailBackend
    from django.utils import timezone

    from digest.letters.compose import load_each
    from subscriptions.mail import render
    from subscriptions.models import Letter
    from tests.factories.reference_letter import alone

    letters = Letter.objects.filter(kind="digest", digest__picks__position=1).order_by("-pk")
    letters, made = list(letters.select_related("subscriber")[:SAMPLE]), []
    with Sink(folder) as sink:
        backend = EmailBackend(alias="usual", host="127.0.0.1", port=sink.port)
        started, cpu = time.perf_counter(), time.process_time()
        for letter in letters:
            content, to = alone(*load_each([letter])), [letter.subscriber.email]
            about = {"to": to, "headers": dict(content.headers)}
            message = EmailMultiAlternatives(content.subject, content.text, **about)
            message.attach_alternative(content.html, "text/html")
            backend.send_messages([message])
            made.append(content)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        assert sink.count() == len(letters)
    about = {"to": "r@example.org", "message_id": "<1@example.org>", "date": timezone.now()}
    octets = sum(len(render.as_bytes(content, **about)) for content in made) // len(made)
    count = len(letters)
    return SimpleNamespace(rate=count / seconds, cpu=cpu / count, octets=octets)


# ---- The worker


def work(pipe, is_profiled):
    """Be the worker: deliver on demand, and report how long it took."""
    django.setup()
    from subscriptions.delivery import clock, worker

    pipe.send("ready")
    pipe.recv()
    profile = cProfile.Profile() if is_profiled else nullcontext()
    started = time.perf_counter()
    with profile:
        worker.deliver_due(clock.database_now)
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
    memory: int  # Octets of the worker, at most.
    taken: int

    @property
    def rate(self):
        return self.letters / self.seconds


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
        memory = 0
        while not ours.poll(WATCH_SECONDS):
            memory = max(memory, process.memory_info().rss)
        seconds = ours.recv()
        cpu = {who: spent - before[who] for who, spent in spent().items()}
        ours.send("thanks")
        worker.join()
        return Run(letters, seconds, cpu, memory, sink.count())


# ---- The proof


def _check(run: Run) -> bool:
    """Tell whether each letter was delivered once, with its ledger. Return whether all is so."""
    from digest.operations import invariants
    from subscriptions.delivery import clock
    from subscriptions.models import Letter

    accepted = Letter.objects.filter(state=Letter.State.ACCEPTED).count()
    checks = {
        "each letter is accepted": accepted == run.letters,
        "none is left": not Letter.objects.open().exists(),
        "every invariant holds": not any(
            found.count for found in invariants.examine(clock.database_now())
        ),
        "the sink took each once": run.taken == run.letters,
    }
    return print_checks(checks)


def print_checks(checks: dict[str, bool]) -> bool:
    """Tell which of these are so. Return whether all are."""
    print()
    for said, is_so in checks.items():
        print(f"{'yes' if is_so else 'NO':>5}  {said}")
    return all(checks.values())


if __name__ == "__main__":
    if not shutil.which("smtp-sink"):
        sys.exit("smtp-sink and smtp-source, of Postfix, are not installed.")
    main()
