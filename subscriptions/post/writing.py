"""Claimed letters become bytes, many at once: what can't be written costs itself alone."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import groupby

from django.core.exceptions import ImproperlyConfigured
from django.db import Error

from subscriptions import mail, registry
from subscriptions.models import Letter
from subscriptions.post import ledger, message_ids, signing
from subscriptions.post.ledger import Frozen


def check() -> None:
    """Refuse to begin where no letter could be written. Raises ImproperlyConfigured."""
    signing.check()


def write_out(
    letters: Sequence[Letter], now: datetime
) -> Iterator[tuple[Letter, Frozen | Exception]]:
    """Yield each letter with its bytes, or with what kept us from making them.

    One that passed the fence before has the bytes that it had then.
    """
    fresh = []
    for letter in letters:
        if letter.volley_id is None:
            fresh.append(letter)
        else:
            yield letter, _frozen_before(letter)
    fresh.sort(key=lambda letter: letter.kind)
    for kind, some in groupby(fresh, lambda letter: letter.kind):
        some = list(some)
        yield from zip(some, _compose(kind, some, now), strict=True)


def freeze(letter: Letter, content: mail.Content, now: datetime) -> Frozen:
    """Return the letter's bytes: whatever is sent once they passed the fence is the same."""
    message_id = letter.message_id or message_ids.of(letter)
    mime = mail.as_bytes(content, to=letter.recipient, message_id=message_id, date=now)
    return Frozen(signing.sign(mime), message_id, now)


def _compose(kind, letters, now) -> Iterator[Frozen | Exception]:
    try:
        contents = list(_composer(kind)(letters, now))
    except Exception as error:  # Of all: the database is away, say.
        contents = [error] * len(letters)
    for letter, content in zip(letters, contents, strict=True):
        try:
            if isinstance(content, Exception):
                raise content
            yield freeze(letter, content, now)
        except Exception as error:
            yield registry.bare(error)


def _composer(kind):
    if kind not in registry.composers:  # While a new version is installed, old workers run on.
        raise ImproperlyConfigured(f"a newer version wrote this letter: none of kind {kind!r} here")
    return registry.composers[kind]


def _frozen_before(letter) -> Frozen | Exception:
    try:
        return Frozen(ledger.frozen_bytes(letter), letter.message_id, letter.frozen_at)
    except (ledger.Damaged, Error) as error:
        return error
