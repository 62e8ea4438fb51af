"""Unsubscribing by an email to the address in List-Unsubscribe."""

import re
from urllib.parse import unquote
from uuid import uuid4

import pytest

from digest.letters import compose
from digest.planning import plan
from subscriptions.delivery import verp
from subscriptions.models import Letter, Subscriber
from tests.factories import make
from tests.factories.make import DAY, NOW
from tests.factories.returned_mail import answer, report
from tests.helpers import data_files
from tests.subscriptions.bounces.receiving import receive
from tests.subscriptions.bounces.test_inbound import pipe

pytestmark = pytest.mark.django_db


@pytest.fixture
def subscriber(settings):
    settings.BOUNCE_ADDRESS = "bounces@papers.example.org"
    return make.subscriber("you@example.org")


def has_left(subscriber):
    return make.fresh(subscriber).unsubscribed_at is not None


def request(subscriber, body=b"", **headers):
    """Return an email to a subscriber's own address, with this body."""
    headers = {"From": "you@example.org", "Subject": "unsubscribe", **headers}
    return answer(verp.unsubscribe_address(subscriber), **headers).partition(b"\n\n")[0] + body


# ---- The address


@pytest.mark.parametrize("delimiter", ["+", "-", "_", "%"])
def test_digest_names_the_address_beside_https(settings, subscriber, delimiter):
    settings.RECIPIENT_DELIMITER = delimiter
    make.paper("Graphs")
    plan.plan(NOW)
    (content,) = compose.compose([Letter.objects.get()], NOW)
    header = dict(content.headers)
    value = re.fullmatch(r"<https?://\S+>, <mailto:([^ <>]+)>", header["List-Unsubscribe"])
    address = unquote(value[1])
    assert re.fullmatch(rf"bounces.u\.{subscriber.pk}\.[0-9a-f]{{16}}@papers.example.org", address)
    assert header["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    receive(answer(address))
    assert has_left(subscriber)


def test_address_outlives_changes_of_key_and_mailbox(settings, subscriber):
    mime = request(subscriber)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another key that is long enough for this"
    settings.BOUNCE_ADDRESS = "returns@example.net"
    Subscriber.objects.update(email="new@example.org", moved_at=NOW)
    receive(mime, now=NOW + 3_000 * DAY)
    assert has_left(subscriber)
    settings.BOUNCE_ADDRESS = ""
    assert verp.unsubscribe_address(subscriber) == ""


# ---- What unsubscribes

RUBBISH = "\xff\x00--=_b\nContent-Type: multipart/report\n" + "\n\n" * 40_000
EMAILS = data_files.load("unsubscribe_emails.toml")
EMAILS |= {"empty": {"unsubscribes": True}, "rubbish": {"text": RUBBISH, "unsubscribes": True}}


@pytest.mark.parametrize("email", EMAILS.values(), ids=EMAILS)
def test_emails_unsubscribe_unless_a_machine_answers(subscriber, email):
    is_valid = email["unsubscribes"]
    text = email.get("text", "").encode("latin-1")
    mime = request(subscriber, b"\n\n" + text, **email.get("headers", {}))
    assert receive(mime) == ("recorded" if is_valid else "useless")
    assert has_left(subscriber) == is_valid
    assert [consent.via for consent in subscriber.consents.all()] == ["email"] * is_valid


def test_bounces_copies_and_forged_addresses_unsubscribe_nobody(subscriber):
    address, channel = verp.unsubscribe_address(subscriber), make.subscriber(channel="json")
    signature = re.search(r"[0-9a-f]{16}(?=@)", address)[0]
    forwarded = answer("digest@papers.example.org").partition(b"\n\n")[0]
    receive(forwarded + f"\n\nTo: {address}\nList-Unsubscribe: <mailto:{address}>\n".encode())
    receive(report(address))
    receive(request(channel))
    others = verp.unsubscribe_address(make.subscriber()).partition("@")[0][-16:]
    for forged in (others, "0" * 16, signature[:15], ""):
        receive(answer(address.replace(signature, forged)))
    mime = request(subscriber)
    Subscriber.objects.filter(pk=subscriber.pk).update(public_id=uuid4())  # Of a restored backup.
    assert receive(mime) == "useless"
    assert not any(map(has_left, Subscriber.objects.all()))


# ---- How often, and how soon


def test_pipe_unsubscribes_by_its_recipient(monkeypatch, subscriber):
    address = verp.unsubscribe_address(subscriber).upper()  # As some relays write it.
    assert pipe(monkeypatch, b"From: you@example.org\n\n", "--recipient", address) == 0
    assert has_left(subscriber)
