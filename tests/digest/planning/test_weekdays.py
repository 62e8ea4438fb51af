"""Days of the week, and what is new to who has had no digest for days."""

import re
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, transaction
from django.db.models import Count
from hypothesis import given
from hypothesis import strategies as st

from digest.indexing import candidate_windows
from digest.models import Digest, Pick
from digest.planning import plan
from subscriptions import schedule
from subscriptions.actions import change_address, preferences, signup
from subscriptions.models import Letter
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import CONSENT_SOURCE, DAY, NOW, TODAY
from tests.factories.planning import TOOK_OFF, older, past_digest
from tests.factories.simulation import at, tick
from tests.helpers.invariants import broken

pytestmark = pytest.mark.django_db

MONDAYS, WORKDAYS, WEEKENDS = 0b0000001, 0b0011111, 0b1100000  # TODAY is a Monday.


def live(first, days):
    """Let so many days pass."""
    for n in range(days):
        for hour in (0, 7, 19):
            tick(at(first + n * DAY, hour))


def subscriber(**fields):
    """Make a subscriber of long standing."""
    return make.subscriber(**{"confirmed_at": NOW - 400 * DAY} | fields)


def days_of(subscriber, *states):
    letters = subscriber.letters.filter(state__in=states or ["accepted"]).order_by("day")
    return list(letters.values_list("day", flat=True))


# ---- Days of the week


@given(
    day=st.dates(date(2020, 1, 1), date(2035, 1, 1)),
    weekdays=st.integers(1, schedule.EVERY_DAY),
    zone=st.sampled_from(["UTC", "Pacific/Auckland", "America/New_York"]),
)
def test_next_due_day_is_first_wanted_weekday(day, weekdays, zone):
    due_day, moment = schedule.next_due(day, 7, ZoneInfo(zone), weekdays)
    assert schedule.local_day(moment, ZoneInfo(zone)) == due_day
    passed = [(day + n * DAY).weekday() for n in range((due_day - day).days)]
    assert [weekdays >> one & 1 for one in [*passed, due_day.weekday()]] == [0] * len(passed) + [1]


def test_skipped_calendar_day_moves_no_digest():
    apia = ZoneInfo("Pacific/Apia")
    friday = 0b0010000
    assert schedule.next_due(date(2011, 12, 28), 7, apia, friday)[0] == date(2012, 1, 6)


@pytest.mark.parametrize("bits", [0, 128])
def test_database_refuses_empty_weekdays(bits):
    with pytest.raises(IntegrityError), transaction.atomic():
        make.subscriber(weekdays=bits)


def test_digests_come_only_on_wanted_weekdays():
    one = subscriber(weekdays=WORKDAYS, wants_quiet_days=True, next_due_at=at(TODAY, 7))
    live(TODAY, 9)
    assert days_of(one) == [TODAY + n * DAY for n in (0, 1, 2, 3, 4, 7, 8)]
    assert set(one.letters.values_list("state", flat=True)) == {"accepted"}
    assert broken(at(TODAY + 9 * DAY, 0)) == {}


def test_first_digest_ignores_weekdays():
    one = make.subscriber(weekdays=WEEKENDS, wants_quiet_days=True, next_due_at=NOW)
    live(TODAY, 7)
    assert days_of(one) == [TODAY, date(2026, 6, 6), date(2026, 6, 7)]


CHANGES = [
    (schedule.EVERY_DAY, {"weekdays": WEEKENDS}, at(date(2026, 6, 6), 7)),
    (schedule.EVERY_DAY, {"weekdays": MONDAYS}, at(TODAY + 7 * DAY, 7)),
    (MONDAYS, {"paused_until": date(2026, 6, 10)}, at(date(2026, 6, 15), 7)),
]


