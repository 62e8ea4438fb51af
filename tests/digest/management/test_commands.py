"""Commands: what they do, and that each says in a sentence what it cannot do."""

import re
import resource
from datetime import timedelta
from email import message_from_bytes

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, InternalError, OperationalError

from digest.indexing import candidate_windows, model_store
from digest.management.commands import demo, sending
from digest.models import Digest, Paper
from digest.ranking.profile import Interest
from digest.ranking.ranking import matches
from subscriptions.delivery import queue
from subscriptions.models import Letter, Topic
from tests.config.environment import manage
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers import services
from tests.helpers.data_files import cases
from tests.servers.smtp import MailServer

CASES = cases("command_errors")

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("arguments", "answer"), CASES["wrong_arguments"])
def test_invalid_arguments_are_explained(arguments, answer):
    with pytest.raises(CommandError, match=answer):
        call_command(*arguments)


@pytest.mark.slow
def test_doctor_finds_no_problems_after_demo(capsys):
    with pytest.raises(CommandError, match="1 problem found"):
        call_command("doctor")
    missing = "recent papers:  none of the last 7 days, so digests are empty: run"
    assert missing in capsys.readouterr().out
    call_command("demo", no_serve=True)
    call_command("doctor", check_invariants=True)
    assert "✗" not in capsys.readouterr().out
    Letter.objects.filter(kind="digest").update(repeats=2)
    number = Letter.objects.get(kind="digest").pk
    with pytest.raises(CommandError):
        call_command("doctor", check_invariants=True)
    violation = f"✗ No email is resent more than once: violated by 1 row (letter {number})"
    assert violation in capsys.readouterr().out


def test_doctor_sends_test_email(settings, capsys, data_dir):
    with pytest.raises(CommandError):  # There are no papers, for one.
        call_command("doctor", send_to="you@example.org")
    (file,) = (data_dir / "outbox").glob("test-*.eml")
    assert b"\r\nList-Unsubscribe: <" in file.read_bytes()
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in file.read_bytes()
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    with pytest.raises(CommandError):
        call_command("doctor", send_to="you@example.org")
    out = capsys.readouterr().out
    assert "✗ mail server:    127.0.0.1:1: ConnectionRefusedError" in out
    assert "✗ test email:     deferred at connect" in out


DAMAGED = r"The database is damaged \(file is not a database\).+docs/maintenance\.md"


@services.once
@pytest.mark.slow
@pytest.mark.parametrize("command", ["doctor", "tick", "upgrade"])
def test_unusable_database_file_is_reported(tmp_path, command):
    file = tmp_path / "paperboy.sqlite3"
    file.mkdir()
    for sentence in ("unable to open database file", DAMAGED):
        run = manage(command, DATA_DIR=str(tmp_path))
        assert run.returncode == 1
        assert re.search(sentence, run.stdout + run.stderr)
        assert "Traceback" not in run.stderr
        if file.is_dir():
            file.rmdir()
            file.write_bytes(b"\xff" * 8192)


DATABASE_ERRORS = [
    (DatabaseError, "database disk image is malformed", r"is damaged .+ docs/maintenance\.md"),
    (OperationalError, "server closed the connection", r"does not answer \(server closed"),
    (
        OperationalError,
        "attempt to write a readonly database",
        r"is not writable \(attempt .+ give",
    ),
    (InternalError, "cannot execute UPDATE", r"is read-only \(cannot .+ docs/maint"),
]


@pytest.mark.parametrize(("kind", "error", "sentence"), DATABASE_ERRORS)
def test_database_failure_during_command_is_reported(monkeypatch, kind, error, sentence):
    def break_down(*args, **options):
        raise kind(error)

    monkeypatch.setattr(sending.Command, "handle", break_down)
    with pytest.raises(CommandError, match=f"The database {sentence}"):
        call_command("sending")


# ---- One subscriber's digest, shown in the terminal or as a message


def test_digest_command_sends_nothing(outbox, capsys, tmp_path):
    make.paper("Graph [bold]networks[/bold]")
    make.subscriber("reader@example.org", interests="graph networks")
    target = tmp_path / "digest.eml"
    call_command("digest", "Reader@Example.org", output=target)
    out = capsys.readouterr().out
    assert "1. Graph [bold]networks[/bold]" in out
    assert "similar:" not in out
    message = message_from_bytes(target.read_bytes())
    assert message["To"] == "reader@example.org"
    assert outbox() == []
    assert not Digest.objects.exists()
    call_command("tick", now=NOW)
    call_command("digest", "reader@example.org")
    assert "planned; email: sent" in capsys.readouterr().out  # What was planned is shown.


# ---- Tick: one pass by hand or by cron, at any moment, or only said


def test_tick_accepts_another_moment(outbox):
    later = NOW + timedelta(days=20)
    make.paper("Graphs", day=later.date())
    make.subscriber("reader@example.org", interests="graphs", next_due_at=later)
    call_command("tick", now=NOW)
    assert outbox() == []
    call_command("tick", now=later)
    (letter,) = outbox()
    since = letter["Date"].datetime - later
    assert timedelta(0) <= since < timedelta(minutes=1)  # The clock goes on while it imports.


