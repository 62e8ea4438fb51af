"""Reports about letters that were sent, and what follows from them.

Each report is recorded once, in whatever order and however often it arrives. It changes no letter's
state: an accepted letter stays accepted. It may stop further letters to the subscriber.
"""

import contextlib
from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.db import transaction

from subscriptions.actions import signup
from subscriptions.bounces.parse import NoReport, Report
from subscriptions.db import first_id_since
from subscriptions.delivery import message_ids, suppress, verp
from subscriptions.models import Letter, LetterFact, Subscriber
from subscriptions.security import rate_limits, suppression_list

#: The longest time from sending a letter to a report that counts, by kind.
MAX_DELAYS = {LetterFact.Kind.COMPLAINED: timedelta(days=60)}
DEFAULT_MAX_DELAY = timedelta(days=20)
#: How long, and how many, reports of unknown letters are kept.
KEEP_UNMATCHED = timedelta(days=30)
MAX_UNMATCHED = 10_000
#: A letter is written at most so long before and after the day in its Message-ID.
MAX_EARLIER, MAX_LATER = timedelta(days=2), timedelta(days=7)
MAX_CLOCK_SKEW = timedelta(hours=1)
#: The fields that a report and its row share.
SHARED_FIELDS = ("kind", "grade", "status", "reply", "via")
BY_EMAIL = signup.ConsentSource(via="email")
PROVIDERS_LINK = signup.ConsentSource(via="the mail provider's unsubscribe link")

Kind = LetterFact.Kind
UNWANTED = (Kind.COMPLAINED, Kind.UNSUBSCRIBED)


def record(report: Report, now) -> bool:
    """Store a report and act on it, in one transaction. Return whether it is new.

    Raises NoReport if it cannot be about a letter of this installation.
    """
    with transaction.atomic():
        letter = _letter_of(report, now)
        left_at = letter.left_at if letter and letter.left_at else now - KEEP_UNMATCHED
        # A believable moment: after the letter was sent, and not in the future.
        is_plausible = report.at and left_at - MAX_CLOCK_SKEW <= report.at <= now + MAX_CLOCK_SKEW
        fields = {name: getattr(report, name) for name in SHARED_FIELDS}
        fields |= {"letter": letter, "message_id": "" if letter else report.message_id}
        fields |= {"at": report.at if is_plausible else None, "noted_at": now}
        fact, is_new = LetterFact.objects.get_or_create(key=report.key, defaults=fields)
        if is_new and letter is not None:
            _act_on(fact, letter, now)
    return is_new


def unsubscribe(addresses: Sequence[str], now) -> bool:
    """Unsubscribe the owner of the first unsubscribe address. Return whether there is one.

    Raises NoReport beyond the limit of a day, and Django's database errors.
    """
    owners = (verp.subscriber_of(address) for address in addresses)
    if (subscriber := next(filter(None, owners), None)) is None:
        return False
    max_hits = settings.LIMITS["mailbox"]
    limit = rate_limits.Limit("subscriber", str(subscriber.pk), max_hits, rate_limits.DAY)
    # In one transaction: a request that has to wait for a locked row is not counted.
    with contextlib.suppress(Subscriber.DoesNotExist), transaction.atomic():  # Erased concurrently.
        try:
            if subscriber.unsubscribed_at is None:
                rate_limits.hit("unsubscribe by email", [limit], now)
        except rate_limits.TooManyAttempts as refusal:
            raise refusal.__cause__ or NoReport("too many requests to unsubscribe") from None
        signup.unsubscribe(subscriber.public_id, source=BY_EMAIL, now=now)
    return True


def match_unmatched(now) -> None:
    """Look for the letters of reports that came before them.

    A report whose subscriber is locked is left to the next time: many such waits would take longer
    than there is time.
    """
    unmatched = LetterFact.objects.filter(letter=None)
    unmatched.filter(noted_at__lt=now - KEEP_UNMATCHED).delete()
    for fact in unmatched.order_by("pk"):
        with transaction.atomic():
            letter = letter_by_message_id(fact.message_id)
            if letter is None or not _lock_if_free(letter.subscriber_id):
                continue
            # Of two processes, the one that changes the row acts on it.
            if not unmatched.filter(pk=fact.pk).update(letter=letter, message_id=""):
                continue
            fact.letter = letter
            _act_on(fact, letter, now)