@pytest.mark.parametrize(("weekdays", "change", "due"), CHANGES)
def test_settings_change_schedules_digest_on_wanted_weekday(weekdays, change, due):
    one = subscriber(weekdays=weekdays, next_due_at=at(TODAY + DAY, 7))
    past_digest(one, TODAY)
    preferences.change(one, None, change, now=NOW)
    assert make.fresh(one).next_due_at == due


def test_minimum_gap_ends_on_wanted_weekday():
    """Sunday's left late, so Monday's would come twelve hours later: on Tuesday."""
    one = subscriber(weekdays=MONDAYS, hour=23, next_due_at=at(TODAY, 23))
    past_digest(one, TODAY - DAY)
    Letter.objects.update(left_at=at(TODAY, 14))
    plan.plan(at(TODAY, 23))
    assert make.fresh(one).next_due_at == at(TODAY + 7 * DAY, 23)
    assert days_of(one, "planned") == []


def test_sleep_on_unwanted_weekdays_misses_no_digest():
    one = subscriber(weekdays=MONDAYS, wants_quiet_days=True, next_due_at=at(TODAY, 7))
    tick(at(TODAY, 7))
    tick(at(TODAY + 15 * DAY, 7))
    states = one.letters.order_by("day").values_list("day", "state")
    assert list(states) == [(TODAY + n * DAY, "missed" if n else "accepted") for n in (0, 7, 14)]


# ---- What is new after days without a digest


def test_weekly_digest_covers_whole_week():
    """Also those of their last digest's own day, which came in after it had left."""
    one = subscriber(weekdays=MONDAYS, next_due_at=at(TODAY, 7), size=50)
    past_digest(one, TODAY - 7 * DAY)
    days = [TODAY - n * DAY for n in range(16)]
    papers = [make.paper(f"Graphs {n.day}", day=n, came_in_at=at(n, 8)).pk for n in days]
    plan.plan(at(TODAY, 7))
    picked = set(Pick.objects.values_list("paper", flat=True))
    assert set(papers[:8]) <= picked
    assert not set(papers[14:]) & picked
    assert Digest.objects.get(day=TODAY).since is None  # It is the subscriber's usual gap.


@pytest.mark.parametrize("zone", ["Pacific/Honolulu", "Pacific/Auckland"])
def test_paper_arriving_during_pause_is_not_lost(zone):
    """By their calendar six days lie between the two digests, and by UTC, seven."""
    one = subscriber(timezone=zone, hour=7, next_due_at=NOW)
    one.schedule_from(TODAY)
    one.save()
    left_at = one.next_due_at
    tick(left_at)
    pause = {"hour": 20, "paused_until": TODAY + 6 * DAY}
    preferences.change(one, None, pause, now=left_at + timedelta(hours=1))
    late = make.paper("Graph networks", day=left_at.date())
    again = make.fresh(one).next_due_at
    assert again.date() - left_at.date() == 7 * DAY
    _, picks = plan.preview(one, TODAY + 6 * DAY, again)
    assert [pick.paper for pick in picks] == [late]
    plan.plan(again)
    assert Pick.objects.get().paper == late


@pytest.mark.parametrize(("state", "reason"), [("accepted", ""), ("skipped", "nothing to say")])
def test_digest_after_pause_has_best_of_gap(outbox, state, reason):
    one = subscriber(interests="graph networks", next_due_at=at(TODAY - 12 * DAY, 7))
    past_digest(one, TODAY - 13 * DAY)
    past_digest(one, TODAY - 12 * DAY, state, reason)
    preferences.change(one, None, {"paused_until": TODAY}, now=at(TODAY - 12 * DAY, 8))
    old = make.paper("Graph networks in the gap", day=TODAY - 10 * DAY)
    for number in range(12):
        make.paper(f"Cooking rice {number}", day=TODAY - 11 * DAY)
    live(TODAY, 1)
    digest = Digest.objects.get(day=TODAY)
    assert (digest.since, digest.considered) == (TODAY - 12 * DAY, 13)
    assert [pick.paper for pick in digest.picks.all()] == [old]
    (letter,) = outbox()
    for kind in ("plain", "html"):
        text = " ".join(letter.get_body([kind]).get_content().split())
        # A day on which nothing was sent has no "last digest" that they would know of.
        assert "These are the best of 13 papers from the past 12 days." in text


