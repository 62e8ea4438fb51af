"""Signed links that need no account, one salt for each purpose.

A token proves that its holder got it from us, for one purpose and one thing. It holds a random id
and a signature; no address, and nothing that could be guessed from another token.

Letters lie in a mailbox for good, also in one that she has left behind: a token for what is hers
says since when she has her address, and is closed by the next move. Who never moved has none that
says so.
"""

import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core import signing
from django.urls import reverse

from subscriptions.models import Letter, Subscriber

#: The kinds of letters whose link asks something, on one page. Each has a salt of its own.
ASKING = (Letter.Kind.CONFIRM, Letter.Kind.GOODBYE, Letter.Kind.BOUNCED)
CONFIRM_DAYS = 7
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BadToken(Exception):
    """This is no token of ours, or not one for this purpose."""


class ExpiredToken(BadToken):
    """It was ours once."""


class ClosedToken(Exception):
    """It is from before her digest moved to another address, and opens nothing any more."""


def token(purpose: str, public_id: uuid.UUID, asked_at: datetime | None = None) -> str:
    """Return a token for one purpose. With `asked_at`, it answers what was asked at that moment."""
    value = _encoded(public_id.bytes)
    if asked_at is not None:
        value += f"~{(asked_at - EPOCH) // timedelta(microseconds=1):x}"
    return _signer(purpose).sign(value)


def own_token(purpose: str, subscriber: Subscriber, public_id: uuid.UUID | None = None) -> str:
    """Return her token for one purpose, or for a thing of hers, which her next move closes."""
    (own,) = tokens([purpose], [(public_id or subscriber.public_id, subscriber.moved_at)])
    return own[purpose]


def tokens(
    purposes: Iterable[str], owned: Iterable[tuple[uuid.UUID, datetime | None]]
) -> list[dict[str, str]]:
    """Return the tokens of each of many things, by their purposes. Each comes with the moment when
    its owner moved.
    """
    values = [
        _encoded(public_id.bytes) if moved_at is None else _since(public_id, moved_at)
        for public_id, moved_at in owned
    ]
    signers = {purpose: _signer(purpose) for purpose in purposes}
    return [
        {purpose: signer.sign(value) for purpose, signer in signers.items()} for value in values
    ]


def read(purpose: str, token: str) -> tuple[uuid.UUID, int]:
    """Return the id in the token, and what it is bound to: 0 is nothing. Raises BadToken."""
    try:
        value = _signer(purpose).unsign(token)
        encoded, _, bound = value.partition("~")
        return uuid.UUID(bytes=urlsafe_b64decode(encoded + "==")), int(bound or "0", 16)
    except (signing.BadSignature, ValueError) as error:
        raise BadToken from error


def holder(purpose: str, token: str) -> Subscriber:
    """Return whose token it is.

    Raises BadToken, Subscriber.DoesNotExist for one who was erased, and ClosedToken.
    """
    public_id, since = read(purpose, token)
    subscriber = Subscriber.objects.get(public_id=public_id)
    refuse_closed(subscriber, since)
    return subscriber


def refuse_closed(subscriber: Subscriber, since: int) -> None:
    """Raise ClosedToken where one that is bound to this was made before her digest moved.

    One from after it opens, even though a backup that was restored may not know of the move.
    """
    if is_closed(subscriber, since):
        raise ClosedToken


def is_closed(subscriber: Subscriber, since: int) -> bool:
    """Return whether a token that is bound to this was made before her digest moved."""
    return subscriber.moved_at is not None and since < _seconds(subscriber.moved_at)


def read_confirm(token: str, now: datetime) -> tuple[str, uuid.UUID, datetime]:
    """Return the kind of letter that asked, whom it asked, and when.

    Raises ExpiredToken after CONFIRM_DAYS, BadToken for all else.
    """
    return _read_answer(ASKING, token, now)


def read_move(token: str, now: datetime) -> tuple[str, uuid.UUID, datetime]:
    """Return whose yes the link is, the "old" or the "new" address's, to whose wish of when.

    Raises ExpiredToken after CONFIRM_DAYS, BadToken for all else.
    """
    purpose, public_id, asked_at = _read_answer(("move-old", "move-new"), token, now)
    return purpose.removeprefix("move-"), public_id, asked_at


def move_url(subscriber: Subscriber, side: str, asked_at: datetime) -> str:
    """Return where the "old" or the "new" address says yes to a move that was asked for then."""
    return _url("move", token(f"move-{side}", subscriber.public_id, asked_at))


def confirm_url(subscriber: Subscriber) -> str:
    return answer_url(subscriber, Letter.Kind.CONFIRM, subscriber.asked_at)


def answer_url(subscriber: Subscriber, kind: str, asked_at: datetime) -> str:
    """Return where she says yes to what a letter of this kind asked at that moment."""
    return _url("confirm", token(kind, subscriber.public_id, asked_at))


def preferences_url(subscriber: Subscriber) -> str:
    return _url("preferences", own_token("preferences", subscriber))


def unsubscribe_url(subscriber: Subscriber) -> str:
    return _url("unsubscribe", own_token("unsubscribe", subscriber))


def _since(public_id, moved_at):
    """Return what a token says of what is hers since then: in seconds, or it would be longer than a
    line of a letter (subscriptions.wire).
    """
    return f"{_encoded(public_id.bytes)}~{_seconds(moved_at):x}"


def _seconds(moment):
    return (moment - EPOCH) // timedelta(seconds=1)


def _encoded(data):
    return urlsafe_b64encode(data).decode().rstrip("=")


def _signer(purpose):
    return signing.Signer(salt=f"subscriptions.links.{purpose}", sep=".")


def _url(name, token):
    return settings.SITE_URL + reverse(name, args=[token])


def _read_answer(purposes, token, now):
    """Return which of these purposes the token has, whom it asked, and when."""
    for purpose in purposes:
        with suppress(BadToken):
            public_id, asked = read(purpose, token)
            break
    else:
        raise BadToken
    if not asked:
        raise BadToken
    asked_at = EPOCH + timedelta(microseconds=asked)
    if now - asked_at > timedelta(days=CONFIRM_DAYS):
        raise ExpiredToken
    return purpose, public_id, asked_at