def _lock_if_free(subscriber_id) -> bool:
    """Lock a subscriber and their letters that may be cancelled. Return whether all were free."""
    unlocked = Subscriber.objects.select_for_update(skip_locked=True).filter(pk=subscriber_id)
    if unlocked.first() is None:
        return False
    letters = Letter.objects.filter(subscriber=subscriber_id, state__in=Letter.UNSENT)
    free_letters = letters.select_for_update(skip_locked=True, no_key=True)
    return len(free_letters) == letters.count()


def letter_by_message_id(message_id: str) -> Letter | None:
    """Return the letter with this Message-ID.

    Ids grow with age, so the day in the name says which to search: an index on names would cost at
    each step of each letter.
    """
    if (day := message_ids.day_of(message_id)) is None:
        return None
    first_id = first_id_since(Letter, "created_at", day - MAX_EARLIER)
    end_id = first_id_since(Letter, "created_at", day + MAX_LATER)
    return Letter.objects.filter(pk__gte=first_id, pk__lt=end_id, message_id=message_id).first()


def _letter_of(report, now) -> Letter | None:
    """Return the letter of a report, or None if it is ours and not known (yet). Raises NoReport.

    The address that it came back to is proof, and a wrong one voids the report. Without any, the
    Message-ID is proof: only those who saw the letter know it.
    """
    letter = None
    if report.letter_id is not None:
        letter = Letter.objects.filter(pk=report.letter_id).first()
    else:
        letter_ids = [verp.letter_id_of(address, now) for address in report.addresses]
        if letter_ids := [letter_id for letter_id in letter_ids if letter_id is not None]:
            letter = Letter.objects.filter(pk=letter_ids[0]).first()
        elif any(verp.is_verp_address(address) for address in report.addresses):
            raise NoReport("forged or old address")
    is_ours = message_ids.is_ours(report.message_id)
    if is_ours and (letter is None or letter.message_id != report.message_id):
        # After a restored backup, the number may be another letter's.
        letter = letter_by_message_id(report.message_id)
    elif letter is None:
        raise NoReport("about an email that is not ours")
    if letter is None and LetterFact.objects.filter(letter=None).count() >= MAX_UNMATCHED:
        raise NoReport("too many reports of unknown emails")
    if letter is not None:
        max_delay = MAX_DELAYS.get(report.kind, DEFAULT_MAX_DELAY)
        if now - (letter.left_at or letter.created_at) > max_delay:
            raise NoReport("about an old email")
    return letter


def _act_on(fact, letter, now):
    """Suppress or unsubscribe whoever a report is about, if it calls for that."""
    recipient = Subscriber.objects.filter(pk=letter.subscriber_id, email=letter.to)
    if letter.to and not recipient.exists():  # It says nothing about the subscriber's own address.
        if fact.kind in UNWANTED and letter.to != Letter.FORGOTTEN_ADDRESS:
            suppression_list.add(letter.to, suppression_list.Reason.COMPLAINED, now)
        return
    reply = fact.reply if fact.status in fact.reply else f"{fact.status} {fact.reply}".strip()
    match fact.kind:
        case Kind.BOUNCED if fact.grade == LetterFact.Grade.HARD:
            suppress.after_hard_bounce(letter, reply, now)
        case Kind.BOUNCED:
            suppress.after_soft_bounce(letter.subscriber_id, reply, now)
        case Kind.COMPLAINED:
            left_at = None if letter.to else letter.left_at  # With `to`, it is their address now.
            suppress.after_complaint(letter.subscriber_id, reply, now, left_at=left_at)
        case Kind.UNSUBSCRIBED:
            with contextlib.suppress(Subscriber.DoesNotExist):  # Erased concurrently.
                signup.unsubscribe(letter.subscriber.public_id, source=PROVIDERS_LINK, now=now)
