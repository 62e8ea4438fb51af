"""Store records as papers: insert new ones, and update known ones.

The same record twice changes nothing, and the order of records does not matter. Stores as well how
popular each paper was on the day (Observation), and what happened to a known one (PaperEvent).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from itertools import batched

from django.db import IntegrityError, transaction
from django.utils import timezone

from digest.models import Observation, Paper, PaperEvent
from digest.sources import records
from digest.sources.records import PUBLISHED, Record

BATCH = 1_000
TEXTS = ("title", "abstract", "url", "comments", "journal_ref", "doi", "license", "github")
LISTS = ("authors", "categories", "hugging_face", "affiliations")
FACTS = (*TEXTS, *LISTS)
FIELDS = [
    *FACTS,
    *("day", "day_is_estimate", "upvotes", "version", "is_withdrawn", "is_sample", "changed_at"),
]
POPULARITY_FIELDS = ("upvotes", "num_comments", "github_stars")
Kind = PaperEvent.Kind


@dataclass
class StoreCounts:
    """How many papers were new, changed, or unchanged. Several records may be of one paper."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0

    @property
    def total(self) -> int:
        return self.new + self.changed + self.unchanged


def store(
    records: Iterable[Record],
    counts: StoreCounts | None = None,
    *,
    now,
    source: str = "",
    replaces_days: bool = False,
    is_sample: bool = False,
) -> StoreCounts:
    """Store the records. Return the counts, which are updated batch by batch.

    Popularity counts are those of today if there is a `source`, else of an unknown day. A paper
    keeps the earliest day, unless the records' days replace known ones.
    """
    counts = counts or StoreCounts()
    for batch in batched(records, BATCH):
        try:
            _store_batch(batch, counts, now, source, replaces_days, is_sample)
        except IntegrityError:  # Another process stored one of the new papers first.
            _store_batch(batch, counts, now, source, replaces_days, is_sample)
    return counts


@transaction.atomic
def _store_batch(batch, counts, now, source, replaces_days, is_sample):
    batch = _with_preprints(batch)
    # Locked, because another import's changes would be lost. Ordered, to avoid deadlocks. Without
    # the key, because foreign keys of new picks need not wait then.
    papers = Paper.objects.select_for_update(no_key=True).order_by("pk")
    stored_papers = papers.in_bulk(sorted({record.id for record in batch}))
    old_values = {paper.pk: _values(paper) for paper in stored_papers.values()}
    new_papers, events = {}, []
    for record in batch:
        paper = stored_papers.get(record.id) or new_papers.get(record.id)
        if paper is None and record.announced_as == PUBLISHED:
            continue
        if paper is None:
            new_papers[record.id] = _new_paper(record, now, is_sample)
        else:
            events += _events(paper, record, now)
            _update(paper, record, source, replaces_days, is_sample)
    changed_papers = [p for p in stored_papers.values() if _values(p) != old_values[p.pk]]
    for paper in changed_papers:
        paper.changed_at = now
    Paper.objects.bulk_create(new_papers[identity] for identity in sorted(new_papers))
    Paper.objects.bulk_update(changed_papers, FIELDS, batch_size=200)
    PaperEvent.objects.bulk_create(events, ignore_conflicts=True)
    if source:
        _observe(batch, source, now)
    counts.new += len(new_papers)
    counts.changed += len(changed_papers)
    counts.unchanged += len(stored_papers) - len(changed_papers)


def _with_preprints(batch):
    """Return the batch, in which articles of stored preprints are publications of those."""
    article_dois = {r.doi for r in batch if r.id == f"doi:{r.doi}" and r.journal_ref}
    preprints = Paper.objects.with_doi(article_dois).exclude(id__startswith="doi:")
    preprints = preprints.filter(is_sample=False).order_by("-pk")
    preprint_ids = dict(preprints.values_list("lower_doi", "pk"))
    return [
        records.publication(preprint_ids[record.doi], record.journal_ref, record.doi)
        if record.doi in preprint_ids and record.id == f"doi:{record.doi}"
        else record
        for record in batch
    ]


