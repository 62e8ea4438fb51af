"""The trail: who did what when in the panel, for operators to search, and for nobody to change."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.urls import reverse

from subscriptions.actions import erase
from subscriptions.models import Subscriber
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.admin_pages import act_on, form_of, page, select

pytestmark = pytest.mark.django_db

TRAIL = "admin:admin_logentry_changelist"
SENDING = "admin:subscriptions_sending_changelist"


def test_audit_log_cannot_be_changed(panel):
    act_on(panel, make.subscriber(), "unsubscribe")
    (entry,) = LogEntry.objects.all()
    for verb in ("change", "delete"):
        url = reverse(f"admin:admin_logentry_{verb}", args=[entry.pk])
        assert panel.post(url, {"post": "yes"}).status_code == 403
    many = {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"}
    panel.post(reverse(TRAIL), many)
    assert LogEntry.objects.get() == entry


@pytest.mark.parametrize("by_subscriber", [True, False])
def test_erased_subscriber_leaves_only_a_number(panel, by_subscriber):
    subscriber = make.subscriber("you@example.org", interests="sparse attention")
    response = page(panel, subscriber)
    panel.post(response.request["PATH_INFO"], form_of(response) | {"preferences-0-weight": "2"})
    assert LogEntry.objects.get().object_repr == "you@example.org"
    act_on(panel, subscriber, "pause", until="2026-06-20")
    if by_subscriber:
        erase.erase(subscriber, now=NOW)
    else:
        select(panel, "erase", [subscriber])
    assert not Subscriber.objects.exists()
    rows = [[str(value) for value in row] for row in LogEntry.objects.values_list()]
    assert not re.search("you@example.org|sparse", str(rows))
    assert len(rows) == (0 if by_subscriber else 1)


def test_log_ins_and_lockouts_are_logged_with_the_network(client, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.LIMITS = settings.LIMITS | {"passwords": 2}
    User.objects.create_superuser("Ada", password="right")
    sent = {"username": "Ada", "password": "right", "next": "/admin/"}
    client.post("/admin/login/", sent, REMOTE_ADDR="192.0.2.1")
    for name in ("Ada", "nobody", "Ada", "Ada"):
        wrong = sent | {"username": name, "password": "wrong"}
        client.post("/admin/login/", wrong, REMOTE_ADDR="198.51.100.1")
    assert [entry.change_message for entry in LogEntry.objects.order_by("pk")] == [
        "Logged in, from 192.0.2.0/24.",
        "Locked out: too many wrong passwords, by network, from 198.51.100.0/24.",
    ]


def test_trial_email_is_sent_without_logging_its_address(panel, data_dir, settings):
    url = reverse("admin:subscriptions_sending_test")
    sent = {"_form_submitted": "on", "email": "me@example.org"}
    assert panel.get(url).status_code == 200
    assert not (data_dir / "outbox").exists()
    panel.post(url, sent)
    assert "Test email sent." in panel.get(reverse(SENDING)).text
    assert b"To: me@example.org" in next((data_dir / "outbox").glob("test-*.eml")).read_bytes()
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    panel.post(url, sent)
    assert "Test email not sent: deferred at connect" in panel.get(reverse(SENDING)).text
    assert not LogEntry.objects.filter(change_message__contains="example.org").exists()
