"""Subscribers in the panel: what is done for them is asked first, done once, and on record."""

import re
from datetime import date
from functools import partial

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.urls import reverse

from digest.admin import subscriber_actions
from digest.indexing import model_store
from digest.planning import plan
from subscriptions.actions import signup
from subscriptions.models import Letter, Subscriber
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import DAY, NOW
from tests.helpers.admin_pages import SUBSCRIBERS, act_on, form_of, page, planned_digest, select
from tests.helpers.pages import text_of
from tests.helpers.tables import everything

pytestmark = pytest.mark.django_db


def test_changed_hour_moves_only_next_digest(panel):
    subscriber = make.subscriber(topics=[make.topic()], interests="sparse attention", hour=7)
    subscriber.preferences.update(weight=2.5)
    response = page(panel, subscriber)
    data = form_of(response) | {"hour": "23", "timezone": "Asia/Tokyo"}
    assert panel.post(response.request["PATH_INFO"], data).status_code == 302
    subscriber.refresh_from_db()
    assert (subscriber.hour, subscriber.next_due_at) == (23, NOW.replace(hour=14))
    assert list(subscriber.preferences.values_list("stance", "weight")) == [("follow", 2.5)] * 2


def bouncing(**fields):
    return make.subscriber(suppressed_at=NOW, suppressed_by="bounced", **fields)


def test_a_blocked_subscriber_has_no_next_digest(panel):
    assert "Next digest -" in text_of(page(panel, bouncing()))


def test_only_bounced_subscribers_are_asked(panel):
    subscribers = [bouncing(), make.subscriber(suppressed_at=NOW, suppressed_by="complained")]
    answered = select(panel, "ask_to_verify", subscribers)
    assert Letter.objects.get().subscriber == subscribers[0]
    assert "Asked: 1." in answered
    assert "Not asked: 1. Only after bounces" in answered
    assert LogEntry.objects.get().object_id == str(subscribers[0].pk)


def test_page_has_only_the_actions_for_its_state(panel):
    def buttons(subscriber):
        return re.findall(r'name="action" value="(\w+)"', page(panel, subscriber).text)

    assert buttons(make.subscriber()) == ["pause", "send_link", "block", "unsubscribe", "erase"]
    assert buttons(bouncing()) == ["ask_to_verify", "unblock", "block", "unsubscribe", "erase"]


