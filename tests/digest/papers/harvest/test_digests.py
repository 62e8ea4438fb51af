"""What digests have of a harvest: they wait for it, and tell news of saved papers once."""

from datetime import timedelta

import pytest

from digest.models import Digest, Feedback, Paper
from digest.planning import plan
from subscriptions.models import Letter, Subscriber
from tests.factories import make
from tests.factories.announcements import at, run

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(("comes", "stored_count"), [(False, 6), (True, 9)])
def test_digests_wait_at_most_an_hour_for_list(server, days, comes, stored_count):
    run(server, days[0])
    subscriber = make.subscriber(interests="graph networks", timezone="America/New_York", hour=7)
    plan.plan(at(days[0], 8))
    server.faults["cs"] = "stale"
    run(server, days[1])
    due = at(days[1], 7)
    assert plan.plan(due).letters == plan.plan(due + timedelta(minutes=59)).letters == 0
    if comes:
        server.faults.clear()
        run(server, days[1], hour=7)
    assert plan.plan(due + timedelta(minutes=59 if comes else 60)).letters == 1
    digest = Digest.objects.get(subscriber=subscriber, day=days[1])
    assert (digest.receipt["had"], digest.receipt["is_verified"]) == (stored_count, comes)


@pytest.mark.parametrize(("ago", "letters"), [(10, 0), (11, 1)])
def test_digests_do_not_wait_for_abandoned_source(server, days, ago, letters):
    run(server, days[0])
    make.subscriber(wants_quiet_days=True, timezone="America/New_York", hour=7)
    plan.plan(at(days[0], 8))
    due = at(days[0] + timedelta(days=ago), 7)
    Subscriber.objects.update(next_due_at=due)
    assert plan.plan(due).letters == letters


def test_first_digests_do_not_wait(server, days):
    make.paper("Graph networks", day=days[1])
    make.subscriber(interests="graph networks")
    assert plan.plan(at(days[1])).letters == 1
    run(server, days[0])
    make.subscriber(interests="graph networks")
    assert plan.plan(at(days[1])).letters == 1


def test_news_of_saved_papers_is_sent_once(server, days):
    run(server, days[0])
    subscriber = make.subscriber(interests="graph networks", size=2)
    saved = {"value": "save", "at": at(days[0]), "saved_at": at(days[0])}
    for whose in (subscriber, make.subscriber()):
        number = 2 if whose != subscriber else 1  # Nobody gets the news of others.
        Feedback.objects.create(subscriber=whose, paper_id=f"2606.0000{number}", **saved)
    Paper.objects.get(pk="2606.00002").events.create(kind="revised", note="v2", at=at(days[1]))
    texts = []
    for day in days[:3]:
        run(server, day)
        moment = at(day, 9)
        plan.plan(moment)
        letter = Letter.objects.get(subscriber=subscriber, day=day)
        texts.append(make.composed(letter, moment).text)
        letter.state, letter.frozen_at, letter.ended_at = "accepted", moment, moment
        letter.save()
        server.days[days[2]] = [p for p in server.days[days[2]] if p.get("kind") != "replace"]
    assert "Papers you saved" not in texts[0]
    assert "Graph networks number 1 has a new version: v2." in " ".join(texts[1].split())
    assert "number 2 has" not in texts[1]
    assert "Papers you saved" not in texts[2]
