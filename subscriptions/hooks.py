"""Hooks: what the digest app does when a subscription changes. Registered as Django starts.

`subscriptions` never imports `digest`; it calls these.
"""

import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from subscriptions.mail.render import Content
    from subscriptions.models import Letter

#: Takes letters of one kind with `subscriber` loaded. Returns, in order, the content of each or the
#: exception: render.NoContent, or an error, which affects no other letter. The iterator may compose
#: on demand, in another thread, from what was read before.
type Composer = Callable[[Sequence[Letter], datetime], Iterator[Content | Exception]]

#: How many letters are composed together at most. One by one, a quarter of the time is lost to
#: fetching code into the CPU's cache. More would delay the connections, and more letters would be
#: uncertain when a worker is killed.
COMPOSE_BATCH_SIZE = 10

#: Composers by kind of letter.
composers: dict[str, "Composer"] = {}

#: Called after a confirmation has committed: a first digest is due.
on_confirmed: list[Callable] = []

#: Called with a confirmed subscriber; each returns the first digest as HTML, "" until it exists.
first_digests: list[Callable] = []

#: Called with the ids of letters that were certainly not sent, in the transaction that ends them.
on_not_sent: list[Callable] = []

#: Called with a subscriber; each returns a part of their exported data, by name.
exporters: list[Callable] = []

#: Called with a subscriber whose feedback is to be deleted.
on_reset: list[Callable] = []

#: Called with a subscriber, in the transaction that erases them.
erasers: list[Callable] = []

#: By tab of the preferences page. Called with a subscriber; each returns HTML for that tab.
panels: defaultdict[str, list[Callable]] = defaultdict(list)

#: Called with a subscriber, their unsaved topics (None if they stay) and settings, and the moment;
#: each returns what would change, as HTML. Nothing is written.
previews: list[Callable] = []

#: Returns a few papers of the first digest of somebody who follows these topics, at a moment: the
#: title, authors and URL of each, or none.
example_papers: Callable[[Any, datetime], list[dict[str, str]]]

#: Reads what was typed into the fields of interests and of muted ones, by a subscriber or a visitor
#: (None). Returns entries, with the attributes of digest.interests.entries.Entry. Raises
#: ValidationError.
read_interests: Callable[[str, str, Any], list[Any]]

#: Returns a text with a line for each paper of a bibliography in it. Raises ValidationError.
expand_bibliography: Callable[[str], str]

#: Returns the lines of a subscriber's stored interests, and of their muted ones.
stored_interests: Callable[[Any], tuple[list[str], list[str]]]

#: Returns the parts of the sign-up form that depend on what was sent, at a moment: chips and
#: digest, as HTML. `errors`: the wrong fields, which the form names, and the parts don't.
sign_up_parts: Callable[..., Any]

#: Returns the interests of a TopicSelection as HTML, or an empty string if it has none.
list_interests: Callable[[Any], str]

#: Returns the chips of InterestsForm's fields at a moment, as HTML by the name of the field.
show_interests: Callable[[Any, datetime], dict[str, str]]

#: Returns what was sent, by a subscriber, with the change that a button of a chip asks for.
edit_interests: Callable[[Any, Any], Any]

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
