"""What is kept about readers, what for, and until when, as the privacy page tells it.

Every table of both rooms is either part of something here or among NOBODYS. A test holds that, so
that whoever adds a table says what it keeps.
"""

from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.db.models import Model
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from digest import models as digest
from digest import upkeep
from subscriptions import limits, moving, seals
from subscriptions import models as subscriptions
from subscriptions.post import retention, unreadable


@dataclass(frozen=True)
class Kept:
    """A part of what is kept: in these tables, what it is and what for, and until when."""

    tables: tuple[type[Model], ...]
    title: str
    what: str
    until: Callable[[], str]


#: Tables that know no reader: papers, where they come from, and how the service is.
NOBODYS = frozenset(
    {
        digest.Alarm,
        digest.ArchiveFile,
        digest.Coverage,
        digest.FittedModel,
        digest.Harvest,
        digest.Observation,
        digest.Paper,
        digest.PaperEvent,
        digest.Pulse,
        digest.Response,
        digest.Tally,
        digest.Turn,
        subscriptions.Sending,
        subscriptions.UselessMail,
    }
)


def parts() -> list[Kept]:
    """Return what is kept on this installation, as its settings are now."""
    return [*ALWAYS, *([OUTBOX] if settings.EMAIL_URL.startswith("file:") else [])]


def _days(span):
    return ngettext("%(count)d day", "%(count)d days", span.days) % {"count": span.days}


def _until_erased():
    return _("Kept until you erase it.")


ALWAYS = [
    Kept(
        (subscriptions.Subscriber,),
        gettext_lazy("Your address and settings"),
        gettext_lazy(
            "Your email address, time zone, hour, language and other settings, and since when you "
            "have this address, and are subscribed, paused, unsubscribed or out of reach. They say "
            "what is sent to you, when nothing is, and which links are yours."
        ),
        lambda: (
            _("Kept until you erase it, or for %(days)s where you never confirm it.")
            % {"days": _days(upkeep.UNCONFIRMED)}
        ),
    ),
    Kept(
        (subscriptions.Topic, subscriptions.TopicPreference),
        gettext_lazy("Your topics"),
        gettext_lazy(
            "What you follow and mute, also in your own words. The papers are ranked by it."
        ),
        lambda: _("Kept until you change it, or erase everything."),
    ),
    Kept(
        (subscriptions.Consent,),
        gettext_lazy("Your consent"),
        gettext_lazy(
            "When you asked for the digest, confirmed it or ended it, by which form or link, from "
            "which IP address, and the words that you agreed to. It proves that you asked for "
            "these letters, as the law of many countries demands."
        ),
        _until_erased,
    ),
    Kept(
        (digest.Digest, digest.Pick, subscriptions.Letter),
        gettext_lazy("Your digests and letters"),
        gettext_lazy(
            "Which papers you got on which day and why, and when which letter left and what the "
            "mail server said of it. So no paper and no letter comes twice, you can read a digest "
            "on the web, and it can be found out why a letter didn’t come."
        ),
        lambda: (
            _("Kept for %(days)s; your last one until you erase everything.")
            % {"days": _days(settings.KEEP_LETTERS)}
        ),
    ),
    Kept(
        (subscriptions.LetterEvent,),
        gettext_lazy("The steps of a letter"),
        gettext_lazy(
            "When it was planned, written, handed over and tried again; and, in a file, the "
            "numbers of letters that the mail server took, in case the database is lost just then."
        ),
        lambda: (
            _("Kept for %(days)s after the last step, and the file for %(file_days)s.")
            % {"days": _days(settings.KEEP_EVENTS), "file_days": _days(retention.KEEP_JOURNALS)}
        ),
    ),
    Kept(
        (subscriptions.LetterFact,),
        gettext_lazy("What came back"),
        gettext_lazy(
            "Where a mail server says that a letter arrived, is late or came back, or you report "
            "one as unwanted: when, and in which words. So no letter goes to an address that is "
            "none, or to somebody who wants none. Reports that can’t be read are kept as files."
        ),
        lambda: (
            _("Kept for %(days)s, and the files for %(file_days)s.")
            % {"days": _days(settings.KEEP_EVENTS), "file_days": _days(unreadable.KEEP)}
        ),
    ),
    Kept(
        (subscriptions.Volley,),
        gettext_lazy("The text of a letter"),
        gettext_lazy("The letter itself on its way, so that a second try sends the very same."),
        lambda: _(
            "Kept for an hour, and longer where it, or one that left together with it, has not "
            "arrived yet."
        ),
    ),
    Kept(
        (subscriptions.Provider,),
        gettext_lazy("Mailbox providers that ask for fewer letters at a time"),
        gettext_lazy("What stands behind the @ of their addresses, and nobody’s name."),
        lambda: _("Kept until they take letters as fast as they come."),
    ),
    Kept(
        (digest.Feedback,),
        gettext_lazy("What you say of papers"),
        gettext_lazy(
            "More, less and saved, with the paper and the moment. It steers your digests, where "
            "you let it."
        ),
        lambda: _("Kept until you take it back, have all of it forgotten, or erase everything."),
    ),
    Kept(
        (digest.LibraryPaper, digest.LibraryUpload),
        gettext_lazy("Your library"),
        gettext_lazy(
            "Titles, abstracts and years of papers from the bibliography that you pasted, if you "
            "did. It steers your digests, where you let it. Papers that the last upload replaced "
            "are kept as well, so that you can undo it."
        ),
        lambda: _("Kept until you take it out, have all of it forgotten, or erase everything."),
    ),
    Kept(
        (digest.ReaderModel,),
        gettext_lazy("What is learned from that"),
        gettext_lazy(
            "Words with weights. Your preferences show them, and you can take each of them out."
        ),
        lambda: _("Kept until you have it forgotten, or erase everything."),
    ),
    Kept(
        (subscriptions.Attempt,),
        gettext_lazy("How often letters are asked for"),
        gettext_lazy(
            "Numbers that are computed from the network and the mailbox with a secret, so that "
            "nobody can fill a mailbox with letters. Neither can be read out of them."
        ),
        lambda: _("Kept for %(days)s.") % {"days": _days(limits.KEPT)},
    ),
    Kept(
        (subscriptions.Move,),
        gettext_lazy("Your wish for another address"),
        gettext_lazy("The new address, until it and the old one have said yes."),
        lambda: _("Kept for %(days)s, or until you take it back.") % {"days": _days(moving.LASTS)},
    ),
    Kept(
        (subscriptions.Seal,),
        gettext_lazy("Addresses that must not be written to again"),
        gettext_lazy(
            "Where you erase everything and want no letter ever again, or letters to you had come "
            "back or been reported: a number that is computed from your address with a secret. It "
            "can’t be read out of it, and keeps anyone from having letters sent to you."
        ),
        lambda: (
            _("Kept for good, unless you ask whoever runs this site; after returned letters, %s.")
            % _days(seals.BOUNCED_FOR)
        ),
    ),
    Kept(
        (LogEntry,),
        gettext_lazy("What is changed for you"),
        gettext_lazy("Where someone who runs this site changes something of yours, that is noted."),
        lambda: (
            _("Kept for %(days)s, or until you erase everything.")
            % {"days": _days(settings.KEEP_TRAIL)}
        ),
    ),
]

OUTBOX = Kept(
    (),
    gettext_lazy("Letters as files"),
    gettext_lazy("This installation writes its letters to files instead of sending them."),
    lambda: _("Kept until the operator deletes them, also where you erase everything."),
)
