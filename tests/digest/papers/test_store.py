"""Records become papers, and the same record twice changes nothing."""

import gzip
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import date, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from digest import samples
from digest.models import Observation, Paper, PaperEvent
from digest.papers import store
from digest.sources.records import Record
from tests.factories.make import NOW
from tests.helpers.data_files import as_json, cases

pytestmark = pytest.mark.django_db

RECORD = Record("2506.00001", "Title", "Abstract", date(2025, 6, 7), authors=["A. One"], upvotes=5)


def rows():
    return list(Paper.objects.order_by("pk").values())


def test_repeated_records_change_nothing():
    records = [RECORD, replace(RECORD, id="2506.00002"), replace(RECORD, id="2506.00003")]
    store.store(records, now=NOW)
    before = rows()

    tally = store.store(records, now=NOW + timedelta(days=1))

    assert rows() == before
    assert (tally.new, tally.changed, tally.unchanged) == (0, 0, 3)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_stored", [True, False])
def test_concurrent_imports_lose_nothing(is_stored):
    if is_stored:
        store.store([RECORD], now=NOW)

    def tell_more():
        store.store([replace(RECORD, github="https://github.com/a/b")], now=NOW)
        connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            store.store([replace(RECORD, journal_ref="Journal 1")], now=NOW)
            other = pool.submit(tell_more)
            time.sleep(0.2)  # In which the other comes as far as it can.
        other.result(timeout=10)

    paper = Paper.objects.get()
    assert (paper.journal_ref, paper.github) == ("Journal 1", "https://github.com/a/b")


@pytest.mark.parametrize(("rule", "told", "expected"), cases("stored_records")["records"])
def test_stored_paper_has_best_of_all_records(rule, told, expected):
    usual, records = {**asdict(RECORD), "day": str(RECORD.day)}, []
    for fields, days in told:
        records.append(Record.from_json(usual | fields))
        store.store(records[-1:], now=NOW + timedelta(days))
    paper = Paper.objects.get()
    assert as_json({name: getattr(paper, name) for name in expected}) == expected
    assert store.store(records, now=NOW + timedelta(9)).changed == 0


def test_paper_events_are_recorded_once():
    stored_record = replace(RECORD, version=2, upvotes=None)
    fields = {"journal_ref": "Journal 1", "github": "https://github.com/a/b", "is_withdrawn": True}
    store.store([replace(stored_record, version=1)], now=NOW, is_sample=True)
    for nothing_new in (stored_record, RECORD, replace(stored_record, version=1, **fields)):
        store.store([nothing_new], now=NOW)
    assert not PaperEvent.objects.exists()
    more = replace(stored_record, version=3, **fields)
    for record in (more, replace(more, journal_ref="J. 1, p. 7", github="https://github.com/b")):
        store.store([record], now=NOW, source="arxiv")
    assert set(PaperEvent.objects.values_list("kind", "note")) == {
        ("revised", "version 3"),
        ("withdrawn", ""),
        ("published", "Journal 1"),
        ("code", "https://github.com/a/b"),
    }
    assert not Observation.objects.exists()  # Nothing was counted.


def test_real_papers_replace_samples():
    for days in (0, 1):  # Laid out on one day, and on the next.
        moved = replace(RECORD, day=RECORD.day + timedelta(days))
        store.store([moved], now=NOW, is_sample=True, replaces_days=True)
    assert Paper.objects.get().day == RECORD.day + timedelta(1)
    real = replace(RECORD, abstract="The real one", day=date(2025, 6, 9))
    store.store([real], now=NOW)
    store.store([RECORD], now=NOW, is_sample=True, replaces_days=True)
    paper = Paper.objects.get()
    assert (paper.abstract, paper.is_sample, paper.day) == ("The real one", False, real.day)


def test_samples_cover_ten_days_and_are_marked():
    count = samples.store_samples(NOW.date(), NOW)
    papers = Paper.objects.all()
    assert count == papers.count() >= 160
    assert len({paper.day for paper in papers}) == samples.DAYS + samples.DAYS_AHEAD
    assert max(paper.day for paper in papers) == NOW.date() + timedelta(days=samples.DAYS_AHEAD)
    assert all(paper.is_sample and len(paper.abstract.split()) >= 25 for paper in papers)
    assert papers.filter(upvotes__isnull=False).count() >= 80
    assert sum(bool(paper.authors and paper.categories) for paper in papers) >= 80


def test_import_shifts_days_to_given_date(tmp_path):
    path, row = tmp_path / "papers.jsonl", '{"title": "On %d", "date": "2025-06-0%d"}\n'
    path.write_text(row % (1, 1) + row % (2, 9))
    for shift_to, day in [("2026-06-09", 9), ("today", timezone.now().day)]:
        call_command("import_papers", path, "--shift-to", shift_to)
        days = [paper.day for paper in Paper.objects.order_by("day")]
        assert (days[1].day, days[1] - days[0]) == (day, timedelta(8))


def test_import_reports_bad_lines_and_stores_rest(tmp_path, capsys):
    path = tmp_path / "papers.jsonl"
    path.write_text('{"title": "One"}\n' + 2 * '{"title": "cut\n' + '\n{"title": "Three"}\n')
    call_command("import_papers", str(path))
    out, err = capsys.readouterr()
    for number in (2, 3):
        assert f"papers.jsonl, line {number}: not JSON. Skipped." in err
    assert "2 new, 0 changed, 0 unchanged, 2 bad lines skipped." in out
    assert re.search(r"Stored in \d+\.\d s, [1-9][\d,]* papers per second\.\n", out)


def test_import_of_unusable_file_fails(tmp_path, capsys):
    path, packed = tmp_path / "notes.txt", gzip.compress(b'{"title": "Bread"}\n' * 9)
    for octets, error in [
        (None, "There is no file"),
        (b"bread\nbutter\n", r"No papers in .*notes\.txt"),
        (packed[:-8], "Incomplete, damaged file"),
    ]:
        if octets is not None:
            path.write_bytes(octets)
        with pytest.raises(CommandError, match=error):
            call_command("import_papers", str(path))
    assert "the gzip file is broken after line" in capsys.readouterr().err
    assert Paper.objects.get().title == "Bread"
