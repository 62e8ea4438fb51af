"""Which papers go into a digest: what is new, what it says, its groups and reasons."""

import pytest

from digest.models import Digest, Paper, Pick
from digest.papers import store
from digest.planning import plan
from digest.sources.records import Record
from digest.wording import reason_of
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.explanations import background_papers
from tests.factories.feedback import say
from tests.factories.make import DAY, HOUR, NOW, TODAY
from tests.factories.planning import digests, papers_about, plan_and_send, titles
from tests.helpers.pages import web_copy_of

pytestmark = pytest.mark.django_db

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
def subscriber():
    """A subscriber of graph networks who had a first digest."""
    papers_about("graph networks", 2)
    someone = make.subscriber(interests="graph networks", hour=12)
    plan_and_send(NOW)
    return someone


def test_late_papers_are_in_next_digest_once(subscriber):
    """Also a paper that was committed after planning, though it came in before."""
    late = [stored(f"Graph networks of {age}", NOW + HOUR, TODAY - age * DAY) for age in (1, 29)]
    late.append(stored("Graph networks of roads", NOW - HOUR, TODAY - 5 * DAY))
    for days in range(1, 4):
        plan_and_send(NOW + days * DAY)
    assert [days_of(paper) for paper in late] == [[TODAY + DAY]] * 3
    assert {pick.group for pick in Pick.objects.filter(paper__in=late)} == {"new"}


def test_imported_archive_makes_no_paper_new(subscriber, settings):
    settings.RANKING = {"cut": 0.05}  # So low that it would be missed, if it was new.
    old, recent = (
        stored(f"Graph networks of {age}", NOW + HOUR, TODAY - age * DAY) for age in (40, 20)
    )
    other = make.subscriber(interests="graph networks", next_due_at=NOW + DAY)
    plan_and_send(NOW + DAY)
    assert not days_of(old)
    assert days_of(recent) == [TODAY + DAY]
    assert other.digests.get().picks.count() == 2  # The first digest: of NEW_DAYS.
    stored("Graph networks of towns", NOW + 2 * DAY, TODAY + 2 * DAY)
    plan_and_send(NOW + 2 * DAY)
    assert other.digests.get(day=TODAY + 2 * DAY).picks.count() == 1  # Nor was it missed.


# ---- Groups


@pytest.fixture
def groups(settings, subscriber):
    """What comes next: a new paper, one that was passed over, and a near miss."""
    settings.RANKING = {"cut": 0.02}
    Pick.objects.all().delete()  # As if there had been no room for them.
    Paper.objects.update(day=TODAY - 2 * DAY, changed_at=LATER)
    for title in ("Graph networks of roads", "Graph colouring of maps"):
        make.paper(title, day=LATER.date())
    subscriber.wants_near = True
    subscriber.save()
    return subscriber


def test_missed_papers_and_near_misses_follow_new(groups, outbox, client):
    plan_and_send(LATER)
    digest = Digest.objects.get(day=LATER.date())
    picks = digest.picks.with_papers()
    assert [(pick.group, pick.paper.title) for pick in picks] == [
        ("new", "Graph networks of roads"),
        ("missed", "graph networks number 0"),
        ("missed", "graph networks number 1"),
        ("near", "Graph colouring of maps"),
    ]
    assert reason_of(picks[3]) == "Close to graph networks: graph"
    text = outbox()[-1].get_body(["plain"]).get_content().partition("Read on the web")[2]
    for part in (text, client.get(web_copy_of(digest)).text):
        order = ["You may have missed", "number 1", "Close to your interests", "Graph colouring"]
        assert [part.index(said) for said in order] == sorted(part.index(said) for said in order)


def test_near_misses_come_only_on_request(groups, client):
    address = tokens.preferences_url(groups)
    assert client.post(address, {"near": "perhaps"}).status_code == 400
    for near in ("yes", "no"):
        client.post(address, {"near": near})
        client.post(address, {"hour": 9})
        assert make.fresh(groups).wants_near == (near == "yes")
    plan.plan(LATER)
    assert not Pick.objects.filter(group="near").exists()


# ---- Reasons


def test_digest_has_matching_papers_with_reasons():
    papers_about("graph neural networks", 4)
    make.subscriber(interests="graph neural networks", muted=[make.topic("number 3")])
    make.subscriber(interests="medieval monasteries")
    assert plan.plan(NOW).letters == 2
    first, empty = digests()
    assert sorted(titles(first)) == [f"graph neural networks number {n}" for n in range(3)]
    pick = first.picks.first()
    assert (pick.basis, pick.topic_name) == ("topic", "graph neural networks")
    assert pick.terms == ["graph neural networks"]
    assert titles(empty) == []


def test_trending_papers_come_without_topics():
    for title, upvotes, age in (
        ("Cold", 1, 0),
        ("Hot", 90, 0),
        ("Old", 40, 6),
        ("Unknown", None, 0),
    ):
        make.paper(title, upvotes=upvotes, day=TODAY - age * DAY)
    make.subscriber()
    plan.plan(NOW)

    (digest,) = digests()
    assert titles(digest) == ["Hot", "Old", "Cold"]
    assert reason_of(digest.picks.first()) == "Trending: 90 upvotes"


def test_withdrawn_paper_is_not_selected():
    make.paper("Bread", upvotes=9)
    gone = make.paper("Bread, withdrawn", upvotes=99, is_withdrawn=True)
    bread, anything = (make.subscriber(interests=interests) for interests in ("bread", ""))
    for someone in (bread, anything):
        _, picks = plan.preview(someone, TODAY, NOW)
        assert [pick.paper.title for pick in picks] == ["Bread"]
    Paper.objects.filter(pk=gone.pk).update(is_withdrawn=False, changed_at=NOW + DAY)
    assert len(plan.preview(bread, TODAY, NOW)[1]) == 2


def test_reason_with_letter_or_number_is_the_topic():
    background_papers()
    make.paper("T cells", make.about("the T cells of mice"))
    make.paper("Llama 3", make.about("Llama 3 (Llama3) and mice"))
    for line in ("T cells", "T-cells", "Llama3", "Llama 3"):
        _, picks = plan.preview(make.subscriber(interests=f"{line}\nbread"), TODAY, NOW)
        assert [reason_of(pick) for pick in picks] == [line]


@pytest.mark.parametrize("value", ["more", "save", "less"])
def test_reason_names_similar_chosen_paper(outbox, client, value):
    chosen = make.paper("Graph networks of <i>sugar molecules</i>", day=TODAY - 40 * DAY)
    make.paper("Graph networks of long sugar molecules")
    make.paper("Car traffic", make.about("car traffic in old towns"))
    background_papers()
    someone = make.subscriber(interests="graph networks\ncar traffic")
    say(someone, value, chosen)
    plan_and_send(NOW)
    digest = someone.digests.get()
    reasons = [reason_of(pick) for pick in digest.picks.with_papers()]
    like = "Like “Graph networks of <i>sugar molecules</i>”, which you chose"
    assert sorted((like in reason for reason in reasons), reverse=True) == [value != "less", False]
    body = outbox()[0]
    html = body.get_body(["html"]).get_content()
    text = " ".join(body.get_body(["plain"]).get_content().split())
    page = client.get(web_copy_of(digest)).content.decode()
    escaped = like.replace("<", "&lt;").replace(">", "&gt;")
    counts = [shown.count(like) for shown in (text, html, page)]
    assert counts == [int(value != "less"), 0, 0]
    assert [shown.count(escaped) for shown in (html, page)] == [int(value != "less")] * 2
