"""The panel's pages of messages to subscribers."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from subscriptions.admin.messages import TEXTS
from subscriptions.delivery import messages
from subscriptions.models import Message
from tests.factories import make
from tests.factories.make import DAY, MINUTE, NOW
from tests.helpers.admin_pages import page
from tests.helpers.pages import text_of

pytestmark = pytest.mark.django_db

WRITE = reverse("admin:subscriptions_message_write")
TEXT = {"subject": "Maintenance", "text": "On <b>Sunday</b>."}


def send(panel, count, **fields):
    return panel.post(WRITE, TEXT | {"send": "1", "count": count} | fields)


def message_log():
    return [entry.get_change_message() for entry in LogEntry.objects.all()]


def test_preview_shows_the_email_and_stores_nothing(panel):
    make.subscriber()
    shown = panel.post(WRITE, TEXT | {"preview": "1"}).text
    assert "Receivers now: <strong>1</strong>" in shown
    assert "On &amp;lt;b&amp;gt;Sunday" in shown
    assert not Message.objects.exists()


def test_message_starts_when_the_number_of_receivers_was_typed(panel):
    assert TEXTS["errors"]["nobody"] in text_of(send(panel, "0"))
    make.subscriber()
    for count in ("", "2", "x"):
        assert TEXTS["errors"]["count"].format(count=1) in text_of(send(panel, count))
    assert send(panel, "1").status_code == 302
    message = Message.objects.get()
    assert (message.starts_at, message.written_by) == (NOW + 10 * MINUTE, "you")
    (entry,) = message_log()
    assert entry.startswith("Starts at 12:10 UTC. Receivers: 1. To: all active")


def test_second_message_within_a_day_needs_a_tick(panel, clock):
    make.subscriber()
    make.message(starts_at=NOW + MINUTE, stopped_at=NOW)  # It counts as none.
    assert send(panel, "1").status_code == 302
    clock.now = NOW + DAY
    assert TEXTS["errors"]["again"] in text_of(send(panel, "1"))
    assert send(panel, "1", again="on").status_code == 302


def test_test_email_goes_to_the_account_alone(panel, outbox):
    make.subscriber()
    for address in ("", "ada@example.org"):
        User.objects.update(email=address)
        shown = text_of(panel.post(WRITE, TEXT | {"test": "1"}))
        assert (TEXTS["errors"]["no_address"] in shown) == (not address)
    assert [mail["To"] for mail in outbox()] == ["ada@example.org"]
    assert not Message.objects.exists()


def test_message_is_stopped_and_shows_how_many_were_sent(panel):
    make.subscriber(next_due_at=None)
    message = make.message(receivers=3)
    messages.write_due(NOW)
    stop = reverse("admin:subscriptions_message_stop", args=[message.pk])
    assert stop in page(panel, message).text
    panel.post(stop, {"_form_submitted": "on"})
    shown = page(panel, message).text
    assert stop not in shown
    assert make.fresh(message).stopped_at == NOW
    assert message_log() == ["Stopped: 0 sent, 1 waiting, 0 not sent, of 3 receivers."]


def test_message_needs_a_permission_of_its_own(client):
    user = User.objects.create(username="viewer", is_staff=True)
    for codename, status in (("view_message", 403), ("send_message", 200)):
        user.user_permissions.add(Permission.objects.get(codename=codename))
        client.force_login(user)
        for answer in (client.get(WRITE), page(client, make.message(starts_at=NOW), "stop")):
            assert answer.status_code == status
        Message.objects.all().delete()
