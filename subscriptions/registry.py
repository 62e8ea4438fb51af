"""What the upper room does when the lower one acts: plain functions, registered as Django starts.

The lower room never imports the upper one: it looks here.
"""

from collections.abc import Callable

#: kind of letter -> function(letter, now) that returns the letter's subscriptions.mail.Content,
#: or raises mail.NothingToSay.
composers: dict[str, Callable] = {}

#: Called when someone has confirmed, after it is committed: her first digest is due.
on_confirmed: list[Callable] = []

#: Called with the ids of letters that surely never left, inside the transaction that ends them.
on_never_left: list[Callable] = []

#: Called with a subscriber; each returns its part of her data, by name.
exporters: list[Callable] = []

#: Called with a subscriber who wants what was learned of her forgotten.
on_reset: list[Callable] = []

#: Called with a subscriber, inside the transaction that erases her.
erasers: list[Callable] = []

#: Called with a subscriber, for the page of her preferences; each returns a part of it as HTML.
panels: list[Callable] = []
