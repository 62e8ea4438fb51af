"""What someone's digests would have been: ranked as planning ranks, with a memory, and stored
nowhere."""

import pytest

from digest.indexing import candidate_windows, index_store, model_store
from digest.models import Digest, Paper
from digest.personalization.profiles import profile_for, profiles_of
from digest.planning import plan, preview
from digest.ranking.profile import Interest, Profile
from digest.wording import reason_of
from subscriptions.actions.preferences import TopicSelection
from tests.factories import make
from tests.factories.make import DAY, HOUR, NOW, TODAY
from tests.factories.planning import past_digest

pytestmark = pytest.mark.django_db

WORDS = "graph protein quantum speech robot vision causal battery galaxy retrieval".split()  # noqa: SIM905


def world(days=15, a_day=4):
    """Make papers of many days up to tomorrow, each about two things, and fit the model."""
    for ago in range(-1, days):
        for number in range(a_day):
            about = WORDS[(ago + number) % 10], WORDS[(ago * 3 + number) % 10]
            make.paper(
                f"On {about[0]} networks and {about[1]} {number} of {ago}",
                f"We study {about[0]} networks. A {about[1]} is used in case{ago}x{number}.",
                day=TODAY - ago * DAY,
                came_in_at=NOW - ago * DAY - 12 * HOUR,
                upvotes=(ago * 7 + number) % 5,
                categories=[f"cs.{'LG' if number % 2 else 'AI'}"],
            )
    model_store.fit(NOW)


def following(*queries, size=10):
    return profile_for(TopicSelection(interests=list(queries)), size)


def test_first_preview_equals_first_digest():
    world()
    popular = Paper.objects.filter(day=TODAY - 12 * DAY).first()
    for ago, upvotes in ((9, 1), (1, 90)):  # It has a second chance.
        popular.observations.create(day=TODAY - ago * DAY, upvotes=upvotes)
    for size in (5, 50):
        words = "graph networks\nquantum\ncs.LG\nspeech\nrobot\nvision"
        subscriber = make.subscriber(interests=words, size=size)
        first = preview.preview_digests(profiles_of([subscriber])[0], NOW).first_digest
        plan.plan(NOW)
        digest = Digest.objects.get(subscriber=subscriber)
        assert described(digest.picks.with_papers()) == described(first.picks)
        assert digest.considered == first.considered
    assert first.picks[-1].basis == "second"


def test_previous_days_equal_planned_digests(settings):
    settings.RANKING = {"cut": 0.1}  # No paper is so near that the older ones decide.
    world()
    subscriber = make.subscriber(interests="graph networks\nquantum\ncs.LG", size=5)
    before = preview.preview_digests(profiles_of([subscriber])[0], NOW).past_digests[::-1]
    assert [day.day for day in before] == [TODAY - ago * DAY for ago in range(7, 0, -1)]
    remember(subscriber, TODAY - 8 * DAY, Paper.objects.filter(day__lt=before[0].day))
    later = dict(Paper.objects.filter(day__gt=before[0].day).values_list("pk", "day"))
    for day in before:
        for paper, of in later.items():  # On this day, nobody knew of the later ones.
            known = of if of <= day.day else TODAY + 30 * DAY
            Paper.objects.filter(pk=paper).update(day=known)
        candidate_windows._windows.clear()
        digest, picks = plan.preview(subscriber, day.day, NOW)
        assert sorted(described(picks)) == sorted(described(day.picks))
        assert digest.considered == day.considered
        remember(subscriber, day.day, [one for pick in picks for one in (pick.paper, *pick.folded)])
    assert max(len(day.picks) for day in before) >= 3


def described(picks):
    return [(one.paper.pk, reason_of(one), one.group, one.folded) for one in picks]


def remember(subscriber, day, papers):
    """Store a day's digest of these papers, as if it had been sent."""
    digest = past_digest(subscriber, day)
    for position, paper in enumerate(papers, 1):
        digest.picks.create(
            subscriber=subscriber, paper=paper, position=position, score=1, basis="topic"
        )


def test_near_misses_are_shown_where_nothing_matches():
    world()
    near = preview.preview_digests(following("graph networks of wine"), NOW).near_misses
    assert [reason_of(pick) for pick in near] == [
        "Close to graph networks of wine: graph networks"
    ] * 3
    assert preview.preview_digests(following("graph networks"), NOW).near_misses == []


def test_preview_needs_four_queries(django_assert_num_queries):
    world(days=4)
    index_store.write(NOW)
    preview.preview_digests(following("graph"), NOW)
    with django_assert_num_queries(4):
        preview.preview_digests(following("graph", "speech", "cs.LG"), NOW)


def test_change_is_shown_as_added_and_removed_papers():
    world()
    topic = make.topic("graph")
    subscriber = make.subscriber(interests="robot", topics=[topic])
    subscriber.preferences.filter(topic=topic).update(weight=3)

    def difference(interest):
        wishes = TopicSelection(follow=[topic], interests=[interest])
        found = preview.compare(subscriber, profile_for(wishes, 10, subscriber), NOW)
        return [{reason_of(pick) for pick in picks} for picks in (found.added, found.removed)]

    assert difference("quantum") == [{"quantum"}, {"robot"}]
    assert difference("robot") == [set(), set()]


def test_profile_is_truncated_by_word_count():
    short = Interest("short", "graph networks")
    assert preview.limit_profile(Profile((short,))) == (Profile((short,)), False)
    many = tuple(Interest(f"{n}", ", ".join(f"word{n}x{m}" for m in range(40))) for n in range(50))
    cut = Profile((*many[:2], short))
    assert preview.limit_profile(Profile((*many, short))) == (cut, True)
    people = Interest("many", "", authors=tuple(f"Ada Lovelace {n}" for n in range(60)))
    assert preview.limit_profile(Profile((people, people))) == (Profile((people,)), True)
