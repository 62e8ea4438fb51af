"""A hostile day: floods, guesses and scanners at once, and who gets her letter all the same."""

import re
from collections import Counter
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client, override_settings

from subscriptions import links
from subscriptions.models import Attempt, Letter, LetterFact, Subscriber, UselessMail
from tests import esp_events, make
from tests.make import NOW

pytestmark = pytest.mark.django_db

HOSTILE, NEIGHBOUR = "203.0.113.66", "198.51.100.1"
PROVIDER = {
    "EMAIL_URL": "smtp://postmaster:hush@smtp.mailgun.org:587",
    "WEBHOOK_SIGNING_KEY": esp_events.MAILGUN_KEY,
}
PREFETCH = {"purpose": "prefetch", "sec-purpose": "prefetch", "x-moz": "prefetch"}


@pytest.fixture
def world(settings):
    """A reader whose digest is due, papers for it, and an operator."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.TRUSTED_PROXIES = 1
    make.paper("Graphs that forget")
    User.objects.create_superuser("ada", password="right")
    return make.subscriber("reader@example.org", interests="graphs")


VISITOR = Client()  # One for all of them: to make one takes longer than to be answered.


def from_(ip, invented=""):
    """Return what our proxy hands on of who comes from there."""
    return {"REMOTE_ADDR": "10.0.0.1", "headers": {"x-forwarded-for": f"{invented}{ip}"}}


def sign_up(email, ip=HOSTILE, **sent):
    return VISITOR.post("/subscribe/", {"email": email, **sent}, **from_(ip))


def log_in(password, ip=HOSTILE):
    sent = {"username": "ada", "password": password, "next": "/admin/"}
    VISITOR.cookies.clear()
    return VISITOR.post("/admin/login/", sent, **from_(ip))


def tell(event, headers=None, esp="mailgun", **more):
    """Post an event as a provider does, or almost. Return the status of the answer."""
    return esp_events.post(VISITOR, esp, event, headers=headers, **more).status_code


def tell_lies_of(letter):
    """Forge a provider's events about a letter. Return the statuses of the answers."""
    gone = esp_events.EVENTS["mailgun"]["gone"](letter)
    unsigned = {"signature": {}}
    badly = {"signature": {"timestamp": str(NOW.timestamp()), "token": "x", "signature": "0" * 64}}
    many = {"event-data": gone["event-data"] | {"tags": ["x" * 100] * 15_000}}
    answers = [tell(gone, headers) for _ in range(15) for headers in (unsigned, badly)]
    answers += [tell(gone, at=NOW + days * timedelta(days=1)) for days in (-2, 2)]
    answers += [tell(many, headers) for headers in (unsigned, badly)]
    answers += [tell(gone | {"x": "x" * 2_000_000}, headers) for headers in (unsigned, badly)]
    answers += [tell(esp_events.EVENTS["postmark"]["gone"](letter), esp="postmark")]
    return answers


def links_in(letters):
    """Return the paths of all addresses of ours in these letters."""
    texts = [letter.get_body(["html"]).get_content() for letter in letters]
    return sorted(set(re.findall(r"http://127\.0\.0\.1:8000(/[^\"<\s]*)", " ".join(texts))))


def test_on_a_hostile_day_letters_and_rows_are_few_and_nobody_else_notices(world, outbox, caplog):
    # Ten thousand sign-ups a minute, of which some hundred are enough to see where it ends.
    for n in range(100):
        VISITOR.post(
            "/subscribe/",
            {"email": f"victim-{n}@example.org", "interests": "spam\n" * 50},
            **from_(HOSTILE, invented=f"6.6.{n}.6, "),
        )
    for n in range(30):
        sign_up(f"v.ic.tim+{n}@example.org", ip=f"100.64.{n}.1")
        sign_up(f"robot-{n}@example.org", website="https://spam.example")
    assert {log_in(f"guess {n}").status_code for n in range(30)} == {200, 429}
    for n in range(30):
        VISITOR.post(f"/unsubscribe/{n:022}.{n:043}/", **from_(HOSTILE))

    assert Subscriber.objects.count() == 1 + 20 + 3
    assert Letter.objects.count() == 20 + 3
    assert Attempt.objects.count() < 200

    # The reader, a neighbour and the operator have a day as any other.
    assert sign_up("neighbour@example.org", NEIGHBOUR, interests="graphs").status_code == 200
    assert log_in("right", NEIGHBOUR)["Location"] == "/admin/"
    call_command("tick", "--now", NOW.isoformat())
    letters = {letter["To"]: letter for letter in outbox()}
    assert "Graphs that forget" in letters["reader@example.org"]["Subject"]
    ours = [letters["reader@example.org"], letters["neighbour@example.org"]]

    # Others than the provider tell that her letter came back; and what it said is told again.
    digest = Letter.objects.get(subscriber=world, kind="digest")
    with override_settings(**PROVIDER):
        assert Counter(tell_lies_of(digest)) == {403: 30 + 2, 413: 2 + 2, 404: 1}
        assert not LetterFact.objects.exists()
        delivered = esp_events.EVENTS["mailgun"]["delivered"](digest)
        assert {tell(delivered) for _ in range(30)} == {200}
    assert LetterFact.objects.get().kind == "delivered"
    assert not UselessMail.objects.exists()
    assert not Subscriber.objects.filter(suppressed_at__isnull=False).exists()

    # Scanners open every link in every letter, by all the ways there are to look.
    before = states()
    for path in links_in(ours):
        for method in (VISITOR.get, VISITOR.head):
            assert method(path, **from_(HOSTILE)).status_code < 500
        VISITOR.get(path, headers=PREFETCH)
    assert states() == before

    # And then she who was meant acts.
    (confirm,) = (path for path in links_in(ours) if path.startswith("/confirm/"))
    assert VISITOR.post(confirm, **from_(NEIGHBOUR)).status_code == 200
    assert Subscriber.objects.get(email="neighbour@example.org").state_at(NOW) == "active"
    unsubscribe = links.unsubscribe_url(world).removeprefix("http://127.0.0.1:8000")
    VISITOR.post(unsubscribe, {"List-Unsubscribe": "One-Click"}, **from_(NEIGHBOUR))
    world.refresh_from_db()
    assert world.state_at(NOW) == "unsubscribed"

    # What is said of all this in the log names nobody, and a day later nothing of it is left.
    assert not re.search("victim|robot|neighbour|reader@|203.0.113", caplog.text)
    call_command("unlock", ip=HOSTILE)
    from digest import upkeep

    upkeep.purge(NOW + timedelta(days=2))
    assert not Attempt.objects.exists()


def states():
    """Return what a look could have changed."""
    return [
        list(Subscriber.objects.order_by("pk").values()),
        list(Letter.objects.order_by("pk").values("pk", "state", "ended_at")),
        Attempt.objects.count(),
    ]
