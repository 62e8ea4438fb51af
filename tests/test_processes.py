"""The whole service as it runs in production: PostgreSQL, Redis, web, worker, beat, a mail server.

The processes are started by the very commands of docker-compose.yml; only addresses differ. Nobody
calls a command between signing up and the digest.
"""

import email
import email.policy
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from base64 import b64decode
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen
from uuid import uuid4

import psycopg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from tests.config.environment import ROOT, SERVICES
from tests.faults.ports import free_port
from tests.helpers import services
from tests.servers.postfix import wait_until

pytestmark = [pytest.mark.services, pytest.mark.slow]

SAMPLES = ROOT / "digest" / "samples" / "computer-science.jsonl"
PAPERS = [json.loads(line) for line in SAMPLES.read_text().splitlines()]
SUBSCRIBER = "Reader+Of.Papers@example.org"
#: What no log, no message and nothing in Redis may hold.
PASSWORDS = [f"hush-{of}-{uuid4().hex}" for of in ("database", "mail", "panel", "key")]


class Installation:
    """The services of docker-compose.yml as processes of this machine, each with its log."""

    def __init__(self, folder, environment, addresses):
        self.folder = folder
        self.environment = environment
        self.addresses = addresses
        self.running = {}

    def start(self, name):
        """Start a service. Its process group is its own, and dies with the test."""
        with self._log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                self._command(name), **self._around(name), stdout=log, stderr=log
            )

    def run(self, name):
        """Run a service that ends, to its end."""
        self.start(name)
        assert self.running[name].wait(timeout=120) == 0, f"{name} failed"
        del self.running[name]

    def kill(self, name):
        """SIGKILL the service with all its children, as a machine without memory does."""
        process = self.running.pop(name)
        with suppress(ProcessLookupError):  # One that ended by itself.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)

    def call(self, *command):
        """Run a command in the worker's surroundings."""
        with self._log(command[0]).open("ab") as log:
            subprocess.run(
                command, **self._around("worker"), stdout=log, stderr=log, timeout=120, check=True
            )

    def hint(self, task):
        """Send a task without arguments, as beat does."""
        self.call("celery", "-A", "config", "call", task, "--queue", "tick")

    def is_healthy(self, name):
        """Ask as docker-compose.yml says that a service is to be asked."""
        check = SERVICES[name]["healthcheck"]["test"]
        command = check[1:] if isinstance(check, list) else ["sh", "-c", check.replace("$$", "$")]
        try:
            self.call(*map(self._here, command))
        except subprocess.CalledProcessError:
            return False
        return True

    def logs(self):
        """Return what each process has printed, by name."""
        return {log.stem: log.read_text() for log in sorted(self.folder.glob("*.log"))}

    def close(self):
        for name in reversed(list(self.running)):
            self.kill(name)
        for name, text in self.logs().items():  # Shown by pytest where the test failed.
            print(f"\n==== {name}\n{text}")  # noqa: T201

    def _command(self, name):
        command = shlex.split(self._here(SERVICES[name]["command"]))
        if name == "redis":
            port = self.environment["CELERY_BROKER_URL"].rpartition(":")[2].partition("/")[0]
            command += ["--bind", "127.0.0.1", "--port", port, "--dir", str(self.folder)]
        return command

    def _here(self, text):
        """Return the text with the addresses and paths that hold in this test."""
        for address, ours in self.addresses.items():
            text = text.replace(address, ours)
        return text

    def _around(self, name):
        """Return where a service runs and with which variables: ours in place of its addresses."""
        variables = {**SERVICES[name].get("environment", {}), **self.environment}
        assert not [value for value in variables.values() if "${" in value]
        return {"cwd": ROOT, "env": variables, "start_new_session": True}

    def _log(self, name):
        return self.folder / f"{name}.log"


