"""Unsubscribing by an email to the address in List-Unsubscribe."""

import re
from contextlib import closing
from email import message_from_bytes
from urllib.parse import unquote

import pytest

from config.celery import app
from digest import tasks
from digest.letters import compose
from digest.models import Digest
from digest.planning import plan
from subscriptions.actions import signup
from subscriptions.delivery import transitions, verp
from subscriptions.delivery.worker import rounds
from subscriptions.mail import render
from subscriptions.models import Letter, Subscriber
from tests.factories import make
from tests.factories.make import CONSENT_SOURCE, DAY, HOUR, NOW
from tests.factories.returned_mail import answer, report
from tests.servers.imap import ImapServer
from tests.subscriptions.bounces.receiving import receive
from tests.subscriptions.bounces.test_inbound import url_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def mailbox(settings):
    settings.BOUNCE_ADDRESS = "bounces@papers.example.org"


@pytest.fixture
def subscriber():
    return make.subscriber("you@example.org")


def has_left(subscriber):
    return make.fresh(subscriber).unsubscribed_at is not None


def request(subscriber, body=b"", **headers):
    """Return an email to a subscriber's own address, with this body."""
    headers = {"From": "you@example.org", "Subject": "unsubscribe", **headers}
    return answer(verp.unsubscribe_address(subscriber), **headers).partition(b"\n\n")[0] + body


# ---- The address


def test_address_is_short_lower_case_and_differs_by_subscriber(subscriber):
    address = verp.unsubscribe_address(subscriber)
    assert re.fullmatch(
        rf"bounces\+u\.{subscriber.pk}\.[0-9a-f]{{16}}@papers\.example\.org", address
    )
    assert verp.unsubscribe_address(Subscriber(pk=10**18 - 1)).index("@") <= 64
    assert verp.unsubscribe_address(make.subscriber()) != address


