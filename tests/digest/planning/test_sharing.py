"""Groups: the digests of groups, and the papers that they share with their members."""

import re
import threading
from types import SimpleNamespace

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from digest import wording
from digest.indexing import model_store
from digest.letters import compose
from digest.models import LibraryPaper, Paper, Pick, Recommendation
from digest.personalization import feedback, interests
from digest.planning import explain, plan, sharing
from digest.ranking.ranking import Choice
from digest.wording import reason_of
from subscriptions.actions import erase, preferences
from subscriptions.actions.preferences import TopicSelection
from subscriptions.delivery import transitions
from subscriptions.models import Letter, Subscriber
from tests.factories import make
from tests.factories.feedback import say
from tests.factories.make import DAY, HOUR, NOW, TODAY
from tests.factories.planning import TOOK_OFF, count_as_sent, crowd, older, plan_and_send, ranked
from tests.helpers.invariants import broken
from tests.helpers.pages import text_of, web_copy_of
from tests.helpers.threads import at_once

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


def shared_with(subscriber, day=0):
    return titles(picks_of(subscriber, day, group="shared"))


# ---- The digest of a group


def choices(*papers, basis="topic", score=0.5):
    return [Choice(paper, score, basis, topic="mine", terms=("word",)) for paper in papers]


def candidates(*ideas):
    return SimpleNamespace(ideas=ideas, places={place: place for place in range(len(ideas))})


def test_merged_lists_alternate_members_and_prefer_shared_papers():
    lists = [choices(1, 2, 3), choices(4, 5, score=0.9), choices(6, 2, score=0.1), choices(6)]
    merged = sharing.merge(lists, candidates(*range(10)), 10)
    assert [choice.paper for choice in merged] == [6, 4, 1, 2, 5, 3]
    assert sharing.merge(lists, candidates(*range(10)), 4) == merged[:4]


def test_merged_lists_fold_papers_on_one_idea():
    first = [Choice(0, 0.5, "topic", relatives=(1,))]
    merged = sharing.merge([first, choices(2, 3, score=0.4)], candidates(0, 0, 0, 3), 10)
    assert [(choice.paper, choice.relatives) for choice in merged] == [(0, (1, 2)), (3, ())]


def test_topic_is_the_reason_beside_private_ones():
    (choice,) = sharing.merge([choices(1, basis="learned"), choices(1)], candidates(0, 1), 9)
    assert (choice.basis, choice.topic) == ("topic", "mine")


def test_group_digest_has_best_papers_of_each_member(lab):
    papers()
    make.paper("medieval monasteries")
    plan_and_send(NOW)
    picks = picks_of(lab.mailing_list)
    assert len(picks) == 6  # The size of the list.
    assert {pick.topic_name for pick in picks} == set(THEMES)
    assert {pick.basis for pick in picks} == {"topic"}
    assert not broken(NOW)


def test_a_group_gets_no_second_chances(lab):
    crowd()
    older("graph networks of roads", TOOK_OFF)
    papers(0, 1)
    dues = ranked(members_of(lab)[0], lab.mailing_list)
    assert [[choice.basis for choice in due.papers] for due in dues] == [
        ["topic", "second"],
        ["topic"] * 4,
    ]


def test_group_digest_covers_all_kinds_of_interests(lab):
    selections = {
        "I work on tidal wetlands and peat bogs": "tidal wetlands",
        "author: Ada Example": "medieval monasteries",
        "cs.RO": "robot grippers",
        "text: Carbon storage in the soils of northern forests after fires": "forest soils",
    }
    for member, line in zip(members_of(lab), selections, strict=True):
        selection = TopicSelection.of(interests.read(line), [], [])
        preferences.change(member, selection, {}, now=NOW)
    lab.channel = make.subscriber(size=9, channel="json", title="Lab")
    lab.save()
    papers()
    make.paper("tidal wetlands of the north")
    make.paper("medieval monasteries", authors=["Ada Example"])
    make.paper("robot grippers", categories=["cs.RO"])
    make.paper("forest soils", "Carbon storage in the soils of northern forests after fires")
    plan_and_send(NOW)
    for recipient in (lab.channel, lab.mailing_list):
        names = {title.removesuffix(" of the north") for title in titles(picks_of(recipient))}
        assert names == {*selections.values()}


