"""Who is due, and what is written down for them."""

import hashlib
import io
import pickle
import threading
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from digest import fitting, planning, rests
from digest.models import Digest, Paper, Pick
from subscriptions import changing, schedule, signup
from subscriptions.models import Letter, Subscriber
from subscriptions.post import delivery, office, suppression
from subscriptions.wishes import Wishes
from tests import make
from tests.make import NOW
from tests.threads import at_once, errors_of, uncommitted
from tests.volleys.held import another_session, on_postgresql

pytestmark = pytest.mark.django_db

TODAY = NOW.date()
DAY = timedelta(days=1)
DOOR = signup.Door("test")


def papers_about(subject, count, **fields):
    """Make papers about a subject among others that are not."""
    for number in range(count):
        make.paper(
            f"{subject} number {number}", f"We study {subject} on benchmark {number}.", **fields
        )
        make.paper(f"Cooking rice {number}", f"Rice and water in pot {number}.", **fields)


def plan_and_send(now):
    planning.plan(now)
    delivery.deliver_due(lambda: now)


def digests():
    return list(Digest.objects.order_by("pk").select_related("letter"))


def titles(digest):
    return [pick.paper.title for pick in digest.picks.select_related("paper")]


def test_a_digest_has_the_papers_about_the_topic_and_no_other():
    papers_about("graph neural networks", 4)
    make.subscriber(interests="graph neural networks")

    assert planning.plan(NOW).letters == 1

    (digest,) = digests()
    assert len(titles(digest)) == 4
    assert all(title.startswith("graph neural networks") for title in titles(digest))


def test_every_pick_says_the_topic_and_the_words_that_weighed_most():
    papers_about("graph neural networks", 2)
    make.subscriber(interests="graph neural networks")
    planning.plan(NOW)

    pick = Pick.objects.first()
    assert pick.basis == "topic"
    assert pick.topic_name == "graph neural networks"
    assert pick.terms == ["graph neural networks"]


def test_running_the_day_again_writes_nothing_more():
    papers_about("graphs", 3)
    make.subscriber(interests="graphs")
    planning.plan(NOW)

    assert planning.plan(NOW).letters == 0
    assert planning.plan(NOW + timedelta(hours=1)).letters == 0
    assert Digest.objects.count() == Letter.objects.count() == 1


def test_no_paper_comes_twice_in_a_week_of_digests():
    papers_about("graphs", 12)
    make.subscriber(interests="graphs", size=5)
    for day in range(5):
        plan_and_send(NOW + timedelta(days=day))

    picked = list(Pick.objects.values_list("paper_id", flat=True))
    assert len(picked) == len(set(picked)) == 12
    assert [len(titles(digest)) for digest in digests()] == [5, 5, 2, 0, 0]


def test_the_second_digest_is_due_at_her_hour_of_the_next_local_day():
    make.subscriber(timezone="America/New_York", hour=6)
    planning.plan(NOW)

    assert Subscriber.objects.get().next_due_at == datetime(2026, 6, 2, 10, tzinfo=UTC)


def test_a_first_digest_without_papers_is_a_welcome():
    make.subscriber(interests="graphs")
    assert planning.plan(NOW).letters == 1
    assert Letter.objects.get().kind == "welcome"


def test_a_later_day_with_nothing_to_say_ends_with_that_reason():
    make.subscriber(interests="graphs")
    plan_and_send(NOW)

    plan = planning.plan(NOW + timedelta(days=1))

    letter = Letter.objects.order_by("pk").last()
    assert (plan.letters, plan.quiet) == (0, 1)
    assert (letter.state, letter.reason) == ("skipped", "nothing to say")
    assert letter.events.count() == 1


def test_who_asked_for_it_gets_a_short_letter_on_a_quiet_day(outbox):
    make.paper("Bread")
    subscriber = make.subscriber(interests="graphs", wants_quiet_days=True)
    plan_and_send(NOW)
    planning.plan(NOW + DAY)
    letter = subscriber.letters.get(day=(NOW + DAY).date())
    assert (letter.kind, letter.state) == ("digest", "planned")
    assert office.deliver(letter.pk, NOW + DAY)
    _, message = outbox()
    assert message["Subject"] == "No new papers for you today"
    for part in message.iter_parts():
        assert "1 new paper was looked at, and it is not about what you follow." in " ".join(
            part.get_content().split()
        )
    assert "/digests/" not in message.as_string()


