"""Transactional letters about the subscription, each in its subscriber's language."""

import uuid
from functools import wraps

from django.db.models import Q
from django.utils import translation

from subscriptions import addresses, hooks, schedule
from subscriptions.mail import render
from subscriptions.models import Group, Invitation, Message, Subscriber
from subscriptions.security import tokens


def notice(make_context):
    """Register a composer of letters: a function named after the kind, which returns a context."""
    kind = make_context.__name__

    @hooks.one_by_one
    @wraps(make_context)
    def compose(letter, now):
        with translation.override(letter.subscriber.language_or_default):
            context = make_context(letter, now) | {"days": tokens.CONFIRM_DAYS}
            return render.render(kind, context, context.get("opt_out_url", ""))

    hooks.composers[kind] = compose
    return make_context


@notice
def confirm(letter, now):
    """Ask the address to confirm a sign-up or an invitation. If it is subscribed, say so instead.

    The sign-up page answers both alike, so that only the letter shows who is subscribed.
    """
    subscriber, at = letter.subscriber, letter.created_at
    is_subscribed = subscriber.state_at(now) in ("active", "paused")
    invitations = Invitation.objects.filter(Q(at=at) | Q(reminded_at=at), subscriber=subscriber)
    invitation = invitations.first()
    if invitation and is_subscribed:
        raise render.NoContent("already confirmed")
    # Without own keywords: a stranger may have typed them since, in the sign-up form.
    topics = subscriber.topics.filter(owner=None)
    memberships = subscriber.memberships.filter(joined_at=None).select_related("group")
    return {
        "already": is_subscribed,
        "invitation": invitation,
        "membership": (memberships if invitation else memberships.filter(invited_at=at)).first(),
        "list_of": Group.objects.filter(mailing_list=subscriber).first(),
        "topics": invitation and ", ".join(topic.name for topic in topics),
        "confirm_url": tokens.answer_url(subscriber, letter.kind, at),
        "preferences_url": tokens.preferences_url(subscriber),
        "unsubscribe_url": tokens.unsubscribe_url(subscriber),
    }


@notice
def goodbye(letter, now):
    """Confirm unsubscribing, with a link to undo it if it can be undone."""
    subscriber, at = letter.subscriber, letter.created_at
    undo_url = subscriber.can_resubscribe(at) and tokens.answer_url(subscriber, letter.kind, at)
    return {"undo_url": undo_url, "preferences_url": tokens.preferences_url(subscriber)}


@notice
def bounced(letter, now):
    """Ask whether the address is right, since letters bounced."""
    subscriber = letter.subscriber
    return {
        "since": schedule.local_day(subscriber.suppressed_at, subscriber.zone),
        "confirm_url": tokens.answer_url(subscriber, letter.kind, letter.created_at),
        "unsubscribe_url": tokens.unsubscribe_url(subscriber),
    }


@notice
def link(letter, now):
    """Send the link to the preferences to a subscriber who lost it."""
    subscriber = letter.subscriber
    return {
        "preferences_url": tokens.preferences_url(subscriber),
        "unsubscribe_url": tokens.unsubscribe_url(subscriber),
        "state": subscriber.state_at(now),
    }


@notice
def message(letter, now):
    """Send an operator's message."""
    return _message_context(letter.operator_message, letter.subscriber)


def preview_message(message: Message) -> render.Content:
    """Return the email of a message, whose links are made for an id that nobody has."""
    context = _message_context(message, Subscriber(public_id=uuid.UUID(int=0)))
    return render.render("message", context, context["opt_out_url"])


def _message_context(message, subscriber):
    return {
        "message": message,
        "preferences_url": tokens.preferences_url(subscriber),
        "unsubscribe_url": tokens.unsubscribe_url(subscriber),
        "opt_out_url": tokens.opt_out_url(subscriber),
    }


@notice
def move(letter, now):
    """Ask an address to confirm a change of address. Only the old one is told the other address.

    The new one may belong to somebody else, by a typing error.
    """
    subscriber = letter.subscriber
    side = "new" if letter.to else "old"
    return {
        "side": side,
        "new_address": addresses.readable(letter.to or subscriber.move.new_email),
        "move_url": tokens.move_url(subscriber, side, letter.created_at),
        "preferences_url": tokens.preferences_url(subscriber),
    }
