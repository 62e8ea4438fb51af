"""An installation with people who are due, and processes that can be killed one by one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import date
from pathlib import Path
from urllib.request import urlopen
from uuid import uuid4

import psycopg
from celery import Celery
from django.test import override_settings

from tests.config.environment import ROOT
from tests.faults.cluster import Postgres, Redis
from tests.faults.mailserver import MailServer
from tests.faults.ports import free_port
from tests.helpers.statements import statements

PAPERS = 12
PICKS = 3
WORDS = ["graph", "protein", "galaxy", "market", "robot", "vaccine", "glacier", "grammar", "comet"]
SECRET = "a-secret-of-these-tests-and-of-nothing-else"
REST = ("accepted", "skipped", "failed", "missed")
COLUMNS = [
    "state",
    "reason",
    "message_id",
    "repeats",
    "attempt",
    "failed_attempts",
    "mime_size",
    "email",
]

SQL = statements(Path(__file__).with_suffix(".sql"))
PEOPLE, LETTERS = SQL["people"], SQL["letters"]


class Installation:
    """Services and people of one case, in a database of its own."""

    def __init__(self, folder: Path, postgres: Postgres, template: str, mail: MailServer):
        self.folder, self.postgres, self.mail = folder, postgres, mail
        self.redis = Redis(folder)
        self.database = f"case_{uuid4().hex[:12]}"
        postgres.make(self.database, template)
        self.running: dict[str, subprocess.Popen] = {}
        self.environment = self._settings() | {
            "DATABASE_URL": postgres.url(self.database),
            "CELERY_BROKER_URL": self.redis.url,
        }

    def _settings(self):
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        settings = {"PATH": path, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "SOURCES": ""}
        settings |= {"SECRET_KEY": SECRET, "ALLOWED_HOSTS": "127.0.0.1"}
        settings |= {
            "SITE_URL": f"http://127.0.0.1:{free_port()}",
            "EMAIL_URL": self.mail.address(),
        }
        # A worker that is killed leaves its folder in TMPDIR.
        settings |= dict.fromkeys(["FAULT_FOLDER", "TMPDIR"], str(self.folder))
        return settings | {"DATA_DIR": str(self.folder / "data")}

    # ---- Processes

    def start(self, name: str, *command: str, **extra: str) -> None:
        """Start a process in a group of its own, with its output in a log."""
        with (self.folder / f"{name}.log").open("ab") as log:
            how = {"cwd": ROOT, "env": self.environment | extra, "start_new_session": True}
            arguments = command or self._usual(name)
            self.running[name] = subprocess.Popen(arguments, stdout=log, stderr=log, **how)

    def start_all(self, *names: str) -> None:
        for name in names:
            self.start(name)

    def start_web(self, **extra: str) -> None:
        """Start the web server, and wait until it answers."""
        self.start("web", **extra)
        self.wait_for("web", 60, self._answers)

    def _answers(self):
        url = f"{self.environment['SITE_URL']}/healthz/live/"
        with suppress(OSError), urlopen(url, timeout=5) as answer:
            return answer.status == 200

    def _usual(self, name):
        celery = ("celery", "-A", "tests.faults.app")
        if name.startswith("beat"):
            schedule = str(self.folder / f"schedule-{name}")
            return (*celery, "beat", "--schedule", schedule, "--max-interval", "1")
        if name == "web":
            bind = self.environment["SITE_URL"].removeprefix("http://")
            options = f"--bind {bind} --threads 8 --no-control-socket"
            return ("gunicorn", "config.wsgi", *options.split())
        options = "--queues tick,send,ingest --concurrency 1 --loglevel WARNING --without-mingle"
        return (*celery, "worker", *options.split(), "--hostname", f"{name}@installation")

    def signal(self, name: str, number: int) -> None:
        """Signal the process with all its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.running[name].pid, number)

    def kill(self, name: str) -> None:
        """SIGKILL the process with all its children, as a machine without memory does."""
        self.signal(name, signal.SIGKILL)
        self.running.pop(name).wait(timeout=10)

    def revive(self, name: str, **extra: str) -> None:
        """Start a process again where it has died, or where its child has."""
        if self.running[name].poll() is not None:
            self.start(name, **extra)

    def start_workers(self, *names: str, **extra: str) -> None:
        """Start workers, and wait until all listen."""
        before = self.listening()
        for name in names:
            self.start(name, **extra)
        self.wait_for("workers", 60, lambda: self.listening() == before + len(names))

    def listening(self) -> int:
        """Return how many workers wait for a message."""
        return int(self.redis.info("clients")["blocked_clients"])

    def hint(self, task: str, *arguments, times: int = 1, queue: str = "send", **options) -> None:
        """Put messages for a task into a queue, as beat and the web server do."""
        with Celery(broker=self.redis.url, set_as_current=False) as sender:
            sender.conf.broker_transport_options = {"global_keyprefix": "paperboy:"}
            for _ in range(times):
                sender.send_task(task, arguments, queue=queue, **options)

    def tick(self, **extra: str) -> None:
        """One pass without Celery, as cron does it."""
        command = [sys.executable, "-m", "tests.faults.tick"]
        with (self.folder / "tick.log").open("ab") as log:
            subprocess.run(
                command, cwd=ROOT, env=self.environment | extra, stdout=log, stderr=log, timeout=120
            )

    def deliver(self, seconds: float = 60, **extra: str) -> None:
        """Let one process deliver, and another where it dies, until no letter is open."""

        def is_at_rest():
            if "passes" not in self.running or self.running["passes"].poll() is not None:
                self.start("passes", sys.executable, "-m", "tests.faults.tick", "rest", **extra)
            return self._open() == 0

        self.wait_for("rest", seconds, is_at_rest)

    def said(self, name: str) -> str:
        """Return what a process has written into its log so far."""
        return (self.folder / f"{name}.log").read_text()

    def manage(self, *command: str) -> str:
        """Run a command, and return what it said."""
        return run_command(self.environment, *command)

    def import_papers(self, first: int, count: int, day: date) -> None:
        """Store so many papers of a day, numbered from `first` on."""
        file = self.folder / "more.jsonl"
        write_papers(file, range(first, first + count), date=str(day))
        self.manage("import_papers", str(file))

    def close(self) -> None:
        for name in list(self.running):
            self.signal(name, signal.SIGCONT)
            self.kill(name)
        self.redis.close()
        self.postgres.drop(self.database)

    def print_logs(self) -> None:
        for log in sorted(self.folder.glob("*.log")):
            print(f"\n==== {log.name}\n{log.read_text()[-6000:]}")  # noqa: T201

    # ---- People and what became of their letters

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(
            self.environment["DATABASE_URL"], autocommit=True, options="-c datestyle=ISO"
        )

    def ask(self, query: str, *values) -> list[tuple]:
        """Ask the database, which may just be coming back."""
        deadline = time.monotonic() + 30
        while True:
            try:
                with self.connect() as connection:
                    return connection.execute(query, values or None).fetchall()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def invite(self, count: int, address: str = "reader@host-%s.example.org") -> None:
        """Let so many people be due whose digests are planned, each with their own provider."""
        with self.connect() as connection:
            query = "SELECT count(*) FROM subscriptions_subscriber"
            ((first,),) = connection.execute(query).fetchall()
            people = {"address": address, "first": first + 1, "last": first + count}
            connection.execute(PEOPLE, people)
            connection.execute(LETTERS, {"picks": PICKS})

    def welcome(self, count: int, hours: int) -> None:
        """Let so many people, of whom no day is planned, be due for some hours."""
        with self.connect() as connection:
            people = {"address": "reader@host-%s.example.org", "first": 1, "last": count}
            connection.execute(PEOPLE, people)
            connection.execute(SQL["due"], [hours])

    def poison(self, address: str, **fields) -> None:
        """Let the first pick of a subscriber be a paper of their own, with these fields."""
        paper = json.dumps({"id": f"of-{address}"[:100]} | fields)
        with self.connect() as connection:
            connection.execute(SQL["own paper"], [paper])
            assert connection.execute(SQL["own pick"], [paper, address]).rowcount == 1

    def states(self, kind: str = "digest") -> dict[str, int]:
        """Return how many letters are in each state."""
        query = "SELECT state, count(*) FROM subscriptions_letter WHERE kind = %s GROUP BY 1"
        return dict(self.ask(query, kind))

    def letters(self, kind: str = "digest") -> list[dict]:
        """Return the letters of a kind with their subscribers, in the order of their creation."""
        rows = self.ask(
            f"SELECT l.id, {', '.join(COLUMNS)} FROM subscriptions_letter l "
            "JOIN subscriptions_subscriber s ON s.id = subscriber_id WHERE kind = %s ORDER BY l.id",
            kind,
        )
        return [dict(zip(["id", *COLUMNS], row, strict=True)) for row in rows]

    def wait_for(self, what: str, seconds: float, is_so) -> None:
        """Wait until it is so."""
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline, f"{what}: not in {seconds} s; {self.states()}"
            time.sleep(0.1)

    def rest(self, seconds: float = 60) -> None:
        """Wait until no letter is open any more."""
        self.wait_for("rest", seconds, lambda: self._open() == 0)

    def _open(self):
        query = "SELECT count(*) FROM subscriptions_letter WHERE state NOT IN (%s, %s, %s, %s)"
        return self.ask(query, *REST)[0][0]

    def struck(self, point: str) -> int:
        """Return how often a process has died at a point."""
        file = self.folder / f"struck-{point}"
        return file.stat().st_size if file.exists() else 0

    def unsubscribe_url(self, public_id) -> str:
        """Return the address in the letters of a subscriber, as this installation signs it."""
        # Its models need Django ready, which a storm sees to.
        from subscriptions.security import tokens

        with override_settings(SECRET_KEY=SECRET):
            token = tokens.token("unsubscribe", public_id)
        return f"{self.environment['SITE_URL']}/unsubscribe/{token}/"


