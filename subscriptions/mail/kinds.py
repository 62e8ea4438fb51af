"""The kinds of email, and who may get each. CONTRIBUTING.md says how to add one."""

from typing import NamedTuple

from django.db import models


class Kind(models.TextChoices):
    """Values have at most 8 characters: a longer column would rebuild an index of all letters."""

    CONFIRM = "confirm", "confirmation"
    WELCOME = "welcome", "welcome"
    DIGEST = "digest", "digest"
    BOUNCED = "bounced", "address check"
    GOODBYE = "goodbye", "goodbye"
    LINK = "link", "settings link"
    MOVE = "move", "address change"
    MESSAGE = "message", "message"


class Rules(NamedTuple):
    """Who may get an email of a kind. Checked when it is claimed, and again before it is sent.

    Attributes
    ----------
    states
        States of its subscriber in which it is sent.
    condition
        Name of a predicate of Subscriber that must also hold, of the moment when it was created.
    reason
        Why it is not sent, if the subscriber's state does not say that.
    is_list
        Whether it has List-Unsubscribe and comes from DEFAULT_FROM_EMAIL. All others are
        transactional.
    """

    states: tuple[str, ...] = ("active",)
    condition: str = ""
    reason: str = ""
    is_list: bool = False

    @property
    def is_for_all_active(self) -> bool:
        return "active" in self.states and not self.condition

    def holds_for(self, subscriber, created_at) -> bool:
        return not self.condition or getattr(subscriber, self.condition)(created_at)


KINDS: dict[str, Rules] = {
    Kind.CONFIRM: Rules(("pending", "active", "paused", "unsubscribed")),
    Kind.WELCOME: Rules(is_list=True),
    Kind.DIGEST: Rules(is_list=True),
    Kind.BOUNCED: Rules(("suppressed",), "can_confirm_address", "nothing to ask"),
    Kind.GOODBYE: Rules(("unsubscribed",), reason="the subscriber came back"),
    Kind.LINK: Rules(("active", "paused", "unsubscribed")),
    Kind.MOVE: Rules(("active", "paused")),
    Kind.MESSAGE: Rules(condition="accepts_messages", reason="they take no messages", is_list=True),
}


def rules_of(kind: str) -> Rules:
    """Return the rules of a kind, or those of a transactional email if it is not known here."""
    return KINDS.get(kind, Rules())


def kinds_excluding(state: str) -> list[str]:
    """Return the kinds that a subscriber in this state does not get."""
    return [kind for kind, rules in KINDS.items() if state not in rules.states]
