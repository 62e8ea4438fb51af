"""What providers post about letters: believed where it is theirs, and recorded once (fault 60)."""

from datetime import UTC
from email import message_from_bytes
from io import BytesIO
from unittest.mock import Mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, transaction

from subscriptions.bounces import esp_events, process
from subscriptions.delivery import rendering, sweep, transitions
from subscriptions.delivery.transports import esps
from subscriptions.models import Letter, LetterFact
from tests.factories import make, returned_mail
from tests.factories.make import HOUR, MINUTE, NOW
from tests.factories.provider_events import BASIC, EVENTS, KEYS, PASSWORD, headers_of, post
from tests.helpers import data_files
from tests.subscriptions.bounces.receiving import state_of

pytestmark = pytest.mark.django_db

CHANGES = data_files.load("provider_changes.toml")
ALL = list(esps.ESPS)


@pytest.fixture
def use(settings):
    """Return a function that makes a provider the one that letters go through."""

    def use(esp):
        settings.EMAIL_URL = esps.ESPS[esp].email_url
        settings.WEBHOOK_SIGNING_KEY = KEYS.get(esp, "")
        settings.WEBHOOK_SECRET = "" if esp in KEYS else PASSWORD
        return EVENTS[esp]

    return use


# ---- What they tell


FACTS = [(esp, *fact) for esp in ALL for fact in CHANGES["facts"] if fact[0] in EVENTS[esp]]


@pytest.mark.parametrize(("esp", "kind", "facts", "state"), FACTS)
def test_provider_event_is_recorded_and_suppresses_the_address(
    client, use, letter, esp, kind, facts, state
):
    event = use(esp)[kind](letter)  # It may be sent again.
    assert [post(client, esp, event).status_code for _ in range(2)] == [200] * 2
    assert list(letter.facts.values_list("kind", "grade", "via")) == [(*one, esp) for one in facts]
    assert state_of(letter.subscriber) == state
    if kind == "unsubscribed":
        assert letter.subscriber.unsubscribed_at == NOW
        assert "provider" in letter.subscriber.consents.get().via


@pytest.mark.parametrize(("esp", "change", "result"), CHANGES["changes"])
def test_event_without_a_status_is_graded_by_its_type(client, use, letter, esp, change, result):
    event = use(esp)["gone"](letter)
    (event[0] if isinstance(event, list) else event).update(change)
    if esp == "sendgrid":
        del event[0]["type"]
    post(client, esp, event)
    assert letter.facts.values_list("kind", "grade").get() == tuple(result)


# ---- In any order, and again


def test_uncertain_letter_is_accepted_after_a_provider_event(client, use):
    """At once, or while it waits to be sent again, as while sending is stopped for an hour."""
    events = use("mailgun")
    early, late, never = [
        returned_mail.letter(make.subscriber(), state=Letter.State.UNCERTAIN) for _ in range(3)
    ]
    Letter.objects.update(closes_at=NOW + 9 * HOUR, next_try_at=NOW, ended_at=None)
    post(client, "mailgun", events["delivered"](early))
    sweep.sweep(NOW + MINUTE)
    states = Letter.objects.order_by("pk").values_list("state", "repeats", "last_reply")
    known = ("accepted", 0, "known to the mail server")
    assert list(states) == [known, ("planned", 1, ""), ("planned", 1, "")]
    post(client, "mailgun", events["delivered"](late))
    with transaction.atomic():
        claimed, _ = transitions.claim(NOW + HOUR, 9)
    assert claimed == [never]
    assert [state for state, *_ in states.all()] == ["accepted", "accepted", "claimed"]
    Letter.objects.filter(pk=never.pk).update(state="uncertain", next_try_at=NOW)
    sweep.sweep(NOW + HOUR + MINUTE)
    assert states.last()[0] == "failed"


def test_bad_event_does_not_stop_its_batch(client, use, letter):
    events = use("sendgrid")
    foreign = events["gone"](letter)[0] | {"letter": "x", "smtp-id": ""}
    batch = [foreign, *events["delivered"](letter), *events["gone"](letter)]
    assert post(client, "sendgrid", batch).status_code == 200
    assert letter.facts.count() == 2


def test_event_is_sent_again_when_not_recorded(client, use, letter, monkeypatch):
    event = use("postmark")["gone"](letter)

    with monkeypatch.context() as broken:
        broken.setattr(process, "record", Mock(side_effect=OperationalError("away")))
        client.raise_request_exception = False
        assert post(client, "postmark", event).status_code == 503
    assert post(client, "postmark", event).status_code == 200
    assert letter.facts.count() == 1


MOMENTS = [("postmark", "BouncedAt"), ("resend", "created_at"), ("ses", "Timestamp")]


@pytest.mark.parametrize(("esp", "moment"), MOMENTS)
def test_event_time_without_a_zone_is_utc(client, use, letter, esp, moment):
    """To compare it with others would break, and the event be lost after some tries."""
    time = f"{NOW + MINUTE:%Y-%m-%dT%H:%M:%S}"
    event = use(esp)["gone"](letter) | {moment: time}
    assert post(client, esp, event).status_code == 200
    assert letter.facts.get().at.astimezone(UTC).isoformat() == f"{time}+00:00"
    assert state_of(letter.subscriber) == "bounced"


def test_sns_subscription_is_confirmed_at_amazon_only(client, use, monkeypatch):
    use("ses")
    opened = []
    monkeypatch.setattr(esp_events, "urlopen", lambda url, timeout: opened.append(url) or BytesIO())
    for host, status in (("sns.eu-west-1.amazonaws.com", 200), ("sns.example", 400)):
        url = f"https://{host}/?Token=x"
        message = {"Type": "SubscriptionConfirmation", "MessageId": "1", "SubscribeURL": url}
        assert post(client, "ses", message).status_code == status
    assert opened == ["https://sns.eu-west-1.amazonaws.com/?Token=x"]


