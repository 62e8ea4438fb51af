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


@pytest.mark.parametrize("address", ["", "ada@example.org"])
def test_preview_and_test_email_store_nothing(panel, outbox, address):
    make.subscriber()
    User.objects.update(email=address)
    shown = panel.post(WRITE, TEXT | {"test": "1"}).text
    assert "On &amp;lt;b&amp;gt;Sunday" in shown
    assert (TEXTS["errors"]["no_address"] in shown) == (not address)
    assert [mail["To"] for mail in outbox()] == [address] * bool(address)
    assert not Message.objects.exists()


def test_message_starts_when_the_number_of_receivers_was_typed(panel):
    assert TEXTS["errors"]["nobody"] in text_of(send(panel, "0"))
    make.subscriber()
    for count in ("", "2", "x"):
        assert TEXTS["errors"]["count"].format(count=1) in text_of(send(panel, count))
    assert send(panel, "1").status_code == 302
    assert Message.objects.get().starts_at == NOW + 10 * MINUTE
    said = "Starts at 12:10 UTC. Receivers: 1. To: all active subscribers."
    assert LogEntry.objects.get().get_change_message() == said


def test_second_message_within_a_day_needs_a_tick(panel, clock):
    make.subscriber()
    make.message(starts_at=NOW + MINUTE, stopped_at=NOW)  # It counts as none.
    assert send(panel, "1").status_code == 302
    clock.now = NOW + DAY
    assert TEXTS["errors"]["again"] in text_of(send(panel, "1"))
    assert send(panel, "1", again="on").status_code == 302


def test_message_is_stopped_and_shows_how_many_were_sent(panel):
    make.subscriber(next_due_at=None)
    message = make.message(receivers=3)
    messages.write_due(NOW)
    stop = reverse("admin:subscriptions_message_stop", args=[message.pk])
    assert stop in page(panel, message).text
    panel.post(stop, {"_form_submitted": "on"})
    assert stop not in page(panel, message).text
    assert make.fresh(message).stopped_at == NOW
    said = "Stopped: 0 sent, 1 waiting, 0 not sent. Receivers: 3."
    assert LogEntry.objects.get().get_change_message() == said


def test_message_needs_a_permission_of_its_own(client):
    message, user = make.message(), User.objects.create(username="viewer", is_staff=True)
    for codename, status in (("view_message", 403), ("send_message", 200)):
        user.user_permissions.add(Permission.objects.get(codename=codename))
        client.force_login(user)
        assert client.get(WRITE).status_code == page(client, message, "stop").status_code == status


def test_second_message_in_a_minute_is_refused(panel):
    make.subscriber()
    assert send(panel, "1").status_code == 302
    assert TEXTS["errors"]["minute"] in text_of(send(panel, "1", again="on"))
    assert Message.objects.count() == 1
