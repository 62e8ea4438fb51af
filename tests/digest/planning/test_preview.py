"""What someone's digests would have been: ranked as planning ranks, with a memory, and stored
nowhere."""

import pytest
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command

from digest.indexing import candidates, index_store, model_store
from digest.models import Digest, Paper, Pick
from digest.personalization.profiles import profile_for, profiles_of
from digest.planning import plan, preview, replay
from digest.ranking.parameters import Parameters
from digest.ranking.profile import Interest, Profile
from subscriptions.actions import preferences
from subscriptions.actions.preferences import TopicSelection
from subscriptions.models import Topic
from tests.factories import make
from tests.factories.make import DAY, HOUR, NOW, TODAY

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


def papers_of(day):
    return [pick.paper.pk for pick in day.picks]


def test_a_window_has_its_newest_papers_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(candidates, "MAX_PAPERS", 3)
    days = 2, 0, 1, 3, 4
    papers = {ago: make.paper(day=TODAY - ago * DAY, came_in_at=NOW - ago * DAY) for ago in days}
    model_store.fit(NOW)
    newest = [papers[ago].pk for ago in (2, 1, 0)]
    for length in (0, 7):  # For a first digest, and for others.
        window = candidates.for_digests(model_store.in_use(), TODAY, length)
        assert list(window.papers.ids) == newest


def test_each_day_has_the_very_papers_that_planning_would_choose():
    world()
    subscriber = make.subscriber(interests="graph networks\nquantum\ncs.LG", size=5)
    *before, today = reversed(preview.preview_digests(profiles_of([subscriber])[0], NOW).days)
    assert [day.day for day in before] == [TODAY - ago * DAY for ago in range(7, 0, -1)]
    future = Paper.objects.filter(day__gt=before[0].day)
    later = {paper.pk: paper.day for paper in future}
    future.update(day=TODAY + 30 * DAY)
    for day in [*before, today]:
        # On this day, nobody knew of the later ones.
        for paper, of in later.items():
            if of <= day.day or day is today:
                Paper.objects.filter(pk=paper).update(day=of)
        candidates._last.clear()
        digest, picks = plan.preview(subscriber, day.day, NOW)
        assert sorted(described(picks)) == sorted(described(day.picks))
        assert digest.considered == day.considered
        remember(subscriber, day)
    assert len(today.picks) == 5


def described(picks):
    return [(one.paper.pk, one.why, one.group, one.folded) for one in picks]


def remember(subscriber, day):
    """Store a day's digest, as if it had been sent."""
    at = {"created_at": NOW - (TODAY - day.day), "closes_at": NOW, "ended_at": NOW}
    letter = subscriber.letters.create(kind="digest", day=day.day, state="accepted", **at)
    digest = Digest.objects.create(subscriber=subscriber, day=day.day, letter=letter)
    for pick in day.picks:
        pick.digest, pick.subscriber = digest, subscriber
        pick.save()
        for paper in pick.folded:
            Pick.objects.create(
                digest=digest,
                subscriber=subscriber,
                paper=paper,
                leader=pick,
                score=0,
                basis="topic",
            )


def test_a_day_without_anything_new_is_empty():
    make.paper("Graph networks", day=TODAY - 7 * DAY)
    model_store.fit(NOW)
    days = preview.preview_digests(following("graph"), NOW).days
    assert [len(day.picks) for day in days] == [0] * 7 + [1]
    assert [day.considered for day in days] == [0] * 7 + [1]


def test_no_model_is_fitted_for_a_page():
    make.paper("Graph networks")
    with pytest.raises(model_store.NotFitted):
        preview.preview_digests(following("graph"), NOW)
    row = model_store.fit(NOW)
    model_store._loaded = None
    with open(default_storage.path(row.name), "ab") as file:
        file.write(b"damaged")
    with pytest.raises(model_store.NotFitted):
        preview.preview_digests(following("graph"), NOW)


def test_a_paper_that_comes_in_is_seen_at_once():
    world(days=2)
    assert len(preview.preview_digests(following("soup"), NOW).days[0].picks) == 0
    make.paper("On graph soup", "A quantum soup.", now=NOW + DAY, day=TODAY)
    model_store.fit(NOW)
    assert len(preview.preview_digests(following("soup"), NOW).days[0].picks) == 1


