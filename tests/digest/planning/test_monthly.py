"""Monthly digests: on the first digest day of each month, with all papers since the last one."""

from datetime import date, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from digest.indexing import candidates
from digest.models import Digest, Pick
from digest.planning import plan
from subscriptions import schedule
from subscriptions.actions import preferences
from subscriptions.models import Letter, Subscriber
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import DAY, HOUR, NOW, TODAY
from tests.factories.simulation import at, subscriber, tick
from tests.helpers.invariants import broken
from tests.helpers.subscriber_pages import url

pytestmark = pytest.mark.django_db

MONDAYS, WORKDAYS, SUNDAYS = 0b0000001, 0b0011111, 0b1000000
FIRST = date(2027, 7, 1)
MONTHS = 13  # Of 28 to 31 days: February 2028 has 29.


def monthly(**fields):
    return subscriber(**{"is_monthly": True, "next_due_at": NOW} | fields)


def days_of(subscriber, state="accepted"):
    letters = subscriber.letters.filter(state=state).order_by("day")
    return list(letters.values_list("day", flat=True))


def live(subscriber, until):
    """Run the service whenever their digest is due, and a while before and after it."""
    moments = []
    while (due := make.fresh(subscriber).next_due_at) < at(until, 0):
        for moment in (due - HOUR, due, due + HOUR):
            tick(moment)
        moments.append(due)
        assert not broken(due + HOUR), due
    return moments


def first_days(weekdays, months=MONTHS):
    """Return the first of these weekdays in each month."""
    day, days = FIRST, []
    for _ in range(months):
        days.append(
            next(day + n * DAY for n in range(7) if schedule.is_digest_day(day + n * DAY, weekdays))
        )
        day = schedule.first_of_next_month(day)
    return days


YEARS = [
    ("UTC", 7, schedule.EVERY_DAY),
    ("Europe/Berlin", 2, SUNDAYS),
    ("America/New_York", 1, SUNDAYS),  # Clocks go back on 7 November 2027 at 2.
    ("America/Santiago", 0, SUNDAYS),  # 5 September 2027 begins at 1.
    ("Pacific/Auckland", 2, WORKDAYS),
    ("Pacific/Kiritimati", 23, MONDAYS),
    ("Pacific/Honolulu", 20, MONDAYS),
]


@pytest.mark.parametrize(("zone", "hour", "weekdays"), YEARS)
def test_a_year_has_one_digest_a_month_and_loses_no_paper(zone, hour, weekdays):
    began = at(FIRST - 40 * DAY, 0)
    one = monthly(timezone=zone, hour=hour, weekdays=weekdays, size=50, confirmed_at=began)
    one.schedule_from(FIRST)
    one.save()
    days = first_days(weekdays)
    for n in range((days[-1] - FIRST).days + 40):
        day = FIRST - 30 * DAY + n * DAY
        make.paper(f"Graphs {n}", day=day, came_in_at=at(day, 8), now=at(day, 8))
    moments = live(one, days[-1] + 3 * DAY)
    assert days_of(one) == days
    local = [moment.astimezone(ZoneInfo(zone)) for moment in moments]
    assert [moment.date() for moment in local] == days
    assert {moment.hour for moment in local} <= {hour, hour + (zone == "America/Santiago")}
    picked = set(Pick.objects.values_list("paper__day", flat=True))
    first, last = days[0], days[-1]
    assert {first + n * DAY for n in range((last - first).days - 1)} <= picked
    assert {*Digest.objects.values_list("since", flat=True)} == {None}  # The usual gap.


def test_switching_to_monthly_waits_for_the_next_month():
    one = monthly(is_monthly=False, next_due_at=at(TODAY, 7))
    tick(at(TODAY, 7))
    preferences.change(one, None, {"is_monthly": True}, now=at(TODAY, 9))
    assert make.fresh(one).next_due_at == at(date(2026, 7, 1), 7)
    preferences.change(one, None, {"hour": 9, "weekdays": MONDAYS}, now=at(TODAY, 10))
    assert make.fresh(one).next_due_at == at(date(2026, 7, 6), 9)
    preferences.change(one, None, {"is_monthly": False}, now=at(TODAY, 11))
    assert make.fresh(one).next_due_at == at(TODAY + 7 * DAY, 9)


PAUSES = [
    (date(2026, 6, 20), date(2026, 7, 1)),  # June's digest was sent before the pause.
    (date(2026, 7, 1), date(2026, 7, 1)),
    (date(2026, 7, 14), date(2026, 7, 14)),  # July's comes when the pause ends,
    (date(2026, 9, 30), date(2026, 9, 30)),
]


@pytest.mark.parametrize(("until", "due"), PAUSES)
def test_a_pause_moves_the_digest_of_a_month_and_skips_none_after_it(until, due):
    one = monthly(next_due_at=at(TODAY, 7))
    tick(at(TODAY, 7))
    preferences.pause(one, until, now=at(TODAY + 4 * DAY))
    assert make.fresh(one).next_due_at == at(due, 7)
    live(one, due + 40 * DAY)
    following = schedule.first_of_next_month(due)
    assert days_of(one)[:3] == [TODAY, due, following]
    assert all(later.month != day.month for day, later in pairwise(days_of(one)))


