"""Which papers go into a digest: what is new, what it says, its groups and reasons."""

import pytest
from django.core.management import call_command

from digest.models import Digest, Paper, Pick
from digest.papers import store
from digest.planning import plan
from digest.sources.records import Record
from digest.wording import reason_of
from subscriptions.models import Letter
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
    old = stored("Graph networks of roads", NOW + HOUR, TODAY - 40 * DAY)
    recent = stored("Graph networks of cars", NOW + HOUR, TODAY - 20 * DAY)
    someone = make.subscriber(interests="graph networks", next_due_at=NOW + DAY)
    plan_and_send(NOW + DAY)
    assert not Pick.objects.filter(paper=old).exists()
    assert [pick.subscriber for pick in Pick.objects.filter(paper=recent)] == [subscriber]
    assert someone.digests.get().picks.count() == 2  # The first digest: of NEW_DAYS.
    stored("Graph networks of towns", NOW + 2 * DAY, TODAY + 2 * DAY)
    plan_and_send(NOW + 2 * DAY)
    assert someone.digests.get(day=TODAY + 2 * DAY).picks.count() == 1  # Nor was it missed.


@pytest.mark.parametrize("state", ["failed", "missed"])
def test_failed_days_lose_no_paper(subscriber, state):
    late = stored("Graph networks of roads", NOW + HOUR, TODAY - 9 * DAY)
    for days in (1, 2, 3):
        plan.plan(NOW + days * DAY)
        letters = Letter.objects.filter(day=TODAY + days * DAY)
        letters.update(state=state, reason="refused: 550", ended_at=NOW + days * DAY)
        Pick.objects.filter(digest__letter__in=letters).delete()  # They are given back.
    plan_and_send(NOW + 4 * DAY)
    assert days_of(late) == [TODAY + 4 * DAY]


@pytest.mark.slow
def test_week_of_digests_repeats_no_paper(subscriber, outbox):
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
    picks = Digest.objects.get(day=LATER.date()).picks.with_papers()
    assert [(pick.position, pick.group, pick.paper.title) for pick in picks] == [
        (1, "new", "Graph networks of roads"),
        (2, "missed", "graph networks number 0"),
        (3, "missed", "graph networks number 1"),
        (4, "near", "Graph colouring of maps"),
    ]
    assert reason_of(picks[3]) == "Close to graph networks: graph"
    text = outbox()[-1].get_body(["plain"]).get_content().partition("Read on the web")[2]
    order = ["1. Graph", "You may have missed", "3. graph", "Close to your", "4. Graph"]
    assert [text.index(said) for said in order] == sorted(text.index(said) for said in order)
    page = client.get(web_copy_of(Digest.objects.get(day=LATER.date()))).content.decode()
    order = ["You may have missed", "Close to your interests", "Graph colouring of maps"]
    assert [page.index(said) for said in order] == sorted(page.index(said) for said in order)


def test_nothing_is_sent_without_new_papers(groups):
    Paper.objects.filter(title="Graph networks of roads").delete()
    plan.plan(LATER)
    assert Letter.objects.get(day=LATER.date()).reason == "nothing to say"
    assert not Pick.objects.exists()


def test_near_misses_come_only_on_request(groups, client):
    address = tokens.preferences_url(groups)
    assert client.post(address, {"near": "no"}).status_code == 302
    plan.plan(LATER)
    assert not Pick.objects.filter(group="near").exists()
    client.post(address, {"hour": 9})
    assert not make.fresh(groups).wants_near
    client.post(address, {"near": "yes"})
    assert make.fresh(groups).wants_near
    assert client.post(address, {"near": "perhaps"}).status_code == 400


# ---- Reasons


def test_digest_has_matching_papers_with_reasons():
    papers_about("graph neural networks", 4)
    muted = make.paper("graph neural networks of molecules")
    make.subscriber(interests="graph neural networks", muted=[make.topic("molecule")])
    make.subscriber(interests="medieval monasteries")
    assert plan.plan(NOW).letters == 2
    first, empty = digests()
    assert len(titles(first)) == 4
    assert all(title.startswith("graph neural networks") for title in titles(first))
    assert muted.title not in titles(first)
    pick = first.picks.first()
    assert (pick.basis, pick.topic_name) == ("topic", "graph neural networks")
    assert pick.terms == ["graph neural networks"]
    assert titles(empty) == []


@pytest.mark.parametrize("texts", [[], [""], ["the of and to"], ["$$$ ### 123"], ["…"]])
def test_corpus_without_words_is_planned(texts):
    for number in range(3):
        for text in texts:
            make.paper(text or "?", text, day=TODAY - number * DAY)
    for interests in ("graphs", "the of", ""):
        make.subscriber(interests=interests)
    assert plan.plan(NOW).letters == 3


def test_trending_papers_come_without_topics():
    make.paper("Cold", upvotes=1)
    make.paper("Hot", upvotes=90)
    make.paper("Unknown")
    make.subscriber()
    plan.plan(NOW)

    (digest,) = digests()
    assert titles(digest) == ["Hot", "Cold"]
    assert reason_of(digest.picks.first()) == "Trending: 90 upvotes"


def test_older_paper_needs_more_upvotes_to_trend():
    make.paper("Of last week", upvotes=20, day=TODAY - 6 * DAY)
    make.paper("Of today", upvotes=12)
    make.subscriber()
    plan.plan(NOW)
    assert titles(digests()[0]) == ["Of today", "Of last week"]


def test_withdrawn_paper_is_not_selected():
    make.paper("Bread", make.about("the bread of bakers"), upvotes=9)
    gone = make.paper("Bread, withdrawn", upvotes=99, is_withdrawn=True)
    for interests in ("bread", ""):
        _, picks = plan.preview(make.subscriber(interests=interests), TODAY, NOW)
        assert [pick.paper.title for pick in picks] == ["Bread"]
    Paper.objects.filter(pk=gone.pk).update(is_withdrawn=False, changed_at=NOW + DAY)
    _, picks = plan.preview(make.subscriber(interests="bread"), TODAY, NOW)
    assert len(picks) == 2


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