def test_a_topic_that_nothing_matches_gets_no_filler():
    papers_about("graphs", 5)
    make.subscriber(interests="medieval monasteries")
    planning.plan(NOW)
    assert titles(digests()[0]) == []


@pytest.mark.parametrize("text", ["", "the of and to", "$$$ ### 123", "…"])
def test_a_corpus_without_words_breaks_nothing(text):
    for number in range(3):
        make.paper(text or "?", text, day=TODAY - timedelta(days=number))
    make.subscriber(interests="graphs")
    make.subscriber(interests="the of")
    assert planning.plan(NOW).letters == 2


def test_no_papers_at_all_break_nothing():
    make.subscriber(interests="graphs")
    make.subscriber()
    assert planning.plan(NOW).letters == 2
    assert fitting.current(NOW).n_documents_ == 0


def test_who_follows_nothing_gets_what_trends_most_upvotes_first():
    make.paper("Cold", upvotes=1)
    make.paper("Hot", upvotes=90)
    make.paper("Unknown")
    make.subscriber()
    planning.plan(NOW)

    (digest,) = digests()
    assert titles(digest) == ["Hot", "Cold"]
    assert digest.picks.first().why == "Trending: 90 upvotes"


def test_an_older_paper_needs_more_upvotes_to_trend():
    make.paper("Of last week", upvotes=20, day=TODAY - timedelta(days=6))
    make.paper("Of today", upvotes=12)
    make.subscriber()
    planning.plan(NOW)
    assert titles(digests()[0]) == ["Of today", "Of last week"]


def test_where_nobody_votes_who_follows_nothing_gets_the_newest_of_all_fields():
    for number in range(4):
        make.paper(f"AI {number}", categories=["cs.AI"])
    make.paper("Knots", categories=["math.GT"])
    make.paper("Old", categories=["hep-th"], day=TODAY - timedelta(days=3))
    make.subscriber(size=2)
    planning.plan(NOW)
    assert titles(digests()[0]) == ["AI 0", "Knots"]


def test_a_muted_word_never_appears():
    make.paper("Graph networks for molecules")
    make.paper("Graph networks for roads")
    reader = make.subscriber(interests="graph networks")
    reader.preferences.create(topic=make.topic("molecule"), stance="mute")
    planning.plan(NOW)
    assert titles(digests()[0]) == ["Graph networks for roads"]


def test_papers_older_than_a_week_are_not_new():
    make.paper("Graphs of old", day=TODAY - timedelta(days=7))
    make.paper("Graphs of the week", day=TODAY - timedelta(days=6))
    make.subscriber(interests="graphs")
    planning.plan(NOW)
    assert titles(digests()[0]) == ["Graphs of the week"]


@pytest.mark.parametrize(
    "state",
    [
        {"confirmed": False},
        {"unsubscribed_at": NOW, "next_due_at": NOW},
        {"suppressed_at": NOW, "next_due_at": NOW},
    ],
)
def test_nothing_is_planned_for_who_does_not_want_it(state):
    make.paper("Graphs")
    make.subscriber(interests="graphs", **state)
    planning.plan(NOW)
    assert not Digest.objects.exists()


def test_nothing_is_planned_during_a_pause_and_then_it_is():
    reader = make.subscriber(interests="graphs", hour=7)
    until = TODAY + timedelta(days=3)
    changing.change(reader, Wishes(), {"paused_until": until}, now=NOW)

    for day in range(3):
        planning.plan(NOW + timedelta(days=day))
    assert not Digest.objects.exists()

    planning.plan(NOW + timedelta(days=3))
    assert [digest.day for digest in digests()] == [until]


def test_days_on_which_nothing_ran_are_missed_and_only_the_last_is_planned():
    make.paper("Graphs", day=TODAY + timedelta(days=4))
    make.subscriber(interests="graphs")

    plan = planning.plan(NOW + timedelta(days=4))

    assert (plan.letters, plan.missed) == (1, 4)
    assert [digest.letter.state for digest in digests()] == ["missed"] * 4 + ["planned"]
    assert [digest.day for digest in digests()] == [TODAY + timedelta(days=n) for n in range(5)]
    assert [len(titles(digest)) for digest in digests()] == [0, 0, 0, 0, 1]