def test_a_machine_that_was_asleep_sends_the_digest_of_the_month_later():
    one = monthly(next_due_at=at(date(2026, 7, 1), 7), weekdays=WORKDAYS)
    late = date(2026, 7, 9)
    tick(at(late, 9))
    assert (days_of(one), days_of(one, "missed")) == ([late], [date(2026, 7, 1)])
    assert make.fresh(one).next_due_at == at(date(2026, 8, 3), 7)


def test_a_monday_that_was_missed_is_followed_by_the_next_monday():
    one = monthly(next_due_at=at(date(2026, 7, 6), 7), weekdays=MONDAYS)
    tick(at(date(2026, 7, 8), 7))
    assert days_of(one, "missed") == [date(2026, 7, 6)]
    assert make.fresh(one).next_due_at == at(date(2026, 7, 13), 7)


@pytest.mark.parametrize("pauses", [False, True])
def test_a_digest_that_was_not_sent_comes_on_the_next_day(
    pauses, django_capture_on_commit_callbacks
):
    one, paper = monthly(next_due_at=at(TODAY, 7)), make.paper("Graphs")
    plan.plan(at(TODAY, 7))
    assert make.fresh(one).next_due_at == at(date(2026, 7, 1), 7)
    with django_capture_on_commit_callbacks(execute=True):
        if pauses:
            preferences.pause(one, TODAY + 3 * DAY, now=at(TODAY, 7))
        else:
            Letter.objects.update(closes_at=at(TODAY, 8))
            tick(at(TODAY, 9))
    due = TODAY + (3 if pauses else 1) * DAY
    assert make.fresh(one).next_due_at == at(due, 7)
    tick(at(due, 7))
    assert days_of(one) == [due]
    assert Pick.objects.get().paper == paper
    assert make.fresh(one).next_due_at == at(date(2026, 7, 1), 7)


def test_only_monthly_digests_look_back_more_than_thirty_days():
    for gap in (29, 31, 36):
        last = NOW - gap * DAY
        assert candidates.lookback_days(TODAY, last) == 30
        long = candidates.lookback_days(TODAY, last, is_monthly=True)
        assert long == (30 if gap < 30 else 37)


# ---- The pages


def test_monthly_is_chosen_shown_and_kept(client):
    one = monthly(is_monthly=False)
    page = tokens.preferences_url(one)
    client.post(page, {"monthly": "yes", "action": "save_delivery"})
    client.post(page, {"hour": 8, "action": "save_delivery"})
    assert make.fresh(one).is_monthly
    assert '<option value="yes" selected>Once a month' in client.get(page).text
    client.post(page, {"monthly": "no", "action": "save_delivery"})
    assert not make.fresh(one).is_monthly


def forms_of(client, subscriber):
    """Return the fields that the buttons beside "Unsubscribe" send, by their words."""
    page = client.get(url("unsubscribe", subscriber)).text
    forms = page.split("<form")[2:]
    assert all(
        f'action="/preferences/{tokens.own_token("preferences", subscriber)}/"' in form
        for form in forms
        if "save_delivery" in form
    )
    found = {}
    for form in forms:
        if 'value="save_delivery"' in form:
            name, value = form.partition('type="hidden" name="')[2].split('" value="', 1)
            words = form.partition('"save_delivery">')[2].partition("<")[0]
            found[words] = {name: value.partition('"')[0], "action": "save_delivery"}
    return found


def test_unsubscribe_page_offers_mondays_and_a_pause(client, clock):
    one = subscriber(next_due_at=at(TODAY + DAY, 7), hour=7, size=3, wants_near=True)
    buttons = forms_of(client, one)
    assert [*buttons] == ["Mondays only", "Pause for a month"]
    path = url("preferences", one)
    for fields in buttons.values():
        assert client.post(path, fields).status_code == 302
    one = make.fresh(one)
    assert (one.weekdays, one.paused_until) == (MONDAYS, TODAY + timedelta(weeks=4))
    assert (one.hour, one.size, one.wants_near, one.unsubscribed_at) == (7, 3, True, None)
    assert forms_of(client, one) == {}  # Paused.


def test_unsubscribe_page_offers_less_to_active_subscribers_alone(client):
    assert [*forms_of(client, monthly())] == ["Pause for a month"]
    for fields in ({"confirmed": False}, {"unsubscribed_at": NOW}, {"suppressed_at": NOW}):
        assert forms_of(client, make.subscriber(**fields)) == {}
    moved = make.subscriber()
    address = url("unsubscribe", moved)
    Subscriber.objects.filter(pk=moved.pk).update(moved_at=NOW + HOUR)
    assert "save_delivery" not in client.get(address).text  # The link is of the former address.