# ---- Forged, stale, strange


@pytest.mark.parametrize("esp", ALL)
def test_forged_event_changes_nothing(client, use, letter, esp):
    event = use(esp)["gone"](letter)
    forged = CHANGES["forged_headers"]
    assert post(client, esp, event, headers=forged[esp]).status_code == 403
    if esp == "ses":  # Anybody may have an SNS topic, which signs whatever its owner publishes.
        event |= {"SignatureVersion": "1", "Signature": "AAAA"}
        assert post(client, esp, event, headers=forged["postmark"]).status_code == 403
        event |= {"Type": "SubscriptionConfirmation", "SubscribeURL": "https://sns.x.example/"}
        assert post(client, esp, event, headers={"Authorization": ""}).status_code == 403
    assert not LetterFact.objects.exists()
    assert state_of(letter.subscriber) == "written to"


@pytest.mark.parametrize("esp", ["sendgrid", "resend"])
def test_signature_covers_the_body(client, use, letter, esp):
    event = use(esp)["delivered"](letter)
    sent = {}
    real = client.post
    client.post = lambda path, body, **more: sent.update(path=path, body=body, more=more)
    post(client, esp, event)
    client.post = real
    changed = sent["body"].replace(b"delivered", b"complained")
    assert changed != sent["body"]
    assert client.post(sent["path"], changed, **sent["more"]).status_code == 403


@pytest.mark.parametrize("esp", KEYS)
def test_stale_event_changes_nothing(client, use, letter, esp):
    event = use(esp)["gone"](letter)
    assert post(client, esp, event, at=NOW - 25 * HOUR).status_code == 403
    assert post(client, esp, event, at=NOW + 25 * HOUR).status_code == 403
    assert not LetterFact.objects.exists()


def test_webhook_is_404_without_a_configured_secret(client, use, letter, settings):
    for esp in ALL:
        event = use(esp)["gone"](letter)
        settings.WEBHOOK_SIGNING_KEY = settings.WEBHOOK_SECRET = ""
        assert post(client, esp, event).status_code == 404


def test_webhooks_of_other_providers_are_404(client, use, letter, settings):
    event = use("postmark")["gone"](letter)
    ours = "/anymail/postmark/tracking/"
    assert (client.head(ours).status_code, client.get(ours).status_code) == (200, 405)
    answered = client.post(ours, {})  # Amazon sends the password only where it is asked for.
    assert answered.status_code == 401
    assert answered["WWW-Authenticate"].startswith("Basic")
    assert client.post("/anymail/mailgun/tracking/", event).status_code == 404
    assert client.post("/anymail/postmark/inbound/", event).status_code == 404
    settings.EMAIL_URL = "smtp://127.0.0.1:25"
    assert post(client, "postmark", event).status_code == 404
    assert not headers_of(letter)


@pytest.mark.parametrize("esp", ["postmark", "brevo", "ses"])
def test_malformed_event_is_rejected_and_logged_briefly(client, use, letter, esp, caplog):
    event = use(esp)["gone"](letter)
    if esp == "ses":
        event |= {"Message": "no JSON " * 9999}
        assert post(client, esp, event).status_code == 400
        assert len(caplog.text) < 1_000
    for body in [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"{}", b"[" * 9999]:
        sent = {"content_type": "application/json", "headers": {"Authorization": BASIC}}
        answered = client.post(f"/anymail/{esp}/tracking/", body, **sent)
        assert answered.status_code in (200, 400, 403)
    assert not LetterFact.objects.exists()


def test_event_with_foreign_metadata_matches_no_letter(client, use, letter, caplog):
    """Numbers may be those of others with the same provider, or of before a restored backup."""
    caplog.set_level("INFO")
    other = returned_mail.letter(make.subscriber())
    bad = [{"letter": "9" * 30}, {"letter": "-1"}, {"letter": None}, "x", 7]
    for marks in [*bad, {"letter": f"{letter.pk}-1"}]:
        event = use("postmark")["gone"](letter) | {"Metadata": marks}
        assert post(client, "postmark", event).status_code in (200, 400)
    assert not LetterFact.objects.exists()
    assert "about an email that is not ours" in caplog.text
    event["Metadata"] = {"letter": f"{other.pk}-" + letter.message_id[1:].partition("@")[0]}
    post(client, "postmark", event)
    assert (letter.facts.count(), other.facts.count()) == (1, 0)


def test_letter_headers_turn_off_provider_tracking(use, letter):
    for esp, name, value in CHANGES["untracked"]:
        use(esp)
        frozen = message_from_bytes(rendering.freeze(letter, make.content(), NOW).mime)
        assert value in frozen[name]
        assert frozen["Subject"] == "Papers"


@pytest.mark.parametrize("esp", ALL)
def test_letter_headers_name_no_subscriber_and_fit_a_line(use, letter, esp):
    use(esp)
    for name, value in headers_of(letter):
        assert "@" not in value
        assert str(letter.subscriber.public_id) not in value
        assert len(f"{name}: {value}") < 998
    assert len(headers_of(letter)[0][1]) <= 80 or esp != "postmark"  # Its limit for a value.


# ---- Configured


def test_invalid_webhook_secret_is_refused_at_start(use, settings):
    for esp, name, value, said in CHANGES["wrong_settings"]:
        use(esp)
        esp_events.check(esps.ESPS[esp])
        setattr(settings, name, value)
        with pytest.raises(ImproperlyConfigured, match=said):
            esp_events.check(esps.ESPS[esp])