def notes_of(lines, *, subscriber=None):
    """Return the notes on these lines. A change of preferences has the same."""
    notes = preview.preview_digests(following(*lines), NOW).notes
    if subscriber:
        assert preview.compare(subscriber, following(*lines), NOW).notes == notes
    return notes


def test_words_that_no_paper_says_are_noted_also_in_a_line_that_finds_some_by_its_others():
    world(days=4)
    index_store.write(NOW)
    german = ["Gartenzwerge", "Zaunkönige", "Maulwürfe", "Schnecken"]
    long = "quantum networks of speech and vision for gardeneers"
    lines = (
        "Quantm networks, graph",
        '"robot visoin"',
        "graph",
        long,
        " ".join(["quantum", *german]),
    )
    notes = notes_of(lines, subscriber=make.subscriber(interests="graph"))
    assert notes.unknown_words == ["Quantm", "visoin", "gardeneers", *german]
    # Of an abstract that was pasted, none is named unless few of its words are known.
    pasted = f"GraphOfMine: {3 * ' '.join(f'{one} networks study ' for one in WORDS)}"
    in_german = f"{10 * ' '.join([*german, ''])}graph"
    assert min(len(pasted), len(in_german)) > 400
    assert notes_of([pasted]).unknown_words == []
    assert notes_of([in_german]).unknown_words == german
    # Curated topics and muted words are not the subscriber's to mend.
    topic = make.topic("Gardens", query="gardeneers, graph")
    profile = profile_for(TopicSelection(follow=[topic], muted_interests=["visoin"]), 10)
    assert preview.preview_digests(profile, NOW).notes.unknown_words == []


def test_a_topic_of_categories_alone_lacks_no_words():
    topic = make.topic("Learning", query="", categories=["cs.LG"])
    world(days=1)
    profile = profile_for(TopicSelection(follow=[topic], interests=["of the"]), 10)
    assert preview.preview_digests(profile, NOW).notes.without_terms == ["of the"]


def test_names_of_authors_are_noted_where_they_are_words_and_where_no_author_has_them():
    world(days=4)
    authors = ["Emmy Noether", "Kurt Gödel", "Will Graph", "Günter O’Brien-Gödel"]
    make.paper("Rings of graphs", authors=authors)
    model_store.fit(NOW)
    subscriber = make.subscriber(interests="graph")
    words = ("Goedel, kurt godel", '"Emmy Noether"', "author: Emmy Noether", "Noether", "graph")
    beside = ("recent papers by Emmy Noether", "Will Graph", "work of Noether", "what of a graph?")
    people = ("author: Emy Noether, Jr.; Prof. N. Gunter", "autor: Goedel, G.", "author: O'Brien")
    assert notes_of(words).author_matches == []  # There is no index yet.
    assert notes_of(people).unknown_authors == []
    index_store.write(NOW)
    found = notes_of(words, subscriber=subscriber)
    assert found.author_matches == ["kurt godel", '"Emmy Noether"', "Noether"]
    assert found.unknown_words == ["Goedel"]  # The others are named once.
    found = notes_of(beside)
    assert found.author_matches == ["Emmy Noether", "Will Graph", "Noether"]
    assert found.unknown_words == []
    assert notes_of([*people, "graph"], subscriber=subscriber).unknown_authors == [
        "Emy",
        "Prof",
        "Goedel",
    ]


