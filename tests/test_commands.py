"""The commands, as operators call them."""

import email.policy
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from email.parser import BytesParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, InternalError, OperationalError, connection
from django.http import HttpResponse

from digest import embedded, fitting, starter
from digest.management.commands import demo, sending
from digest.models import Digest, Paper
from subscriptions import signup, tasks
from subscriptions.models import Letter, Subscriber, Topic
from subscriptions.wishes import Wishes
from tests import make, services
from tests.make import NOW

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.django_db
def test_the_demo_delivers_a_confirmed_subscribers_digest_and_tells_where(outbox, capsys, data_dir):
    call_command("demo", no_serve=True)

    confirm, digest = outbox()
    assert confirm["To"] == digest["To"] == "demo@paperboy.example"
    assert digest.get_body(("html",)).get_content().count("data-paper-id=") == 10
    out = capsys.readouterr().out
    password = (data_dir / "admin-password").read_text().strip()
    assert f"/admin/, user admin, password {password}" in out
    assert (data_dir / "admin-password").stat().st_mode & 0o777 == 0o600


@pytest.mark.django_db
def test_the_demo_again_the_same_day_sends_nothing_more(outbox):
    call_command("demo", no_serve=True)
    first = [letter["Message-ID"] for letter in outbox()]
    call_command("demo", no_serve=True)
    assert [letter["Message-ID"] for letter in outbox()] == first


@services.once
@pytest.mark.django_db
def test_the_demo_goes_on_where_it_was_killed_before_she_confirmed(outbox):
    wishes = Wishes(interests=demo.INTERESTS)
    signup.subscribe(demo.ADDRESS, wishes, timezone="UTC", hour=7, door=demo.DOOR, now=NOW)
    call_command("demo", no_serve=True)
    assert Subscriber.objects.get().state_at(NOW) == "active"
    assert len(outbox()) == 2


@pytest.mark.django_db
def test_the_demo_on_another_day_sends_that_days_digest(outbox, clock):
    call_command("demo", no_serve=True)
    clock.now = NOW + timedelta(days=1)
    call_command("demo", no_serve=True)
    assert Digest.objects.count() == 2
    assert len(outbox()) == 3


@services.once
@pytest.mark.django_db
def test_the_demo_on_a_day_that_has_just_begun_says_when_its_digest_comes(outbox, clock, capsys):
    clock.now = NOW.replace(hour=23, minute=50)
    call_command("demo", no_serve=True)
    clock.now += timedelta(minutes=20)
    capsys.readouterr()
    call_command("demo", no_serve=True)
    assert len(outbox()) == 2
    told = "Today's digest:  none yet: it comes at 2026-06-02 05:50 UTC, hours after the last"
    assert told in capsys.readouterr().out


@pytest.mark.django_db
def test_tick_with_a_moment_plans_and_sends_as_if_it_were_now(outbox):
    make.paper("Graphs", day=NOW.date() + timedelta(days=20))
    make.subscriber("reader@example.org", interests="graphs", next_due_at=NOW + timedelta(days=20))
    call_command("tick", now=NOW)
    assert outbox() == []
    call_command("tick", now=NOW + timedelta(days=20))
    (letter,) = outbox()
    assert letter["Date"].datetime == NOW + timedelta(days=20)


@pytest.mark.django_db
def test_tick_takes_up_letters_whose_worker_died(outbox):
    make.paper("Graphs")
    make.subscriber(interests="graphs")
    call_command("tick", now=NOW)
    Letter.objects.update(state="claimed", attempt=2, lease_until=NOW, ended_at=None)
    call_command("tick", now=NOW + timedelta(minutes=20))
    call_command("tick", now=NOW + timedelta(minutes=60))
    assert Letter.objects.get().state == "accepted"


@pytest.mark.django_db
def test_a_dry_run_says_what_would_be_done_and_writes_nothing(outbox, capsys):
    make.paper("Graphs")
    make.subscriber(interests="graphs")
    make.subscriber(interests="bread")
    call_command("tick", now=NOW, dry_run=True)
    assert "2 subscribers are due: 1 digests would be planned, 1 would" in capsys.readouterr().out
    assert not Digest.objects.exists()
    assert not fitting.FittedModel.objects.exists()
    assert outbox() == []


@pytest.mark.parametrize("command", ["tick", "reconcile"])
def test_a_dry_run_makes_no_database(data_dir, command):
    refused = run_alone(data_dir, command, "--dry-run")
    assert refused.returncode == 1
    assert "There is no database yet: run `manage.py upgrade`." in refused.stderr
    assert [file.name for file in data_dir.iterdir()] == ["secret-key"]