def make_template(postgres: Postgres, folder: Path) -> str:
    """Make a database with all tables and a few papers, from which each case gets a copy."""
    template = "template_of_cases"
    fill(folder, DATABASE_URL=postgres.make(template))
    return template


def write_papers(file: Path, numbers: Iterable[int], **fields: str) -> None:
    """Write papers as `import_papers` reads them, of which no two are on the same idea."""
    rows = []
    for n in numbers:
        first, second = WORDS[n % len(WORDS)], WORDS[(n // 9 + n + 1) % len(WORDS)]
        texts = {"title": f"On {first} and {second}, part {n}", "abstract": f"Each {first}."}
        rows.append({"id": f"2606.{n:05}"} | texts | fields)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def run_command(environment: dict[str, str], *command: str) -> str:
    how = {"cwd": ROOT, "env": environment, "timeout": 120}
    arguments = [sys.executable, "manage.py", *command]
    done = subprocess.run(arguments, **how, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fill(folder: Path, **where: str) -> None:
    """Make the tables and store a few papers, where the environment says."""
    environment = os.environ | {
        "SECRET_KEY": SECRET,
        "ALLOWED_HOSTS": "x",
        "DATA_DIR": str(folder / "data"),
    }
    papers = folder / "papers.jsonl"
    write_papers(papers, range(PAPERS))
    today = time.strftime("%Y-%m-%d", time.gmtime())
    for command in (["migrate"], ["import_papers", str(papers), "--shift-to", today]):
        run_command(environment | where, *command)