def test_operators_in_a_subscribers_own_lines_are_reported_as_ignored():
    world(days=4)
    lines = ("graph OR robot", "NOT (vision)", "graph AND speech, causal", "the OR, not AND")
    assert notes_of(lines).ignored_operators == ["OR", "NOT", "AND"]
    quiet = ('"graph OR robot"', "graph or robot", "schedules of the OR", "NOT")
    assert notes_of(quiet).ignored_operators == []
    for line in ("graph; not robots", "graphs but not robots", "graph, without any robot"):
        assert notes_of([line]).ignored_operators == ["NOT"]
    line = "everything on how a robot learns from speech and vision of people, {} driving a car"
    for but in ("but not", "but nothing about", "except", "excluding", "but no"):
        assert notes_of([line.format(but)]).ignored_operators == ["NOT"]
    quiet = [line.format(words) for words in ("and not only for", "but also of")]
    quiet += ["learning without forgetting", "not only graphs", '"graph, not robot"']
    quiet += ["we study robots that see, not those which only hear"]
    assert notes_of(quiet).ignored_operators == []
    topic = make.topic("Graphs", query="graph OR robot")
    muting = TopicSelection(follow=[topic], muted_interests=["NOT vision AND speech"])
    assert preview.preview_digests(profile_for(muting, 10), NOW).notes.ignored_operators == []
    muting = profile_for(TopicSelection(muted_interests=["vision OR speech"]), 10)
    assert preview.compare(make.subscriber(), muting, NOW).notes.ignored_operators == ["OR"]


def test_a_rehearsal_asks_three_queries_however_much_there_is(django_assert_num_queries):
    world(days=4)
    index_store.write(NOW)
    preview.preview_digests(following("graph"), NOW)
    with django_assert_num_queries(3):
        preview.preview_digests(following("graph", "speech", "cs.LG"), NOW)


def test_a_change_is_shown_by_the_papers_that_come_and_go():
    world()
    subscriber = make.subscriber(interests="graph\nrobot")
    changed = profile_for(TopicSelection(interests=["graph", "quantum"]), 10, subscriber)
    difference = preview.compare(subscriber, changed, NOW)
    assert all("quantum" in one.paper.abstract for one in difference.added)
    assert all("robot" in one.paper.abstract for one in difference.removed)
    assert {pick.why for pick in difference.added} == {"quantum"}
    assert {pick.why for pick in difference.removed} == {"robot"}
    days = [pick.paper.day for pick in difference.added]
    assert len(difference.added) == len({pick.paper for pick in difference.added})
    assert days[0] > days[-1]


def test_saying_the_same_again_changes_nothing():
    world()
    topic = make.topic("graph")
    subscriber = make.subscriber(interests="robot", topics=[topic], size=7)
    subscriber.preferences.filter(topic=topic).update(weight=3)
    changed = profile_for(TopicSelection(follow=[topic], interests=["robot"]), 7, subscriber)
    assert set(changed.follows) == set(profiles_of([subscriber])[0].follows)
    difference = preview.compare(subscriber, changed, NOW)
    assert (difference.added, difference.removed) == ([], [])


def test_a_paper_that_is_gone_meanwhile_has_no_place(monkeypatch):
    world()
    ranked = preview._ranked

    def then_gone(*args, **how):
        days = ranked(*args, **how)
        Paper.objects.filter(pk__in=[one.paper for day in days for one in day.choices[:1]]).delete()
        return days

    monkeypatch.setattr(preview, "_ranked", then_gone)
    day = preview.preview_digests(following("graph"), NOW).days[0]
    assert [pick.position for pick in day.picks] == [*range(1, len(papers_of(day)) + 1)]
    subscriber = make.subscriber(interests="robot")
    assert preview.compare(subscriber, following("quantum"), NOW).added


def test_a_long_line_is_called_as_it_is_once_it_is_saved():
    subscriber, wishes = (
        make.subscriber(),
        TopicSelection(interests=["graph networks " * 20 + "end"]),
    )
    preferences.change(subscriber, wishes, {}, now=NOW)
    assert profile_for(wishes, 10, subscriber) == profiles_of([subscriber])[0]


def test_papers_that_were_sent_within_the_days_are_not_left_out():
    world()
    subscriber = make.subscriber(interests="graph")
    for day in reversed(preview.preview_digests(profiles_of([subscriber])[0], NOW).days):
        remember(subscriber, day)
    changed = profile_for(TopicSelection(interests=["robot"]), 10, subscriber)
    assert len(preview.compare(subscriber, changed, NOW).removed) > 3