def test_only_active_members_shape_group_digest(lab):
    papers()
    invited, gone, left, _ = members_of(lab)
    lab.memberships.filter(subscriber=invited).update(joined_at=None)
    lab.memberships.filter(subscriber=left).delete()
    Subscriber.objects.filter(pk=gone.pk).update(unsubscribed_at=NOW)
    plan.plan(NOW)
    assert {pick.topic_name for pick in picks_of(lab.mailing_list)} == {THEMES[3]}


def test_a_group_without_members_has_nothing_to_send(lab):
    papers()
    lab.memberships.all().delete()
    (due,) = ranked(lab.mailing_list)
    assert (due.papers, due.considered) == ([], 8)


def test_mutes_stay_personal_and_near_misses_are_omitted(lab, settings):
    settings.RANKING = {"cut": 0.01}
    make.paper("Graph colouring of maps", "A map is a graph. We colour graphs.")
    first, *_ = members_of(lab)
    paper = make.paper("graph networks of protein folding")
    first.preferences.create(topic=make.topic("protein"), stance="mute")
    alone = make.subscriber(interests="graph networks")
    Subscriber.objects.update(wants_near=True)
    plan.plan(NOW)
    assert [(pick.paper, pick.topic_name) for pick in picks_of(lab.mailing_list)] == [
        (paper, THEMES[1])
    ]
    assert paper.title not in titles(picks_of(first))
    assert [pick.group for pick in picks_of(alone)] == ["new", "near"]
    assert "near" not in {pick.group for pick in picks_of(lab.mailing_list)}


def test_group_digest_names_no_added_paper(lab):
    papers(0, 6, ["rice cooking"])
    added = make.paper("Roads", make.about("how roads of asphalt age in the frost"))
    other = make.paper("Asphalt", make.about("how roads of asphalt crack in the frost"))
    member, *_ = members_of(lab)
    member.preferences.all().delete()
    Subscriber.objects.update(confirmed_at=NOW - DAY)
    for text in (added.pk, f"Frost | {make.about('how roads of asphalt break in the frost')}"):
        topic = member.own_topics.create(name=text[:9], query=text, kind="paper")
        member.preferences.create(topic=topic)
    lab.memberships.exclude(subscriber=member).delete()
    plan.plan(NOW)
    assert {pick.basis for pick in picks_of(member)} == {"added"}
    picks = picks_of(lab.mailing_list)
    assert {pick.paper for pick in picks} == {other}
    assert {(pick.basis, pick.topic_name, *pick.terms) for pick in picks} == {("group", "")}


def test_group_digest_hides_members_feedback(lab, client):
    """Neither the titles of what they chose, nor the words that were learned."""
    liked = papers(-20, 6, ["quantum annealing"])
    todays = papers(0, 2, ["quantum annealing"])
    papers(0, 6, ["rice cooking"])
    member, *_ = members_of(lab)
    member.preferences.all().delete()
    LibraryPaper.objects.bulk_create(
        LibraryPaper(
            subscriber=member, identity=f"title:{n}", title=paper.title, abstract="", at=NOW
        )
        for n, paper in enumerate(liked)
    )
    say(member, "more", *liked)
    model_store.fit(NOW)
    feedback.learn(NOW + HOUR)
    lab.memberships.exclude(subscriber=member).delete()
    plan_and_send(NOW + HOUR)
    assert "learned" in {pick.basis for pick in picks_of(member)}  # As the member's own reason.
    picks = picks_of(lab.mailing_list, paper__in=todays)
    assert {(pick.basis, pick.topic_name, *pick.terms) for pick in picks} == {("group", "")}
    page = text_of(client.get(web_copy_of(picks[0].digest)))
    assert page.count("Similar to papers that members liked") >= 2
    assert not any(paper.title in page for paper in liked)
    content = compose.preview(picks[0].digest, picks)
    assert "Similar to papers that members liked" in content.text
    assert "don’t follow any topics" not in content.text