@pytest.mark.parametrize("moves", [False, True])
def test_pause_before_first_digest_loses_no_paper(moves):
    one = make.subscriber(now=at(TODAY - 12 * DAY), subscribed_at=at(TODAY - 12 * DAY))
    plan.plan(at(TODAY - 12 * DAY))
    preferences.change(one, None, {"paused_until": TODAY}, now=at(TODAY - 12 * DAY))
    if moves:
        move(one, TODAY - DAY)
    paper = make.paper("Graph networks in the gap", day=TODAY - 10 * DAY)
    before = TODAY - 21 * DAY
    older = make.paper("Graph networks of before", day=before, came_in_at=at(before, 8))
    live(TODAY, 1)
    digest = Digest.objects.get(day=TODAY)
    assert digest.since is None  # They had none that it could be compared with.
    picked = {pick.paper for pick in digest.picks.all()}
    assert (paper in picked, older in picked) == (True, False)


ENDS = [
    ("missed", "its day ended first", TODAY - 3 * DAY),
    ("failed", "refused: 550", TODAY - 3 * DAY),
    ("skipped", "paused", TODAY - 3 * DAY),
    ("failed", "unknown: the mail server never answered", TODAY - 3 * DAY),
    ("accepted", "", None),
]


@pytest.mark.parametrize(("state", "reason", "since"), ENDS)
def test_unsent_digest_does_not_shorten_the_gap(state, reason, since):
    one = subscriber(next_due_at=at(TODAY, 7))
    past_digest(one, TODAY - 3 * DAY)
    past_digest(one, TODAY - 2 * DAY, state, reason)
    past_digest(one, TODAY - DAY, state, reason)
    plan.plan(at(TODAY, 7))
    assert one.digests.get(day=TODAY).since == since


def leave(one, day):
    signup.unsubscribe(one.public_id, source=CONSENT_SOURCE, now=at(day))
    goodbyes = one.letters.filter(kind="goodbye", ended_at=None)
    goodbyes.update(state="accepted", ended_at=at(day))


def undo(one, day):
    """Follow the link in their last goodbye."""
    goodbye = one.letters.filter(kind="goodbye").latest("pk")
    signup.confirm(one, goodbye.created_at, kind="goodbye", source=CONSENT_SOURCE, now=at(day))


def sign_up_anew(one, day):
    signup.subscribe(one.email, signup.SignUpRequest(), source=CONSENT_SOURCE, now=at(day, 11))
    signup.confirm(make.fresh(one), one.asked_at, source=CONSENT_SOURCE, now=at(day))


def move(one, day):
    """Change the subscriber's address."""
    change_address.request(one, "new@example.org", now=at(day, 11))
    for side in ("old", "new"):
        change_address.approve(one, side, at(day, 11), source=CONSENT_SOURCE, now=at(day))
    one.refresh_from_db()


STORIES = [
    ([leave, undo], TODAY - 20 * DAY),
    ([move], TODAY - 20 * DAY),
    ([move, leave, undo], TODAY - 20 * DAY),
    ([leave, sign_up_anew], None),
    ([leave, undo, move, leave, sign_up_anew], None),
    ([leave, sign_up_anew, leave, undo], None),
]


@pytest.mark.parametrize(("acts", "since"), STORIES)
def test_only_new_sign_up_restarts_the_gap(acts, since):
    day = TODAY - 20 * DAY
    one = subscriber(interests="graph networks", hour=7, next_due_at=at(day, 7))
    make.paper("Graph networks of before", day=day)
    live(day, 1)
    preferences.pause(one, TODAY + DAY, now=at(day, 20))
    assert days_of(one) == [day]
    make.paper("Graph networks", day=TODAY - 10 * DAY)
    for number, act in enumerate(acts):
        act(one, TODAY - (len(acts) - number) * DAY)
    live(TODAY, 2)
    first = one.digests.completed().filter(day__gt=day).earliest("day")
    assert (first.since, first.picks.count()) == (since, 0 if since is None else 1)


