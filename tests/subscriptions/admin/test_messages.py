"""The panel's pages of messages to subscribers."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from subscriptions.admin.messages import TEXTS
from subscriptions.delivery import messages
from subscriptions.models import Letter, Message
from tests.factories import make
from tests.factories.make import DAY, MINUTE, NOW
from tests.helpers.admin_pages import page
from tests.helpers.pages import text_of

pytestmark = pytest.mark.django_db

WRITE = reverse("admin:subscriptions_message_write")
TEXT = {"subject": "Maintenance", "text": "On <b>Sunday</b>."}


def send(panel, count, **fields):
    return panel.post(WRITE, TEXT | {"send": "1", "count": count} | fields)


def test_preview_shows_the_email_and_stores_nothing(panel):
    make.subscriber()
    shown = panel.post(WRITE, TEXT | {"preview": "1"})
    assert "Receivers now: 1" in text_of(shown)
    assert "On &amp;lt;b&amp;gt;Sunday" in shown.text
    assert "Send another message" not in shown.text
    assert not Message.objects.exists()


def test_message_starts_when_the_number_of_receivers_was_typed(panel):
    User.objects.update(first_name="Ada", last_name="Lovelace")
    make.subscriber()
    for count in ("", "2", "x"):
        assert send(panel, count).status_code == 200
    assert not Message.objects.exists()
    assert send(panel, "1").status_code == 302
    message = Message.objects.get()
    assert (message.starts_at, message.written_by) == (NOW + 10 * MINUTE, "Ada Lovelace")
    entry = LogEntry.objects.get()
    assert entry.object_repr == "Maintenance"
    said = "Starts at 12:10 UTC. Receivers: 1. To: all active subscribers."
    assert entry.get_change_message() == said


def test_form_sent_twice_starts_one_message(panel):
    make.subscriber()
    send(panel, "1")
    assert TEXTS["errors"]["again"] in text_of(send(panel, "1"))
    assert Message.objects.count() == 1


def test_second_message_within_a_day_needs_a_tick(panel, clock):
    make.subscriber()
    make.message(starts_at=NOW)
    clock.now = NOW + DAY - MINUTE
    assert send(panel, "1").status_code == 200
    assert send(panel, "1", again="on").status_code == 302


def test_message_stopped_before_its_start_asks_no_second_time(panel):
    make.subscriber()
    make.message(starts_at=NOW + MINUTE, stopped_at=NOW)
    assert send(panel, "1").status_code == 302


def test_message_without_receivers_is_refused(panel):
    assert TEXTS["errors"]["nobody"] in text_of(send(panel, "0"))


def test_test_email_goes_to_the_account_alone(panel, outbox):
    make.subscriber()
    assert TEXTS["errors"]["no_address"] in text_of(panel.post(WRITE, TEXT | {"test": "1"}))
    User.objects.update(email="ada@example.org")
    panel.post(WRITE, TEXT | {"test": "1"})
    (mail,) = outbox()
    assert (mail["To"], mail["Subject"]) == ("ada@example.org", "Maintenance")
    assert not Letter.objects.exists()


def test_message_is_stopped_and_shows_how_many_were_sent(panel):
    make.subscriber(next_due_at=None)
    message = make.message(receivers=3)
    messages.write_due(NOW)
    stop = reverse("admin:subscriptions_message_stop", args=[message.pk])
    assert stop in page(panel, message).text
    assert "A stopped message cannot be resumed" in text_of(panel.get(stop))
    panel.post(stop, {"_form_submitted": "on"})
    said = text_of(page(panel, message))
    assert "0 sent, 1 waiting, 0 not sent, of 3 receivers" in said
    assert make.fresh(message).stopped_at == NOW
    assert LogEntry.objects.get().get_change_message().startswith("Stopped: 0 sent")
    assert stop not in page(panel, message).text


def test_message_needs_a_permission_of_its_own(client):
    message = make.message()
    user = User.objects.create(username="viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_message"))
    client.force_login(user)
    shown = page(client, message)
    assert "Maintenance" in text_of(shown)
    assert "Stop message" not in shown.text
    assert [client.get(WRITE).status_code, send(client, "1").status_code] == [403, 403]
    assert page(client, message, "stop").status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="send_message"))
    assert client.get(WRITE).status_code == 200