def test_actions_need_their_permissions(panel):
    subscriber = make.subscriber()
    user = User.objects.create(username="other", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_subscriber"))
    panel.force_login(user)
    select(panel, "block", [subscriber], reason="x")
    user.user_permissions.add(Permission.objects.get(codename="change_subscriber"))
    select(panel, "erase", [subscriber])
    assert make.fresh(subscriber).state_at(NOW) == "active"


def waiting_to_confirm():
    subscriber = make.subscriber(confirmed=False)
    signup.record_consent(subscriber, "asked", signup.ConsentSource("test"), NOW)
    return subscriber


ACTS = [
    ("pause", make.subscriber, {"until": "2026-06-20"}, "Paused until 20 Jun 2026."),
    ("resume", partial(make.subscriber, paused_until=date(2026, 6, 9)), {}, "Pause ended."),
    ("ask_to_confirm", waiting_to_confirm, {}, "Confirmation email sent again."),
    ("send_link", make.subscriber, {}, "Settings link sent."),
    ("ask_to_verify", bouncing, {}, "Asked to verify the address."),
    ("unblock", bouncing, {}, "Unblocked. Was: bounced: "),
    ("block", make.subscriber, {"reason": "x"}, "Blocked: x"),
    ("block", bouncing, {"reason": "x"}, "Blocked: x"),
    ("unsubscribe", make.subscriber, {}, "Unsubscribed."),
]


@pytest.mark.parametrize(("act", "made", "fields", "noted"), ACTS)
def test_each_action_is_confirmed_and_logged(panel, act, made, fields, noted):
    subscriber, other = made(), make.subscriber()
    data = {"action": act, "_selected_action": [subscriber.pk]}
    form = text_of(panel.post(reverse(SUBSCRIBERS), data))
    assert subscriber.email in form
    assert other.email not in form
    assert not LogEntry.objects.exists()
    assert ": 1. " in act_on(panel, subscriber, act, **fields)
    (entry,) = LogEntry.objects.all()
    assert (entry.get_change_message(), entry.user.username) == (noted, "you")
    again = {"pause", "unsubscribe"}  # To say it twice is no harm.
    assert ("Not " in select(panel, act, [subscriber], **fields)) == (act not in again)
    assert LogEntry.objects.count() == (2 if act in again else 1)


COLOURS = [("pause", "primary"), ("unsubscribe", "red"), ("erase", "red")]


def test_incomplete_action_form_changes_nothing(panel):
    subscriber, missing = make.subscriber(), "Choose a future day|This field is required"
    for act, fields in [("pause", {"until": "2020-01-01"}), ("pause", {}), ("block", {})]:
        text = select(panel, act, [subscriber], **fields)
        assert subscriber.email in text
        assert re.search(missing, text)
    assert not LogEntry.objects.exists()
    subscriber.refresh_from_db()
    assert subscriber.state_at(NOW) == "active"


def test_bulk_action_out_of_time_reports_the_rest(panel, monkeypatch):
    monkeypatch.setattr(subscriber_actions, "MAX_SECONDS", -1)
    subscribers = [make.subscriber(paused_until=date(2026, 6, 9)) for _ in range(3)]
    text = select(panel, "resume", subscribers)
    assert "Pause ended: 1." in text
    assert "Time ran out: 2 are unchanged" in text
    assert Subscriber.objects.filter(paused_until=None).count() == 1
    assert LogEntry.objects.count() == 1


def preview_of(panel, subscriber, part="next"):
    url = reverse("admin:subscriptions_subscriber_preview", args=[subscriber.pk])
    return panel.get(url, {"part": part} if part else {})


def test_preview_writes_nothing_and_contains_no_tokens(panel):
    make.paper("Sparse attention for <long> documents")
    model_store.fit(NOW)
    for fields in ({}, {"confirmed": False}, {"unsubscribed_at": NOW}, {"suppressed_at": NOW}):
        subscriber = make.subscriber(interests="sparse attention", **fields)
        before = everything()
        answer = preview_of(panel, subscriber)
        assert "Sparse attention for &lt;long&gt; documents" in answer.text
        for purpose in ("preferences", "unsubscribe", "feedback"):
            assert tokens.token(purpose, subscriber.public_id) not in answer.text
        policy = set(answer["Content-Security-Policy"].split("; "))
        assert {"sandbox", "default-src 'none'", "frame-ancestors 'self'"} <= policy
        assert everything() == before


def test_preview_of_planned_day_shows_planned_digest(panel):
    digest = planned_digest()
    text = preview_of(panel, digest.subscriber, "today").text
    assert "Sparse attention for &lt;long&gt; documents" in text
    text = preview_of(panel, digest.subscriber, "").text
    assert "No digest was planned today" not in text
    assert "?part=today" in text


def test_empty_preview_is_explained(panel):
    make.paper("Bread")
    subscriber = make.subscriber(interests="graphs")
    assert "No ranking model yet." in preview_of(panel, subscriber, "").text
    model_store.fit(NOW)
    text = preview_of(panel, subscriber, "").text
    assert "No digest was planned today" in text
    assert "No new paper matches, so no email is sent." in text
    assert "<iframe" not in text


def test_page_shows_daily_history_with_reasons(panel):
    make.paper("Sparse attention for <long> documents")
    week = 7 * DAY
    subscriber = make.subscriber(
        topics=[make.topic("Sparse attention")], confirmed_at=NOW - week, weekdays=0b0000011
    )
    plan.plan(NOW)
    text = text_of(page(panel, subscriber))
    assert "Mon 1 June Queued" in text
    assert "1 pick from 1 new papers" in text
    assert "1. Sparse attention for &lt;long&gt; documents" in text
    assert "Sun 31 May Not a delivery day." in text
    assert "Tue 26 May No digest:" in text
    assert "Sun 24 May" not in text
    assert "Not confirmed yet." in text_of(page(panel, make.subscriber(confirmed=False)))
