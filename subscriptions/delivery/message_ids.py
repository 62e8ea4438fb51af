"""The Message-ID of a letter, which is the same if its row is lost and created again.

A digest's is a keyed hash of its subscriber and day alone. So the recipient's mail program
recognises a resend, also after a restored backup. It does not reveal who the subscriber is.
"""

import re
from contextlib import suppress
from datetime import UTC, date, datetime
from uuid import UUID

from django.conf import settings

from subscriptions.models import Letter
from subscriptions.security.hashing import keyed_hash

PURPOSE = "subscriptions.post.message_id"  # A part of every hash.
_KINDS = "|".join(Letter.Kind.values)
_PATTERN = re.compile(
    rf"<({_KINDS})\.(?P<day>2[0-9]{{3}}-[0-9]{{2}}-[0-9]{{2}})\.[0-9a-f]{{32}}@(?P<domain>[^@<>\s]+)>"
)


def for_letter(letter: Letter) -> str:
    """Return the Message-ID of a letter, whose subscriber is loaded."""
    public_id = letter.subscriber.public_id
    if letter.day is not None:
        return for_digest(public_id, letter.day)
    key = f"{public_id} {letter.created_at.isoformat()}"
    if letter.to:  # A letter of the same moment may go to the subscriber's own address.
        key += f" {letter.to}"
    if letter.operator_message_id:  # Emails of two messages may be created at the same moment.
        key += f" {letter.operator_message_id}"
    return _build(letter.kind, key, f"{letter.created_at:%Y-%m-%d}")


def for_digest(public_id: UUID, day: date) -> str:
    """Return the Message-ID of a subscriber's digest of a day."""
    return _build("digest", f"{public_id} {day.isoformat()}", day.isoformat())


def is_ours(message_id: str) -> bool:
    """Return whether it has the form of ours. Only those who saw the letter know the hash."""
    return day_of(message_id) is not None


def day_of(message_id: str) -> datetime | None:
    """Return the start, in UTC, of the day in a Message-ID of ours, or None if it is not ours."""
    match = _PATTERN.fullmatch(message_id)
    if match and match["domain"].lower() == settings.MAIL_DOMAIN.lower():
        with suppress(ValueError):  # There is no such day.
            return datetime.fromisoformat(match["day"]).replace(tzinfo=UTC)
    return None


def _build(kind, key, day):
    key_hash = keyed_hash(PURPOSE, f"{kind} {key}")
    return f"<{kind}.{day}.{key_hash[:32]}@{settings.MAIL_DOMAIN}>"
