"""Signed links that need no account, one salt for each purpose.

A token proves that its holder got it from us, for one purpose and one thing. It holds a random id
and a signature; no address, and nothing that could be guessed from another token.
"""

import uuid
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core import signing
from django.urls import reverse

from subscriptions.mac import macs
from subscriptions.models import Letter, Subscriber

#: The kinds of letters whose link asks something, on one page. Each has a salt of its own.
ASKING = (Letter.Kind.CONFIRM, Letter.Kind.GOODBYE, Letter.Kind.BOUNCED)
CONFIRM_DAYS = 7
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
URL_SAFE = bytes.maketrans(b"+/", b"-_")


class BadToken(Exception):
    """This is no token of ours, or not one for this purpose."""


class ExpiredToken(BadToken):
    """It was ours once."""


def token(purpose: str, public_id: uuid.UUID, asked_at: datetime | None = None) -> str:
    """Return a token for one purpose. With `asked_at`, it answers what was asked at that moment."""
    value = _encoded(public_id.bytes)
    if asked_at is not None:
        value += b"~%x" % ((asked_at - EPOCH) // timedelta(microseconds=1))
    (signed,) = _signed(purpose, [value])
    return signed


def tokens(purposes: Iterable[str], public_ids: Iterable[uuid.UUID]) -> list[dict[str, str]]:
    """Return the tokens of each of many things, by their purposes."""
    values = [_encoded(public_id.bytes) for public_id in public_ids]
    found: list[dict[str, str]] = [{} for _ in values]
    for purpose in purposes:
        for own, token in zip(found, _signed(purpose, values), strict=True):
            own[purpose] = token
    return found


def read(purpose: str, token: str) -> uuid.UUID:
    """Return the id in the token. Raises BadToken."""
    public_id, _ = _read(purpose, token)
    return public_id


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
    return _url("preferences", token("preferences", subscriber.public_id))


def unsubscribe_url(subscriber: Subscriber) -> str:
    return _url("unsubscribe", token("unsubscribe", subscriber.public_id))


def _signed(purpose, values) -> list[str]:
    """Return what _signer makes of the values."""
    signatures = macs(f"{_salt(purpose)}signer", values, settings.SECRET_KEY)
    pairs = zip(values, map(_encoded, signatures), strict=True)
    return [f"{value.decode()}.{signature.decode()}" for value, signature in pairs]


def _encoded(data):
    """Return what urlsafe_b64encode does, without "=" at its end, in half of the time."""
    return b2a_base64(data, newline=False).translate(URL_SAFE).rstrip(b"=")


def _signer(purpose):
    return signing.Signer(salt=_salt(purpose), sep=".")


def _salt(purpose):
    return f"subscriptions.links.{purpose}"


def _url(name, token):
    return settings.SITE_URL + reverse(name, args=[token])


def _read_answer(purposes, token, now):
    """Return which of these purposes the token has, whom it asked, and when."""
    for purpose in purposes:
        with suppress(BadToken):
            public_id, asked_at = _read(purpose, token)
            break
    else:
        raise BadToken
    if asked_at is None:
        raise BadToken
    if now - asked_at > timedelta(days=CONFIRM_DAYS):
        raise ExpiredToken
    return purpose, public_id, asked_at


def _read(purpose, token):
    try:
        value = _signer(purpose).unsign(token)
        encoded, _, asked = value.partition("~")
        public_id = uuid.UUID(bytes=urlsafe_b64decode(encoded + "=="))
        asked_at = EPOCH + timedelta(microseconds=int(asked, 16)) if asked else None
    except (signing.BadSignature, ValueError, OverflowError) as error:
        raise BadToken from error
    return public_id, asked_at
