"""Messages of operators: who gets one, in which order, and when no more."""

import re
from datetime import timedelta

import pytest
from django.db import transaction

from subscriptions import tasks
from subscriptions.actions import preferences, signup
from subscriptions.delivery import circuit_breaker, messages, queue, transitions
from subscriptions.delivery.recovery import lookup, reconcile, sweep
from subscriptions.delivery.worker import rounds
from subscriptions.models import Letter, LetterEvent, Message
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import CONSENT_SOURCE, DAY, HOUR, MINUTE, NOW
from tests.helpers.subscriber_pages import url
from tests.subscriptions.delivery.steps import claim, pass_final_check, states

pytestmark = pytest.mark.django_db

REASONS = {"stop": "the message was stopped", "opt out": "they take no messages"}


def written(subscriber=None, **fields):
    """Return the email of a message that has just started."""
    subscriber = subscriber or make.subscriber(next_due_at=None)
    make.message(**fields)
    messages.write_due(NOW)
    return Letter.objects.select_related("subscriber").get(subscriber=subscriber, kind="message")


def end(letter, how):
    """Stop the message of an email, or let its subscriber leave."""
    subscriber = letter.subscriber
    if how == "stop":
        assert messages.stop(letter.operator_message, NOW)
    elif how == "opt out":
        preferences.change(subscriber, None, {"takes_messages": False}, now=NOW)
    else:
        signup.unsubscribe(subscriber.public_id, source=CONSENT_SOURCE, now=NOW)


def receivers():
    return list(Letter.objects.filter(kind="message").values_list("subscriber", flat=True))


def test_message_goes_to_confirmed_active_subscribers_who_take_messages():
    active = make.subscriber()
    make.group("Lab", mailing_list=make.subscriber())
    for state in (
        *({"confirmed": False}, {"unsubscribed_at": NOW}, {"takes_messages": False}),
        *({"paused_until": (NOW + 2 * DAY).date()}, {"channel": "json", "title": "Room"}),
        {"suppressed_at": NOW, "suppressed_by": "bounced"},
    ):
        make.subscriber(**state)
    assert list(messages.receivers(None, NOW)) == [active]


def test_message_of_a_group_goes_to_those_who_joined():
    lab = make.group("Lab")
    joined = make.member(lab, "Ada").subscriber
    make.member(lab)
    make.subscriber()
    written(joined, group=lab)
    assert receivers() == [joined.pk]


def test_message_starts_ten_minutes_after_it_was_confirmed():
    make.subscriber()
    message = Message(subject="Maintenance", text="On Sunday.", receivers=1)
    messages.schedule(message, NOW + timedelta(seconds=5))
    assert message.starts_at == NOW + 11 * MINUTE
    messages.write_due(NOW + 10 * MINUTE)
    assert receivers() == []
    messages.write_due(NOW + 11 * MINUTE)
    assert len(receivers()) == 1


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
    assert receivers()[::-1] == expected
    assert make.fresh(message).state_at(NOW) == "sent"
    assert messages.progress(message) == {"sent": 5, "waiting": 0, "not sent": 0}


def test_message_is_claimed_after_digests_and_awaited_emails():
    letter = written()
    digest = queue.create(letter.subscriber, "digest", now=NOW, closes_at=NOW + DAY)
    Letter.objects.filter(pk=digest.pk).update(day=NOW.date())
    queue.create(letter.subscriber, "link", now=NOW, closes_at=NOW + DAY)
    with transaction.atomic():
        claimed, is_exhausted = transitions.claim(NOW, 9)
    assert [one.kind for one in claimed] == ["link", "digest", "message"]
    assert is_exhausted


def test_message_takes_one_round_of_the_workers(monkeypatch):
    written()
    hints = []
    for task in (tasks.deliver_letters, tasks.deliver_posts):
        monkeypatch.setattr(task, "apply_async", lambda **options: hints.append(options))
    monkeypatch.setattr(tasks, "LETTERS_PER_ROUND", 0.1)
    tasks.deliver_due_letters()
    assert len(hints) == 1


