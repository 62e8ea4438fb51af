"""A subscriber's library in Zotero, whose latest papers are kept in their library here."""

import time
from datetime import timedelta

from django.db import transaction

from digest.http.client import Refused, Unavailable, Web
from digest.models import LibraryPaper, ZoteroLibrary
from digest.models.locks import Lease
from digest.personalization import feedback
from digest.personalization.library import MAX_PAPERS, complete, library_row
from digest.sources.base import MalformedFeed
from digest.sources.zotero import Library, Zotero
from subscriptions.models import Subscriber
from subscriptions.security.encryption import UnreadableSecret, decrypt, encrypt

INTERVAL = timedelta(hours=6)
RETRY, LONG_RETRY = timedelta(hours=1), timedelta(days=1)  # After the first failure, and others.
PAUSE_SECONDS = 300.0  # After an answer such as 429 that does not name the pause.
MAX_RUN_SECONDS = 240  # After which a run begins with no further library.
#: Longer than one library takes: ten requests of 30 seconds at most.
LEASE = timedelta(minutes=20)
#: By the status that Zotero answered, or what was raised.
PROBLEMS = {403: "refused", 404: "missing", 412: "unavailable", UnreadableSecret: "key"}
PROBLEMS |= {Unavailable: "unavailable", Refused: "unreadable", MalformedFeed: "unreadable"}


def connect(subscriber, path: str, key: str, now) -> None:
    """Connect a library, and have it read now. An empty key keeps the one that is saved for it.

    Replaces another library and deletes its papers. Raises Subscriber.DoesNotExist if the
    subscriber was erased.
    """
    with transaction.atomic():
        subscriber.locked()
        if not ZoteroLibrary.objects.filter(subscriber=subscriber, path=path).exists():
            disconnect(subscriber)
        values = {"next_read_at": now, "problem": ""}
        values |= {"secret": encrypt(key), "version": 0} if key else {}
        ZoteroLibrary.objects.update_or_create(subscriber=subscriber, path=path, defaults=values)


def disconnect(subscriber) -> None:
    """Forget the library, its key and its papers. Raises like `connect`."""
    with transaction.atomic():
        subscriber.locked()
        ZoteroLibrary.objects.filter(subscriber=subscriber).delete()
        if subscriber.library.exclude(zotero_key="").delete()[0]:
            feedback.request_learning(subscriber)


def read_libraries(source: Zotero, web: Web, clock) -> None:
    """Read the libraries that are due, one after the other, until Zotero asks for a pause.

    One worker does so at a time, and none during a pause.
    """
    lease, wait = Lease("zotero libraries", LEASE), 0.0
    deadline = time.monotonic() + MAX_RUN_SECONDS
    if not lease.acquire():
        return
    libraries = ZoteroLibrary.objects.filter(subscriber__in=Subscriber.objects.subscribed())
    while not wait and time.monotonic() < deadline and lease.renew():
        due = libraries.filter(next_read_at__lte=clock()).order_by("next_read_at", "pk")
        row = due.select_related("subscriber").first()
        if row is None:
            break
        # Before it is read, so that one that breaks the reading does not stop the others.
        due.filter(pk=row.pk).update(next_read_at=clock() + INTERVAL)
        wait = read(row, source, web, clock())
    lease.release(timedelta(seconds=wait))


def read(row: ZoteroLibrary, source: Zotero, web: Web, now) -> float:
    """Read a library and store its papers, or what went wrong.

    Returns the seconds until the next request to Zotero, if it asked for a pause.
    """
    problem, library = "", Library(row.version, None, 0.0)
    try:
        key = decrypt(row.secret) if row.secret else ""
        library = source.read(web, row.path, key, row.version, MAX_PAPERS)
    except (UnreadableSecret, Unavailable, Refused, MalformedFeed) as error:
        problem = PROBLEMS.get(getattr(error, "status", None), PROBLEMS[type(error)])
        pause = getattr(error, "retry_after", 0.0)
        library = library._replace(wait=PAUSE_SECONDS if pause is None else pause)
    wait = min(timedelta(seconds=library.wait), LONG_RETRY)
    delay = LONG_RETRY if row.problem else RETRY
    outcome = {"problem": problem, "next_read_at": now + max(delay if problem else INTERVAL, wait)}
    if not problem:
        outcome |= {"read_at": now, "version": library.version}
    with transaction.atomic():
        Subscriber.objects.select_for_update().filter(pk=row.subscriber_id).first()
        # Not if it was changed or disconnected while it was read.
        unchanged_rows = ZoteroLibrary.objects.filter(
            pk=row.pk, path=row.path, secret=row.secret, version=row.version
        )
        if unchanged_rows.update(**outcome) and library.papers is not None:
            _store(row.subscriber, library.papers)
    return wait.total_seconds()


def _store(subscriber, papers):
    """Replace the papers of Zotero. One that the subscriber uploaded stays theirs."""
    uploaded = {*subscriber.library.filter(zotero_key="").values_list("identity", flat=True)}
    completed_records = complete([record for _, _, record in papers])
    rows = {
        record.id: library_row(subscriber, record, at, key)
        for (key, at, _), record in zip(papers, completed_records, strict=True)
        if record.title and record.id not in uploaded
    }
    subscriber.library.exclude(zotero_key="").delete()
    LibraryPaper.objects.bulk_create(reversed(rows.values()))
    feedback.request_learning(subscriber)
