"""Groups: the digests of groups, and the papers that they share with their members."""

from types import SimpleNamespace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from digest import wording
from digest.indexing import model_store
from digest.letters import compose
from digest.models import Paper, Pick, Recommendation
from digest.personalization import feedback, interests
from digest.planning import explain, plan, sharing
from digest.ranking.ranking import Choice
from digest.wording import reason_of
from subscriptions.actions import erase, preferences
from subscriptions.actions.preferences import TopicSelection
from subscriptions.models import Subscriber
from tests.factories import make
from tests.factories.feedback import say
from tests.factories.make import DAY, HOUR, NOW, TODAY
from tests.factories.planning import plan_and_send, ranked
from tests.helpers.pages import text_of, web_copy_of

pytestmark = pytest.mark.django_db

THEMES = "graph networks", "protein folding", "speech codecs", "quantum annealing"


def papers(day=0, count=2, themes=THEMES):
    """Make papers of each theme, dated so many days after today."""
    return [
        make.paper(f"{theme} {day}-{n}", f"On {theme}, part {n}.", day=TODAY + day * DAY)
        for theme in themes
        for n in range(count)
    ]


def send_day(day=0, *args):
    """Make papers of each theme, and send the digests of that day."""
    papers(day, *args)
    plan_and_send(NOW + day * DAY)


def group_of(members, **fields):
    group = make.group(**fields)
    for number, member in enumerate(members):
        make.member(group, f"Member {number}", member)
    return group


@pytest.fixture
def lab():
    """A group of four with a topic each, and a list that gets its digest."""
    members = [make.subscriber(f"{theme[:5]}@lab.example", interests=theme) for theme in THEMES]
    mailing_list = make.subscriber("all@lab.example", size=6)
    return group_of(members, name="Robotics Lab", mailing_list=mailing_list)


def members_of(lab):
    return [row.subscriber for row in lab.memberships.order_by("pk")]


def recommend(sender, receiver, paper, note="", name="Ada", at=NOW):
    return Recommendation.objects.create(
        sender=sender, receiver=receiver, paper=paper, sender_name=name, note=note, at=at
    )


def picks_of(subscriber, day=0, **which):
    picks = Pick.objects.filter(subscriber=subscriber, digest__day=TODAY + day * DAY, **which)
    return list(picks.order_by("position").select_related("paper"))


def titles(picks):
    return [pick.paper.title for pick in picks]


# ---- The digest of a group


def choices(*papers, score=0.5):
    return [Choice(paper, score, "topic", topic="mine", terms=("word",)) for paper in papers]


def candidates(*ideas):
    return SimpleNamespace(ideas=ideas, places={place: place for place in range(len(ideas))})


def test_merged_lists_alternate_members_and_prefer_shared_papers():
    lists = [choices(1, 2, 3), choices(4, 5, score=0.9), choices(6, 2, score=0.1), choices(6)]
    merged = sharing.merge(lists, candidates(*range(10)), 10)
    assert [choice.paper for choice in merged] == [6, 4, 1, 2, 5, 3]
    assert sharing.merge(lists, candidates(*range(10)), 4) == merged[:4]


def test_merged_lists_fold_papers_on_one_idea():
    """The reason is a topic, where a member has one beside another's private reason."""
    first = [Choice(0, 0.5, "learned", relatives=(1,))]
    merged = sharing.merge([first, choices(2, 3, score=0.4)], candidates(0, 0, 0, 3), 10)
    assert [(one.paper, {*one.relatives}, one.topic) for one in merged] == [
        (2, {0, 1}, "mine"),
        (3, set(), "mine"),
    ]


def test_group_digest_covers_all_kinds_of_interests(lab):
    text = "Carbon storage in the soils of northern forests after fires"
    lines = "I work on tidal wetlands", "author: Ada Example", "cs.RO", f"text: {text}"
    for member, line in zip(members_of(lab), lines, strict=True):
        selection = TopicSelection.of(interests.read(line), [], [])
        preferences.change(member, selection, {}, now=NOW)
    papers()
    make.paper("tidal wetlands")
    make.paper("medieval monasteries", authors=["Ada Example"])
    make.paper("robot grippers", categories=["cs.RO"])
    make.paper("forest soils", text)
    plan_and_send(NOW)
    picked = titles(picks_of(lab.mailing_list))
    assert sorted(picked) == [
        "forest soils",
        "medieval monasteries",
        "robot grippers",
        "tidal wetlands",
    ]


