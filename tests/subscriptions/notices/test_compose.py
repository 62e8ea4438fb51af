"""The letters about the subscription itself: to whom they go, what they say, in which language."""

import pytest
from django.utils import translation

from subscriptions.actions import moderation
from subscriptions.delivery import queue
from subscriptions.models import Letter, Subscriber
from subscriptions.notices import compose
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import DAY, MINUTE, NOW
from tests.helpers.invariants import broken
from tests.subscriptions.actions.signup_steps import bouncing, say_yes, unsubscribe

pytestmark = pytest.mark.django_db


def goodbye():
    """Return the letter to a subscriber who has just left."""
    subscriber = make.subscriber()
    unsubscribe(subscriber)
    return subscriber.letters.get()


def question(**fields):
    """Return the letter that asks a subscriber after a bounce whether their address is right."""
    return moderation.ask_if_address_works(bouncing(NOW - DAY, **fields), now=NOW)


def deliver(letter, now=NOW):
    """Deliver the letter, and return how it stands."""
    queue.deliver(letter.pk, now)
    letter.refresh_from_db()
    return letter.state_text


def parts(message):
    return [message.get_body([kind]).get_content() for kind in ("plain", "html")]


# ---- To whom they go


@pytest.mark.parametrize("write", [goodbye, question])
def test_notice_arrives_with_a_working_link(client, outbox, write):
    letter = write()
    assert deliver(letter) == "sent"
    (message,) = outbox()
    url = tokens.answer_url(letter.subscriber, letter.kind, letter.created_at)
    assert message["To"] == letter.subscriber.email
    said = {"goodbye": tokens.preferences_url, "bounced": tokens.unsubscribe_url}[letter.kind]
    for part in parts(message):
        assert url in part
        assert said(letter.subscriber) in part
    assert client.post(url.removeprefix("http://127.0.0.1:8000")).status_code == 200
    assert Subscriber.objects.get().state_at(NOW) == "active"


def test_goodbye_has_no_undo_after_leaving_twice(outbox):
    letter = goodbye()
    say_yes(letter, now=NOW + MINUTE)
    unsubscribe(letter.subscriber, now=NOW + 2 * MINUTE)
    assert deliver(letter, NOW + 3 * MINUTE) == "sent"
    text = outbox()[0].get_body(["plain"]).get_content()
    assert "You can sign up again at any time:" in text
    assert "/confirm/" not in text


def test_goodbye_is_withheld_from_a_blocked_address():
    letter = goodbye()
    Subscriber.objects.update(suppressed_at=NOW)
    assert deliver(letter, NOW + 5 * MINUTE) == "not sent: suppressed"
    assert broken(NOW + DAY) == {}


SINCE = [{"suppressed_by": "complained"}, {"suppressed_at": None, "suppressed_by": ""}]
SINCE += [{"suppressed_at": NOW + MINUTE}, {"unsubscribed_at": NOW}]


@pytest.mark.parametrize("since", SINCE)
def test_question_is_withheld_unless_only_bounces_block(since):
    letter = question()
    Subscriber.objects.update(**since)
    assert deliver(letter, NOW + 2 * MINUTE) == "not sent: nothing to ask"


@pytest.mark.parametrize("write", [goodbye, question])
def test_notice_is_missed_after_three_days(write):
    letter = write()
    queue.sweep(NOW + 3 * DAY)
    assert make.fresh(letter).state == "missed"


# ---- What they say


def test_question_gives_the_date_and_no_reply(outbox):
    letter = question(suppressed_reason="550 5.1.1 no such user")
    deliver(letter)
    (message,) = outbox()
    assert message["Subject"] == "Your emails from Paperboy bounced. Resume them?"
    for part in parts(message):
        assert "on 31 May 2026" in " ".join(part.split())
        assert "550" not in part


# ---- In which language


@pytest.mark.parametrize("kind", tokens.QUESTION_KINDS)
@pytest.mark.parametrize(("language", "written"), [("de", "de"), ("tlh", "en")])
def test_notice_is_in_the_subscribers_language_or_english(monkeypatch, kind, language, written):
    monkeypatch.setattr(compose.render, "render", lambda *_: translation.get_language())
    subscriber = make.subscriber(language=language, suppressed_at=NOW)
    letter = Letter(subscriber=subscriber, kind=kind, created_at=NOW)
    with translation.override("fr"):
        assert make.composed(letter, NOW) == written
        assert translation.get_language() == "fr"
