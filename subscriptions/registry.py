"""What the upper room does when the lower one acts: plain functions, registered as Django starts.

The lower room never imports the upper one: it looks here.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from subscriptions.mail import Content
    from subscriptions.models import Letter

#: Takes letters of one kind, each with its `subscriber` loaded, and returns for each, in order,
#: what it says, or the exception for which it can't be written: mail.NothingToSay, or what broke. A
#: bad letter costs itself alone. Each may be composed when it is asked for, of what was read when
#: this was called, in another thread maybe.
type Composer = Callable[[Sequence[Letter], datetime], Iterator[Content | Exception]]

#: So many letters are composed at once at most, each step for all of them: for one letter after the
#: other, the processor would fetch the code of all steps again and again, a quarter of its time.
#: More would keep the lines waiting, and what kills their worker leaves them all in doubt.
TOGETHER = 10

#: kind of letter -> what composes letters of this kind.
composers: dict[str, "Composer"] = {}

#: Called when someone has confirmed, after it is committed: her first digest is due.
on_confirmed: list[Callable] = []

#: Called with the ids of letters that surely never left, inside the transaction that ends them.
on_never_left: list[Callable] = []

#: Called with letters of which a restored backup knew nothing and which had left all the same, and
#: with what is known of each (reconcile.Evidence) by its Message-ID, inside the transaction that
#: writes them down.
on_reconciled: list[Callable] = []

#: Called with a subscriber; each returns its part of her data, by name.
exporters: list[Callable] = []

#: Called with a subscriber who wants what was learned of her forgotten.
on_reset: list[Callable] = []

#: Called with a subscriber, inside the transaction that erases her.
erasers: list[Callable] = []

#: Called with a subscriber, for the page of her preferences; each returns a part of it as HTML.
panels: list[Callable] = []


#: Called with a subscriber, the wishes and settings that she would save, and the moment; each
#: returns what would change, as HTML. Nothing is written.
previews: list[Callable] = []


def one_by_one(compose: Callable[["Letter", datetime], "Content"]) -> "Composer":
    """Make a composer of a function that returns what one letter says, or raises."""

    def contents(letters, now):
        for letter in letters:
            try:
                yield compose(letter, now)
            except Exception as error:
                yield bare(error)

    @wraps(compose)
    def compose_all(letters, now):
        return iter(list(contents(letters, now)))  # What they read, they read at once.

    return compose_all


def bare(error: Exception) -> Exception:
    """Return what broke a letter without what its frames hold: if that was all memory, the next
    letter needs it.
    """
    traceback.clear_frames(error.__traceback__)
    return error
