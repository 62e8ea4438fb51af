"""Two operators at one moment: nothing is done twice, nothing is lost, and nothing breaks."""

import time
from functools import partial
from threading import Event

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core import signing
from django.db import IntegrityError, connection
from django.db.models.sql import DeleteQuery
from django.test import Client
from django.urls import reverse

from digest.views.forms.interests import InterestsForm
from digest.views.subscribing.sign_up import SignUpForm
from subscriptions.actions import erase as erasing
from subscriptions.actions import preferences, signup
from subscriptions.actions.preferences import TopicSelection
from subscriptions.models import Letter, Sending, Subscriber, Topic, TopicPreference
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import DAY, NOW, TODAY
from tests.helpers.admin_pages import form_of
from tests.helpers.threads import at_once, errors_of

pytestmark = pytest.mark.django_db(transaction=True)

rounds = pytest.mark.usefixtures("again")
PACK = """
- {slug: reefs, name: Reefs, query: coral reefs}
- {slug: graphs, name: Graphs, query: graph networks}
"""


class Operator:
    """Somebody at the panel, with a session of their own."""

    def __init__(self, name):
        self.client = Client(raise_request_exception=False)
        self.client.force_login(
            User.objects.create(username=name, is_staff=True, is_superuser=True)
        )

    def act(self, subscriber, act, **sent):
        url = reverse("admin:subscriptions_subscriber_changelist")
        row = {"action": act, "_selected_action": [subscriber.pk], "confirmed": "yes"}
        return self.send(url, row | sent)

    def send(self, url, sent):
        """Return the status of the answer, which is none of an error."""
        answer = self.client.post(url, sent)
        assert answer.status_code < 500, answer.exc_info
        return answer.status_code

    def take_in(self, pack):
        sent = {"import_file_name": signing.dumps(pack, salt="import"), "format": "0"}
        url = reverse("admin:subscriptions_topic_process_import")
        return self.send(url, sent | {"original_file_name": "topics.yaml"})


ada, bob = (pytest.fixture(lambda name=name: Operator(name), name=name) for name in ("ada", "bob"))


@pytest.fixture(params=[0, *(pytest.param(one, marks=pytest.mark.nightly) for one in range(1, 9))])
def again():
    """Race once, and at night more often."""


def both(*acts):
    assert errors_of(at_once(*acts)) == []


def trail():
    return [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]


def assert_forgotten():
    rows = [str(row) for row in LogEntry.objects.values_list("object_repr", "change_message")]
    assert not [row for row in rows if "@example.org" in row]


ACTS = {"pause": {"until": "2026-06-20"}, "block": {"reason": "asked by phone"}}
ACTS |= {"unsubscribe": {}, "erase": {}}


@rounds
@pytest.mark.parametrize("act", ACTS)
def test_erasure_wins_over_concurrent_action(ada, bob, act):
    subscriber = make.subscriber("reader@example.org", interests="graphs")
    both(partial(ada.act, subscriber, act, **ACTS[act]), partial(bob.act, subscriber, "erase"))
    assert not Subscriber.objects.exists()
    assert_forgotten()
    assert LogEntry.objects.filter(action_flag=3).count() == 1


@pytest.mark.parametrize("is_before", [True, False])
def test_erased_subscriber_is_not_named_in_log(ada, monkeypatch, is_before):
    subscriber, pause = make.subscriber("reader@example.org"), preferences.pause

    def pause_and_erase(whom, until, *, now):
        if is_before:
            erasing.erase(whom, now=now)
        is_paused = pause(whom, until, now=now)
        if not is_before:
            erasing.erase(whom, now=now)
        return is_paused

    monkeypatch.setattr(preferences, "pause", pause_and_erase)
    ada.act(subscriber, "pause", until="2026-06-20")
    page = ada.client.get(reverse("admin:subscriptions_subscriber_changelist")).content.decode()
    assert ("Not paused: 1. They were already erased." in page) is is_before
    assert not LogEntry.objects.exists()