def test_gaps_of_all_lengths_share_candidate_windows(monkeypatch):
    made, make_one = [], candidate_windows._make_window
    monkeypatch.setattr(
        candidate_windows, "_make_window", lambda *args: made.append(args[2]) or make_one(*args)
    )
    for number in range(36):
        day = TODAY - number * DAY
        make.paper(f"Graph networks {number}", day=day, came_in_at=at(day, 8))
    gaps = (1, 6, 7, 8, 13, 14, 15, 29, 30, 35)
    for gap in gaps:
        past_digest(subscriber(interests="graph networks", size=50), TODAY - gap * DAY)
    assert plan.plan(NOW).letters == len(gaps)
    assert [made.count(days) for days in (7, 14, 30)] == [1, 1, 1]
    assert (
        not {"arrived in 14 days", "arrived in 30 days"} & candidate_windows._windows.keys()
    )  # Let go.
    new = Pick.objects.filter(group="new")
    counts = dict(new.values_list("subscriber_id").annotate(n=Count("pk")))
    assert set(counts.values()) == {min(gap + 1, 31) for gap in gaps}


def test_still_new_paper_gets_no_second_chance():
    """UNIQUE(subscriber, paper) would cost the whole shard its day."""
    one = subscriber(interests="graph networks", next_due_at=at(TODAY, 7))
    past_digest(one, TODAY - 12 * DAY)
    paper = older("Graph networks", TOOK_OFF, age=10)
    plan.plan(at(TODAY, 7))
    (pick,) = one.digests.get(day=TODAY).picks.all()
    assert (pick.paper, pick.basis) == (paper, "topic")


def test_paper_sent_long_ago_is_not_resent():
    """As after a restored backup. Planning reads no more than the last digests at first."""
    one = subscriber(interests="graph networks", next_due_at=at(TODAY, 7))
    old, new = (make.paper(f"Graph networks of {what}") for what in ("roads", "cars"))
    pick = {"subscriber": one, "paper": old, "position": 1, "score": 1, "basis": "topic"}
    past_digest(one, TODAY - 40 * DAY).picks.create(**pick)
    past_digest(one, TODAY - DAY)
    assert plan.plan(at(TODAY, 7)).letters == 1
    assert [pick.paper for pick in one.digests.get(day=TODAY).picks.all()] == [new]


# ---- The form


def save(client, subscriber, **sent):
    response = client.post(tokens.preferences_url(subscriber), sent)
    subscriber.refresh_from_db()
    return response


def test_weekdays_are_saved_kept_and_shown(client):
    one = subscriber(next_due_at=at(TODAY + DAY, 7))
    assert save(client, one, days=["", "wed", "sun"]).status_code == 302
    assert (one.weekdays, one.next_due_at) == (0b1000100, at(date(2026, 6, 3), 7))
    assert save(client, one, hour=8).status_code == 302
    assert (one.weekdays, one.hour) == (0b1000100, 8)
    page = client.get(tokens.preferences_url(one)).content.decode()
    assert re.findall(r'name="days" value="(\w+)" checked', page) == ["wed", "sun"]


@pytest.mark.parametrize("days", [[""], ["", "someday"], ["mon", "8"]])
def test_invalid_weekdays_are_refused(client, days):
    one = subscriber(weekdays=MONDAYS)
    response = save(client, one, days=days, hour=9)
    assert response.status_code == 400
    assert 'id="id_days_error"' in response.content.decode()
    assert (one.weekdays, one.hour) == (MONDAYS, 7)