def test_what_was_sent_before_the_days_is_hidden_on_both_sides():
    world()
    subscriber, other = (make.subscriber(interests="graph") for _ in range(2))
    robots = Paper.objects.filter(abstract__contains="robot", day__lt=TODAY - 7 * DAY)
    fields = {"score": 1, "basis": "topic"}
    picks = [Pick(paper=one, position=place, **fields) for place, one in enumerate(robots, 1)]
    for pick in picks:
        pick.would_fold = []
    remember(subscriber, preview.Day(TODAY - 8 * DAY, 0, picks=picks))
    for one, is_hidden in ((subscriber, True), (other, False)):
        changed = profile_for(TopicSelection(interests=["robot"]), 10, one)
        added = {pick.paper for pick in preview.compare(one, changed, NOW).added}
        assert added
        assert added.isdisjoint(robots) == is_hidden


def test_muting_wins_over_following_as_it_does_when_saved():
    topic = make.topic("graph")
    profile = profile_for(
        TopicSelection(follow=[topic], mute=[topic], interests=["a"], muted_interests=["a", "b"]),
        10,
    )
    assert profile.follows == ()
    assert [one.name for one in profile.mutes] == ["graph", "a", "b"]
    assert Topic.objects.count() == 1


def test_only_so_many_words_are_looked_at():
    few, is_cut = preview.bounded(Profile((Interest("a", "graph networks"),)))
    assert (len(few.follows), is_cut) == (1, False)
    many = tuple(Interest(f"{n}", ", ".join(f"word{n}x{m}" for m in range(40))) for n in range(50))
    cut, is_cut = preview.bounded(Profile(many))
    assert (len(cut.follows), is_cut) == (2, True)
    people = Interest("many", "", authors=tuple(f"Ada Lovelace {n}" for n in range(60)))
    assert preview.bounded(Profile((people, people))) == (Profile((people,)), True)


# ---- The last days ranked again with other settings: what it says, and that it writes nothing


@pytest.fixture
def subscriber():
    """A subscriber of bread, about which two papers are, and with a higher cut the first alone."""
    make.paper("Sour bread and rye bread", "Bread, bread and bread.")
    make.paper("Baking in ovens", "Ovens bake many things, and bread is one of them. " * 3)
    for n in range(6):
        make.paper(f"Graph networks {n}", "Of graphs and their nodes.")
    index_store.renew(NOW)
    return make.subscriber(interests="bread")


def total(then, days=2):
    model = model_store.in_use()
    each = [TODAY - back * DAY for back in reversed(range(days))]
    windows = (candidates.announced(model, day) for day in each)
    found = list(replay.replay(Parameters(), then, windows, replay.sample_subscribers(10)))
    return found, sum(found[1:], found[0])


def test_the_same_settings_change_nothing(subscriber):
    days, same = total(Parameters())
    assert [day.day for day in days] == sorted(day.day for day in days)
    assert (same.digests, same.changed, same.kept) == (2, 0, 1.0)
    assert same.picks_now.total() == same.picks_then.total() == 2


def test_what_a_higher_cut_takes_away_is_counted(subscriber):
    _, differs = total(Parameters(cut=4.7))
    assert differs.changed == 1
    assert (differs.picks_now.total(), differs.picks_then.total()) == (2, 1)
    assert differs.kept == 0.5
    assert replay.titles(differs.removed, 5) == [("Baking in ovens", 1)]
    _, empty = total(Parameters(cut=10))
    assert (empty.digests, empty.had_now, empty.had_then) == (2, 1, 0)
    assert (len(empty.picks_now), len(empty.picks_then)) == (2, 0)


# ---- From a shell


def test_the_command_says_the_same(subscriber, capsys):
    call_command("replay", "cut=4.7", days=2)
    said = capsys.readouterr().out
    assert "1 of 2 digests would change; 50.0% of their papers stay." in said
    assert "removed 1×: Baking in ovens" in said
    assert "RANKING=cut=4.7" in said


@pytest.mark.parametrize("change", ["cut", "cut=x", "roof=1", "cut=11", "floor=1"])
def test_the_command_refuses_what_is_no_setting(change):
    with pytest.raises(CommandError):
        call_command("replay", change)
