"""Render claimed letters in batches. An error in one letter does not affect the others."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import batched, chain, groupby, repeat

from django.core.exceptions import ImproperlyConfigured
from django.db import Error

from subscriptions import hooks
from subscriptions.delivery import message_ids, transitions
from subscriptions.delivery.transitions import FrozenMessage
from subscriptions.delivery.transports import esps
from subscriptions.mail import render
from subscriptions.models import Letter

#: A letter with its bytes, or with the error that prevented them.
type Rendered = tuple[Letter, FrozenMessage | Exception]


def render_letters(letters: Sequence[Letter], now: datetime) -> Iterator[list[Rendered]]:
    """Yield letters in batches, by kind and language, each letter with its bytes or an error.

    The data of all letters is loaded at once, and each letter is rendered when its batch is asked
    for. A letter that passed the final check before keeps its bytes.
    """
    frozen_pairs = [(letter, _load_frozen(letter)) for letter in letters if letter.mime_size]
    new_letters = [letter for letter in letters if not letter.mime_size]
    new_letters.sort(key=lambda letter: (letter.kind, letter.subscriber.language))
    batches: list[Iterable[list[Rendered]]] = [[frozen_pairs]]
    for kind, group in groupby(new_letters, lambda letter: letter.kind):
        kind_letters = list(group)
        batches.append(_render_batches(kind_letters, _compose(kind, kind_letters, now), now))
    return chain.from_iterable(batches)


def freeze(letter: Letter, content: render.Content, now: datetime) -> FrozenMessage:
    """Return the letter's bytes. Once they have passed the final check, a resend has the same."""
    message_id = letter.message_id or message_ids.for_letter(letter)
    if letter.subscriber.channel or content.payload:  # Emails hold links of their subscriber.
        if not (letter.subscriber.channel and content.payload):
            raise render.NoContent("not for a channel")
        return FrozenMessage(content.payload, message_id, now)
    mime = render.as_bytes(content, to=letter.recipient, message_id=message_id, date=now)
    mime = esps.headers(letter.pk, message_id) + mime
    return FrozenMessage(mime, message_id, now)


def _compose(kind, letters, now) -> Iterator[render.Content | Exception]:
    try:
        if kind not in hooks.composers:  # During an upgrade, old workers go on running.
            raise ImproperlyConfigured(f"a newer version created this email: unknown kind {kind!r}")
        return hooks.composers[kind](letters, now)
    except Exception as error:  # It concerns all of them.
        return repeat(error, len(letters))


def _render_batches(letters, contents, now) -> Iterator[list[Rendered]]:
    pairs = zip(letters, _with_error_for_rest(contents, len(letters)), strict=True)
    for batch in batched(pairs, hooks.COMPOSE_BATCH_SIZE):
        yield [(letter, _freeze_or_error(letter, content, now)) for letter, content in batch]


def _freeze_or_error(letter, content, now) -> FrozenMessage | Exception:
    try:
        if isinstance(content, Exception):
            raise content
        return freeze(letter, content, now)
    except Exception as error:
        return hooks.without_frames(error)


def _with_error_for_rest(contents, count) -> Iterator[render.Content | Exception]:
    """Yield `count` contents. If the composer itself fails, its error stands for all the rest."""
    try:
        for content in contents:
            yield content
            count -= 1
    except Exception as error:
        yield from repeat(error, count)


def _load_frozen(letter) -> FrozenMessage | Exception:
    try:
        return FrozenMessage(transitions.frozen_bytes(letter), letter.message_id, letter.frozen_at)
    except (transitions.DamagedBytes, Error) as error:
        return error
