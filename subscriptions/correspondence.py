"""The letters that ask a subscriber something, or tell her, each at most so often.

None says by the time that it takes whether somebody has the address.
"""

from datetime import timedelta

from django.db import transaction

from subscriptions.hints import hint
from subscriptions.links import CONFIRM_DAYS
from subscriptions.models import Letter, Subscriber
from subscriptions.post import office
from subscriptions.tasks import deliver_letter

#: Another confirmation letter is sent only after this long, so that nobody's inbox can be filled.
CONFIRM_AGAIN = timedelta(minutes=10)
#: One who reads papers here already is told so at most once in this time.
REMIND_AGAIN = timedelta(days=1)
#: Whether an address is right is asked at most once in this time.
ASK_AGAIN = timedelta(days=7)
#: A goodbye or a question that could not leave for so long is of no use any more.
NOTICE_CLOSES = timedelta(days=3)
#: A lost link is sent again only after this long, and of no use to who has waited for a day.
LINK_AGAIN = timedelta(minutes=10)
LINK_CLOSES = timedelta(days=1)

#: The number of no letter: a hint at it is as much work as one at another, and brings nothing.
NO_LETTER = 0
#: The number of no subscriber: a letter to it can be written, and must be undone.
NOBODY = 0

Kind = Letter.Kind


def write(subscriber, kind, now, closes_at, to=""):
    """Write a letter, and hint at it once it is committed."""
    letter = office.write(subscriber, kind, now=now, closes_at=closes_at, to=to)
    hint_at(letter.pk)
    return letter


def write_or_pretend(subscriber: Subscriber | None, kind: str, now, closes_at) -> Letter | None:
    """Write a letter, and hint at it once it is committed. Where it would be to nobody, do the same
    work without one, so that the time doesn't tell.
    """
    with transaction.atomic():
        whose = subscriber or Subscriber(pk=NOBODY)
        letter = office.write(whose, kind, now=now, closes_at=closes_at)
        transaction.set_rollback(subscriber is None)
    hint_at(letter.pk if subscriber else NO_LETTER)
    return letter if subscriber else None


def hint_at(number: int) -> None:
    """Tell a worker of the letter with this number, once it is committed."""
    transaction.on_commit(lambda: hint(deliver_letter, number), robust=True)


def write_confirm(subscriber, now, since):
    """Write a confirmation letter, unless there is one of after `since`."""
    letters = subscriber.letters.filter(kind=Kind.CONFIRM, created_at__gt=since)
    if letters.exclude(state=Letter.State.FAILED).exists():
        return None
    closes_at = now + timedelta(days=CONFIRM_DAYS)
    return write(subscriber, Kind.CONFIRM, now, closes_at)


def remind(subscriber, now):
    """Tell one who gets the digest that someone asked for it with her address, or nothing where she
    was told lately.
    """
    return write_confirm(subscriber, now, since=now - REMIND_AGAIN)


def ask(subscriber, now):
    """Write the question whether her address is right, unless she was asked lately."""
    lately = subscriber.letters.filter(kind=Kind.BOUNCED, created_at__gt=now - ASK_AGAIN)
    if not subscriber.may_vouch(now) or lately.exists():
        return None
    return write(subscriber, Kind.BOUNCED, now, closes_at=now + NOTICE_CLOSES)


def send_link(email: str, *, now) -> Letter | None:
    """Send the link to her preferences to who reads, or has read, at this (normalised) address.

    Return the letter that was written, or None where she had one lately or is nobody. All of it
    is the same work.
    """
    with transaction.atomic():
        subscriber = Subscriber.objects.select_for_update().at(email).first()
        lately = Letter.objects.filter(
            subscriber=subscriber, kind=Kind.LINK, created_at__gt=now - LINK_AGAIN
        ).exclude(state=Letter.State.FAILED)
        had_one = lately.exists()
        if subscriber and (had_one or not subscriber.confirmed_at or subscriber.suppressed_at):
            subscriber = None
        return write_or_pretend(subscriber, Kind.LINK, now, closes_at=now + LINK_CLOSES)
