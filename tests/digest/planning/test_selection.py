"""Which papers are new to whom, and the groups of a digest."""

from datetime import timedelta

import pytest
from django.core.management import call_command

from digest.models import Digest, Paper, Pick
from digest.papers import store
from digest.personalization import feedback
from digest.planning import plan
from digest.sources.records import Record
from subscriptions.models import Letter
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import NOW
from tests.factories.planning import DAY, TODAY, papers_about, plan_and_send

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
LATER = NOW + 3 * DAY


def stored(title, at, day):
    """Store a paper as a harvest does, dated on another day."""
    number = Paper.objects.count()
    record = Record(id=f"2605.{number:05}", title=title, abstract=f"Of {title}.", day=day)
    store.store([record], now=at)
    return record.id


def days_of(paper):
    return [pick.digest.day for pick in Pick.objects.filter(paper=paper).select_related("digest")]


@pytest.fixture
def reader():
    """A subscriber of graph networks who had a first digest."""
    papers_about("graph networks", 2)
    someone = make.subscriber(interests="graph networks", hour=12)
    plan_and_send(NOW)
    return someone


@pytest.mark.parametrize("age", [1, 5, 29])
def test_a_paper_that_comes_in_late_is_in_the_next_digest_once(reader, age):
    late = stored("Graph networks of roads", NOW + HOUR, TODAY - age * DAY)
    for days in range(1, 4):
        plan_and_send(NOW + days * DAY)
    assert days_of(late) == [TODAY + DAY]
    assert Pick.objects.get(paper=late).group == "new"


def test_a_paper_that_is_committed_after_planning_is_in_the_next_digest_once(reader):
    late = stored("Graph networks of roads", NOW - HOUR, TODAY - 5 * DAY)
    for days in range(1, 4):
        plan_and_send(NOW + days * DAY)
    assert days_of(late) == [TODAY + DAY]


def test_an_archive_that_is_imported_makes_no_old_paper_new(reader, settings):
    settings.RANKING = {"missed": 0}
    old = stored("Graph networks of roads", NOW + HOUR, TODAY - 40 * DAY)
    recent = stored("Graph networks of cars", NOW + HOUR, TODAY - 20 * DAY)
    someone = make.subscriber(interests="graph networks", next_due_at=NOW + DAY)
    plan_and_send(NOW + DAY)
    assert not Pick.objects.filter(paper=old).exists()
    assert [pick.subscriber for pick in Pick.objects.filter(paper=recent)] == [reader]
    assert someone.digests.get().picks.count() == 2  # The first digest: of NEW_DAYS.
    stored("Graph networks of towns", NOW + 2 * DAY, TODAY + 2 * DAY)
    plan_and_send(NOW + 2 * DAY)
    assert someone.digests.get(day=TODAY + 2 * DAY).picks.count() == 1  # Nor was it missed.


@pytest.mark.parametrize("state", ["failed", "missed"])
def test_days_that_failed_lose_no_paper(reader, state):
    late = stored("Graph networks of roads", NOW + HOUR, TODAY - 9 * DAY)
    for days in (1, 2, 3):
        plan.plan(NOW + days * DAY)
        letters = Letter.objects.filter(day=TODAY + days * DAY)
        letters.update(state=state, reason="refused: 550", ended_at=NOW + days * DAY)
        Pick.objects.filter(digest__letter__in=letters).delete()  # They are given back.
    plan_and_send(NOW + 4 * DAY)
    assert days_of(late) == [TODAY + 4 * DAY]


