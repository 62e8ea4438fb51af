"""Delete old rows.

tests/digest/operations/test_retention.py says for every table how its size is limited.
"""

from datetime import timedelta
from importlib import import_module

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.db import transaction
from django.db.models import Exists, Model, OuterRef

from digest.indexing import file_storage
from digest.interests.entries import PAPER
from digest.models import (
    Alarm,
    Coverage,
    Feedback,
    Harvest,
    LibraryPaper,
    Observation,
    Paper,
    Pick,
    Recommendation,
    Response,
)
from subscriptions.actions import change_address, erase
from subscriptions.bounces import unreadable
from subscriptions.delivery import retention
from subscriptions.models import Message, Topic
from subscriptions.security import rate_limits, suppression_list

UNCONFIRMED = timedelta(days=30)  # Addresses that were not confirmed.
PAPER_BATCH = 200  # About a tenth of a second.


#: Rows of a model are deleted when the field is longer ago than the setting.
MAX_AGES: list[tuple[type[Model], str, str]] = [
    (Observation, "day", "KEEP_OBSERVATIONS"),
    (Harvest, "touched_at", "KEEP_HARVESTS"),
    (Coverage, "day", "KEEP_HARVESTS"),
    (Alarm, "ended_at", "KEEP_HARVESTS"),
    (Response, "fetched_at", "KEEP_RESPONSES"),
    (LogEntry, "action_time", "KEEP_TRAIL"),
    (Message, "starts_at", "KEEP_LETTERS"),
]


def purge(now) -> None:
    """Delete what is older than the settings say."""
    for model, field, setting in MAX_AGES:
        cutoff = now - getattr(settings, setting)
        model.objects.filter(**{f"{field}__lt": cutoff}).delete()
    retention.purge(now)
    unreadable.purge(now - unreadable.KEEP)
    for recommendation in Recommendation.objects.outdated(now):
        recommendation.forget()
    purge_papers(now - settings.KEEP_PAPERS)
    rate_limits.purge(now)
    suppression_list.purge(now)
    change_address.purge(now)
    erase.forget_unconfirmed(now - UNCONFIRMED, now)
    erase.forget_unanswered(now - UNCONFIRMED)
    erase.truncate_wal()
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    file_storage.delete_strays(now)


def purge_papers(cutoff) -> None:
    """Delete papers dated before `cutoff` that no subscriber got, rated, saved or added.

    Samples and recommended papers stay.
    """
    unused_papers = Paper.objects.filter(day__lt=cutoff.date(), is_sample=False).order_by("pk")
    for model in (Pick, Feedback, Recommendation):
        unused_papers = unused_papers.exclude(Exists(model.objects.filter(paper=OuterRef("pk"))))
    last_id = ""
    while True:
        with transaction.atomic():
            # Locked first: until then, somebody may save one.
            rows = unused_papers.filter(pk__gt=last_id).select_for_update(skip_locked=True)
            ids = list(rows.values_list("pk", flat=True)[:PAPER_BATCH])
            library = LibraryPaper.objects.filter(identity__in=ids)
            topics = Topic.objects.filter(kind=PAPER, query__in=ids)
            added = {
                *library.values_list("identity", flat=True),
                *topics.values_list("query", flat=True),
            }
            unused_papers.filter(pk__in=set(ids) - added).delete()
        if len(ids) < PAPER_BATCH:
            return
        last_id = ids[-1]