@pytest.mark.parametrize("delimiter", ["+", "-", "=", "%"])
def test_digest_names_the_address_beside_https(settings, subscriber, delimiter):
    settings.RECIPIENT_DELIMITER = delimiter
    make.paper("Graphs")
    plan.plan(NOW)
    letter = Letter.objects.get()
    (content,) = compose.compose([letter], NOW)
    header = message_from_bytes(
        render.as_bytes(content, to="a@b.example", message_id="<a@b>", date=NOW)
    )
    https, mailto = re.fullmatch(
        r"<(https?://\S+)>, <mailto:([^ <>]+)>", header["List-Unsubscribe"]
    ).groups()
    assert "/unsubscribe/" in https
    assert unquote(mailto) == verp.unsubscribe_address(subscriber)
    assert header["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    receive(answer(unquote(mailto)))
    assert has_left(subscriber)


@pytest.mark.parametrize(
    "off", [{"BOUNCE_ADDRESS": ""}, {"RECIPIENT_DELIMITER": ""}, {"channel": "json"}]
)
def test_no_address_is_named_without_a_mailbox(settings, off):
    channel = off.pop("channel", "")
    for name, value in off.items():
        setattr(settings, name, value)
    subscriber = make.subscriber(channel=channel, title="Room")
    if channel:
        receive(request(subscriber))
        assert not has_left(subscriber)
    else:
        assert verp.unsubscribe_address(subscriber) == ""


def test_address_outlives_a_change_of_key_and_address(settings, subscriber):
    mime = request(subscriber)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key that is long enough for this"
    settings.BOUNCE_ADDRESS = "returns@example.net"
    Subscriber.objects.update(email="new@example.org", moved_at=NOW)
    receive(mime, now=NOW + 3_000 * DAY)
    assert has_left(subscriber)


def test_address_is_nobody_elses_after_a_restored_backup(subscriber):
    mime = request(subscriber)
    Subscriber.objects.update(public_id="00000000-0000-4000-8000-000000000000")
    assert receive(mime) == "useless"
    assert not has_left(subscriber)


# ---- What unsubscribes

REQUESTS = {
    "empty": {},
    "words": {"body": b"\n\nPlease stop. Undelivered Mail: 550 5.1.1 no such user.\n"},
    "rubbish": {"body": b"\n\n\xff\x00--=_b\nContent-Type: multipart/report\n" + b"\n\n" * 40_000},
    "broken parts": {"Content_Type": 'multipart/mixed; boundary="=_b"', "body": b"\n\n--=_b"},
    "no subject": {"Subject": ""},
    "by a program": {"Auto_Submitted": "auto-generated"},
    "by a person": {"Auto_Submitted": "no", "In_Reply_To": "<digest@paperboy.example>"},
    "with a return path": {"Return_Path": "<you@example.org>"},
    "from elsewhere": {"From": "somebody@else.example"},
}


@pytest.mark.parametrize("fields", REQUESTS.values(), ids=REQUESTS)
def test_an_email_unsubscribes_whatever_it_says(subscriber, fields):
    assert receive(request(subscriber, **fields)) == "recorded"
    assert has_left(subscriber)
    assert subscriber.consents.get().via == "email"


@pytest.mark.parametrize("case", [str.upper, str.title, str.swapcase])
def test_case_folded_by_a_relay_unsubscribes(subscriber, case):
    receive(answer(case(verp.unsubscribe_address(subscriber))))
    assert has_left(subscriber)


def test_forwarded_email_unsubscribes_by_its_envelope_or_first_recipient(subscriber):
    other = make.subscriber()
    receive(request(subscriber, Delivered_To="mailbox@provider.example"))
    receive(answer("owner@papers.example.org"), to=(verp.unsubscribe_address(other),))
    assert has_left(subscriber)
    assert has_left(other)


AUTOMATIC = {
    "auto-replied": {"Auto_Submitted": "auto-replied"},
    "auto-notified": {"Auto_Submitted": "Auto-Notified; owner-email=x"},
    "out of office": {"Auto_Submitted": "auto-generated", "In_Reply_To": "<x@y>"},
    "vacation": {"Precedence": "bulk"},
    "autoreply": {"X_Autoreply": "yes"},
    "bounce": {"Return_Path": "<>"},
    "daemon": {"From": "MAILER-DAEMON@mail.example.net"},
}


@pytest.mark.parametrize("fields", AUTOMATIC.values(), ids=AUTOMATIC)
def test_automatic_answers_unsubscribe_nobody(subscriber, fields):
    assert receive(request(subscriber, **fields)) == "useless"
    assert not has_left(subscriber)


def test_a_bounce_to_the_address_unsubscribes_nobody(subscriber):
    receive(report(verp.unsubscribe_address(subscriber)))
    assert not has_left(subscriber)
    assert not make.fresh(subscriber).suppressed_at


def test_an_address_in_the_body_or_forwarded_letter_unsubscribes_nobody(subscriber):
    address = verp.unsubscribe_address(subscriber)
    body = f"\n\nTo: {address}\nList-Unsubscribe: <mailto:{address}>\n".encode()
    mime = answer("digest@papers.example.org", Subject="Fwd: 3 papers").partition(b"\n\n")[0]
    assert receive(mime + body) == "useless"
    assert not has_left(subscriber)


def test_forged_addresses_unsubscribe_nobody(subscriber):
    address = verp.unsubscribe_address(subscriber)
    other = verp.unsubscribe_address(make.subscriber())
    signature, forged = address[-34:-18], other.partition("@")[0][-16:]
    assert signature in address
    for wrong in (
        *(address.replace(signature, text) for text in (forged, "0" * 16, signature[:15], "")),
        address.replace(f"u.{subscriber.pk}.", f"u.{10**18}."),
        address.replace("+u.", "+"),
        "bounces+u..@papers.example.org",
    ):
        assert receive(answer(wrong)) == "useless", wrong
    assert not Subscriber.objects.exclude(unsubscribed_at=None).exists()


# ---- How often, and how soon


def test_a_thousand_emails_unsubscribe_once(subscriber, outbox):
    for number in range(1_000):
        receive(request(subscriber, Message_ID=f"<{number}@x>"))
    assert subscriber.consents.count() == 1
    rounds.deliver_due(lambda: NOW + HOUR)
    assert [message["To"] for message in outbox()] == ["you@example.org"]  # The goodbye.


def test_emails_beyond_the_limit_of_a_day_change_nothing(settings, subscriber):
    for _ in range(settings.LIMITS["mailbox"]):
        assert receive(request(subscriber)) == "recorded"
        Subscriber.objects.update(unsubscribed_at=None)
    assert receive(request(subscriber)) == "useless"
    assert not has_left(subscriber)
    assert receive(request(subscriber), now=NOW + DAY + 2 * HOUR) == "recorded"
    assert has_left(subscriber)


def test_mailbox_is_read_each_minute_and_emptied(settings, subscriber):
    with closing(ImapServer()) as server:
        settings.BOUNCE_MAILBOX = url_of(server)
        requests = [request(one) for one in [subscriber, *(make.subscriber() for _ in range(30))]]
        server.folders["INBOX"] |= dict(enumerate(requests, start=1))
        tasks.read_what_came_back()
        assert server.folders["INBOX"] == {}
    assert not Subscriber.objects.filter(unsubscribed_at=None).exists()
    assert app.conf.beat_schedule["read bounces"]["schedule"].minute == set(range(60))


def test_an_email_holds_against_a_letter_under_way(subscriber, monkeypatch, outbox):
    make.paper("Graphs")
    plan.plan(NOW)
    real = transitions.final_check

    def late(*args, **kwargs):
        receive(request(subscriber), now=NOW)
        return real(*args, **kwargs)

    monkeypatch.setattr(transitions, "final_check", late)
    rounds.deliver_due(lambda: NOW)
    letter = Digest.objects.get().letter
    assert (letter.state, letter.reason) == ("skipped", "unsubscribed")
    assert not [message for message in outbox() if message["List-Unsubscribe"]]


def test_who_came_back_can_unsubscribe_by_email_again(subscriber):
    receive(request(subscriber))
    goodbye = subscriber.letters.get(kind="goodbye")
    signup.confirm(
        subscriber, goodbye.created_at, kind="goodbye", source=CONSENT_SOURCE, now=NOW + 2 * HOUR
    )
    assert not has_left(subscriber)
    receive(request(subscriber), now=NOW + 3 * HOUR)
    assert has_left(subscriber)
