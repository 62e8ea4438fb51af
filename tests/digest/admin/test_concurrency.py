"""Two operators at one moment: nothing is done twice, nothing is lost, and nothing breaks."""

from functools import partial

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core import signing
from django.db import IntegrityError
from django.test import Client
from django.urls import reverse

from subscriptions.actions import signup
from subscriptions.models import Letter, Subscriber, Topic
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import DAY, NOW, TODAY
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


@rounds
def test_concurrent_imports_create_topics_once_and_never_deadlock(ada, bob):
    both(*(partial(one.take_in, PACK) for one in (ada, bob)))
    assert sorted(Topic.objects.values_list("slug", flat=True)) == ["graphs", "reefs"]
    assert LogEntry.objects.count() == 2
    Topic.objects.update(query="old")  # Now, each import changes both.
    opposite = "\n".join(reversed(PACK.splitlines())).replace("coral", "blue")
    both(partial(ada.take_in, PACK), partial(bob.take_in, opposite))
    assert Topic.objects.get(slug="reefs").query in ("coral reefs", "blue reefs")


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