@pytest.mark.django_db
def test_digest_shows_scores_and_reasons_and_sends_nothing(outbox, capsys, tmp_path):
    make.paper("Graph [bold]networks[/bold]")
    make.subscriber("reader@example.org", interests="graph networks")
    target = tmp_path / "digest.eml"

    call_command("digest", "Reader@Example.org", output=target)

    out = capsys.readouterr().out
    assert "1. Graph [bold]networks[/bold]" in out
    assert "weighed most: graph, networks" in out
    message = BytesParser(policy=email.policy.default).parsebytes(target.read_bytes())
    assert message["To"] == "reader@example.org"
    assert outbox() == []
    assert not Digest.objects.exists()


@pytest.mark.django_db
def test_digest_of_a_day_that_was_planned_shows_what_was_planned(capsys):
    make.paper("Graphs")
    make.subscriber("reader@example.org", interests="graphs")
    call_command("tick", now=NOW)
    call_command("digest", "reader@example.org")
    assert "its letter: sent" in capsys.readouterr().out


@pytest.mark.django_db
def test_digest_for_an_unknown_address_says_so():
    with pytest.raises(CommandError, match="no subscriber with this address"):
        call_command("digest", "nobody@example.org")


@pytest.mark.django_db
@pytest.mark.parametrize("file", ["", "no/such/folder/letter.eml"])
def test_digest_says_where_it_cannot_write(file, tmp_path):
    make.subscriber("you@example.org")
    with pytest.raises(CommandError, match="can't be written"):
        call_command("digest", "you@example.org", output=tmp_path / file)


@pytest.mark.django_db
@pytest.mark.parametrize("command", ["demo", "serve"])
def test_nothing_is_made_or_promised_where_the_port_is_taken(command, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CommandError, match=f"Port {port} .* Choose another with --port"):
            call_command(command, port=port)
    assert capsys.readouterr().out == ""
    assert not Topic.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("command", ["demo", "serve"])
def test_nobody_takes_the_port_while_what_is_served_there_is_made(command, monkeypatch):
    port = free_port()

    def take_it():
        assert not is_free(port)
        raise KeyboardInterrupt

    monkeypatch.setenv("SITE_URL", "http://127.0.0.1:8000")  # Or the links of other tests change.
    monkeypatch.setattr(starter, "make_topics", take_it)
    with pytest.raises(KeyboardInterrupt):
        call_command(command, port=port)
    wait_for(lambda: is_free(port), 10)  # Somebody else may happen to have got it for a moment.


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["serve", "--port", "99999"], "no port"),
        (["demo", "--port", "0"], "no port"),
        (["doctor", "--send-to", "nobody"], "doesn’t look like an email address"),
        (["import_papers", "some.jsonl", "--shift-to", "0001-01-01"], "from 1900 to 2999"),
        (["digest", "you@example.org", "--date", "9999-12-31"], "from 1900 to 2999"),
        (["tick", "--now", "0001-01-01T00:00Z"], "from 1900 to 2999"),
    ],
)
def test_an_argument_that_can_be_none_is_refused_with_a_sentence(arguments, answer):
    with pytest.raises(CommandError, match=answer):
        call_command(*arguments)


@pytest.mark.django_db
def test_the_doctor_says_what_to_do_and_is_content_after_the_demo(capsys):
    with pytest.raises(CommandError, match="1 thing needs doing"):
        call_command("doctor")
    assert "`manage.py harvest` fetches the first" in capsys.readouterr().out
    call_command("demo", no_serve=True)
    call_command("doctor", check_promises=True)
    assert "✗" not in capsys.readouterr().out


def refuse_all(*args):
    raise OperationalError('connection to server failed:\n\tdatabase "papers" does not exist')


@pytest.mark.django_db
def test_the_doctor_says_why_the_database_is_away_and_asks_it_for_no_promises(capsys):
    with (
        connection.execute_wrapper(refuse_all),
        pytest.raises(CommandError, match="1 thing needs doing"),
    ):
        call_command("doctor", check_promises=True)
    assert 'failed: database "papers" does not exist).' in capsys.readouterr().out


@pytest.mark.django_db
def test_a_command_says_why_the_database_is_away(settings):
    settings.IS_PUBLIC = True
    with (
        connection.execute_wrapper(refuse_all),
        pytest.raises(CommandError, match='database "papers" does not exist'),
    ):
        call_command("sending")


