"""Signed links: only those who got a link from us have its token.

A token is for one purpose, each of which has a salt, and one thing. It holds a random id and a
signature: no address, and nothing that could be guessed from another token. Emails stay in a
mailbox for good, so tokens that act for a subscriber also hold when they last changed address, and
the next change closes them. Those of subscribers who never did hold no such date.
"""

import re
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.core import signing
from django.urls import reverse
from django.utils.crypto import constant_time_compare
from django.utils.http import base36_to_int, int_to_base36

from subscriptions.models import Letter, Subscriber
from subscriptions.security import hashing

#: Purposes whose link asks something, all on one page.
QUESTION_KINDS = (Letter.Kind.CONFIRM, Letter.Kind.GOODBYE, Letter.Kind.BOUNCED)
#: Purposes of short tokens, by the letter that they begin with. None is to unsubscribe, which must
#: work without a row of the subscriber.
SHORT_PURPOSES = {"p": "preferences", "d": "digest", "f": "feedback"}
SHORT = re.compile(r"([pdf])([0-9a-z]{1,9})-([\w-]{16})", re.ASCII)
CONFIRM_DAYS = 7
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class BadToken(Exception):
    """The token was not made here, or not for this purpose."""


class ExpiredToken(BadToken):
    """The token is older than CONFIRM_DAYS."""


class ClosedToken(Exception):
    """The token was issued before the subscriber changed address."""


def token(purpose: str, public_id: uuid.UUID, asked_at: datetime | None = None) -> str:
    """Return a token. With `asked_at`, it answers the question of that moment."""
    payload = _encode(public_id)
    if asked_at is not None:
        payload += f"~{(asked_at - EPOCH) // timedelta(microseconds=1):x}"
    return _signer(purpose).sign(payload)


def own_token(purpose: str, subscriber: Subscriber, public_id: uuid.UUID | None = None) -> str:
    """Return a token for the subscriber, or for a thing of theirs, until they change address."""
    (by_purpose,) = tokens([purpose], [(public_id or subscriber.public_id, subscriber.moved_at)])
    return by_purpose[purpose]


def tokens(
    purposes: Iterable[str], owned: Iterable[tuple[uuid.UUID, datetime | None]]
) -> list[dict[str, str]]:
    """Return the tokens of many things by purpose. `owned` has each thing's id and its owner's
    `moved_at`.
    """
    signers = {purpose: _signer(purpose) for purpose in purposes}
    token_dicts = []
    for public_id, moved_at in owned:
        payload = _encode(public_id)
        if moved_at is not None:  # In seconds: a longer token would not fit on a line of an email.
            payload += f"~{_seconds(moved_at):x}"
        token_dicts.append({purpose: signer.sign(payload) for purpose, signer in signers.items()})
    return token_dicts


def parse_token(purpose: str, token: str) -> tuple[uuid.UUID, int]:
    """Return the id in the token, and the moment that it is bound to (0 if none).

    Raises BadToken.
    """
    try:
        payload = _signer(purpose).unsign(token)
        encoded_id, _, hex_moment = payload.partition("~")
        return uuid.UUID(bytes=urlsafe_b64decode(encoded_id + "==")), int(hex_moment or "0", 16)
    except (signing.BadSignature, ValueError) as error:
        raise BadToken from error


def short_token(
    purpose: str, row_id: int, public_id: uuid.UUID, moved_at: datetime | None = None
) -> str:
    """Return a token of few characters, for the text part of emails.

    It holds the number of a row to look up, and 96 bits of a hash of what a long token holds.
    After a backup was restored, another row may get the number, but not the public id.
    """
    value = _short_value(public_id, moved_at)
    hash_text = _short_hash(hashing.keyed_hash(f"short {purpose}", value))
    return f"{purpose[0]}{int_to_base36(row_id)}-{hash_text}"


def parse_short(token: str) -> tuple[str, int]:
    """Return the purpose and the number of the row. Raises BadToken."""
    if not (match := SHORT.fullmatch(token)):
        raise BadToken
    return SHORT_PURPOSES[match[1]], base36_to_int(match[2])


