"""What each day was like is counted while its rows are there, and stays when they are gone."""

from datetime import UTC, datetime, timedelta

import pytest

from digest.models import Coverage, DailyCount
from digest.operations import daily_stats
from subscriptions.models import Letter, Subscriber
from tests.digest.admin.test_lists import fact, letter
from tests.factories import make
from tests.factories.make import DAY, NOW, TODAY

pytestmark = pytest.mark.django_db


def counted(measure, day=TODAY):
    return DailyCount.objects.get(measure=measure, day=day).counts


def test_subscribers_are_counted_by_end_of_day_state():
    before = NOW - DAY
    make.subscriber(now=before)
    make.subscriber(now=before, paused_until=TODAY + 5 * DAY)
    make.subscriber(now=before, confirmed=False)
    make.subscriber(now=before, unsubscribed_at=NOW)
    make.subscriber(now=before, suppressed_at=before, unsubscribed_at=before)
    make.subscriber(now=NOW)
    make.harvest(at=before)
    daily_stats.count_days(NOW)
    by_state = {"active": 2, "paused": 1, "pending": 1, "unsubscribed": 0, "suppressed": 1}
    assert counted("subscribers", TODAY - DAY) == by_state
    by_state |= {"unsubscribed": 1}
    for days in (1, 2):
        daily_stats.count_days(NOW + days * DAY)
        assert counted("subscribers") == by_state
        Subscriber.objects.filter(suppressed_at=None).update(unsubscribed_at=None)  # They return.


def test_rows_of_the_day_are_counted():
    subscriber = make.subscriber()
    midnight = datetime(2026, 6, 1, tzinfo=UTC)
    letter(subscriber, midnight - timedelta(microseconds=1), state="missed")
    one = letter(subscriber, midnight)
    letter(subscriber, kind="confirm", state="failed")
    for kind, grade in [("bounced", "hard"), ("complained", "")]:
        fact(one, kind, grade)
    for value in ("more", "more", "less"):
        subscriber.feedback.create(paper=make.paper(), value=value, at=NOW)
    subscriber.consents.create(act="asked", at=NOW, via="form")
    make.harvest(records=90, new=5, changed=2)
    make.harvest(records=10, new=1)
    make.harvest(records=9_000, new=9_000, since=TODAY - 300 * DAY)  # A backfill.
    for category, stored in [("cs", 98), ("math", 100)]:
        fields = {"source": "arxiv", "category": category, "announced": 100, "stored": stored}
        Coverage.objects.create(day=TODAY, checked_at=NOW, **fields)
    for _ in range(2):  # Again, which changes nothing.
        daily_stats.count_days(NOW)
        assert counted("letters") == {"digest accepted": 1, "confirm failed": 1}
        assert counted("letters", TODAY - DAY) == {"digest missed": 1}
        assert counted("facts") == {"hard bounced": 1, "complained": 1}
        assert counted("feedback") == {"more": 2, "less": 1}
        assert counted("consents") == {"asked": 1}
        expected = {"arxiv seen": 100, "arxiv new": 6, "arxiv changed": 2, "arxiv bad": 0}
        assert counted("harvests") == expected
        assert counted("coverage") == {"arxiv had": 198, "arxiv missing": 2}


def test_later_letter_states_are_counted_until_settled():
    one = letter(make.subscriber(), state="uncertain")
    daily_stats.count_days(NOW)
    Letter.objects.update(state="failed")
    for days in range(2, 8):
        daily_stats.count_days(NOW + days * DAY)
        assert counted("letters", one.day) == {"digest failed": 1}
    Letter.objects.all().delete()
    daily_stats.count_days(NOW + 8 * DAY)
    assert counted("letters") == {"digest failed": 1}


def test_nothing_is_counted_before_anything_has_happened():
    daily_stats.count_days(NOW)
    assert set(DailyCount.objects.values_list("day", flat=True)) == {TODAY}