def test_group_digest_preview_equals_planned_digest(lab):
    papers()
    _, previewed = plan.preview(lab.mailing_list, TODAY, NOW)
    plan.plan(NOW)
    planned = picks_of(lab.mailing_list)
    assert [(one.paper_id, reason_of(one)) for one in previewed] == [
        (p.paper_id, reason_of(p)) for p in planned
    ]


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
    *own_picks, _, _, _, _ = picks = picks_of(member, 1)
    assert {pick.topic_name for pick in own_picks} == {"graph networks"}
    assert {pick.group for pick in own_picks} == {"new"}
    assert [pick.position for pick in picks] == [*range(1, len(picks) + 1)]
    assert {(pick.basis, pick.topic_name) for pick in picks[-4:]} == {("group", "Robotics Lab")}
    assert wording.sections(picks)[-1] == ("Shared in your groups", picks[-4:])
    assert reason_of(picks[-1]) == "In the digest of Robotics Lab"
    assert not broken(NOW + DAY)


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
    for pick in picks_of(lab.mailing_list):
        assert Pick.objects.filter(subscriber=member, paper=pick.paper).exists()


def test_papers_older_than_a_week_are_not_shared(lab):
    send_day()
    Subscriber.objects.filter(pk=lab.mailing_list_id).update(unsubscribed_at=NOW)
    member, *_ = members_of(lab)
    for days, count in ((6, 4), (7, 0)):
        papers(days, 1, THEMES[:1])
        member.next_due_at = NOW + days * DAY
        (due,) = ranked(member, now=NOW + days * DAY)
        assert sum(choice.group == "shared" for choice in due.papers) == count


def test_week_of_group_digests_repeats_no_paper(lab):
    """The constraint `no_paper_twice` would refuse one. An email fails, and a member leaves."""
    sender, receiver, third, _ = members_of(lab)
    Subscriber.objects.filter(pk=lab.mailing_list_id).update(weekdays=1)
    for day in range(9):
        papers(day)
        recommend(sender, receiver, make.paper(f"Rice {day}", day=TODAY - 40 * DAY), at=NOW)
        plan.plan(NOW + day * DAY)
        if day == 2:
            for letter in Letter.objects.filter(subscriber=receiver, day=TODAY + 2 * DAY):
                transitions.end([letter], "failed", "refused: 550", NOW + 2 * DAY)
        if day == 5:
            lab.memberships.filter(subscriber=third).delete()
        plan_and_send(NOW + day * DAY)
        assert not broken(NOW + day * DAY)
    advised = Pick.objects.filter(subscriber=receiver, basis="advice")
    assert {pick.digest.day for pick in advised} == {TODAY + n * DAY for n in range(9) if n != 2}
    assert advised.count() == 9
    after = Pick.objects.filter(subscriber=third, group="shared", digest__day__gt=TODAY + 5 * DAY)
    assert not after.exists()


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
    assert shared_with(pair[1], 1)[:2] == ["Rice 0", "Rice 1"]
    shared = picks_of(pair[1], 1, group="shared")
    assert [pick.basis for pick in shared] == ["advice", "advice", "group", "group", "group"]
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


def test_erased_sender_vanishes_from_receivers_digests(lab, pair):
    recommend(*pair, old_paper(), "Section 4!")
    recommend(members_of(lab)[2], pair[1], old_paper("Soup"), "Hot", name="Bob")
    plan_and_send(NOW)
    erase.erase(pair[0], now=NOW)
    reasons = [reason_of(pick) for pick in picks_of(pair[1], group="shared")]
    assert reasons == ["Recommended by a colleague", "Recommended by Bob: “Hot”"]


@pytest.mark.parametrize("end", [CASES["the sender left"], CASES["the sender was erased"]])
def test_sender_leaving_during_planning_is_not_named(lab, pair, end):
    recommend(*pair, old_paper(), "Section 4!")
    recommend(members_of(lab)[2], pair[1], old_paper("Soup"), "Hot", name="Bob")
    dues = ranked(*members_of(lab)[1:])
    end(lab, *pair)
    plan.save_plan(dues, {}, NOW)
    reasons = [reason_of(pick) for pick in picks_of(pair[1], group="shared")]
    assert reasons == ["Recommended by a colleague", "Recommended by Bob: “Hot”"]


