"""Messages of operators: who gets one, in which order, and when no more."""

import pytest
from django.db import transaction

from digest.planning import restoring
from subscriptions.actions import preferences, signup
from subscriptions.delivery import (
    circuit_breaker,
    messages,
    queue,
    sweep,
    transitions,
    worker,
)
from subscriptions.models import Letter, LetterEvent
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import CONSENT_SOURCE, DAY, HOUR, NOW, SECOND
from tests.subscriptions.delivery.steps import claim, pass_final_check

pytestmark = pytest.mark.django_db


def written(**fields):
    """Return the email of a message that has just started."""
    make.subscriber(next_due_at=None)
    make.message(**fields)
    messages.write_due(NOW)
    return Letter.objects.select_related("subscriber").first()


def test_message_goes_only_to_active_subscribers_or_members():
    lab = make.group("Lab", mailing_list=make.subscriber())
    active, joined = make.member(lab).subscriber, make.member(lab, "Ada").subscriber
    states = [{"paused_until": (NOW + 2 * DAY).date()}, {"unsubscribed_at": NOW}]
    states += [{"confirmed": False}, {"takes_messages": False}, {"channel": "json"}]
    for state in [*states, {"suppressed_at": NOW}]:
        make.subscriber(**state)
    assert list(messages.receivers(None, NOW)) == [active, joined]
    assert list(messages.receivers(lab, NOW)) == [joined]


def test_each_receiver_gets_one_email_when_batches_are_interrupted(monkeypatch):
    expected = [make.subscriber(next_due_at=None).pk for _ in range(5)]
    message = make.message()
    monkeypatch.setattr(messages, "MAX_DUE", 2)
    messages.write_due(NOW - SECOND)
    assert not Letter.objects.exists()  # It has not started.
    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(LetterEvent.objects, "bulk_create", lambda rows: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                messages.write_due(NOW)
        messages.write_due(NOW)
        messages.write_due(NOW)  # Two wait: it adds none.
        worker.deliver_due(lambda: NOW)
    assert [letter.subscriber_id for letter in Letter.objects.order_by("pk")] == expected
    assert messages.progress(make.fresh(message)) == {"sent": 5, "waiting": 0, "not sent": 0}


def test_message_is_claimed_after_digests_and_awaited_emails():
    letter = written()
    digest = queue.create(letter.subscriber, "digest", now=NOW, closes_at=NOW + DAY)
    Letter.objects.filter(pk=digest.pk).update(day=NOW.date())
    queue.create(letter.subscriber, "link", now=NOW, closes_at=NOW + DAY)
    with transaction.atomic():
        claimed, _ = transitions.claim(NOW, 9)
    assert [one.kind for one in claimed] == ["link", "digest", "message"]


@pytest.mark.parametrize("stage", ["queued", "claimed", "uncertain"])
@pytest.mark.parametrize("how", ["stopped", "opted out", "unsubscribed"])
def test_email_is_not_sent_when_nobody_wants_it(how, stage, outbox):
    letter = written() if stage == "queued" else claim(written())
    subscriber = letter.subscriber
    assert stage != "uncertain" or pass_final_check(letter)
    if how == "stopped":
        messages.stop(letter.operator_message, NOW)
    elif how == "opted out":
        preferences.change(subscriber, None, {"takes_messages": False}, now=NOW)
    else:
        signup.unsubscribe(subscriber.public_id, source=CONSENT_SOURCE, now=NOW)
    assert stage != "claimed" or not pass_final_check(letter)
    for now in (NOW + HOUR, NOW + 2 * HOUR):  # The lease ends, then it is looked up.
        sweep.sweep(now)
        worker.deliver_due(lambda now=now: now)
    assert make.fresh(letter).state in ("skipped", "failed")
    assert "Maintenance" not in [mail["Subject"] for mail in outbox()]


STOPS = [lambda row: messages.stop(row, NOW), lambda row: restoring.skip(NOW - DAY, NOW)]


@pytest.mark.parametrize("stop", STOPS)
def test_stopped_message_creates_no_more_emails(monkeypatch, stop):
    make.subscriber()
    monkeypatch.setattr(messages, "MAX_DUE", 1)
    message = written().operator_message
    circuit_breaker.stop("ada", NOW)
    stop(message)
    circuit_breaker.resume("ada", NOW)
    worker.deliver_due(lambda: NOW)
    messages.write_due(NOW)
    assert Letter.objects.filter(kind="message").count() == 1


def test_one_click_opts_out_of_messages_only(client, outbox):
    subscriber = written(text="Back <soon>: https://example.org/a?b&c\n\nAda").subscriber
    worker.deliver_due(lambda: NOW)
    (mail,) = outbox()
    assert mail["List-Id"].startswith("Messages <messages.")
    assert "Back &lt;soon&gt;: <a href" in mail.get_body(["html"]).get_content()
    assert "Back <soon>: https://e" in mail.get_body(["plain"]).get_content()
    path = mail["List-Unsubscribe"].partition("8000")[2].strip(">")
    for _ in range(2):
        page = client.post(path, {"List-Unsubscribe": "One-Click"})
        assert "You get no more messages" in page.text
    assert not make.fresh(subscriber).takes_messages
    assert subscriber.unsubscribed_at is None
    subscriber.delete()
    assert "You get no more messages" in client.post(path).text


def test_opting_out_is_a_setting_of_the_preferences(client):
    path = tokens.preferences_url(subscriber := make.subscriber())
    for answer, takes_messages in (("no", False), ("yes", True)):
        client.post(path, {"action": "save_delivery", "messages": answer})
        assert make.fresh(subscriber).takes_messages == takes_messages