def test_a_day_may_still_be_planned_in_the_grace_after_it():
    make.paper("Graphs")
    make.subscriber(interests="graphs", hour=20)
    planning.plan(datetime(2026, 6, 2, 5, 59, tzinfo=UTC))
    assert [(d.day, d.letter.state) for d in digests()] == [(TODAY, "planned")]


@pytest.mark.parametrize(
    ("zones", "longest"),
    [
        (["America/New_York", "Asia/Kolkata", "Europe/Berlin"], 36),
        # Across the date line the date of the last digest is still to come: its day is had already.
        (["Pacific/Honolulu", "Pacific/Auckland", "Asia/Kolkata"], 54),
    ],
)
def test_moving_between_zones_brings_one_digest_a_date_and_leaves_none_out(zones, longest):
    papers_about("graphs", 20)
    reader = make.subscriber(interests="graphs", timezone=zones[-1], hour=7)
    moment = NOW
    for zone in zones * 3:
        for _ in range(30):
            planning.plan(moment)
            Letter.objects.filter(state="planned").update(state="accepted", ended_at=moment)
            moment += timedelta(hours=1)
        changing.change(reader, Wishes(), {"timezone": zone}, now=moment)

    days = list(Digest.objects.order_by("day").values_list("day", flat=True))
    sent = list(
        Letter.objects.filter(state="accepted")
        .order_by("ended_at")
        .values_list("ended_at", flat=True)
    )
    gaps = [later - earlier for earlier, later in pairwise(sent)]
    assert len(days) == len(set(days))
    assert min(gaps) >= timedelta(hours=12)
    assert max(gaps) <= timedelta(hours=longest)


def test_planning_a_shard_asks_a_constant_number_of_queries():
    papers_about("graphs", 20)
    make.subscriber(interests="graphs")
    planning.plan(NOW)  # The model is fitted and loaded, the papers are read.
    counts = []
    for size in (2, 40):
        for _ in range(size):
            make.subscriber(interests="graphs\nrice")
        with CaptureQueriesContext(connection) as queries:
            planning.plan(NOW)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_shard_is_followed_by_the_next(monkeypatch):
    monkeypatch.setattr(planning, "SHARD", 3)
    for _ in range(8):
        make.subscriber()
    planning.plan(NOW)
    assert Digest.objects.count() == 8


@pytest.mark.parametrize(
    "end",
    [
        lambda reader: signup.unsubscribe(reader.public_id, door=DOOR, now=NOW),
        lambda reader: suppression.after_complaint(reader.pk, "abuse", NOW),
    ],
    ids=["unsubscribed", "complained"],
)
def test_who_wants_it_no_more_once_the_ranking_ran_is_left_out(end):
    make.paper("Graphs")
    reader = make.subscriber(interests="graphs")
    dues = planning.propose([reader], NOW)
    end(reader)

    planning._write_down(dues, {}, NOW)

    assert not Digest.objects.exists()


@pytest.mark.parametrize("state", ["skipped", "missed"])
def test_the_next_digest_keeps_its_distance_to_one_that_was_repeated_however_that_ended(state):
    """It may have arrived."""
    reader = make.subscriber(confirmed_at=NOW - timedelta(days=9))
    letter = Letter(subscriber=reader, day=NOW.date(), created_at=NOW, left_at=NOW, state=state)
    assert rests.ends_rest(letter, reader) is None
    letter.repeats = 1
    assert rests.ends_rest(letter, reader) == NOW + schedule.APART


@pytest.mark.parametrize(
    ("confirmed_at", "apart"),
    [
        (timedelta(minutes=-20), schedule.APART),  # Then came her hour.
        (timedelta(0), schedule.APART_AT_FIRST),
        (timedelta(minutes=20), schedule.APART),  # It was there before.
    ],
)
def test_a_digest_that_did_not_come_because_she_confirmed_is_no_first_one(confirmed_at, apart):
    """She has taken a leaving back, or moved to another address."""
    reader = make.subscriber(hour=NOW.hour, confirmed_at=NOW + confirmed_at)
    letter = Letter(day=NOW.date(), created_at=NOW, left_at=NOW + timedelta(hours=9))
    assert rests.ends_rest(letter, reader) == letter.left_at + apart


