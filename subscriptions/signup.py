"""A reader comes, goes and comes back: she subscribes, confirms, unsubscribes. Each is noted.

What only an operator does is in `operating`. Each takes its moment as an argument, and may be
called twice: the second time changes nothing.
"""

import uuid
from dataclasses import dataclass

from django.db import IntegrityError, transaction

from subscriptions import correspondence, registry, rhythm, seals
from subscriptions.links import ClosedToken
from subscriptions.models import Consent, Letter, Move, Subscriber, Topic
from subscriptions.post import clock, office
from subscriptions.wishes import Wishes, set_preferences

Kind = Letter.Kind


@dataclass(frozen=True)
class Door:
    """Through which door someone came, for the record of her consent."""

    via: str
    ip: str | None = None
    wording: str = ""


class UsedToken(Exception):
    """What the link answers was answered once, and ended since: it takes a new sign-up."""


def subscribe(
    email: str, wishes: Wishes, *, timezone: str, hour: int, language: str = "en", door: Door, now
) -> Letter | None:
    """Note that someone asked for the digest at this (normalised) address; ask the address's owner.

    Nothing that an active reader set is changed, since anyone may type her address. Return the
    letter that was written, or None where one is under way or she is not to be written to.

    Whether someone has this address, and in which state she is, is told by nothing but the letter:
    what isn't done for her is done for a stand-in, so that the time doesn't tell either.
    """
    with transaction.atomic():
        subscriber, is_new = _at(email, now)
        is_retried = subscriber is not None and _is_worth_a_try(subscriber, now)
        if is_retried and not subscriber.wants:
            let_letters_go(subscriber, now)  # What asks her is a confirmation, as if she were new.
        state = "suppressed" if subscriber is None else subscriber.state_at(now)
        letter = None
        if state == "unsubscribed":  # Anyone may type her address: what she set stays, until she
            subscriber.asked_for = wishes.as_json(timezone, hour)  # confirms.
            letter = _ask_to_confirm(subscriber, door, now)
        elif state == "pending":
            subscriber.timezone, subscriber.hour = timezone, hour
            subscriber.language = language
            set_preferences(subscriber, wishes)
            letter = _ask_to_confirm(subscriber, door, now)
        elif state != "suppressed":
            letter = correspondence.remind(subscriber, now)
        elif is_retried:
            letter = correspondence.ask(subscriber, now)
        if not is_new:
            _do_the_rest_for_a_stand_in(state, wishes, door, now, wrote=letter is not None)
        return letter


def _ask_to_confirm(subscriber, door, now):
    """Note that she was asked for, save her, and write to her unless that was done lately."""
    note(subscriber, Consent.Act.ASKED, door, now)
    lately = now - correspondence.CONFIRM_AGAIN
    since = max(lately, subscriber.unsubscribed_at or lately)
    letter = correspondence.write_confirm(subscriber, now, since)
    if letter is not None:
        subscriber.asked_at = now
    subscriber.save()
    return letter


def confirm(subscriber: Subscriber, asked_at, *, door: Door, now, kind: str = Kind.CONFIRM) -> None:
    """Say yes to what a letter of this kind asked at that moment. Raises UsedToken or ClosedToken.

    To a confirmation: the first digest is due at once, or the next one at her hour where she had
    today's before she left. To a goodbye: all is as it was before she left, and the next digest has
    what came since her last one. To the question whether her address is right: what came back keeps
    no letter from her.
    """
    with transaction.atomic():
        subscriber = subscriber.locked()
        if not is_open(subscriber, asked_at, now=now, kind=kind):
            return
        YES[kind](subscriber, now)
        subscriber.save()
        note(subscriber, Consent.Act.CONFIRMED, door, now)
        for tell in registry.on_confirmed:
            transaction.on_commit(tell, robust=True)


def is_open(subscriber: Subscriber, asked_at, *, now, kind: str = Kind.CONFIRM) -> bool:
    """Return whether what a letter of this kind asked at that moment waits for her answer.

    Raises UsedToken where it was answered, and she has left since, and ClosedToken where it was
    asked before her digest moved to another address.
    """
    if subscriber.moved_at is not None and asked_at < subscriber.moved_at:
        raise ClosedToken
    state = subscriber.state_at(now)
    if state == "suppressed":
        return kind == Kind.BOUNCED and subscriber.may_vouch(asked_at)
    if state in ("active", "paused"):
        return False
    if kind == Kind.GOODBYE and subscriber.may_come_back(asked_at):
        return True
    was_confirmed = subscriber.confirmed_at is not None and asked_at <= subscriber.confirmed_at
    if kind == Kind.CONFIRM and not was_confirmed:
        return True
    raise UsedToken


