"""Every letter that a subscriber could get now, written for her to be looked at.

Nothing is stored. The links are made for an id that nobody has: who looks at her letters can't act
as her.
"""

import html
import re
import uuid
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from email import message_from_bytes, policy

from django.conf import settings

from digest import composing, coverage
from digest.models import Digest, FittedModel
from subscriptions import mail, registry, schedule
from subscriptions.models import Letter, Move, Subscriber

Kind = Letter.Kind
#: The letters, by what a page calls them.
TITLES = {
    "confirm": "Confirm",
    "already": "Confirm, to one who is signed up",
    "welcome": "Welcome",
    "digest": "Digest of today",
    "quiet": "Quiet day",
    "bounced": "Letters came back",
    "goodbye": "Goodbye",
    "link": "Lost link",
    "move-old": "Move, to the old address",
    "move-new": "Move, to the new address",
}
NEW_ADDRESS = "moved@paperboy.example"
NOBODY = uuid.UUID(int=0)  # No random id has this value.
PREHEADER = re.compile(r'<div class="hidden"[^>]*>(.*?)</div>', re.DOTALL)


@dataclass(frozen=True)
class Specimen:
    """A letter as it would travel."""

    name: str
    kind: str
    content: mail.Content
    wire: bytes

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Return what stands above the letter, as people read it."""
        message = message_from_bytes(self.wire, policy=policy.default)
        return [(name, str(value)) for name, value in message.items()]

    @property
    def preheader(self) -> str:
        """Return what an inbox shows after the subject."""
        found = PREHEADER.search(self.content.html)
        return html.unescape(found[1]).strip() if found else ""

    @property
    def size(self) -> int:
        """Return the octets of the whole message."""
        return len(self.wire)

    @property
    def html_size(self) -> int:
        """Return the octets of the HTML part as mail programs count them: decoded."""
        return len(self.content.html.encode())


def written(name: str, subscriber: Subscriber, now) -> Specimen:
    """Return the letter of this name. Raises NothingToSay where she would get none."""
    kind, write = _WRITERS[name]
    return specimen(name, kind, write(subscriber, now), subscriber, now)


def specimen(name: str, kind: str, content: mail.Content, subscriber, now) -> Specimen:
    """Return the letter with its bytes. They are as many as those of a real one."""
    message_id = f"<{kind}.{now:%Y-%m-%d}.{'0' * 32}@{settings.MAIL_DOMAIN}>"
    wire = mail.as_bytes(content, to=subscriber.email, message_id=message_id, date=now)
    return Specimen(name, kind, content, wire)


def _confirm(subscriber, now):
    return _notice(Kind.CONFIRM, _in_state(subscriber, confirmed_at=None), now)


def _already(subscriber, now):
    return _notice(Kind.CONFIRM, _active(subscriber, now), now)


def _bounced(subscriber, now):
    since = subscriber.suppressed_at or now
    by = Subscriber.Suppression.BOUNCED
    reader = _active(subscriber, now)
    return _notice(Kind.BOUNCED, _in_state(reader, suppressed_at=since, suppressed_by=by), now)


def _goodbye(subscriber, now):
    return _notice(Kind.GOODBYE, _in_state(_active(subscriber, now), unsubscribed_at=now), now)


def _link(subscriber, now):
    return _notice(Kind.LINK, _active(subscriber, now), now)


def _move_from(subscriber, now):
    reader = _active(subscriber, now)
    reader.move = Move(new_email=NEW_ADDRESS, asked_at=now)
    return _notice(Kind.MOVE, reader, now)


def _move_to(subscriber, now):
    return _notice(Kind.MOVE, _active(subscriber, now), now, to=NEW_ADDRESS)


def _welcome(subscriber, now):
    return composing.preview(_digest_of(_active(subscriber, now), now), [], Kind.WELCOME)


def _todays(subscriber, now):
    digest, picks = _today(_active(subscriber, now), now)
    if not picks:
        raise mail.NothingToSay("today brings no papers for her")
    return composing.preview(digest, picks)


def _quiet(subscriber, now):
    digest, _ = _today(_active(subscriber, now), now)
    return composing.preview(digest, [])


_WRITERS: dict[str, tuple[str, Callable]] = {
    "confirm": (Kind.CONFIRM, _confirm),
    "already": (Kind.CONFIRM, _already),
    "welcome": (Kind.WELCOME, _welcome),
    "digest": (Kind.DIGEST, _todays),
    "quiet": (Kind.DIGEST, _quiet),
    "bounced": (Kind.BOUNCED, _bounced),
    "goodbye": (Kind.GOODBYE, _goodbye),
    "link": (Kind.LINK, _link),
    "move-old": (Kind.MOVE, _move_from),
    "move-new": (Kind.MOVE, _move_to),
}


def _notice(kind, reader, now, to=""):
    """Return a letter about the subscription, as the post office would have it composed."""
    return registry.composed(Letter(subscriber=reader, kind=kind, created_at=now, to=to), now)


def _today(reader, now):
    """Return today's digest and its picks, none where no model has been fitted yet."""
    digest = _digest_of(reader, now)
    if not FittedModel.objects.exists():
        return digest, []
    # The model and numpy, which only pages that rank pay.
    from digest import planning

    ranked, picks = planning.preview(reader, digest.day, now)
    digest.considered = ranked.considered
    digest.receipt = coverage.receipt_to_keep(now)
    return digest, picks


def _digest_of(reader, now):
    return Digest(subscriber=reader, day=schedule.local_day(now, reader.zone), public_id=NOBODY)


def _active(subscriber, now):
    """Return her as one who gets digests."""
    confirmed_at = subscriber.confirmed_at or now
    return _in_state(subscriber, confirmed_at=confirmed_at)


def _in_state(subscriber, **dates):
    """Return a copy of her row with these dates and no others, which is nobody's."""
    reader = copy(subscriber)
    none = dict.fromkeys(("unsubscribed_at", "suppressed_at"))
    for name, value in {"public_id": NOBODY, **none, **dates}.items():
        setattr(reader, name, value)
    return reader
