"""The letters about the subscription itself, each in the language of who gets it."""

from functools import wraps

from django.utils import translation

from subscriptions import addresses, links, mail, schedule
from subscriptions.registry import one_by_one


def notice(compose):
    """Make a composer of a function of one letter, in the language of the letter's subscriber."""

    @one_by_one
    @wraps(compose)
    def composed(letter, now):
        with translation.override(letter.subscriber.letter_language):
            return compose(letter, now)

    return composed


@notice
def compose_confirm(letter, now):
    """Ask whether the address's owner wants the digest; to one who has it, say so instead.

    The page that signs up answers both alike: who reads papers here is told by mail alone.
    """
    subscriber = letter.subscriber
    already = subscriber.state_at(now) in ("active", "paused")
    return mail.render(
        "confirm",
        {
            "already": already,
            "confirm_url": links.confirm_url(subscriber),
            "preferences_url": links.preferences_url(subscriber),
            "days": links.CONFIRM_DAYS,
        },
    )


@notice
def compose_goodbye(letter, now):
    """Say that no more digests come, and how to take that back."""
    return mail.render(
        "goodbye",
        {
            "undo_url": _answer_url(letter),
            "preferences_url": links.preferences_url(letter.subscriber),
            "days": links.CONFIRM_DAYS,
        },
    )


@notice
def compose_bounced(letter, now):
    """Ask whether the address is right, since letters to it came back."""
    subscriber = letter.subscriber
    return mail.render(
        "bounced",
        {
            "since": schedule.local_day(subscriber.suppressed_at, subscriber.zone),
            "vouch_url": _answer_url(letter),
            "unsubscribe_url": links.unsubscribe_url(subscriber),
            "days": links.CONFIRM_DAYS,
        },
    )


@notice
def compose_link(letter, now):
    """Send the link to her preferences to one who has lost it."""
    subscriber = letter.subscriber
    return mail.render(
        "link",
        {
            "preferences_url": links.preferences_url(subscriber),
            "unsubscribe_url": links.unsubscribe_url(subscriber),
            "state": subscriber.state_at(now),
        },
    )


@notice
def compose_move(letter, now):
    """Ask an address whether the digest moves: the old one is told where to.

    The new one isn't told from where: it may be somebody else's, by a slip of the finger.
    """
    subscriber = letter.subscriber
    side = "new" if letter.to else "old"
    return mail.render(
        "move",
        {
            "side": side,
            "new_address": addresses.readable(letter.to or subscriber.move.new_email),
            "move_url": links.move_url(subscriber, side, letter.created_at),
            "preferences_url": links.preferences_url(subscriber),
            "days": links.CONFIRM_DAYS,
        },
    )


def _answer_url(letter):
    """Return where she says yes to this letter. It asks as of the moment when it was written."""
    return links.answer_url(letter.subscriber, letter.kind, letter.created_at)