def unsubscribe(public_id, *, door: Door, now) -> int:
    """Stop at once; one last letter says so. Return how many others are past the fence and may yet
    arrive.

    Raises Subscriber.DoesNotExist for one who was erased.
    """
    with transaction.atomic():
        subscriber = Subscriber.objects.select_for_update().get(public_id=public_id)
        kept = {Kind.GOODBYE, Kind.LINK}
        if subscriber.unsubscribed_at is not None:  # What she asked for since is not of this click.
            kept.add(Kind.CONFIRM)
        others = [kind for kind in Kind if kind not in kept]
        under_way = office.cancel(subscriber, "unsubscribed", now, kinds=others)
        if subscriber.unsubscribed_at is None:
            subscriber.unsubscribed_at = now
            subscriber.next_due_at = None
            subscriber.save()
            Move.objects.filter(subscriber=subscriber).forget()
            note(subscriber, Consent.Act.UNSUBSCRIBED, door, now)
            if subscriber.may_come_back(now):
                correspondence.write(
                    subscriber, Kind.GOODBYE, now, closes_at=now + correspondence.NOTICE_CLOSES
                )
        return under_way


def lift(subscriber: Subscriber, *, door: Door, now) -> bool:
    """Let letters go to her again that were kept from her, as she asks herself: that is a consent.
    Return whether any were. What the operator decided, only he takes back.
    """
    with transaction.atomic():
        subscriber = subscriber.locked()
        is_his = subscriber.suppressed_by == Subscriber.Suppression.OPERATOR
        if subscriber.suppressed_at is None or is_his:
            return False
        let_letters_go(subscriber, now)
        subscriber.save()
        note(subscriber, Consent.Act.CONFIRMED, door, now)
        return True


def _at(email, now):
    """Return the locked subscriber with this address, and whether she was made just now.

    None is where the address is sealed.
    """
    subscriber = Subscriber.objects.select_for_update().at(email).first()
    if seals.is_kept(email, now):
        return None, False
    if subscriber is not None:
        return subscriber, False
    try:
        with transaction.atomic():
            return Subscriber.objects.create(email=email, asked_at=now), True
    except IntegrityError:  # Someone signed the same address up in this very moment.
        return Subscriber.objects.select_for_update().at(email).get(), False


def _do_the_rest_for_a_stand_in(state, wishes, door, now, *, wrote):
    """Do what a sign-up does for a new address and did not for one in this state, and undo it."""
    with transaction.atomic():
        address = f"{uuid.uuid4().hex}@stand-in.invalid"
        stand_in = Subscriber.objects.create(email=address, asked_at=now)
        if state != "pending":
            set_preferences(stand_in, wishes)
        if state not in ("pending", "unsubscribed"):
            note(stand_in, Consent.Act.ASKED, door, now)
            stand_in.save()
        if state == "suppressed" and not wrote:
            correspondence.write_confirm(stand_in, now, since=now)
        elif not wrote:
            correspondence.write(stand_in, Kind.CONFIRM, now, closes_at=now)
        transaction.set_rollback(True)
    if not wrote:
        correspondence.hint_at(correspondence.NO_LETTER)


def _is_worth_a_try(subscriber, now):
    """Return whether an address from which letters came back may be right by now, since somebody
    signs it up. After a complaint, none is written whoever asks.
    """
    bounced = subscriber.suppressed_by == Subscriber.Suppression.BOUNCED
    since = subscriber.suppressed_at
    return bounced and since is not None and since <= now - correspondence.ASK_AGAIN


def _begin(subscriber, now):
    subscriber.confirmed_at = now
    subscriber.unsubscribed_at = None
    subscriber.paused_until = None
    subscriber.began_at = subscriber.next_due_at = clock.at_once(now)
    asked, subscriber.asked_for = subscriber.asked_for, {}
    if asked:  # As she signed up again.
        subscriber.timezone, subscriber.hour = asked["timezone"], asked["hour"]
        topics = Topic.objects.standing_for(asked["topics"])
        set_preferences(subscriber, Wishes(list(topics), interests=asked["interests"]))
    if rhythm.had_one_before(subscriber):
        rhythm.reschedule(subscriber, now)


def _come_back(subscriber, now):
    """Take a leaving back. What anyone asked for with her address meanwhile is forgotten."""
    subscriber.confirmed_at = now  # The links of sign-ups before this moment are used up, too.
    subscriber.unsubscribed_at = None
    subscriber.asked_for = {}
    rhythm.reschedule(subscriber, now)


def let_letters_go(subscriber, now):
    """Take back that letters to her came back, or were reported."""
    subscriber.suppressed_at, subscriber.lifted_at = None, now
    subscriber.suppressed_by = subscriber.suppressed_reason = ""
    rhythm.reschedule(subscriber, now)


#: What a yes changes, for each kind of letter that asks.
YES = {Kind.CONFIRM: _begin, Kind.GOODBYE: _come_back, Kind.BOUNCED: let_letters_go}


def note(subscriber, act, door, now):
    Consent.objects.create(
        subscriber=subscriber, act=act, at=now, via=door.via, ip=door.ip, wording=door.wording
    )
