"""Delete old rows.

tests/digest/operations/test_retention.py says for every table how its size is limited.
"""

from datetime import timedelta
from importlib import import_module

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.db.models import Model

from digest.indexing import file_storage
from digest.models import (
    Alarm,
    Coverage,
    Harvest,
    Observation,
    Recommendation,
    Response,
)
from subscriptions.actions import change_address, erase
from subscriptions.bounces import unreadable
from subscriptions.delivery import retention
from subscriptions.models import Message
from subscriptions.security import rate_limits, suppression_list

UNCONFIRMED = timedelta(days=30)  # Addresses that were not confirmed.


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
    rate_limits.purge(now)
    suppression_list.purge(now)
    change_address.purge(now)
    erase.forget_unconfirmed(now - UNCONFIRMED, now)
    erase.forget_unanswered(now - UNCONFIRMED)
    erase.truncate_wal()
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    file_storage.delete_strays(now)