@pytest.mark.django_db
def test_an_upgrade_of_a_database_that_is_away_ends_with_a_sentence():
    with (
        connection.execute_wrapper(refuse_all),
        pytest.raises(CommandError, match="does not answer"),
    ):
        call_command("upgrade")


@pytest.mark.django_db
def test_the_doctor_tells_when_a_promise_is_broken(capsys):
    call_command("demo", no_serve=True)
    Letter.objects.filter(kind="digest").update(repeats=2)
    number = Letter.objects.get(kind="digest").pk
    with pytest.raises(CommandError):
        call_command("doctor", check_promises=True)
    said = f"✗ at most one repeat of a letter: broken by 1 row (letter {number})"
    assert said in capsys.readouterr().out


@pytest.mark.django_db
def test_the_doctor_tells_when_the_mail_server_does_not_answer(settings, capsys):
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    with pytest.raises(CommandError):
        call_command("doctor", send_to="you@example.org")
    out = capsys.readouterr().out
    assert "✗ mail server:  127.0.0.1:1: ConnectionRefusedError" in out
    assert "✗ test letter:  deferred at connect" in out


@services.once
@pytest.mark.django_db
def test_starter_topics_are_made_once_and_never_over_what_the_house_has():
    call_command("demo", no_serve=True)
    assert Topic.objects.curated().filter(categories=[]).count() >= 12
    assert Topic.objects.curated().exclude(categories=[]).count() >= 140
    kept = ["graph-learning", "arxiv-cs-lg"]
    Topic.objects.curated().exclude(slug__in=kept).delete()
    call_command("demo", no_serve=True)
    assert sorted(Topic.objects.curated().values_list("slug", flat=True)) == sorted(kept)


@services.once
@pytest.mark.django_db
def test_each_starter_topic_finds_papers_among_the_samples():
    from digest import editions
    from digest.ranking import choice

    call_command("demo", no_serve=True)
    Paper.objects.update(day=NOW.date(), changed_at=NOW + timedelta(seconds=1))
    issue = editions.issue_of(NOW.date(), NOW)
    found = {
        topic.slug: len(
            choice.matches(issue.model, issue.edition, choice.Interest("", topic.query), 50)
        )
        for topic in Topic.objects.curated().filter(categories=[])
    }
    assert min(found.values()) >= 1, found


@pytest.mark.parametrize("command", ["doctor", "tick", "upgrade"])
def test_a_database_that_cannot_be_opened_is_told_in_a_sentence(tmp_path, command):
    (tmp_path / "paperboy.sqlite3").mkdir()
    run = run_alone(tmp_path, command)
    assert run.returncode == 1
    assert "unable to open database file" in run.stdout + run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("command", ["doctor", "tick", "upgrade"])
def test_a_database_that_is_damaged_is_told_in_a_sentence_that_leads_to_the_backup(
    tmp_path, command
):
    (tmp_path / "paperboy.sqlite3").write_bytes(b"\xff" * 8192)
    run = run_alone(tmp_path, command)
    assert run.returncode == 1
    said = run.stdout + run.stderr
    assert "The database is damaged (file is not a database)" in said
    assert "docs/backup.md" in said
    assert "Traceback" not in run.stderr


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (DatabaseError("database disk image is malformed"), r"is damaged .+ docs/backup\.md"),
        (OperationalError("server closed the connection"), r"does not answer \(server closed"),
        (
            OperationalError("attempt to write a readonly database"),
            r"can't be written \(attempt .+ let the user that runs Paperboy own",
        ),
        (InternalError("cannot execute UPDATE"), r"takes no writes \(cannot .+ docs/runbook\.md"),
    ],
)
def test_a_database_that_fails_amid_a_command_is_told_in_a_sentence(monkeypatch, error, sentence):
    def break_down(*args, **options):
        raise error

    monkeypatch.setattr(sending.Command, "handle", break_down)
    with pytest.raises(CommandError, match=f"The database {sentence}"):
        call_command("sending")


def test_a_service_that_is_told_to_stop_lets_rounds_claim_nothing_more(monkeypatch):
    seen = []
    thread = SimpleNamespace(start=lambda: None, stop=lambda: None, join=lambda patience: None)
    worker = SimpleNamespace(
        start=lambda: None, stop=lambda in_sighandler: seen.append(tasks.is_stopping())
    )
    monkeypatch.setattr(tasks, "_stopping", threading.Event())
    monkeypatch.setattr(embedded, "WorkController", lambda **options: worker)
    monkeypatch.setattr(embedded, "EmbeddedService", lambda *args, **options: thread)
    with embedded.worker_and_beat():
        assert not tasks.is_stopping()
    assert seen == [True]


