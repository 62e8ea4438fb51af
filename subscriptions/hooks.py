"""Hooks: what the digest app does when a subscription changes. Registered as Django starts.

`subscriptions` never imports `digest`; it calls these.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subscriptions.mail.render import Content
    from subscriptions.models import Letter

#: Takes letters of one kind with `subscriber` loaded. Returns, in order, the content of each or the
#: exception: render.NoContent, or an error, which affects no other letter. The iterator may compose
#: on demand, from what was read before.
type Composer = Callable[[Sequence[Letter], datetime], Iterator[Content | Exception]]

#: How many letters are composed together at most. One by one, a quarter of the time is lost to
#: fetching code into the CPU's cache. More would delay the connections, and more letters would be
#: uncertain when a worker is killed.
COMPOSE_BATCH_SIZE = 10

#: Composers by kind of letter.
composers: dict[str, "Composer"] = {}

#: Called after an answer to a confirmation has committed: a first digest may be due.
on_confirmed: list[Callable] = []

#: Called with the ids of letters that were certainly not sent, in the transaction that ends them.
on_not_sent: list[Callable] = []

#: Called with a subscriber; each returns a part of their exported data, by name.
exporters: list[Callable] = []

#: Called with a subscriber, in the transaction that erases them.
erasers: list[Callable] = []

#: Posts a message to a channel. Returns a DeliveryResult, and raises nothing.
post_to_channel: Callable[[Any, bytes], Any]


def one_by_one(compose: Callable[["Letter", datetime], "Content"]) -> "Composer":
    """Make a composer of a function that returns the content of one letter, or raises."""

    @wraps(compose)
    def compose_all(letters, now):
        contents = []
        for letter in letters:
            try:
                contents.append(compose(letter, now))
            except Exception as error:
                contents.append(without_frames(error))
        return iter(contents)

    return compose_all


def without_frames(error: Exception) -> Exception:
    """Clear what the frames of a traceback hold: after a MemoryError, the next letter needs it."""
    traceback.clear_frames(error.__traceback__)
    return error