def test_only_active_members_shape_group_digest(lab):
    papers()
    invited, gone, left, _ = members_of(lab)
    lab.memberships.filter(subscriber=invited).update(joined_at=None)
    lab.memberships.filter(subscriber=left).delete()
    Subscriber.objects.filter(pk=gone.pk).update(unsubscribed_at=NOW)
    plan.plan(NOW)
    assert {pick.topic_name for pick in picks_of(lab.mailing_list)} == {THEMES[3]}
    lab.memberships.all().delete()
    (due,) = ranked(lab.mailing_list, now=NOW + DAY)
    assert (due.papers, due.considered) == ([], 6)


def test_mutes_stay_personal_and_near_misses_are_omitted(lab, settings):
    settings.RANKING = {"cut": 0.01}
    make.paper("Graph colouring of maps", "A map is a graph. We colour graphs.")
    first, *_ = members_of(lab)
    paper = make.paper("graph networks of protein folding")
    first.preferences.create(topic=make.topic("protein"), stance="mute")
    Subscriber.objects.update(wants_near=True)
    plan.plan(NOW)
    assert [pick.paper for pick in picks_of(lab.mailing_list)] == [paper]
    assert paper.title not in titles(picks_of(first))


@pytest.fixture
def alone(lab):
    """The only member of the lab, of long standing and without topics."""
    member = make.subscriber(confirmed_at=NOW - DAY)
    lab.memberships.all().delete()
    make.member(lab, "Ada", member)
    papers(0, 6, ["rice cooking"])
    return member


def test_group_digest_names_no_added_paper(lab, alone):
    added = make.paper("Roads", make.about("how roads of asphalt age in the frost"))
    other = make.paper("Asphalt", make.about("how roads of asphalt crack in the frost"))
    for text in (added.pk, f"Frost | {make.about('how roads of asphalt break in the frost')}"):
        topic = alone.own_topics.create(name=text[:9], query=text, kind="paper")
        alone.preferences.create(topic=topic)
    plan.plan(NOW)
    assert {pick.basis for pick in picks_of(alone)} == {"added"}
    picks = picks_of(lab.mailing_list)
    assert {pick.paper for pick in picks} == {other}
    assert {(pick.basis, pick.topic_name, *pick.terms) for pick in picks} == {("group", "")}


def test_group_digest_hides_members_feedback(lab, alone, client):
    """Neither the titles of what they chose, nor the words that were learned."""
    liked = papers(-20, 6, ["quantum annealing"])
    todays = papers(0, 2, ["quantum annealing"])
    say(alone, "more", *liked)
    model_store.fit(NOW)
    feedback.learn(NOW + HOUR)
    plan_and_send(NOW + HOUR)
    assert "learned" in {pick.basis for pick in picks_of(alone)}  # As the member's own reason.
    picks = picks_of(lab.mailing_list, paper__in=todays)
    assert {(pick.basis, pick.topic_name, *pick.terms) for pick in picks} == {("group", "")}
    web_copy = text_of(client.get(web_copy_of(picks[0].digest)))
    for text in (web_copy, compose.preview(picks[0].digest, picks).text):
        assert "Similar to papers that members liked" in text
        assert not any(paper.title in text for paper in liked)


def test_group_explanation_names_topic_only_of_its_papers(lab):
    make.member(lab, "Eve", make.subscriber(interests='"avalanche startups"'))
    chosen, *_ = papers()
    other = make.paper("Startups and an avalanche", "On one avalanche and on startups.")
    model_store.fit(NOW)
    for paper, *expected in ((chosen, "chosen", "graph networks"), (other, "unasked", "")):
        diagnosis = explain.explain(lab.mailing_list, paper.pk, TODAY, NOW).diagnosis
        assert [diagnosis.outcome, diagnosis.interest, *diagnosis.missing] == expected


# ---- Papers that groups share with a member


def test_shared_papers_follow_own_and_name_the_group(lab):
    send_day()
    send_day(1)
    member, *_ = members_of(lab)
    picks = picks_of(member, 1)
    assert [pick.group for pick in picks] == ["new"] * 2 + ["shared"] * 4
    assert {pick.topic_name for pick in picks[:2]} == {"graph networks"}
    assert {reason_of(pick) for pick in picks[2:]} == {"In the digest of Robotics Lab"}
    assert wording.sections(picks)[-1] == ("Shared in your groups", picks[2:])