def test_serve_takes_a_stranger_from_sign_up_to_her_digest(tmp_path):
    """The embedded service as a process, with its own worker and beat, in real time."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DATABASE_URL", "SECRET_KEY", "ALLOWED_HOSTS", "SITE_URL")
    } | {"DATA_DIR": str(tmp_path), "SOURCES": "", "TRUSTED_PROXIES": "1"}
    environment["SITE_NAME"] = "Papers – 论文"  # Which no header can hold as it is.
    port = free_port()
    command = [sys.executable, "manage.py", "demo", "--port", str(port)]
    log = (tmp_path / "log").open("wb")
    service = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    try:
        wait_for(lambda: answers(port), 60)
        assert refuses_a_large_body(port)
        assert sends_no_body_for_head(port)
        with slow_clients(port, 40):  # Many more than it has threads.
            wishes = {"email": "stranger@example.org", "interests": "graph neural networks"}
            post(port, "/subscribe/", **wishes)
        (letter,) = wait_for(lambda: letters_to(tmp_path, "stranger@example.org"), 10)
        text = letter.get_body(("plain",)).get_content()
        post(port, re.search(r"/confirm/\S+", text)[0])
        _, digest = wait_for(lambda: at_least(2, letters_to(tmp_path, "stranger@example.org")), 10)
        assert "data-paper-id=" in digest.get_body(("html",)).get_content()
        os.kill(service.pid, signal.SIGTERM)
        assert service.wait(15) == 0
    finally:
        if service.poll() is None:
            os.killpg(service.pid, signal.SIGKILL)
            service.wait()
        log.close()
    assert "stranger@example.org" not in (tmp_path / "log").read_text()
    with closing(sqlite3.connect(tmp_path / "paperboy.sqlite3")) as database:
        seen = database.execute(
            "SELECT DISTINCT ip FROM subscriptions_consent WHERE ip IS NOT NULL"
        )
        assert seen.fetchall() == [("198.51.100.9",)]


def test_what_serve_answers_to_head_has_no_body_and_is_closed_all_the_same(rf):
    closed = []
    response = HttpResponse("a page")
    response.close = lambda: closed.append(True)
    app = embedded.without_body_for_head(lambda environ, start_response: response)
    assert list(app(rf.head("/").environ, None)) == []
    assert closed == [True]
    assert list(app(rf.get("/").environ, None)) == [b"a page"]


def run_alone(data_dir, *arguments):
    """Run a command in a process of its own, with nothing set but its folder."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        check=False,
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_free(port):
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def wait_for(look, seconds):
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"nothing within {seconds} s"
        time.sleep(0.2)
    return found


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz/", timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def refuses_a_large_body(port):
    """Return whether its mere announcement is refused, so that nothing of it is kept anywhere."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(
            b"POST /subscribe/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 400000000\r\n\r\n"
        )
        return connection.recv(100).startswith(b"HTTP/1.1 413 ")


def sends_no_body_for_head(port):
    """Return whether what comes next on the connection is the answer to the next request."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"HEAD /search/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        connection.sendall(b"HEAD / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        with connection.makefile("rb") as answers:
            _, _, rest = answers.read().partition(b"\r\n\r\n")
    return rest.startswith(b"HTTP/1.1 200 ") and rest.endswith(b"\r\n\r\n")


@contextmanager
def slow_clients(port, count):
    """Let so many clients hang in the middle of their requests."""
    with ExitStack() as stack:
        for n in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            head = b"POST /subscribe/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            connection.sendall(head + b"Content-Length: 9\r\n\r\ne" * (n % 2))
        yield


def post(port, path, **fields):
    body = urllib.parse.urlencode(fields).encode()
    proxied = {"X-Forwarded-For": "6.6.6.6, 198.51.100.9"}
    url = f"http://127.0.0.1:{port}{path}"
    request = urllib.request.Request(url, data=body, headers=proxied, method="POST")
    with urllib.request.urlopen(request, timeout=5) as response:
        assert response.status == 200


def letters_to(data_dir, address):
    parser = BytesParser(policy=email.policy.default)
    files = sorted((data_dir / "outbox").glob("*.eml"), key=lambda f: int(f.stem.split("-")[2]))
    letters = [parser.parsebytes(file.read_bytes()) for file in files]
    return [letter for letter in letters if letter["To"] == address]


def at_least(count, letters):
    return letters if len(letters) >= count else None