@pytest.mark.django_db(transaction=True)
def test_who_unsubscribes_while_her_day_is_written_down_is_left_out(monkeypatch):
    if connection.vendor != "postgresql":
        pytest.skip("on SQLite, writers come one after the other")
    make.paper("Graphs")
    reader = make.subscriber(interests="graphs")
    still_due = planning.still_due
    thread, commit = uncommitted(lambda: signup.unsubscribe(reader.public_id, door=DOOR, now=NOW))

    def look_while_she_leaves(dues):
        threading.Timer(0.5, commit.set).start()
        return still_due(dues)

    monkeypatch.setattr(planning, "still_due", look_while_she_leaves)
    planning.plan(NOW)
    thread.join(30)
    reader.refresh_from_db()
    assert reader.next_due_at is None
    assert digests() == []


@pytest.mark.django_db(transaction=True)
def test_two_ticks_at_once_write_every_day_once():
    papers_about("graphs", 5)
    for _ in range(30):
        make.subscriber(interests="graphs")
    fitting.fit(NOW)

    came_of = at_once(*2 * [lambda: planning.plan(NOW)])

    assert errors_of(came_of) == []
    assert Digest.objects.count() == Letter.objects.count() == 30
    assert Pick.objects.count() == 30 * 5


def test_a_preview_writes_nothing_not_even_a_model():
    make.paper("Graphs")
    reader = make.subscriber(interests="graphs")

    digest, picks = planning.preview(reader, TODAY, NOW)

    assert [pick.paper.title for pick in picks] == ["Graphs"]
    assert digest.pk is None
    assert not Digest.objects.exists()
    assert not fitting.FittedModel.objects.exists()


def test_a_paper_that_its_authors_have_withdrawn_goes_into_no_digest():
    make.paper("Bread", "Of the bread.", upvotes=9)
    gone = make.paper("Bread, withdrawn", "Of the bread again.", upvotes=99, is_withdrawn=True)
    for interests in ("bread", ""):
        _, picks = planning.preview(make.subscriber(interests=interests), TODAY, NOW)
        assert [pick.paper.title for pick in picks] == ["Bread"]
    Paper.objects.filter(pk=gone.pk).update(is_withdrawn=False, changed_at=NOW + DAY)
    _, picks = planning.preview(make.subscriber(interests="bread"), TODAY, NOW)
    assert len(picks) == 2


def test_a_withdrawn_paper_stays_out_for_who_had_others():
    make.paper("Bread", "Of the bread.")
    someone = make.subscriber(interests="bread")
    planning.plan(NOW)
    make.paper("More bread", "Of the bread again.", day=TODAY + DAY)
    make.paper("Bread, withdrawn", "Of the bread.", day=TODAY + DAY, is_withdrawn=True)
    _, picks = planning.preview(someone, TODAY + DAY, NOW + DAY)
    assert [pick.paper.title for pick in picks] == ["More bread"]


def test_a_reason_of_a_word_and_a_letter_or_number_is_her_topic_and_no_word_besides():
    make.paper("T cells", "Of the T cells of mice.")
    make.paper("Llama 3", "Of Llama 3 and mice.")
    for line in ("T cells", "T-cells", "Llama3", "Llama 3"):
        _, picks = planning.preview(make.subscriber(interests=f"{line}\nbread"), TODAY, NOW)
        assert [pick.why for pick in picks] == [line]


def test_a_paper_that_is_said_to_be_of_the_future_leaves_the_corpus_as_long_as_it_is(
    settings, monkeypatch
):
    settings.CORPUS_DAYS = 3
    monkeypatch.setattr(fitting, "LEAST", 1)
    for ago in range(3):
        make.paper(f"Paper {ago}", "Bread.", day=TODAY - timedelta(days=ago))
    make.paper("A slip of the pen", "Bread.", day=TODAY.replace(year=2099))
    assert len(fitting.read_corpus(NOW)) == 4


