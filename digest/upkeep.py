"""What is done by the clock: old rows are thrown away, and it is known why others stay.

Every table stands in one of the three lists below. A test holds that, so that whoever adds one says
how it is kept from growing for ever.
"""

from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.db.models import Model

from digest import files
from digest.models import Alarm, Coverage, Harvest, Observation, Response
from subscriptions import erasing, limits, moving, seals
from subscriptions.post import retention

UNCONFIRMED = timedelta(days=30)  # So long an address is kept that nobody has confirmed.


@dataclass(frozen=True)
class Age:
    """Rows that go when `field` is longer ago than the setting `keep` says."""

    table: type[Model]
    field: str
    keep: str

    def purge(self, now) -> int:
        before = now - getattr(settings, self.keep)
        if self.table._meta.get_field(self.field).get_internal_type() == "DateField":
            before = before.date()
        return self.table.objects.filter(**{f"{self.field}__lt": before}).delete()[0]


BY_AGE = [
    Age(Observation, "day", "KEEP_OBSERVATIONS"),
    Age(Harvest, "touched_at", "KEEP_HARVESTS"),
    Age(Coverage, "day", "KEEP_HARVESTS"),
    Age(Alarm, "ended_at", "KEEP_HARVESTS"),
    Age(Response, "fetched_at", "KEEP_RESPONSES"),
    Age(LogEntry, "action_time", "KEEP_TRAIL"),
]

#: Tables whose rows go by rules of their own, and what these are.
BY_RULE = {
    "subscriptions.Letter": "KEEP_LETTERS_DAYS after its end, but what the next is reckoned by",
    "subscriptions.LetterEvent": "KEEP_EVENTS_DAYS after the letter's end",
    "subscriptions.LetterFact": "KEEP_EVENTS_DAYS",
    "subscriptions.UselessMail": "KEEP_EVENTS_DAYS: a row a day",
    "subscriptions.Volley": "an hour after the last of its letters has ended",
    "subscriptions.Provider": "when it takes letters as fast as they come, or 30 days unused",
    "subscriptions.Attempt": "a day",
    "subscriptions.Move": "a week after it was asked for",
    "subscriptions.Seal": "a week where letters had come back; else for ever: nobody asks again",
    "subscriptions.Subscriber": "30 days, where nobody confirms; else until she erases herself",
    "subscriptions.Consent": "with its reader; 30 days, where one who had left never confirmed it",
    "digest.FittedModel": "the last two, and one more that an archive was made with",
    "digest.ArchiveFile": "the last two",
    "sessions.Session": "when they have expired",
}

#: Tables that only grow as something else does, or are kept for ever, and why.
STAYS = {
    "digest.Digest": "goes with its letter",
    "digest.Pick": "goes with its digest",
    "digest.Feedback": "goes with its reader: one for each paper she says something of",
    "digest.LibraryPaper": "goes with its reader: some hundred each at most",
    "digest.LibraryUpload": "goes with its reader: one each",
    "digest.ReaderModel": "goes with its reader: one each",
    "subscriptions.Topic": "curated ones by hand; a reader's own go with her",
    "subscriptions.TopicPreference": "goes with its reader",
    "digest.Paper": "for ever: what was sent is shown, and known not to be new",
    "digest.PaperEvent": "for ever: a handful for each paper, part of what is known of it",
    "digest.Turn": "a row for each source and each lease",
    "digest.Pulse": "a row for each thing that should happen again and again, and for each key",
    "digest.Tally": "for ever: a row for each day and measure, for the panel's plots",
    "subscriptions.Sending": "one row",
    "auth.User": "by hand: those who may use the panel",
    "auth.Group": "the roles, and groups made by hand",
    "auth.Permission": "a few for each table",
    "auth.User_groups": "goes with its user",
    "auth.User_user_permissions": "goes with its user",
    "auth.Group_permissions": "goes with its group",
    "contenttypes.ContentType": "a row for each table",
}


def purge(now) -> None:
    """Throw away what is older than the operator keeps it."""
    for one in BY_AGE:
        one.purge(now)
    retention.purge(now)
    limits.purge(now)
    seals.purge(now)
    moving.purge(now)
    erasing.forget_unconfirmed(now - UNCONFIRMED, now)
    erasing.forget_unanswered(now - UNCONFIRMED)
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    files.forget_strays(now)