class Sink:
    """A mail server that keeps what it accepts."""

    def __init__(self):
        self.arrived = []

    async def handle_DATA(self, server, session, envelope):
        self.arrived.append((envelope.rcpt_tos, envelope.original_content))
        return "250 OK"

    def letters(self, kind):
        """Return what arrived, parsed: the letters that ask to confirm, or those with papers."""
        marks = {"confirm": "/confirm/", "digest": "data-paper-id="}
        parsed = [
            email.message_from_bytes(content, policy=email.policy.default)
            for _, content in self.arrived
        ]
        return [letter for letter in parsed if marks[kind] in html_of(letter)]


@contextmanager
def new_database():
    """Make a database that is thrown away at last, and yield its name."""
    services.require("postgresql")
    name = f"paperboy_{uuid4().hex}"
    with psycopg.connect(f"{services.POSTGRESQL}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield name
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def sink():
    sink = Sink()
    options = {"authenticator": lambda *_: AuthResult(success=True), "auth_require_tls": False}
    controller = Controller(sink, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    sink.port = controller.port
    yield sink
    controller.stop()


def installation_in(folder, database, mail_port):
    """Return an installation with everything but its processes."""
    services.require("redis-server")
    port = free_port()
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment["HOSTNAME"] = socket.gethostname()  # As in a container.
    environment |= {"PYTHONUNBUFFERED": "1", "LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG"}
    environment |= {"SITE_URL": f"http://127.0.0.1:{port}", "ALLOWED_HOSTS": "127.0.0.1"}
    environment |= {"SECRET_KEY": PASSWORDS[3], "DATA_DIR": str(folder / "data")}
    environment["SOURCES"] = ""  # Nothing is fetched: the papers are imported.
    environment["CELERY_BROKER_URL"] = f"redis://127.0.0.1:{free_port()}/0"
    environment["EMAIL_URL"] = f"smtp://postman:{PASSWORDS[1]}@127.0.0.1:{mail_port}?tls=none"
    # It asks for no password.
    database_url = f"{services.POSTGRESQL}/{database}".replace("@", f":{PASSWORDS[0]}@")
    environment["DATABASE_URL"] = database_url
    addresses = dict.fromkeys(["0.0.0.0:8000", "127.0.0.1:8000"], f"127.0.0.1:{port}")
    addresses["/tmp/beat-schedule"] = str(folder / "beat-schedule")
    return Installation(folder, environment, addresses)


@pytest.fixture(scope="module")
def open_installation(tmp_path_factory, sink):
    """An installation with its papers of today, and with all that serves subscribers but beat."""
    folder = tmp_path_factory.mktemp("installation")
    papers = folder / "papers.jsonl"
    papers.write_text(
        "".join(json.dumps(paper | {"date": "2025-06-07"}) + "\n" for paper in PAPERS)
    )
    with (
        new_database() as database,
        closing(installation_in(folder, database, sink.port)) as installation,
    ):
        installation.start("redis")
        installation.run("migrate")
        today = str(datetime.now(UTC).date())
        installation.call("python", "manage.py", "import_papers", str(papers), "--shift-to", today)
        installation.start("web")
        installation.start("worker")
        wait_until(lambda: answers(installation), 30)
        yield installation


def test_subscriber_gets_one_digest_after_signing_up(open_installation, sink):
    open_installation.start("beat")
    subscribe = f"{open_installation.environment['SITE_URL']}/subscribe/"
    post(subscribe, email=SUBSCRIBER, interests="graph neural networks")
    wait_until(lambda: sink.arrived, 60)
    [letter] = sink.letters("confirm")
    text = letter.get_body(["plain"]).get_content()
    confirm_url = re.search(r"http://127\.0\.0\.1:\d+/confirm/\S+/", text)[0]
    post(confirm_url)
    wait_until(lambda: sink.letters("digest"), 100)

    wait_until(lambda: states(open_installation) == ["accepted", "accepted"], 10)
    assert [to for to, _ in sink.arrived] == [[SUBSCRIBER], [SUBSCRIBER]]
    [digest] = sink.letters("digest")
    known = {paper["id"]: paper for paper in PAPERS}
    papers = [known[id] for id in re.findall(r'data-paper-id="([^"]+)"', html_of(digest))]
    assert len(papers) > 3
    assert all("graph" in f"{paper['title']} {paper['abstract']}".lower() for paper in papers)
    assert all(open_installation.is_healthy(name) for name in ("web", "worker", "beat"))
    links = set(re.findall(r"http://127\.0\.0\.1:\d+/[a-z]+/([\w.~-]{60,})/", html_of(digest)))
    request_every_page(open_installation, links)

    lines = {  # Celery's banner is no object.
        name: [json.loads(line) for line in log.splitlines() if line.startswith("{")]
        for name, log in open_installation.logs().items()
    }
    assert any("POST /subscribe/: 200" in line["message"] for line in lines["web"])
    assert all(
        line.get("request") for line in lines["web"] if line["logger"] == "config.log_format"
    )
    assert any(line["logger"] == "gunicorn.error" for line in lines["web"])
    assert any(line.get("task") for line in lines["worker"])
    assert lines["beat"]

    said = "\n".join(open_installation.logs().values()) + redis_contents(open_installation)
    secrets = [SUBSCRIBER, confirm_url.split("/")[-2], *links, *PASSWORDS]
    assert [secret for secret in secrets if secret.lower() in said.lower()] == []


def test_sign_up_without_redis_keeps_the_letter(open_installation, sink):
    subscribe = f"{open_installation.environment['SITE_URL']}/subscribe/"
    post(subscribe, email="first@example.org")  # From here on, web holds a connection to Redis.
    wait_until(lambda: set(states(open_installation)) == {"accepted"}, 60)
    before = states(open_installation)
    open_installation.kill("redis")
    began = time.monotonic()
    post(subscribe, email="second@example.org")
    assert time.monotonic() - began < 2
    assert states(open_installation) == [*before, "planned"]

    open_installation.start("redis")
    wait_until(lambda: hinted(open_installation, "subscriptions.tasks.deliver_due_letters"), 10)
    wait_until(lambda: states(open_installation) == [*before, "accepted"], 60)
    assert sink.letters("confirm")[-1]["To"] == "second@example.org"


def request_every_page(installation, tokens):
    """Ask for pages with these tokens, also where they belong to others, and for the panel."""
    site = installation.environment["SITE_URL"]
    for token in tokens:
        for page in ("confirm", "preferences", "unsubscribe", "feedback", "nowhere"):
            with suppress(HTTPError):
                post(f"{site}/{page}/{token}/", email=SUBSCRIBER)
    with suppress(HTTPError):
        post(f"{site}/admin/login/", username=SUBSCRIBER, password=PASSWORDS[2])
    with suppress(HTTPError):
        urlopen(f"{site}/?q={SUBSCRIBER}&next=/confirm/{tokens.copy().pop()}/")


def post(url, **fields):
    with urlopen(url, data=urlencode(fields).encode(), timeout=30) as response:
        assert response.status == 200


def answers(installation):
    try:
        urlopen(f"{installation.environment['SITE_URL']}/healthz/", timeout=5).close()
    except HTTPError as error:
        error.close()
        return False
    except (URLError, TimeoutError):
        return False
    return True


def hinted(installation, task):
    try:
        installation.hint(task)
    except subprocess.CalledProcessError:
        return False
    return True


def states(installation):
    """Return the states of all letters, in the order in which they were written."""
    with psycopg.connect(installation.environment["DATABASE_URL"]) as connection:
        rows = connection.execute("SELECT state FROM subscriptions_letter ORDER BY id").fetchall()
    return [state for (state,) in rows]


def redis_contents(installation):
    """Return all that was ever sent to Redis, with the bodies of messages decoded."""
    files = b"".join(file.read_bytes() for file in installation.folder.glob("appendonlydir/*.aof"))
    bodies = re.findall(rb'"body": "([A-Za-z0-9+/=]+)"', files)
    assert bodies
    return b"\n".join([files, *map(b64decode, bodies)]).decode(errors="replace")


def html_of(letter):
    return letter.get_body(["html"]).get_content()