@pytest.mark.parametrize(("least", "read"), [(1, 2), (3, 3), (9, 4)])
def test_the_model_is_fitted_on_the_last_days_and_on_older_papers_where_they_are_few(
    settings, monkeypatch, least, read
):
    settings.CORPUS_DAYS = 3
    monkeypatch.setattr(fitting, "LEAST", least)
    for age in (0, 2, 3, 30):
        make.paper(f"Graphs {age}", day=TODAY - age * DAY)
    assert fitting.fit(NOW).documents == read


def test_a_damaged_model_is_told_of_once_and_not_at_each_request(caplog):
    make.paper("Graphs")
    row = fitting.fit(NOW)
    with open(fitting.default_storage.path(row.name), "wb") as file:
        file.write(b"damaged")
    for _ in range(3):
        with pytest.raises(fitting.NotFitted):
            fitting.in_use()
    assert caplog.text.count("The model is refused, and has to be fitted anew") == 1


def test_a_damaged_model_is_refused_and_fitted_anew(caplog):
    make.paper("Graphs")
    row = fitting.fit(NOW)
    with open(fitting.default_storage.path(row.name), "wb") as file:
        file.write(b"not what was stored")
    make.subscriber(interests="graphs")

    planning.plan(NOW)

    assert "its checksum differs" in caplog.text
    assert len(titles(digests()[0])) == 1


def test_a_pickle_in_the_place_of_the_model_is_not_run_though_its_checksum_is_right(tmp_path):
    """Whoever can write files and rows still gets no code of hers to run in a worker."""

    class Deed:
        def __reduce__(self):
            return Path.touch, (tmp_path / "done",)

    make.paper("Graphs")
    row = fitting.fit(NOW)
    for payload in (pickle.dumps(Deed()), _as_npz(np.array([Deed()], dtype=object))):
        Path(fitting.default_storage.path(row.name)).write_bytes(payload)
        row.sha256 = hashlib.sha256(payload).hexdigest()
        with pytest.raises(fitting.Damaged):
            fitting.load(row)
    assert not (tmp_path / "done").exists()


def _as_npz(array):
    buffer = io.BytesIO()
    np.savez(buffer, terms=array)
    return buffer.getvalue()


def test_dates_of_apia_that_never_were_are_not_planned():
    reader = make.subscriber(
        timezone="Pacific/Apia", hour=7, next_due_at=datetime(2011, 12, 29, 17, tzinfo=UTC)
    )
    planning.plan(datetime(2011, 12, 29, 18, tzinfo=UTC))
    reader.refresh_from_db()
    assert reader.next_due_at == datetime(2011, 12, 30, 17, tzinfo=UTC)  # 07:00 on the 31st.
    assert [digest.day for digest in digests()] == [date(2011, 12, 29)]


# ---- Papers whose transaction ends late (fault 48)


@pytest.mark.django_db(transaction=True)
def test_a_paper_that_is_committed_late_is_in_the_next_digest_once():
    """Rows become visible in another order than they were numbered in."""
    if connection.vendor != "postgresql":
        pytest.skip("on SQLite, writers come one after the other")
    make.subscriber("reader@example.org", interests="graphs")
    thread, commit = uncommitted(lambda: make.paper("Graphs, told of first", id="2606.00001"))
    make.paper("Graphs, told of second", id="2606.00002")
    plan_and_send(NOW)
    assert list(Pick.objects.values_list("paper_id", flat=True)) == ["2606.00002"]
    commit.set()
    thread.join(30)
    for day in (1, 2):
        plan_and_send(NOW + timedelta(days=day))
    picks = Pick.objects.order_by("digest__day").values_list("digest__day", "paper_id")
    assert list(picks) == [
        (NOW.date(), "2606.00002"),
        ((NOW + timedelta(days=1)).date(), "2606.00001"),
    ]


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_reader_whose_row_is_held_keeps_no_other_from_being_planned():
    held, other = make.subscriber(wants_quiet_days=True), make.subscriber(wants_quiet_days=True)
    with another_session() as session:
        session.execute(
            "SELECT 1 FROM subscriptions_subscriber WHERE id = %s FOR UPDATE", [held.pk]
        )
        assert planning.plan(NOW).letters == 1
        assert other.letters.count() == 1
    assert planning.plan(NOW).letters == 1
    assert held.letters.count() == 1