@rounds
def test_suppression_survives_concurrent_resume(ada, bob):
    subscriber = make.subscriber(paused_until=TODAY.replace(day=20))
    both(
        partial(ada.act, subscriber, "block", reason="asked by phone"),
        partial(bob.act, subscriber, "resume"),
    )
    subscriber.refresh_from_db()
    ended = ["Pause ended."] if subscriber.paused_until is None else []  # Bob came too late.
    assert subscriber.state_at(NOW) == "suppressed"
    assert sorted(trail()) == ["Blocked: asked by phone", *ended]


SAME = {
    "resume": ({"paused_until": TODAY.replace(day=20)}, {}),
    "ask_to_confirm": ({"confirmed": False}, {}),
    "send_link": ({}, {}),
    "ask_to_verify": ({"suppressed_at": NOW, "suppressed_by": "bounced"}, {}),
    "unblock": ({"suppressed_at": NOW, "suppressed_by": "operator"}, {}),
    "block": ({}, {"reason": "asked by phone"}),
}


@rounds
@pytest.mark.parametrize("act", SAME)
def test_concurrent_identical_actions_happen_once(ada, bob, act):
    fields, sent = SAME[act]
    subscriber = make.subscriber(**fields)
    signup.record_consent(subscriber, "asked", signup.ConsentSource("test"), NOW)
    both(*(partial(one.act, subscriber, act, **sent) for one in (ada, bob)))
    assert len(trail()) == 1
    assert Letter.objects.count() == (act in ("ask_to_confirm", "send_link", "ask_to_verify"))


def test_subscriber_erased_during_save_stays_erased(ada, monkeypatch):
    subscriber = make.subscriber("reader@example.org", interests="graphs")
    url = reverse("admin:subscriptions_subscriber_change", args=[subscriber.pk])
    sent = form_of(ada.client.get(url)) | {"hour": "20"}
    change, has_begun = preferences.change, Event()

    def change_slowly(*args, **kwargs):
        has_begun.set()
        time.sleep(0.5)  # Meanwhile they would go.
        change(*args, **kwargs)

    def erase():
        has_begun.wait(10)
        erasing.erase(subscriber, now=NOW)

    monkeypatch.setattr(preferences, "change", change_slowly)
    both(partial(ada.send, url, sent), erase)
    assert not Subscriber.objects.exists()
    assert_forgotten()


@rounds
def test_concurrent_topic_change_survives_operator_save(ada):
    kept = make.topic("Kept")
    subscriber = make.subscriber("reader@example.org", interests="graphs\nreefs", topics=[kept])
    url = reverse("admin:subscriptions_subscriber_change", args=[subscriber.pk])
    sent = form_of(ada.client.get(url)) | {"preferences-1-weight": "2", "preferences-2-weight": "3"}
    wishes = TopicSelection(follow=[kept], interests=["bread"])
    both(partial(ada.send, url, sent), partial(preferences.change, subscriber, wishes, {}, now=NOW))
    assert set(subscriber.preferences.values_list("topic__name", flat=True)) >= {"Kept", "bread"}


@rounds
def test_last_concurrent_mailing_list_wins(ada, bob):
    group = make.group("Lab")
    url = reverse("admin:subscriptions_group_change", args=[group.pk])
    sent = form_of(ada.client.get(url))
    lists = [sent | {"list_address": f"{name}@lab.example"} for name in ("all", "everyone")]
    both(partial(ada.send, url, lists[0]), partial(bob.send, url, lists[1]))
    other = Subscriber.objects.exclude(group_of_list=group).get()
    assert other.unsubscribed_at


@rounds
def test_concurrent_imports_create_topics_once_and_never_deadlock(ada, bob):
    both(*(partial(one.take_in, PACK) for one in (ada, bob)))
    assert sorted(Topic.objects.values_list("slug", flat=True)) == ["graphs", "reefs"]
    assert LogEntry.objects.count() == 2
    Topic.objects.update(query="old")  # Now, each import changes both.
    opposite = "\n".join(reversed(PACK.splitlines())).replace("coral", "blue")
    both(partial(ada.take_in, PACK), partial(bob.take_in, opposite))
    assert Topic.objects.get(slug="reefs").query in ("coral reefs", "blue reefs")


