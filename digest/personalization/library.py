"""A subscriber's library: papers of their own bibliography, from which the ranking learns."""

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from django.db import transaction
from django.utils.translation import gettext as _

from digest.models import LibraryPaper, LibraryUpload, Paper, ZoteroLibrary, title_lookup
from digest.personalization import feedback
from digest.sources import bibliographies
from digest.sources.records import Record
from subscriptions import child_process

MAX_PAPERS = feedback.MAX_LEARNED  # The latest uploaded ones, and the latest of Zotero.


class Changes(NamedTuple):
    """What a bibliography changes in a library.

    Attributes:
        paper_count: number of its papers.
        new_papers: rows to add, the latest first.
        replaced: rows without an abstract that are replaced by `new_papers`.
        removed: rows that are no longer among the MAX_PAPERS latest.
        present_count: number of its papers that the library has.
        excess_count: number of its papers that are not among the MAX_PAPERS latest.
        titleless_count: number of its papers that have only an arXiv id, which is unknown here.
        unread_count: number of entries that could not be read.
        unread_names: names of the first of these.
    """

    paper_count: int
    new_papers: list[LibraryPaper]
    replaced: list[LibraryPaper]
    removed: list[LibraryPaper]
    present_count: int
    excess_count: int
    titleless_count: int
    unread_count: int
    unread_names: list[str]

    @property
    def is_read(self) -> bool:
        """Whether any paper could be read."""
        return bool(self.new_papers or self.present_count or self.excess_count)


def preview(subscriber, text: str, now) -> Changes:
    """Return what adding a bibliography would change."""
    return _changes(subscriber, *_read(text), now)


def add(subscriber, text: str, now) -> Changes:
    """Add the papers of a bibliography to the library, which keeps the latest MAX_PAPERS.

    Missing fields are taken from papers of the database. Adding the same again changes nothing.
    Raises Subscriber.DoesNotExist if the subscriber was erased meanwhile.
    """
    parsed = _read(text)
    with transaction.atomic():
        subscriber.locked()
        changes = _changes(subscriber, *parsed, now)
        if changes.new_papers:
            displaced = changes.replaced + changes.removed
            added = [paper.identity for paper in changes.new_papers]
            subscriber.library.filter(pk__in=[paper.pk for paper in displaced]).delete()
            subscriber.library.filter(identity__in=added).delete()  # Zotero's become uploaded ones.
            # The first ones count as added last.
            LibraryPaper.objects.bulk_create(reversed(changes.new_papers))
            _forget_upload(subscriber)
            rows = [_to_json(paper) for paper in displaced]
            LibraryUpload.objects.create(subscriber=subscriber, added=added, displaced=rows)
            feedback.request_learning(subscriber)
    return changes


def undo(subscriber, upload_id: int) -> bool:
    """Remove what the last upload added, and restore what it displaced.

    Papers that were removed meanwhile are not restored. Returns False if this upload was undone
    already or another one followed. Raises Subscriber.DoesNotExist like `add`.
    """
    with transaction.atomic():
        subscriber.locked()
        upload = LibraryUpload.objects.filter(subscriber=subscriber, pk=upload_id).first()
        if upload is None:
            return False
        deleted, _counts = subscriber.library.filter(identity__in=upload.added).delete()
        papers = [LibraryPaper(subscriber=subscriber, **row) for row in upload.displaced]
        LibraryPaper.objects.bulk_create(papers, ignore_conflicts=True)
        upload.delete()
        _read_zotero_again(subscriber)
        if deleted or upload.displaced:
            feedback.request_learning(subscriber)
    return True


def remove(subscriber, papers) -> None:
    """Remove these papers from the library. Raises Subscriber.DoesNotExist like `add`."""
    with transaction.atomic():
        subscriber.locked()
        identities = {*papers.values_list("identity", flat=True)}
        papers.delete()
        for upload in LibraryUpload.objects.filter(subscriber=subscriber):
            rows = upload.displaced
            upload.displaced = [row for row in rows if row["identity"] not in identities]
            upload.save()
        _read_zotero_again(subscriber)
        if identities:
            feedback.request_learning(subscriber)


