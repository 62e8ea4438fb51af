"""Signed links that need no account, one salt for each purpose.

A token proves that its holder got it from us, for one purpose and one thing. It holds a random id
and a signature; no address, and nothing that could be guessed from another token.
"""

import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core import signing
from django.urls import reverse

from subscriptions.models import Subscriber

CONFIRM_DAYS = 7
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BadToken(Exception):
    """This is no token of ours, or not one for this purpose."""


class ExpiredToken(BadToken):
    """It was ours once."""


def token(purpose: str, public_id: uuid.UUID, asked_at: datetime | None = None) -> str:
    """Return a token for one purpose. With `asked_at`, it answers that one sign-up."""
    value = urlsafe_b64encode(public_id.bytes).decode().rstrip("=")
    if asked_at is not None:
        value += f"~{(asked_at - EPOCH) // timedelta(microseconds=1):x}"
    return _signer(purpose).sign(value)


def read(purpose: str, token: str) -> uuid.UUID:
    """Return the id in the token. Raises BadToken."""
    public_id, _ = _read(purpose, token)
    return public_id


def read_confirm(token: str, now: datetime) -> tuple[uuid.UUID, datetime]:
    """Return the id and the moment of the sign-up that the token answers.

    Raises ExpiredToken after CONFIRM_DAYS, BadToken for all else.
    """
    public_id, asked_at = _read("confirm", token)
    if asked_at is None:
        raise BadToken
    if now - asked_at > timedelta(days=CONFIRM_DAYS):
        raise ExpiredToken
    return public_id, asked_at


def confirm_url(subscriber: Subscriber) -> str:
    return _url("confirm", token("confirm", subscriber.public_id, subscriber.asked_at))


def preferences_url(subscriber: Subscriber) -> str:
    return _url("preferences", token("preferences", subscriber.public_id))


def unsubscribe_url(subscriber: Subscriber) -> str:
    return _url("unsubscribe", token("unsubscribe", subscriber.public_id))


def _signer(purpose):
    return signing.Signer(salt=f"subscriptions.links.{purpose}", sep=".")


def _url(name, token):
    return settings.SITE_URL + reverse(name, args=[token])


def _read(purpose, token):
    try:
        value = _signer(purpose).unsign(token)
        encoded, _, asked = value.partition("~")
        public_id = uuid.UUID(bytes=urlsafe_b64decode(encoded + "=="))
        asked_at = EPOCH + timedelta(microseconds=int(asked, 16)) if asked else None
    except (signing.BadSignature, Base64Error, ValueError, OverflowError) as error:
        raise BadToken from error
    return public_id, asked_at
