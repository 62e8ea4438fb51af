"""The Message-ID of a letter: its name for ever, also where its row was lost and made again.

A digest's is made of its reader and day alone, so that after a restored backup it can be looked for
without a row (reconcile.py), and a letter that leaves a second time is known as the same by
whoever gets it. It tells nobody who the reader is.
"""

import re
from datetime import UTC, date, datetime
from uuid import UUID

from django.conf import settings
from django.utils.crypto import salted_hmac

from subscriptions.models import Letter

SALT = "subscriptions.post.message_id"
_KINDS = "|".join(Letter.Kind.values)
_OURS = re.compile(
    rf"<({_KINDS})\.(?P<day>2[0-9]{{3}}-[0-9]{{2}}-[0-9]{{2}})\.[0-9a-f]{{32}}@(?P<domain>[^@<>\s]+)>"
)


def of(letter: Letter) -> str:
    """Return the Message-ID of a letter, whose subscriber is loaded."""
    reader = letter.subscriber.public_id
    if letter.day is not None:
        return of_digest(reader, letter.day)
    told = f"{reader} {letter.created_at.isoformat()}"
    if letter.to:  # Another of that moment goes to the reader's own address.
        told += f" {letter.to}"
    return _name(letter.kind, told, f"{letter.created_at:%Y-%m-%d}")


def of_digest(public_id: UUID, day: date) -> str:
    """Return the Message-ID of what a reader gets on a day."""
    said = day.isoformat()
    return _name("digest", f"{public_id} {said}", said)


def is_ours(message_id: str) -> bool:
    """Return whether it is made as ours are. Only who has seen the letter knows how it goes on."""
    return _made_here(message_id) is not None


def moment_of(message_id: str) -> datetime:
    """Return the day in a Message-ID of ours, as the moment when it begins in UTC."""
    return datetime.fromisoformat(_made_here(message_id)["day"]).replace(tzinfo=UTC)


def _made_here(message_id) -> re.Match | None:
    match = _OURS.fullmatch(message_id)
    if match is None or match["domain"].lower() != settings.MAIL_DOMAIN.lower():
        return None
    try:
        date.fromisoformat(match["day"])
    except ValueError:
        return None
    return match


def _name(kind, told, day):
    opaque = salted_hmac(SALT, f"{kind} {told}", algorithm="sha256").hexdigest()
    return f"<{kind}.{day}.{opaque[:32]}@{settings.MAIL_DOMAIN}>"
