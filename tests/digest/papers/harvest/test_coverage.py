"""Proof that what was announced is here, and what is said where it isn't."""

from datetime import date, datetime

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from digest.models import Coverage
from digest.operations import alarms
from digest.papers import coverage, harvest, store
from digest.sources.base import Batch
from digest.sources.records import Record
from tests.factories.announcements import MONDAY, at, expected_papers, run, stored
from tests.factories.make import NOW

pytestmark = pytest.mark.django_db


def test_yesterdays_list_with_a_fresh_date_is_not_todays(server, days):
    run(server, days[0])
    server.faults["cs"] = "stale"
    row = run(server, days[1], hour=2)
    assert "should show" in row.said
    assert not coverage.is_verified(at(days[1], 2))
    assert state("cs", days[1]) == "waiting"
    run(server, days[1], hour=9)
    (alarm,) = alarms.check_all(at(days[1], 9))
    assert alarm.name == "papers"
    assert "has not come in whole: cs: an earlier day's list is served" in alarm.said
    assert state("cs", days[1]) == "stalled"
    assert state("math", days[1]) == "fresh"
    assert expected_papers(server, days[1]).keys() == stored().keys()  # The list has them.


def test_other_lists_than_arxivs_are_quiet_at_a_weekend():
    for day in (5, 6, 7):
        coverage.record("huggingface", Batch([], day=date(2026, 6, day), state="empty"), NOW)
    states = Coverage.objects.order_by("day").values_list("state", flat=True)
    assert list(states) == ["waiting", "quiet", "quiet"]


def test_a_list_is_here_where_it_has_papers_though_it_is_cut_off_and_names_its_category():
    told = {"records": [Record("2606.00001", "Title")], "day": MONDAY}
    coverage.record("arxiv", Batch(**told, category="cs", state="incomplete"), NOW)
    coverage.record("arxiv", Batch(**told, state="fresh"), NOW)
    assert list(Coverage.objects.values_list("category", "state")) == [("cs", "fresh")]


@pytest.mark.parametrize("fault", ["html", "cut", "not utf-8"])
def test_a_feed_that_is_none_is_told_in_plain_words_and_the_others_are_read(server, days, fault):
    server.faults["cs"] = fault
    row = run(server, days[0])
    assert row.said
    assert "Traceback" not in row.said
    assert state("math", days[0]) == "fresh"
    assert stored().keys() == expected_papers(server, days[0]).keys()
    if fault != "not utf-8":
        assert row.state == "failed"
        assert state("cs", days[0]) == "failed"


def test_a_broken_item_is_one_bad_record(server, days):
    server.faults["cs"] = "broken item"
    row = run(server, days[0])
    assert row.bad >= 1
    assert f"{row.bad} could not be read." in row.said
    receipt = coverage.receipt(at(days[0]))
    assert receipt.announced > receipt.had
    (short,) = [one for one in Coverage.objects.all() if one.announced > one.had]
    assert (short.state, "could not be read: " in short.note) == ("fresh", True)
    assert stored().keys() == expected_papers(server, days[0]).keys()


def test_the_day_for_which_there_was_no_time_says_why_it_is_not_here(server, days, monkeypatch):
    def too_slow(*_, **__):
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(store, "store", too_slow)
    with pytest.raises(SoftTimeLimitExceeded):
        run(server, days[0])
    assert Coverage.objects.get().note == harvest.OUT_OF_TIME


def test_a_source_that_has_never_worked_is_not_said_to_have_stopped(server, days):
    server.faults["rss"] = server.faults["oai"] = "html"
    row = run(server, days[1])
    assert row.state == "failed"
    missing = Coverage.objects.all()
    assert {(one.day, one.state) for one in missing} == {(days[1], "failed")}
    assert all(f"It broke off: {one.note}." in row.said for one in missing)
    assert coverage.alarms(at(days[1], 9)) == []
    assert not coverage.is_awaited(at(days[1]))


def test_the_expected_list_follows_new_york_through_both_clock_changes():
    for moment, day in (
        ("2026-11-01T12:00+00:00", "2026-10-30"),  # A Sunday; clocks went back.
        ("2026-11-02T05:29+00:00", "2026-10-30"),
        ("2026-11-02T05:30+00:00", "2026-11-02"),  # 00:30 in New York, standard time.
        ("2027-03-15T04:30+00:00", "2027-03-15"),  # The day after clocks went forward.
        ("2026-11-27T12:00+00:00", "2026-11-26"),  # Nothing was announced on Thanksgiving.
    ):
        assert str(coverage.expected_day(datetime.fromisoformat(moment))) == day


def state(category, day):
    return Coverage.objects.get(source="arxiv", category=category, day=day).state
