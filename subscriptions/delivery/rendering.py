"""Claimed letters become bytes, many at once: what can't be written costs itself alone."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import batched, chain, groupby, repeat

from django.core.exceptions import ImproperlyConfigured
from django.db import Error

from subscriptions import hooks
from subscriptions.delivery import message_ids, transitions
from subscriptions.delivery.transitions import Frozen
from subscriptions.delivery.transports import esps
from subscriptions.mail import render
from subscriptions.models import Letter

#: A letter with its bytes, or with what kept us from making them.
type Written = tuple[Letter, Frozen | Exception]


def in_order(letters: Sequence[Letter]) -> list[Letter]:
    """Return letters in the order in which they are written."""
    return sorted(letters, key=_place)


def _place(letter):
    """Letters of one kind and language are made together."""
    return not letter.mime_size, letter.kind, letter.subscriber.language


def write_out(letters: Sequence[Letter], now: datetime) -> Iterator[list[Written]]:
    """Return the letters, some at a time, each with its bytes or what kept us from making them.

    What they are made of is read at once, and each is made when it is asked for. One that passed
    the fence before has the bytes that it had then. The letters are `in_order`.
    """
    before = [(letter, _frozen_before(letter)) for letter in letters if letter.mime_size]
    fresh = [letter for letter in letters if not letter.mime_size]
    some: list[Iterable[list[Written]]] = [[before]]
    for kind, alike in groupby(fresh, lambda letter: letter.kind):
        alike = list(alike)
        some.append(_frozen(alike, _contents(kind, alike, now), now))
    return chain.from_iterable(some)


def freeze(letter: Letter, content: render.Content, now: datetime) -> Frozen:
    """Return the letter's bytes: whatever is sent once they passed the fence is the same."""
    message_id = letter.message_id or message_ids.of(letter)
    mime = render.as_bytes(content, to=letter.recipient, message_id=message_id, date=now)
    mime = esps.headers(letter.pk, message_id) + mime
    return Frozen(mime, message_id, now, content.item_ids)


def _contents(kind, letters, now) -> Iterator[render.Content | Exception]:
    try:
        return _composer(kind)(letters, now)
    except Exception as error:  # Of all: nobody here composes this kind, say.
        return repeat(error, len(letters))


def _frozen(letters, contents, now) -> Iterator[list[Written]]:
    pairs = zip(letters, _to_its_end(contents, len(letters)), strict=True)
    for some in batched(pairs, hooks.COMPOSE_BATCH_SIZE):
        yield [(letter, _frozen_alone(letter, content, now)) for letter, content in some]


def _frozen_alone(letter, content, now) -> Frozen | Exception:
    try:
        if isinstance(content, Exception):
            raise content
        return freeze(letter, content, now)
    except Exception as error:
        return hooks.without_frames(error)


def _to_its_end(contents, count) -> Iterator[render.Content | Exception]:
    """Yield so many contents. What breaks the composer itself is what became of all the rest."""
    try:
        for content in contents:
            yield content
            count -= 1
    except Exception as error:
        yield from repeat(error, count)


def _composer(kind):
    if kind not in hooks.composers:  # While a new version is installed, old workers run on.
        raise ImproperlyConfigured(f"a newer version wrote this letter: none of kind {kind!r} here")
    return hooks.composers[kind]


def _frozen_before(letter) -> Frozen | Exception:
    try:
        return Frozen(transitions.frozen_bytes(letter), letter.message_id, letter.frozen_at)
    except (transitions.Damaged, Error) as error:
        return error