def long_of_short(
    short: str, subscriber: Subscriber, public_id: uuid.UUID, long_id: uuid.UUID
) -> str:
    """Return the token for `long_id` that opens what the short one opened when it was made.

    `public_id` is of the row that the short token names. Raises BadToken.
    """
    purpose, _ = parse_short(short)
    for moved_at in (subscriber.moved_at, None):
        value = _short_value(public_id, moved_at)
        short_hashes = map(_short_hash, hashing.valid_hashes(f"short {purpose}", value))
        if any([constant_time_compare(short[-16:], short_hash) for short_hash in short_hashes]):
            return tokens([purpose], [(long_id, moved_at)])[0][purpose]
    raise BadToken


def subscriber_of(purpose: str, token: str) -> Subscriber:
    """Return whose token it is. Raises BadToken, ClosedToken, or Subscriber.DoesNotExist."""
    public_id, bound_at = parse_token(purpose, token)
    subscriber = Subscriber.objects.get(public_id=public_id)
    raise_if_closed(subscriber, bound_at)
    return subscriber


def raise_if_closed(subscriber: Subscriber, bound_at: int) -> None:
    """Raise ClosedToken if a token with this `bound_at` was issued before a change of address.

    A later one is open, even if a restored backup does not know of that change.
    """
    if is_closed(subscriber, bound_at):
        raise ClosedToken


def is_closed(subscriber: Subscriber, bound_at: int) -> bool:
    return subscriber.moved_at is not None and bound_at < _seconds(subscriber.moved_at)


def read_confirm(token: str, now: datetime) -> tuple[str, uuid.UUID, datetime]:
    """Return the kind of letter that asked, the subscriber's public id, and when it asked.

    Raises ExpiredToken or BadToken.
    """
    return _parse_answer(QUESTION_KINDS, token, now)


def read_move(token: str, now: datetime) -> tuple[str, uuid.UUID, datetime]:
    """Return which address answers ("old" or "new"), the public id, and when it was asked.

    Raises ExpiredToken or BadToken.
    """
    purpose, public_id, asked_at = _parse_answer(("move-old", "move-new"), token, now)
    return purpose.removeprefix("move-"), public_id, asked_at


def move_url(subscriber: Subscriber, side: str, asked_at: datetime) -> str:
    """Return where the "old" or the "new" address (`side`) confirms a change of address."""
    return _url("move", token(f"move-{side}", subscriber.public_id, asked_at))


def answer_url(subscriber: Subscriber, kind: str, asked_at: datetime) -> str:
    """Return where they answer what a letter of this kind asked at that moment."""
    return _url("confirm", token(kind, subscriber.public_id, asked_at))


def preferences_url(subscriber: Subscriber) -> str:
    return _url("preferences", own_token("preferences", subscriber))


def unsubscribe_url(subscriber: Subscriber) -> str:
    return _url("unsubscribe", own_token("unsubscribe", subscriber))


def opt_out_url(subscriber: Subscriber) -> str:
    """Return where they stop messages of operators alone. It has the token to unsubscribe."""
    return _url("opt-out", own_token("unsubscribe", subscriber))


def _seconds(moment):
    return (moment - EPOCH) // timedelta(seconds=1)


def _short_value(public_id, moved_at):
    return f"{public_id.hex}~{'' if moved_at is None else _seconds(moved_at)}"


def _short_hash(keyed_hash):
    return urlsafe_b64encode(bytes.fromhex(keyed_hash)[:12]).decode()


def _encode(public_id):
    return urlsafe_b64encode(public_id.bytes).decode().rstrip("=")


def _signer(purpose):
    return signing.Signer(salt=f"subscriptions.links.{purpose}", sep=".")


def _url(name, token):
    return settings.SITE_URL + reverse(name, args=[token])


def _parse_answer(purposes, token, now):
    """Return which of the purposes the token has, its id, and when it was asked."""
    for purpose in purposes:
        with suppress(BadToken):
            public_id, microseconds = parse_token(purpose, token)
            break
    else:
        raise BadToken
    if not microseconds:
        raise BadToken
    asked_at = EPOCH + timedelta(microseconds=microseconds)
    if now - asked_at > timedelta(days=CONFIRM_DAYS):
        raise ExpiredToken
    return purpose, public_id, asked_at