def test_paper_possibly_in_lost_digest_is_not_shared(lab, pair):
    plan_and_send(NOW)
    paper = old_paper()
    digest = pair[1].digests.get()
    count_as_sent(digest)
    digest.picks.all().delete()
    recommend(*pair, paper)
    send_day(1)
    assert picks_of(pair[1], 1)
    assert paper.title not in shared_with(pair[1], 1)


def test_muted_papers_are_shared_only_when_recommended(lab):
    send_day()
    sender, receiver, *_ = members_of(lab)
    for name in ("speech", "quantum"):
        receiver.preferences.create(topic=make.topic(name), stance="mute")
    quantum = picks_of(lab.mailing_list, topic_name="quantum annealing")[0].paper
    recommend(sender, receiver, quantum)
    send_day(1, 1, THEMES[1:2])
    assert not any("speech" in title for title in shared_with(receiver, 1))
    assert [title for title in shared_with(receiver, 1) if "quantum" in title] == [quantum.title]


def test_recommended_paper_keeps_own_reason_when_both_apply(lab, pair):
    paper = make.paper("protein folding of mice")
    recommend(*pair, paper)
    plan.plan(NOW)
    (pick,) = picks_of(pair[1], paper=paper)
    assert (pick.group, pick.basis) == ("new", "topic")


def test_pending_recommendation_is_explained(lab, pair, client):
    paper = old_paper()
    recommend(*pair, paper)
    model_store.fit(NOW)
    assert explain.explain(pair[1], paper.pk, TODAY, NOW).diagnosis.outcome == "shared"


HOSTILE = 'x\n2. Fake title\n\u202e"><script>alert(1)</script>” — 3. More\x07' + " word" * 40


def test_hostile_note_stays_plain_text_on_one_line(lab, pair, client):
    recommend(*pair, old_paper(), HOSTILE[:280], name="4. Eve\n5. Mallory")
    plan_and_send(NOW)
    picks = picks_of(pair[1])
    assert reason_of(picks[2]).isprintable()
    content = compose.preview(picks[0].digest, picks)
    numbered = re.findall(r"(?m)^(\d+)\. (.+)", content.text)
    assert [number for number, _ in numbered] == ["1", "2", "3"]
    assert numbered[2][1] == "Cooking rice"
    html = content.html
    assert html.count("data-paper-id=") == 3
    page = client.get(web_copy_of(picks[0].digest)).content.decode()
    for part in (html, page):
        assert not any(bad in part for bad in ("<script>alert", "\u202e", "\x07"))
        assert "word word" in part


# ---- Costs and races


def queries_of(*subscribers, now=NOW):
    with CaptureQueriesContext(connection) as queries:
        ranked(*subscribers, now=now)
    return len(queries)


def test_queries_do_not_grow_with_groups(lab):
    few = [*members_of(lab), lab.mailing_list]
    many = [make.subscriber(interests="graph networks") for _ in range(9)]
    for n in range(3):
        recipients = {name: make.subscriber() for name in ("channel", "mailing_list")}
        group_of(many[3 * n : 3 * n + 3], **recipients)
        many += recipients.values()
    send_day()
    papers(1)
    for someone in [few, many]:
        recommend(*someone[:2], old_paper())
    queries_of(*few, now=NOW + DAY)
    assert queries_of(*few, now=NOW + DAY) == queries_of(*few, *many, now=NOW + DAY) <= 24


@pytest.mark.django_db(transaction=True)
def test_concurrent_planners_share_each_paper_once(lab, pair):
    everyone = [*members_of(lab), lab.mailing_list]
    recommend(*pair, old_paper())
    model_store.fit(NOW)
    have_ranked = threading.Barrier(2)

    def write():
        dues = ranked(*everyone)
        have_ranked.wait()
        return plan.save_plan(dues, {}, NOW).letters

    assert sum(at_once(write, write)) >= 2
    assert shared_with(pair[1]) == ["Cooking rice"]