def test_dry_run_reports_and_writes_nothing(outbox, capsys):
    make.paper("Graphs")
    make.subscriber(interests="graphs")
    call_command("tick", now=NOW, dry_run=True)
    output = capsys.readouterr().out
    assert "1 digest due: 1 would be planned, 0 would have no matches." in output
    assert "0 queued emails would be sent." in output
    bread = make.subscriber(interests="bread")
    call_command("tick", now=NOW, dry_run=True)
    assert "2 digests due: 1 would be planned, 1 would" in capsys.readouterr().out
    assert not Digest.objects.exists()
    assert not model_store.FittedModel.objects.exists()
    assert outbox() == []
    bread.delete()
    call_command("tick", now=NOW)
    output = capsys.readouterr().out
    assert "Planned 1 digest; 0 had no matches, 0 missed days.\n" in output
    assert "Sent 1 of 1 due email.\n" in output


@services.once
@pytest.mark.slow
def test_dry_run_creates_no_database(data_dir):
    refused = manage("tick", "--dry-run", DATA_DIR=str(data_dir))
    assert refused.returncode == 1
    assert "There is no database yet: run `manage.py upgrade`." in refused.stderr
    assert [file.name for file in data_dir.iterdir()] == ["secret-key"]


def test_tick_sends_when_disk_is_full(settings, data_dir, capsys):
    make.paper("Graph networks")
    subscriber = make.subscriber(interests="graph networks")
    write_confirmation()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with MailServer() as server:
        settings.EMAIL_URL = server.url
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
        try:
            with pytest.raises(CommandError) as refused:
                call_command("tick", now=NOW)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert re.fullmatch(
            rf"Cannot write {data_dir}/files/models/\w+\.npz \(File too large\): free space on its "
            r"disk \(`disk` in docs/maintenance\.md\), then run this again\.",
            str(refused.value),
        )
        assert "Sent 1 of 1 due email." in capsys.readouterr().out
        assert not subscriber.letters.exists()
        call_command("tick", now=NOW)
        assert len(server.accepted) == 2
    assert subscriber.letters.get().state == "accepted"


def write_confirmation():
    """Let a letter wait."""
    subscriber = make.subscriber(confirmed=False)
    queue.create(subscriber, "confirm", now=NOW, closes_at=NOW + timedelta(days=1))


# ---- The demo: everything from nothing, and nothing twice however often it runs


def run():
    call_command("demo", no_serve=True)


@services.once
def test_demo_delivers_a_digest(outbox, capsys, data_dir):
    run()
    confirm, digest = outbox()
    assert confirm["To"] == digest["To"] == "demo@paperboy.example"
    assert digest.get_body(("html",)).get_content().count("data-paper-id=") == 10
    out = capsys.readouterr().out
    password = (data_dir / "admin-password").read_text().strip()
    assert f"/admin/, user admin, password {password}" in out
    assert (data_dir / "admin-password").stat().st_mode & 0o777 == 0o600
    # Each starter topic finds papers among the samples.
    Paper.objects.update(day=NOW.date(), changed_at=NOW + timedelta(seconds=1))
    window = candidate_windows.announced(model_store.in_use(), NOW.date())
    subjects = Topic.objects.curated().filter(categories=[])
    assert subjects.count() >= 12
    for topic in subjects:
        assert matches(window.model, window.papers, Interest("", topic.query), 50), topic
    # They are made once, and never replace existing topics.
    slugs = ["arxiv-cs-lg", "graph-learning"]
    Topic.objects.curated().exclude(slug__in=slugs).delete()
    run()
    assert sorted(Topic.objects.curated().values_list("slug", flat=True)) == slugs


def test_demo_refuses_public_site_with_subscribers(settings):
    settings.IS_PUBLIC = True
    make.subscriber()
    with pytest.raises(CommandError, match="public site"):
        call_command("demo", "--no-serve")
    assert not Paper.objects.exists()


@pytest.mark.slow
def test_repeated_demo_sends_only_new_papers(outbox, clock, capsys):
    clock.now = NOW.replace(hour=23, minute=50)
    run()
    first = [letter["Message-ID"] for letter in outbox()]
    assert len(first) == 2
    for hours in (0, 0.5, 24):
        clock.now = NOW.replace(hour=23, minute=50) + timedelta(hours=hours)
        run()
        assert [letter["Message-ID"] for letter in outbox()] == first
        soon = "Today's digest:  next at 2026-06-02 05:50 UTC (digests are hours apart)"
        assert (soon in capsys.readouterr().out) == (hours == 0.5)
    clock.now += timedelta(days=1)
    make.paper(demo.INTERESTS[0].capitalize(), day=clock.now.date())
    run()
    assert Digest.objects.count() == 3
    assert len(outbox()) == 3


def test_digest_command_explains_errors(tmp_path):
    with pytest.raises(CommandError, match="No subscriber has this address"):
        call_command("digest", "nobody@example.org")
    make.subscriber("you@example.org")
    for file in ("", "no/such/folder/letter.eml"):
        with pytest.raises(CommandError, match="Cannot write"):
            call_command("digest", "you@example.org", output=tmp_path / file)
