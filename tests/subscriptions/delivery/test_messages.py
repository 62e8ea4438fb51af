"""Messages of operators: who gets one, in which order, and when no more."""

import pytest
from django.db import transaction

from subscriptions import tasks
from subscriptions.actions import preferences, signup
from subscriptions.delivery import circuit_breaker, messages, queue, transitions
from subscriptions.delivery.recovery import reconcile, sweep
from subscriptions.delivery.worker import rounds
from subscriptions.models import Letter, LetterEvent
from tests.factories import make
from tests.factories.make import CONSENT_SOURCE, DAY, HOUR, NOW, SECOND
from tests.helpers.subscriber_pages import url
from tests.subscriptions.delivery.steps import claim, pass_final_check

pytestmark = pytest.mark.django_db


def written(**fields):
    """Return the email of a message that has just started."""
    make.subscriber(next_due_at=None)
    make.message(**fields)
    messages.write_due(NOW)
    return Letter.objects.select_related("subscriber").first()


def test_message_goes_to_confirmed_active_subscribers_who_take_messages():
    active = make.subscriber()
    make.group("Lab", mailing_list=make.subscriber())
    make.subscriber(confirmed=False)
    make.subscriber(unsubscribed_at=NOW)
    make.subscriber(takes_messages=False)
    make.subscriber(paused_until=(NOW + 2 * DAY).date())
    make.subscriber(channel="json", title="Room")
    make.subscriber(suppressed_at=NOW, suppressed_by="bounced")
    assert list(messages.receivers(None, NOW)) == [active]


def test_message_of_a_group_goes_to_those_who_joined():
    make.member(lab := make.group("Lab"))
    joined = make.member(lab, "Ada")
    assert list(messages.receivers(lab, NOW)) == [joined.subscriber]


def test_message_creates_no_email_before_its_start():
    make.subscriber()
    make.message(starts_at=NOW + SECOND)
    messages.write_due(NOW)
    assert not Letter.objects.exists()


def test_each_receiver_gets_one_email_when_batches_are_interrupted(monkeypatch):
    expected = [make.subscriber(next_due_at=None).pk for _ in range(5)]
    message = make.message()
    monkeypatch.setattr(messages, "MAX_DUE", 2)
    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(LetterEvent.objects, "bulk_create", lambda rows: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                messages.write_due(NOW)
        messages.write_due(NOW)
        messages.write_due(NOW)  # Two wait: it adds none.
        rounds.deliver_due(lambda: NOW)
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


def test_message_takes_one_round_of_the_workers(monkeypatch):
    written()
    hints = []
    monkeypatch.setattr(tasks.deliver_letters, "apply_async", lambda **_: hints.append(1))
    monkeypatch.setattr(tasks, "LETTERS_PER_ROUND", 0.1)
    tasks.deliver_due_letters()
    assert len(hints) == 1


@pytest.mark.parametrize("stage", ["queued", "claimed", "uncertain"])
@pytest.mark.parametrize("how", ["stopped", "opted out", "unsubscribed"])
def test_email_is_not_sent_when_nobody_wants_it(how, stage, outbox):
    letter = written() if stage == "queued" else claim(written())
    subscriber = letter.subscriber
    assert stage != "uncertain" or pass_final_check(letter)
    match how:
        case "stopped":
            messages.stop(letter.operator_message, NOW)
        case "opted out":
            preferences.change(subscriber, None, {"takes_messages": False}, now=NOW)
        case "unsubscribed":
            signup.unsubscribe(subscriber.public_id, source=CONSENT_SOURCE, now=NOW)
    assert stage != "claimed" or not pass_final_check(letter)
    for hours in (1, 2):  # The lease ends, then it is looked up.
        sweep.sweep(NOW + hours * HOUR)
    rounds.deliver_due(lambda: NOW + 2 * HOUR)
    assert make.fresh(letter).state == ("failed" if stage == "uncertain" else "skipped")
    assert "Maintenance" not in [mail["Subject"] for mail in outbox()]


def test_stopped_message_creates_no_more_emails(monkeypatch):
    make.subscriber()
    monkeypatch.setattr(messages, "MAX_DUE", 1)
    message = written().operator_message
    assert [messages.stop(make.fresh(message), NOW) for _ in range(2)] == [True, False]
    rounds.deliver_due(lambda: NOW)
    messages.write_due(NOW)
    assert Letter.objects.count() == 1


def test_message_under_way_is_stopped_after_a_restored_backup():
    make.subscriber()
    make.message()
    circuit_breaker.stop("ada", NOW)
    reconcile.reconcile(NOW, NOW - DAY)
    circuit_breaker.resume("ada", NOW)
    messages.write_due(NOW)
    assert not Letter.objects.exists()


def test_email_of_a_message_opts_out_of_messages_alone_in_one_click(client, outbox):
    subscriber = written(text="Back <soon>: https://example.org/a?b&c\n\nAda").subscriber
    rounds.deliver_due(lambda: NOW)
    (mail,) = outbox()
    assert mail["List-Id"].startswith("Messages <messages.")
    assert "Back &lt;soon&gt;: <a href" in mail.get_body(["html"]).get_content()
    assert "Back <soon>: https://e" in mail.get_body(["plain"]).get_content()
    path = mail["List-Unsubscribe"].partition("8000")[2].strip(">")
    client.get(path)
    assert make.fresh(subscriber).takes_messages
    for _ in range(2):
        page = client.post(path, {"List-Unsubscribe": "One-Click"})
        assert "You get no more messages" in page.text
    assert not make.fresh(subscriber).takes_messages
    assert subscriber.unsubscribed_at is None
    subscriber.delete()
    assert "You get no more messages" in client.post(path).text


@pytest.mark.parametrize("answer", ["no", "yes"])
def test_opting_out_is_a_setting_of_the_preferences(client, answer):
    subscriber = make.subscriber(takes_messages=answer == "no")
    client.post(url("preferences", subscriber), {"action": "save_delivery", "messages": answer})
    assert make.fresh(subscriber).takes_messages == (answer == "yes")