def test_a_week_brings_no_filler_and_no_paper_twice(reader, outbox):
    announced = {1: 4, 2: 12, 5: 3}
    for days in range(1, 8):
        now = NOW + days * DAY
        for number in range(announced.get(days, 0)):
            stored(f"Graph networks of {days} and {number}", now - 5 * HOUR, now.date())
        call_command("tick", now=now)
    picks = list(Pick.objects.filter(digest__day__gt=TODAY).values_list("digest__day", "paper"))
    counts = [sum(day == TODAY + days * DAY for day, _ in picks) for days in range(1, 8)]
    assert counts == [4, 10, 0, 0, 5, 0, 0]  # Of day 2, two had no place: they come with others.
    assert len({paper for _, paper in picks}) == len(picks)
    assert len(outbox()) == 1 + 3
    missed = Pick.objects.filter(group="missed").values_list("digest__day", flat=True)
    assert list(missed) == [TODAY + 5 * DAY] * 2


# ---- Groups


@pytest.fixture
def groups(settings, reader):
    """What comes next: a new paper, one that was passed over, and a near miss."""
    settings.RANKING = {"cut": 4.88, "missed": 0, "near": 6}
    Pick.objects.all().delete()  # As if there had been no room for them.
    Paper.objects.update(day=TODAY - 2 * DAY, changed_at=LATER)
    for title in ("Graph networks of roads", "Graph colouring of maps"):
        make.paper(title, day=LATER.date())
    reader.wants_near = True
    reader.save()
    return reader


def test_what_was_passed_over_and_near_misses_follow_what_is_new(groups, outbox):
    plan_and_send(LATER)
    picks = Digest.objects.get(day=LATER.date()).picks.whole()
    assert [(pick.position, pick.group, pick.paper.title) for pick in picks] == [
        (1, "new", "Graph networks of roads"),
        (2, "missed", "graph networks number 0"),
        (3, "missed", "graph networks number 1"),
        (4, "near", "Graph colouring of maps"),
    ]
    assert picks[3].why == "Close to graph networks: graph"
    text = outbox()[-1].get_body(["plain"]).get_content()
    order = ["For you", "1. Graph", "You may have missed", "3. graph", "Close to your", "4. Graph"]
    assert [text.index(said) for said in order] == sorted(text.index(said) for said in order)


def test_a_digest_on_the_web_has_the_groups_as_well(groups, client):
    plan_and_send(LATER)
    token = tokens.own_token("digest", groups, Digest.objects.get(day=LATER.date()).public_id)
    page = client.get(f"/digests/{token}/").content.decode()
    assert page.index("You may have missed") < page.index("Close to your interests")
    assert page.index("Close to your interests") < page.index("Graph colouring of maps")


def test_without_anything_new_nothing_is_sent(groups):
    Paper.objects.filter(title="Graph networks of roads").delete()
    plan.plan(LATER)
    assert Letter.objects.get(day=LATER.date()).reason == "nothing to say"
    assert not Pick.objects.exists()


def test_near_misses_come_to_those_who_want_them_alone(groups, client):
    address = tokens.preferences_url(groups)
    assert client.post(address, {"near": "no"}).status_code == 302
    plan.plan(LATER)
    assert not Pick.objects.filter(group="near").exists()
    client.post(address, {"hour": 9})
    groups.refresh_from_db()
    assert not groups.wants_near
    client.post(address, {"near": "yes"})
    groups.refresh_from_db()
    assert groups.wants_near
    assert client.post(address, {"near": "perhaps"}).status_code == 400


def test_a_pick_of_the_version_before_is_new(reader):
    Pick.objects.update(group="")
    pick = Pick.objects.first()
    assert (pick.heading, pick.why) == ("", "graph networks")


# ---- Reasons


def test_a_paper_like_one_that_they_saved_says_which():
    papers_about("rice", 3)
    seasons = ("spring", "summer", "autumn")
    old = [make.paper(f"Trout in {one}", "Trout spawn.", day=TODAY - 70 * DAY) for one in seasons]
    make.paper("More trout in summer", "Trout spawn again.")
    someone = make.subscriber(interests="medieval monasteries")
    for paper in old:
        feedback.record(someone, paper, "save", NOW)
    feedback.learn(NOW)
    plan.plan(NOW)
    pick = Pick.objects.get(basis="learned")
    assert pick.topic_name == "Trout in summer"
    assert pick.why.startswith("Like “Trout in summer”, which you chose")
