"""Messages to channels: the states of emails, one resend, no mail server."""

import json
import logging
import threading

import pytest

from digest.models import Digest, Pick
from digest.operations.checks import service
from subscriptions import hooks, tasks
from subscriptions.delivery import circuit_breaker, status, sweep
from subscriptions.delivery.transports.registry import ChannelTransport
from subscriptions.models import Letter, Subscriber
from subscriptions.security.encryption import encrypt
from tests.factories import make
from tests.factories.make import HOUR, MINUTE, NOW, SECOND, TODAY
from tests.faults.ports import free_port
from tests.helpers.threads import at_once
from tests.servers import channels
from tests.servers.postfix import wait_until
from tests.subscriptions.delivery.worker import due_digests
from tests.subscriptions.delivery.worker.due_digests import deliver

pytestmark = pytest.mark.django_db
COMPOSER = hooks.composers["digest"]
DOWN = (500, {}, b"")


@pytest.fixture
def room(settings, monkeypatch):
    settings.ALLOWED_PRIVATE_HOSTS = frozenset({"127.0.0.1"})

    def compose(letter, now):
        is_message = letter.subscriber.channel
        return next(COMPOSER([letter], now)) if is_message else make.content()

    monkeypatch.setitem(hooks.composers, "digest", make.one_by_one(compose))
    with channels.ChannelServer() as server:
        yield server


def message_to(server, **fields):
    """Plan a digest with one paper for a channel, due now."""
    moments = {"created_at": NOW, "next_try_at": NOW, "closes_at": NOW + 18 * HOUR}
    row = make.subscriber(channel="json", title="Lab room", secret=encrypt(server.secret))
    letter = row.letters.create(**{"kind": "digest", "day": TODAY} | moments | fields)
    digest = Digest.objects.create(subscriber=row, day=TODAY, letter=letter)
    about = {"subscriber": row, "paper": make.paper("Graphs"), "score": 1, "basis": "new"}
    Pick.objects.create(digest=digest, position=1, **about)
    return letter


def test_digest_is_posted_once_and_not_emailed(server, room):
    letter = message_to(room)
    due_digests.digests(count=3)
    tasks.deliver_letters()
    assert (len(server.accepted), room.asked) == (3, [])
    tasks.deliver_posts()
    (message,) = room.posted
    assert message["id"] == str(letter.subscriber.letters.get().digest.public_id)
    assert message["papers"][0]["title"] == "Graphs"
    assert f"{letter.subscriber.public_id}" not in json.dumps(message)
    assert "/preferences/" not in json.dumps(message)
    assert make.fresh(letter).last_reply == "answered 200"
    assert status.describe(letter, NOW).startswith("The channel accepted it")


@pytest.mark.django_db(transaction=True)
def test_hanging_channel_delays_no_email_or_other_channel(server, room):
    may_answer = threading.Event()

    def hang(talk):
        talk.read()
        talk.send(200 if may_answer.wait(30) else 500, {}, b"")

    def deliver_emails():
        wait_until(lambda: room.asked, 10)
        tasks.deliver_letters()
        wait_until(lambda: len(room.asked) == len(messages), 10)
        may_answer.set()

    room.answers.append(hang)
    messages = [message_to(room) for _ in range(2 * ChannelTransport.connections)]
    due_digests.digests(count=6)
    assert at_once(tasks.deliver_posts, deliver_emails) == [None, None]
    assert due_digests.states() == {"accepted": len(messages) + 6}


def test_mail_server_outage_delays_no_post(settings, room):
    settings.EMAIL_URL = f"smtp://127.0.0.1:{free_port()}"
    due_digests.digests(count=2)
    message_to(room)
    assert deliver(is_stopping=lambda: True) == {}
    for seconds in range(2):  # The circuit breaker is open at the second.
        assert deliver(NOW + seconds * SECOND) == {"accepted": 1}
        assert "It is due" in status.describe(message_to(room), NOW)
    assert circuit_breaker.current().failures == 1


@pytest.mark.parametrize("mail", ["file:", None])
def test_unknown_outcome_is_resent_once_and_counted(settings, server, room, data_dir, mail):
    """The folder of emails, in which a message to a channel has no file, proves nothing."""
    settings.EMAIL_URL = mail or settings.EMAIL_URL
    (data_dir / "outbox").mkdir()
    letter = message_to(room)
    room.answers.extend([DOWN, DOWN])
    for hours in range(3):
        deliver(NOW + hours * HOUR)
        sweep.sweep(NOW + hours * HOUR + 20 * MINUTE)
    letter.refresh_from_db()
    assert (letter.state, letter.repeats) == ("failed", 1)
    assert letter.reason.startswith(Letter.UNKNOWN)
    assert len(room.asked) == 2
    assert room.posted[0] == room.posted[1]
    assert Pick.objects.count() == 1


def test_retry_after_is_respected(server, room):
    letter = message_to(room)
    room.answers.append((429, {"Retry-After": "7200"}, b""))
    deliver()
    assert make.fresh(letter).next_try_at >= NOW + 2 * HOUR
    assert deliver(NOW + 2 * HOUR + SECOND)["accepted"] == 1


def test_refusal_fails_the_message_and_releases_its_papers(server, room):
    letter = message_to(room)
    room.answers.append((410, {}, b""))
    deliver()
    assert make.fresh(letter).state == "failed"
    assert "webhook was deleted" in letter.reason
    assert not Pick.objects.exists()
    assert not Subscriber.objects.exclude(suppressed_at=None).exists()


def test_trouble_with_channels_does_not_open_the_breaker(server, room):
    for answer in [DOWN, (410, {}, b""), (429, {}, b"")] * 6:
        room.answers.append(answer)
        message_to(room)
    deliver()
    assert circuit_breaker.current().wait_reason(NOW) == ""
    assert service.refused(NOW) is None


def test_channel_url_is_readable_after_a_key_rotation(settings, server, room, caplog):
    caplog.set_level(logging.DEBUG)
    letter = message_to(room)
    settings.SECRET_KEY, old = "another-key-that-is-long-enough", settings.SECRET_KEY
    deliver()
    assert make.fresh(letter).state == "planned"
    assert "SECRET_KEY_FALLBACKS" in letter.last_reply
    settings.SECRET_KEY_FALLBACKS = [old]
    assert deliver(NOW + HOUR)["accepted"] == 1
    assert "T0KEN" not in caplog.text


@pytest.mark.parametrize("kind", ["confirm", "link"])
def test_subscriber_links_are_not_posted_to_a_channel(server, room, kind):
    letter = message_to(room, kind=kind, day=None)
    deliver()
    assert make.fresh(letter).reason == "not for a channel"
    assert [*room.asked, *server.bodies] == []


def test_channels_are_not_counted_as_people(room):
    message_to(room)
    make.subscriber()
    assert Subscriber.objects.count_by_state(NOW)["active"] == 1