@rounds
def test_concurrent_identical_topics_are_created_once(ada, bob):
    sent = {"name": "Reefs", "slug": "reefs", "query": "coral reefs", "categories": ""}
    url = reverse("admin:subscriptions_topic_add")
    answers = at_once(*(partial(one.send, url, sent | {"is_offered": "on"}) for one in (ada, bob)))
    assert sorted(answers) == [200, 302]  # Who comes second keeps what they wrote.
    assert Topic.objects.get().slug == "reefs"
    assert LogEntry.objects.count() == 1


def test_following_a_topic_during_deletion_succeeds(ada, monkeypatch):
    if connection.vendor == "sqlite":
        pytest.skip("there, who writes is alone")
    topic, subscriber, delete = make.topic("Reefs"), make.subscriber(), DeleteQuery.delete_batch
    begin = partial(preferences.change, subscriber, TopicSelection(follow=[topic]), {}, now=NOW)

    def delete_late(self, *args):  # What is to go with the topic has gone by then.
        monkeypatch.setattr(DeleteQuery, "delete_batch", delete)
        both(begin)
        return delete(self, *args)

    monkeypatch.setattr(DeleteQuery, "delete_batch", delete_late)
    ada.send(reverse("admin:subscriptions_topic_delete", args=[topic.pk]), {"post": "yes"})
    assert not Topic.objects.exists()
    assert not subscriber.preferences.exists()


@pytest.mark.parametrize("form", [SignUpForm, InterestsForm])
def test_topic_deleted_during_submission_is_a_form_error(client, monkeypatch, form):
    """Of the form, nothing is kept then: the page asks again, with the topics that there are."""
    topic, subscriber, is_valid = make.topic("Reefs"), make.subscriber(), form.is_valid
    is_sign_up = form is SignUpForm
    address = reverse("subscribe") if is_sign_up else tokens.preferences_url(subscriber)

    def found_and_gone(self):
        is_found = is_valid(self)
        Topic.objects.filter(pk=topic.pk).delete()
        return is_found

    monkeypatch.setattr(form, "is_valid", found_and_gone)
    answer = client.post(address, {"email": "new@example.org", "topics": ["reefs"], "hour": 9})
    assert answer.status_code == 400
    assert "There is no topic called “reefs”" in answer.text
    assert not TopicPreference.objects.exists()
    assert not Subscriber.objects.filter(email="new@example.org").exists()
    subscriber.refresh_from_db()
    assert subscriber.hour == 7


def test_confirmation_survives_deleted_topic(client, monkeypatch):
    gone = make.topic("Reefs")
    requested = {"topics": [gone.pk], "interests": [], "timezone": "UTC", "hour": 9}
    left = {"unsubscribed_at": NOW, "confirmed_at": NOW - DAY}
    subscriber = make.subscriber(**left, next_due_at=None, pending_settings=requested)
    set_preferences, calls = signup.set_preferences, []

    def too_late(someone, wishes):
        calls.append(wishes)
        if len(calls) == 1:
            raise IntegrityError("violates foreign key constraint")
        set_preferences(someone, wishes)

    monkeypatch.setattr(signup, "set_preferences", too_late)
    url = tokens.answer_url(subscriber, "confirm", subscriber.asked_at)
    assert client.post(url).status_code == 200
    assert len(calls) == 2
    subscriber.refresh_from_db()
    assert (subscriber.unsubscribed_at, subscriber.hour) == (None, 9)


@rounds
def test_concurrent_stop_and_resume_are_both_logged(ada, bob):
    stop, resume = (reverse(f"admin:subscriptions_sending_{act}") for act in ("stop", "resume"))
    sent = {"_form_submitted": "on"}
    both(partial(ada.send, stop, sent), partial(bob.send, resume, sent))
    assert Sending.objects.count() == 1
    assert sorted(trail()) == ["Sending resumed.", "Sending stopped."]