def _values(paper):
    return [getattr(paper, name) for name in FIELDS]


def _new_paper(record, now, is_sample):
    field_names = ("id", *FACTS, "day", "day_is_estimate", "upvotes", "version", "is_withdrawn")
    values = {name: getattr(record, name) for name in field_names}
    paper = Paper(**values, is_sample=is_sample, changed_at=now)
    if paper.day is None:
        paper.day, paper.day_is_estimate = _first_seen(record, timezone.localdate(now)), True
    return paper


def _update(paper, record, source, replaces_days, is_sample):
    if is_sample and not paper.is_sample:
        return  # A sample never replaces a real paper.
    if not _is_outdated(record, paper):
        values = {name: value for name in FACTS if (value := getattr(record, name))}
        if paper.journal_ref and paper.doi and not record.journal_ref:
            values.pop("doi", None)  # The paper has its journal's.
        if record.only_adds and not _is_newer(record, paper):
            filled_names = {name for name in values if getattr(paper, name)}
            if record.journal_ref and not paper.journal_ref:
                filled_names -= {"doi"}
            values = {name: values[name] for name in values.keys() - filled_names}
        for name, value in values.items():
            setattr(paper, name, value)
        if _is_newer(record, paper):  # A new version ends a withdrawal.
            paper.is_withdrawn = False
        paper.version = record.version or paper.version
        paper.is_withdrawn = record.is_withdrawn or paper.is_withdrawn
    if record.upvotes is not None:
        # A file may contain counts of any day.
        paper.upvotes = record.upvotes if source else max(record.upvotes, paper.upvotes or 0)
    replaces_day = replaces_days or paper.is_sample != is_sample
    if record.day is not None and (replaces_day or _has_better_day(record, paper)):
        paper.day, paper.day_is_estimate = record.day, record.day_is_estimate
    paper.is_sample = is_sample


def _is_outdated(record, paper):
    return bool(record.version and paper.version and record.version < paper.version)


def _is_newer(record, paper):
    return bool(record.version and paper.version and record.version > paper.version)


def _events(paper, record, now):
    """Yield what happened to a paper since it was stored."""
    if paper.is_sample or _is_outdated(record, paper):
        return
    events = []
    if _is_newer(record, paper):
        events.append((Kind.REVISED, f"version {record.version}"))
    if record.is_withdrawn and not paper.is_withdrawn:
        events.append((Kind.WITHDRAWN, ""))
    if record.journal_ref and not paper.journal_ref:
        events.append((Kind.PUBLISHED, record.journal_ref[:500]))
    if record.github and not paper.github:
        events.append((Kind.CODE, record.github[:500]))
    for kind, note in events:
        yield PaperEvent(paper=paper, kind=kind, note=note, at=now)


def _observe(batch, source, now):
    """Store the day's popularity counts. Later ones replace earlier ones."""
    observations, day = {}, timezone.localdate(now)
    for record in batch:
        popularity = {name: getattr(record, name) for name in POPULARITY_FIELDS}
        if any(value is not None for value in popularity.values()):
            row = Observation(paper_id=record.id, source=source, day=day, **popularity)
            observations[record.id] = row
    Observation.objects.bulk_create(
        observations.values(),
        update_conflicts=True,
        unique_fields=["paper", "source", "day"],
        update_fields=POPULARITY_FIELDS,
    )


def _first_seen(record, today: date):
    """Return the day of a paper without a date: today, unless it was announced before.

    Of a replacement or a cross-list only the month is known, from the id: the first day of it, so
    that a revision doesn't look new.
    """
    if record.announced_as in ("", "new"):
        return today
    return min(records.month_of(record.id) or today, today.replace(day=1))


def _has_better_day(record, paper):
    """Return whether a day is better: an announcement before an estimate, then the earlier one."""
    if record.day_is_estimate != paper.day_is_estimate:
        return paper.day_is_estimate
    return record.day < paper.day
