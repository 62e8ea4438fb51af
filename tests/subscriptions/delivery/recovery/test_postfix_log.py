"""What the log of a real Postfix tells of letters whose answer got lost on the way."""

import os
import subprocess
import sys
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from subscriptions.delivery import queue
from subscriptions.delivery.recovery import lookup
from subscriptions.delivery.recovery.lookup import PostfixLookup
from subscriptions.delivery.transports.base import Message
from subscriptions.delivery.transports.registry import transport_for
from subscriptions.models import Letter, LetterFact
from tests.factories import make
from tests.faults.proxy import Proxy
from tests.helpers import services
from tests.servers.postfix import Pipe, Postfix, wait_until
from tests.servers.smtp import MailServer

pytestmark = [pytest.mark.services, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[4]

SENDER, SUBSCRIBER = "digest@paperboy.example", "reader@example.net"
LOST, CUT, NEVER_SEEN = (
    f"<digest.2026-06-01.{name}@paperboy.example>" for name in ("lost", "cut", "never")
)


@pytest.fixture(scope="module")
def postfix():
    """One that throws away what it takes, for all tests that leave it running."""
    services.require("postfix")
    with Postfix() as running:
        yield running


def letter(message_id):
    body = b"Hello.\r\n" * 3000
    return b"Message-ID: %s\r\nSubject: Papers\r\n\r\n%s" % (message_id.encode(), body)


def ask(postfix, message_id, *, began_at, left_at=None):
    question = Letter(message_id=message_id, frozen_at=began_at, left_at=left_at or began_at)
    return PostfixLookup(postfix.log).look_up([question])[message_id]


def now():
    """By the true clock, which Postfix follows, in the whole seconds of its log."""
    return datetime.now(UTC).replace(microsecond=0)


@contextmanager
def before_end_of_data(port, message_id):
    """Say all but the final dot, and hang up in the end."""
    connection = transport_for(f"smtp://127.0.0.1:{port}").connect()
    message = Message(SENDER, SUBSCRIBER, letter(message_id), "digest", 1, now())
    assert connection.offer(message) is None
    yield connection
    connection.close()


def hand_over(port, message_id):
    """Return what became of it."""
    with before_end_of_data(port, message_id) as connection:
        return connection.finish().status


def beyond_the_log(postfix):
    """Wait until the log's last line is old enough to be from before a letter. Return the moment
    that it is.
    """
    if b"connect" not in postfix.log.read_bytes():
        hand_over(postfix.port, "<first@paperboy.example>")
    last = datetime.fromtimestamp(postfix.log.stat().st_mtime, UTC)
    moment = last.replace(microsecond=0) + lookup.TICK * 2
    wait_until(lambda: now() >= moment)
    return moment


def test_letter_with_a_lost_answer_is_found(postfix):
    """The case that the lookup is for: Postfix has it, and nobody read that it said so."""
    began_at = now()
    with closing(Proxy(postfix.port)) as way:
        way.swallow = lambda reply: b"queued as" in reply
        assert hand_over(way.port, LOST) == "unknown"
    wait_until(lambda: ask(postfix, LOST, began_at=began_at) == "yes")


def test_letter_cut_before_its_dot_did_not_arrive(postfix):
    began_at = beyond_the_log(postfix)
    with before_end_of_data(postfix.port, CUT):
        assert ask(postfix, CUT, began_at=began_at) == "unknown"
    wait_until(lambda: ask(postfix, CUT, began_at=began_at) == "no")


def test_missing_letter_is_denied_once_the_log_continues(postfix, monkeypatch):
    monkeypatch.setattr(lookup, "SETTLING_TIME", timedelta())
    began_at = beyond_the_log(postfix)
    assert ask(postfix, NEVER_SEEN, began_at=began_at) == "unknown"

    def is_denied():
        hand_over(postfix.port, "<another@paperboy.example>")  # The log goes on.
        return ask(postfix, NEVER_SEEN, began_at=began_at) == "no"

    wait_until(is_denied)


def test_queued_letters_are_found_across_a_restart():
    """And each is delivered once (fault 28)."""
    services.require("postfix")
    with MailServer() as server, Postfix(relay=server.server_address[1]) as postfix:
        server.replies["rcpt"] = b"450 4.3.2 later\r\n"
        began_at = now()
        ids = [f"<queued.{number}@paperboy.example>" for number in range(5)]
        for message_id in ids:
            hand_over(postfix.port, message_id)

        def all_known():
            return all(ask(postfix, one, began_at=began_at) == "yes" for one in ids)

        wait_until(all_known)
        postfix.stop()
        assert postfix.queued() == len(ids)
        assert all_known()
        del server.replies["rcpt"]
        postfix.start()
        postfix.flush()
        wait_until(lambda: len(server.accepted) >= len(ids))
        wait_until(lambda: postfix.queued() == 0)
        assert all_known()
        assert len(server.accepted) == len(ids)


# ---- What comes back


def inbound(recipient, mime, **environment):
    """Run the command as Postfix's pipe does. Return with what it exits."""
    database = settings.DATABASES["default"]
    url = f"sqlite:///{database['NAME']}"
    if connection.vendor == "postgresql":
        url = f"postgres://postgres@127.0.0.1:5432/{database['NAME']}"
    ours = {"DATABASE_URL": url, "SECRET_KEY": settings.SECRET_KEY, "ALLOWED_HOSTS": "127.0.0.1"}
    ours |= {"DATA_DIR": str(settings.DATA_DIR)} | environment
    command = [sys.executable, ROOT / "manage.py", "inbound", "--recipient", recipient]
    how = {"capture_output": True, "check": False, "timeout": 60}
    done = subprocess.run(command, input=mime, env=os.environ | ours, **how)
    print(done.stdout, done.stderr)  # noqa: T201 — shown where the test fails.
    return done.returncode


@pytest.mark.django_db(transaction=True)
def test_bounce_of_the_next_server_arrives_through_the_pipe(settings, clock):
    """Postfix's own report, to the letter's own address. While our database is away, it waits."""
    services.require("postfix")
    clock.now = now()  # Which Postfix follows.
    exits, away = [], {"DATABASE_URL": "postgres://postgres@127.0.0.1:1/none"}

    def command(recipient, mime):
        exits.append(inbound(recipient, mime, **({} if exits else away)))
        return exits[-1]

    subscriber = make.subscriber("550-rcpt@example.org", now=clock.now)
    letter = queue.create(
        subscriber, "confirm", now=clock.now, closes_at=clock.now + timedelta(days=1)
    )
    with (
        MailServer() as server,
        Pipe(command) as pipe,
        Postfix(server.server_address[1], pipe, domain="paperboy.example") as postfix,
    ):
        settings.EMAIL_URL = postfix.url
        assert queue.deliver(letter.pk, clock.now)
        wait_until(lambda: exits == [75], 30)
        wait_until(lambda: "status=deferred" in postfix.log.read_text())
        assert not LetterFact.objects.exists()
        postfix.flush()
        wait_until(lambda: exits == [75, 0], 30)
        wait_until(lambda: postfix.queued() == 0)
    assert make.fresh(subscriber).suppressed_by == "bounced"
    assert "550 5.1.1 no" in subscriber.suppressed_reason
    fact = LetterFact.objects.get()
    assert (fact.letter, fact.status, fact.grade) == (letter, "5.1.1", "hard")
