"""What each day was like is counted while its rows are there, and stays when they are gone."""

from datetime import UTC, datetime, timedelta

import pytest

from digest.models import Coverage, DailyCount
from digest.operations import daily_stats, retention
from subscriptions.models import Letter, Subscriber
from tests.digest.admin.test_lists import fact, letter
from tests.factories import make
from tests.factories.make import DAY, NOW, TODAY

pytestmark = pytest.mark.django_db


def counted(measure, day=TODAY):
    return DailyCount.objects.get(measure=measure, day=day).counts


def coverage(day=TODAY, category="cs", **fields):
    defaults = {"source": "arxiv", "state": "fresh", "checked_at": NOW}
    return Coverage.objects.create(category=category, day=day, **defaults | fields)


def test_subscribers_are_counted_by_end_of_day_state():
    before = NOW - DAY
    make.subscriber(now=before)
    make.subscriber(now=before, paused_until=TODAY + 5 * DAY)
    make.subscriber(now=before, confirmed=False)
    make.subscriber(now=before, unsubscribed_at=NOW - timedelta(hours=1))
    make.subscriber(now=before, suppressed_at=before, unsubscribed_at=before)
    make.subscriber(now=NOW - timedelta(minutes=1))
    make.harvest(at=before)
    daily_stats.count_days(NOW)
    by_state = {"active": 2, "paused": 1, "pending": 1, "unsubscribed": 0, "suppressed": 1}
    assert counted("subscribers", TODAY - DAY) == by_state
    by_state |= {"unsubscribed": 1}
    assert counted("subscribers") == by_state
    daily_stats.count_days(NOW + DAY)
    Subscriber.objects.filter(suppressed_at=None).update(unsubscribed_at=None)  # They come back.
    daily_stats.count_days(NOW + 2 * DAY)
    assert counted("subscribers") == by_state
    assert counted("subscribers", TODAY + 2 * DAY)["unsubscribed"] == 0


def test_letters_are_counted_by_kind_and_state():
    subscribers = [make.subscriber() for _ in range(3)]
    midnight = datetime(2026, 6, 1, tzinfo=UTC)
    letter(subscribers[1], midnight - timedelta(microseconds=1), state="missed")
    letter(subscribers[0], midnight)
    letter(subscribers[1])
    letter(subscribers[2])
    letter(subscribers[0], kind="confirm", state="failed")
    daily_stats.count_days(NOW)
    assert counted("letters") == {"digest accepted": 3, "confirm failed": 1}
    assert counted("letters", TODAY - DAY) == {"digest missed": 1}
    rows = list(DailyCount.objects.values())
    daily_stats.count_days(NOW)  # Again, which changes nothing and adds no row.
    assert list(DailyCount.objects.values()) == rows


def test_facts_feedback_and_consents_are_counted():
    subscriber = make.subscriber()
    one = letter(subscriber)
    for kind, grade in [("bounced", "hard"), ("complained", ""), ("relayed", "")]:
        fact(one, kind, grade)
    for value in ("more", "more", "less"):
        subscriber.feedback.create(paper=make.paper(), value=value, at=NOW)
    for act in ("asked", "confirmed"):
        subscriber.consents.create(act=act, at=NOW, via="form")
    daily_stats.count_days(NOW)
    assert counted("facts") == {"hard bounced": 1, "complained": 1, "relayed": 1}
    assert counted("feedback") == {"more": 2, "less": 1}
    assert counted("consents") == {"asked": 1, "confirmed": 1}


def test_runs_are_summed_without_backfills():
    make.harvest(records=90, new=5, changed=2)
    make.harvest(records=10, new=1)
    make.harvest(records=9_000, new=9_000, since=TODAY - 300 * DAY)
    coverage(announced=300, stored=298)
    coverage(category="math", announced=100, stored=100)
    daily_stats.count_days(NOW)
    expected = {"arxiv seen": 100, "arxiv new": 6, "arxiv changed": 2, "arxiv bad": 0}
    assert counted("harvests") == expected
    assert counted("coverage") == {"arxiv had": 398, "arxiv missing": 2}


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


def test_first_run_counts_past_days():
    letter(make.subscriber(), NOW - 11 * DAY)
    daily_stats.count_days(NOW)
    assert DailyCount.objects.filter(measure="letters").count() == 12
    assert counted("letters", TODAY - 11 * DAY) == {"digest accepted": 1}


def test_purged_days_are_omitted(settings):
    settings.KEEP_EVENTS = settings.KEEP_HARVESTS = 9 * DAY
    letter(make.subscriber(now=NOW - 20 * DAY), NOW - 20 * DAY)
    daily_stats.count_days(NOW)
    old = DailyCount.objects.filter(day=TODAY - 20 * DAY).values_list("measure", flat=True)
    assert set(old) == {"subscribers", "consents", "letters", "feedback"}


def test_counts_survive_purged_rows(settings):
    subscriber = make.subscriber()
    letter(subscriber, reason="x", state="skipped", kind="confirm")
    make.harvest(records=9)
    daily_stats.count_days(NOW)
    daily_stats.count_days(NOW + 9 * DAY)
    retention.purge(NOW + 500 * DAY)
    assert not Letter.objects.exists()
    daily_stats.count_days(NOW + 500 * DAY)
    assert counted("letters") == {"confirm skipped": 1}
    assert counted("harvests")["arxiv seen"] == 9


def test_nothing_is_counted_before_anything_has_happened():
    daily_stats.count_days(NOW)
    assert set(DailyCount.objects.values_list("day", flat=True)) == {TODAY}