def test_shared_papers_alone_make_no_digest(lab):
    sender, receiver, *_ = members_of(lab)
    recommend(sender, receiver, make.paper("Cooking rice", day=TODAY - 30 * DAY))
    send_day(0, 2, THEMES[:1])
    assert picks_of(lab.mailing_list)
    send_day(1, 2, THEMES[:1])
    assert picks_of(receiver, 1) == []


def test_shared_papers_are_limited_and_the_rest_follows(lab):
    member, *_ = members_of(lab)
    Subscriber.objects.filter(pk=member.pk).update(size=1)
    Subscriber.objects.filter(pk=lab.mailing_list.pk).update(size=20, weekdays=1)  # Mondays.
    send_day(0, 3)
    for day in (1, 2, 3):
        send_day(day, 1, THEMES[:1])
    assert len(picks_of(member, 1)) == 1 + sharing.MAX_SHARED
    shared = lab.mailing_list.picks.values("paper")
    assert shared.difference(member.picks.values("paper")).count() == 0


# ---- Recommendations


@pytest.fixture
def pair(lab):
    """Two members, of whom the second has own papers today."""
    papers(0, 2, THEMES[1:2])
    return members_of(lab)[:2]


def old_paper(title="Cooking rice", **fields):
    return make.paper(title, day=TODAY - 40 * DAY, **fields)


def test_recommendation_comes_once_before_group_papers(lab, pair):
    send_day()
    for n in range(2):
        recommend(*pair, old_paper(f"Rice {n}"), "Section 4!", at=NOW + n * HOUR)
    recommend(members_of(lab)[3], pair[1], Recommendation.objects.first().paper, name="Bob")
    send_day(1)
    shared = picks_of(pair[1], 1, group="shared")
    assert [pick.basis for pick in shared] == ["advice", "advice", "group", "group", "group"]
    assert titles(shared)[:2] == ["Rice 0", "Rice 1"]
    assert reason_of(shared[0]) == "Recommended by Ada: “Section 4!”"
    send_day(2)
    assert not picks_of(pair[1], 2, basis="advice")


def by_another_id(lab, sender, receiver):
    same = make.paper("Baked rice", day=TODAY - 9 * DAY, id="doi:10.1/rice", doi="10.1/rice")
    receiver.library.create(identity=same.pk, title=same.title, at=NOW)


CASES = {
    "the sender left": lambda lab, sender, _: lab.memberships.get(subscriber=sender).delete(),
    "the sender was erased": lambda lab, sender, _: erase.erase(sender, now=NOW),
    "they are switched off": lambda lab, *_: lab.memberships.update(takes_recommendations=False),
    "it is in the library": by_another_id,
    "it is withdrawn": lambda *_: Paper.objects.filter(doi="10.1/rice").update(is_withdrawn=True),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_recommendation_is_silently_omitted(case, lab, pair):
    recommend(*pair, old_paper(doi="10.1/rice"))
    case(lab, *pair)
    plan_and_send(NOW)
    assert len(picks_of(pair[1])) == 2
    assert not picks_of(pair[1], group="shared")


ENDS = [(False, CASES["the sender left"]), (True, CASES["the sender was erased"])]


@pytest.mark.parametrize(("is_planned", "end"), ENDS)
def test_former_sender_is_not_named(lab, pair, is_planned, end):
    recommend(*pair, old_paper(), "Section 4!")
    recommend(members_of(lab)[2], pair[1], old_paper("Soup"), "Hot", name="Bob")
    dues = ranked(*members_of(lab)[1:])
    acts = [lambda: end(lab, *pair), lambda: plan.save_plan(dues, {}, NOW)]
    for act in acts[:: -1 if is_planned else 1]:
        act()
    reasons = [reason_of(pick) for pick in picks_of(pair[1], group="shared")]
    assert reasons == ["Recommended by a colleague", "Recommended by Bob: “Hot”"]


# ---- Costs


def queries_of(*subscribers, now=NOW):
    with CaptureQueriesContext(connection) as queries:
        ranked(*subscribers, now=now)
    return len(queries)
