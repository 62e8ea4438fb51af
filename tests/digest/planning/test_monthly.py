"""Monthly digests: on the first digest day of each month, with all papers since the last one."""

import re
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest

from digest.models import Digest, Pick
from digest.planning import plan
from subscriptions import schedule
from subscriptions.actions import preferences
from subscriptions.delivery import queue
from subscriptions.models import Letter
from tests.factories import make
from tests.factories.make import DAY, HOUR, NOW, TODAY
from tests.factories.simulation import at, subscriber, tick
from tests.helpers.invariants import broken
from tests.helpers.subscriber_pages import url

pytestmark = pytest.mark.django_db

MONDAYS, WORKDAYS, SUNDAYS = 0b0000001, 0b0011111, 0b1000000
FIRST, JULY, MONDAY = date(2027, 7, 1), date(2026, 7, 1), date(2026, 7, 6)


def monthly(**fields):
    return subscriber(**{"is_monthly": True, "next_due_at": at(TODAY, 7)} | fields)


def days_of(subscriber, state="accepted"):
    return [letter.day for letter in subscriber.letters.filter(state=state).order_by("day")]


def next_due(subscriber):
    return make.fresh(subscriber).next_due_at


def live(subscriber, until):
    """Run the service when their digest is due, and an hour before."""
    while (due := next_due(subscriber)) < at(until, 0):
        for hours in (-1, 0):
            tick(due + hours * HOUR)
        assert not broken(due), due


YEARS = [
    ("America/New_York", 1, SUNDAYS),  # Clocks go back on 7 November 2027 at 2.
    ("Pacific/Auckland", 2, WORKDAYS),
]


@pytest.mark.parametrize(("zone", "hour", "weekdays"), YEARS)
def test_year_of_monthly_digests_loses_no_paper(zone, hour, weekdays):
    """Of 28 to 31 days: February 2028 has 29."""
    one = monthly(timezone=zone, hour=hour, weekdays=weekdays, size=50)
    firsts = [date(2027 + n // 12, n % 12 + 1, 1) for n in range(6, 19)]
    days = [schedule.next_due(first, hour, ZoneInfo(zone), weekdays)[0] for first in firsts]
    one.schedule_from(FIRST)
    one.save()
    for n in range(-30, 380):
        make.paper(day=FIRST + n * DAY, came_in_at=at(FIRST + n * DAY, 8))
    live(one, days[-1] + 3 * DAY)
    assert days_of(one) == days
    picked = set(Pick.objects.values_list("paper__day", flat=True))
    assert {days[0] + n * DAY for n in range((days[-1] - days[0]).days - 1)} <= picked
    assert {*Digest.objects.values_list("since", flat=True)} == {None}  # The usual gap.


def test_settings_changes_give_no_second_digest_a_month():
    one = monthly(is_monthly=False)
    tick(at(TODAY, 7))
    changes = {"is_monthly": True}, {"hour": 9, "weekdays": MONDAYS}, {"is_monthly": False}
    for change, due in zip(changes, (JULY, MONDAY, TODAY + 7 * DAY), strict=True):
        preferences.change(one, None, change, now=at(TODAY, 9))
        assert next_due(one).date() == due


@pytest.mark.parametrize("until", [date(2026, 6, 20), date(2026, 7, 14)])
def test_pause_moves_only_the_digest_of_its_month(until):
    one = monthly()
    tick(at(TODAY, 7))
    preferences.pause(one, until, now=at(TODAY + 4 * DAY))
    assert next_due(one) == at(max(until, JULY), 7)
    tick(next_due(one))
    assert next_due(one) == at(date(2026, 8, 1), 7)


def test_digest_moves_to_the_last_day_of_a_sleep():
    one = monthly()
    tick(at(TODAY + 3 * DAY, 7))
    assert (days_of(one, "missed"), days_of(one)) == ([TODAY], [TODAY + 3 * DAY])


def test_unsent_digest_comes_on_the_next_day(django_capture_on_commit_callbacks):
    one = monthly()
    plan.plan(at(TODAY, 7))
    Letter.objects.update(closes_at=at(TODAY, 8))
    with django_capture_on_commit_callbacks(execute=True):
        queue.sweep(at(TODAY, 9))
    assert next_due(one) == at(TODAY + DAY, 7)
    tick(next_due(one))
    assert (days_of(one), next_due(one)) == ([TODAY + DAY], at(JULY, 7))


# ---- The pages


def test_unsubscribe_page_offers_less_to_active_subscribers(client):
    one = subscriber(next_due_at=NOW)
    page = client.get(url("unsubscribe", one)).text
    assert "Mondays only" in page
    sent = dict(re.findall(r'name="(days|pause_until)" value="([\w-]+)"', page))
    for fields in (sent, {"monthly": "yes"}):
        client.post(url("preferences", one), fields | {"action": "save_delivery"})
    one = make.fresh(one)
    assert (one.weekdays, one.is_monthly) == (MONDAYS, True)
    assert one.paused_until == TODAY + timedelta(weeks=4)
    page = client.get(url("unsubscribe", one)).text
    assert "Mondays only" not in page
    assert "selected>Once a month" in client.get(url("preferences", one)).text
