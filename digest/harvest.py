"""Records become papers: inserted, or updated where something is new. The same record twice
changes nothing, in whatever order they come."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from itertools import batched

from django.db import transaction
from django.utils import timezone

from digest.models import Paper
from digest.sources.records import Record

BATCH = 1_000
TEXTS = ("title", "abstract", "url")
LISTS = ("authors", "categories")
FIELDS = [*TEXTS, *LISTS, "day", "day_is_estimate", "upvotes", "is_sample", "changed_at"]


@dataclass
class Tally:
    """How many papers were new, changed, or known just so. Many records may tell of one paper."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0


def store(
    records: Iterable[Record],
    tally: Tally | None = None,
    *,
    now,
    shift: timedelta | None = None,
    is_sample: bool = False,
) -> Tally:
    """Store the records and return the tally, which is kept up batch by batch.

    With `shift`, days are moved by it and replace what was known; without, a paper keeps the
    earliest day on which it was announced.
    """
    tally = tally or Tally()
    for batch in batched(records, BATCH):
        _store_batch(batch, tally, now, shift, is_sample)
    return tally


def _store_batch(batch, tally, now, shift, is_sample):
    with transaction.atomic():
        known = Paper.objects.in_bulk({record.id for record in batch})
        before = {paper.pk: _values(paper) for paper in known.values()}
        new = {}
        for record in batch:
            paper = known.get(record.id) or new.get(record.id)
            if paper is None:
                new[record.id] = _paper(record, now, shift, is_sample)
            else:
                _update(paper, record, shift, is_sample)
        changed = [paper for paper in known.values() if _values(paper) != before[paper.pk]]
        for paper in changed:
            paper.changed_at = now
        Paper.objects.bulk_create(new.values(), ignore_conflicts=True)
        Paper.objects.bulk_update(changed, FIELDS, batch_size=200)
    tally.new += len(new)
    tally.changed += len(changed)
    tally.unchanged += len(known) - len(changed)


def _values(paper):
    return [getattr(paper, name) for name in FIELDS]


def _paper(record, now, shift, is_sample):
    paper = Paper(id=record.id, upvotes=record.upvotes, is_sample=is_sample, changed_at=now)
    for name in (*TEXTS, *LISTS):
        setattr(paper, name, getattr(record, name))
    paper.day, paper.day_is_estimate = _day(record, shift)
    if paper.day is None:
        paper.day, paper.day_is_estimate = timezone.localdate(now), True
    return paper


def _update(paper, record, shift, is_sample):
    """Take over what the record knows."""
    if is_sample and not paper.is_sample:
        return  # A sample never covers a paper that really came in.
    for name in (*TEXTS, *LISTS):
        if value := getattr(record, name):
            setattr(paper, name, value)
    if record.upvotes is not None:
        paper.upvotes = max(record.upvotes, paper.upvotes or 0)
    day, is_estimate = _day(record, shift)
    replaces = shift is not None or paper.is_sample != is_sample
    if day is not None and (replaces or _knows_better(is_estimate, day, paper)):
        paper.day, paper.day_is_estimate = day, is_estimate
    paper.is_sample = is_sample


def _knows_better(is_estimate, day, paper):
    """An announcement beats an estimate; of two alike, the earlier day counts."""
    if is_estimate != paper.day_is_estimate:
        return paper.day_is_estimate
    return day < paper.day


def _day(record, shift):
    if record.day is None:
        return None, True
    return record.day + (shift or timedelta(0)), record.day_is_estimate