@pytest.mark.parametrize("how", ["stop", "opt out", "unsubscribe"])
def test_queued_email_is_skipped_when_nobody_wants_it(how, outbox):
    letter = written()
    end(letter, how)
    rounds.deliver_due(lambda: NOW)
    assert [mail for mail in outbox() if mail["Subject"] == "Maintenance"] == []
    assert make.fresh(letter).state == "skipped"
    assert letter.reason == REASONS.get(how, "unsubscribed")


@pytest.mark.parametrize("how", ["stop", "opt out", "unsubscribe"])
def test_claimed_email_fails_the_final_check_when_nobody_wants_it(how):
    letter = claim(written())
    end(letter, how)
    assert not pass_final_check(letter)
    assert make.fresh(letter).state == "skipped"


@pytest.mark.parametrize("how", ["stop", "opt out", "unsubscribe"])
def test_uncertain_email_is_not_sent_again_when_nobody_wants_it(how, monkeypatch):
    letter = claim(written())
    assert pass_final_check(letter)
    end(letter, how)
    sweep.sweep(NOW + HOUR)
    monkeypatch.setattr(lookup, "configured_lookup", lambda: LookupThatSaysNo())
    sweep.sweep(NOW + 2 * HOUR)
    assert make.fresh(letter).state == "skipped"
    assert "planned" not in states(letter)[1:]


class LookupThatSaysNo:
    def look_up(self, letters):
        return {letter.message_id: "no" for letter in letters}


def test_stopped_message_creates_no_more_emails(monkeypatch):
    make.subscriber(next_due_at=None)
    make.subscriber(next_due_at=None)
    monkeypatch.setattr(messages, "MAX_DUE", 1)
    message = make.message()
    messages.write_due(NOW)
    assert messages.stop(message, NOW)
    assert not messages.stop(make.fresh(message), NOW)
    for _ in range(2):
        rounds.deliver_due(lambda: NOW)
        messages.write_due(NOW)
    assert messages.progress(message) == {"sent": 0, "waiting": 0, "not sent": 1}


def test_message_under_way_is_stopped_after_a_restored_backup():
    make.subscriber(next_due_at=None)
    message = make.message()
    circuit_breaker.stop("ada", NOW)
    messages.write_due(NOW)
    reconcile.reconcile(NOW + MINUTE, NOW - DAY)
    circuit_breaker.resume("ada", NOW + MINUTE)
    messages.write_due(NOW + 2 * MINUTE)
    assert make.fresh(message).state_at(NOW) == "stopped"
    assert receivers() == []


def test_email_of_a_message_opts_out_of_messages_alone_in_one_click(client, outbox):
    letter = written(
        subject="Maintenance & more", text="Back <soon>: https://example.org/a?b&c\n\nAda"
    )
    rounds.deliver_due(lambda: NOW)
    (mail,) = outbox()
    assert mail["Subject"] == "Maintenance & more"
    assert mail["List-Id"].startswith("Messages <messages.")
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    html = mail.get_body(["html"]).get_content()
    assert "Back &lt;soon&gt;: <a href" in html
    lines = mail.get_body(["plain"]).get_content().splitlines()
    assert "Back <soon>: https://example.org/a?b&c" in lines
    (path,) = re.findall(r"<http://[^/]+(/[^>]+)>", mail["List-Unsubscribe"])
    assert path.endswith("/messages/")
    assert path in html
    client.get(path)
    assert make.fresh(letter.subscriber).takes_messages
    for _ in range(2):
        page = client.post(path, {"List-Unsubscribe": "One-Click"})
        assert "You get no more messages" in page.text
    subscriber = make.fresh(letter.subscriber)
    assert not subscriber.takes_messages
    assert subscriber.state_at(NOW) == "active"


def test_erased_subscriber_can_still_opt_out(client):
    subscriber = make.subscriber()
    path = tokens.opt_out_url(subscriber).partition("8000")[2]
    subscriber.delete()
    assert "You get no more messages" in client.post(path).text


def test_opting_out_is_a_setting_of_the_preferences(client):
    subscriber = make.subscriber()
    for answer in ("no", "yes"):
        client.post(url("preferences", subscriber), {"action": "save_delivery", "messages": answer})
        assert make.fresh(subscriber).takes_messages == (answer == "yes")
