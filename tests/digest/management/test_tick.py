"""One pass by hand or by cron, at any moment, or only said."""

import re
import resource
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from digest.indexing import model_store
from digest.models import Digest
from subscriptions.delivery import circuit_breaker, queue
from subscriptions.models import Letter
from tests.config.environment import manage
from tests.factories import make
from tests.factories.make import NOW
from tests.servers.smtp import MailServer


@pytest.mark.django_db
def test_tick_with_a_moment_plans_and_sends_as_if_it_were_now(outbox):
    make.paper("Graphs", day=NOW.date() + timedelta(days=20))
    make.subscriber("reader@example.org", interests="graphs", next_due_at=NOW + timedelta(days=20))
    call_command("tick", now=NOW)
    assert outbox() == []
    call_command("tick", now=NOW + timedelta(days=20))
    (letter,) = outbox()
    since = letter["Date"].datetime - NOW - timedelta(days=20)
    assert timedelta(0) <= since < timedelta(minutes=1)  # The clock goes on while it imports.


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
def test_one_is_counted_as_one(outbox, capsys):
    make.paper("Graphs")
    make.subscriber(interests="graphs")
    call_command("tick", now=NOW, dry_run=True)
    call_command("tick", now=NOW)
    said = capsys.readouterr().out
    assert "1 subscriber is due: 1 digest would be planned, 0 would have nothing to say." in said
    assert "0 letters that wait already would be delivered." in said
    assert "Planned 1 digest; 0 had nothing to say, 0 days were missed.\n" in said
    assert "Delivered 1 of 1 letter that was due.\n" in said


@pytest.mark.django_db
def test_a_dry_run_says_what_would_be_done_and_writes_nothing(outbox, capsys):
    make.paper("Graphs")
    make.subscriber(interests="graphs")
    make.subscriber(interests="bread")
    call_command("tick", now=NOW, dry_run=True)
    assert "2 subscribers are due: 1 digest would be planned, 1 would" in capsys.readouterr().out
    assert not Digest.objects.exists()
    assert not model_store.FittedModel.objects.exists()
    assert outbox() == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("halt", "planned"),
    [
        (lambda: circuit_breaker.stop("Ada", NOW), "no digest would be planned."),
        (
            lambda: circuit_breaker.trip("unreachable", "away", NOW),
            "1 digest would be planned, 0 would",
        ),
    ],
    ids=["sending is stopped", "the mail server is away"],
)
def test_while_nothing_can_be_sent_a_dry_run_delivers_nothing(capsys, halt, planned):
    make.paper("Graphs")
    make.subscriber(interests="graphs")
    write_confirmation()
    halt()
    call_command("tick", now=NOW, dry_run=True)
    said = capsys.readouterr().out
    assert f"1 subscriber is due: {planned}" in said
    assert "1 letter that waits already would go on waiting." in said


@pytest.mark.parametrize("command", ["tick", "reconcile"])
def test_a_dry_run_makes_no_database(data_dir, command):
    refused = manage(command, "--dry-run", DATA_DIR=str(data_dir))
    assert refused.returncode == 1
    assert "There is no database yet: run `manage.py upgrade`." in refused.stderr
    assert [file.name for file in data_dir.iterdir()] == ["secret-key"]


@pytest.mark.django_db
def test_where_there_is_no_room_for_the_model_tick_says_so_and_what_waits_leaves(
    settings, data_dir, capsys
):
    make.paper("Graph networks")
    reader = make.subscriber(interests="graph networks")
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
            rf"{data_dir}/files/models/\w+\.npz can't be written \(File too large\): make room on "
            r"its disk \(`disk` in docs/maintenance\.md\), and run this again\.",
            str(refused.value),
        )
        assert "Delivered 1 of 1 letter that was due." in capsys.readouterr().out
        assert not reader.letters.exists()
        call_command("tick", now=NOW)
        assert len(server.accepted) == 2
    assert reader.letters.get().state == "accepted"


def write_confirmation():
    """Let a letter wait."""
    reader = make.subscriber(confirmed=False)
    queue.write(reader, "confirm", now=NOW, closes_at=NOW + timedelta(days=1))