def forget(subscriber) -> None:
    """Delete the library, and disconnect Zotero. Raises Subscriber.DoesNotExist like `add`."""
    with transaction.atomic():
        remove(subscriber, subscriber.library.all())
        ZoteroLibrary.objects.filter(subscriber=subscriber).delete()
        _forget_upload(subscriber)


def _read_zotero_again(subscriber):
    """Let papers that are no longer uploaded ones come back with the next read."""
    ZoteroLibrary.objects.filter(subscriber=subscriber).update(version=0)


def _forget_upload(subscriber):
    LibraryUpload.objects.filter(subscriber=subscriber).delete()


def parse_error_message(error: child_process.ParseError) -> str:
    """Return what to do about a bibliography that could not be parsed."""
    if isinstance(error, child_process.Busy):
        return _("Other texts are being read. Try again in a minute.")
    return _("This text is too complex to read. Split it, or export it again.")


def _to_json(paper):
    field_names = ("pk", "identity", "title", "abstract", "year")
    return {name: getattr(paper, name) for name in field_names} | {"at": paper.at.isoformat()}


def _read(text) -> tuple[bibliographies.Bibliography, list[Record]]:
    """Return the parsed bibliography, and the latest MAX_PAPERS of its papers, completed."""
    bibliography = bibliographies.read(text)
    latest = sorted(bibliography.records, key=lambda record: record.day or date.min, reverse=True)
    completed = {record.id: record for record in complete(latest[:MAX_PAPERS])}
    return bibliography, [*completed.values()]


def _changes(subscriber, bibliography, completed, now):
    uploaded = {paper.identity: paper for paper in subscriber.library.filter(zotero_key="")}
    titled_records = [record for record in completed if record.title]
    candidates = []
    for record in titled_records:
        uploaded_paper = uploaded.get(record.id)
        if uploaded_paper is None or (record.abstract and not uploaded_paper.abstract):
            candidates.append(library_row(subscriber, record, now))
    replaced = [uploaded.pop(paper.identity) for paper in candidates if paper.identity in uploaded]
    # In the order of the library: within a year, the last added is first.
    latest = sorted([*candidates, *uploaded.values()], key=lambda paper: -(paper.year or 0))
    added = [paper for paper in latest[:MAX_PAPERS] if paper.pk is None]
    return Changes(
        paper_count=len(bibliography.records),
        new_papers=added,
        replaced=replaced,
        removed=[paper for paper in latest[MAX_PAPERS:] if paper.pk],
        present_count=len(titled_records) - len(candidates),
        excess_count=max(len(bibliography.records) - MAX_PAPERS, 0) + len(candidates) - len(added),
        titleless_count=len(completed) - len(titled_records),
        unread_count=bibliography.unread_count,
        unread_names=bibliography.unread_names,
    )


def library_row(subscriber, record: Record, at, zotero_key="") -> LibraryPaper:
    """Return an unsaved row of a library."""
    return LibraryPaper(
        subscriber=subscriber,
        identity=record.id,
        title=record.title,
        abstract=record.abstract,
        year=record.day and record.day.year,
        at=at,
        zotero_key=zotero_key,
    )


def complete(records: Iterable[Record]) -> list[Record]:
    """Return the records, with missing fields and ids of the papers in the database."""
    stored_by_id = Paper.objects.in_bulk([record.id for record in records])
    titles = {record.title for record in records}
    similar_papers = title_lookup.with_similar_titles(Paper.objects.order_by(), titles)
    stored_by_title = {paper.title.casefold(): paper for paper in similar_papers}
    completed = []
    for record in records:
        paper = stored_by_id.get(record.id) or stored_by_title.get(record.title.casefold())
        if paper:
            record = Record(
                paper.pk,
                record.title or paper.title,
                record.abstract or paper.abstract[: bibliographies.MAX_ABSTRACT],
                day=record.day or paper.day,
            )
        completed.append(record)
    return completed
