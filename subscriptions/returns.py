"""What comes back: facts about letters that left, and what follows from them.

A fact is recorded once, however often it is told, and in whatever order. It changes no letter's
state: an accepted letter stays accepted. What it may change is whether its reader is written to.
"""

from contextlib import suppress
from datetime import timedelta

from django.db import transaction

from subscriptions import seals, signup
from subscriptions.models import Letter, LetterFact, Subscriber
from subscriptions.post import message_ids, rows, suppression, verp
from subscriptions.post.reports import NoReport, Report
from subscriptions.post.retention import first_since

#: So long after a letter left, what is told of it counts.
COUNTS_FOR = {LetterFact.Kind.COMPLAINED: timedelta(days=60)}
COUNTS_FOR_ELSE = timedelta(days=20)
#: What tells of unknown letters is kept so long, and no more of it than so many.
KEEP_UNMATCHED = timedelta(days=30)
MOST_UNMATCHED = 10_000
#: A letter is written so long before and after the day in its Message-ID at most.
BEFORE, AFTER = timedelta(days=2), timedelta(days=7)
CLOCKS_DIFFER = timedelta(hours=1)
PROVIDERS_LINK = signup.Door(via="the mail provider's unsubscribe link")

Kind = LetterFact.Kind
UNWANTED = (Kind.COMPLAINED, Kind.UNSUBSCRIBED)


def record(report: Report, now) -> bool:
    """Write down what is told of a letter, and act on it. Return whether it was new.

    One transaction. Raises NoReport where it can't be of a letter of ours.
    """
    with transaction.atomic():
        letter = _letter(report, now)
        fact, is_new = LetterFact.objects.get_or_create(
            key=report.name, defaults=_fields(report, letter, now)
        )
        if is_new and letter is not None:
            _act_on(fact, letter, now)
    return is_new


def match_again(now) -> int:
    """Look for the letters of what came before them. Return how many facts found theirs.

    A fact whose reader's row somebody holds is left to the next time, not waited for: many would
    wait longer together than there is time.
    """
    _unmatched().filter(noted_at__lt=now - KEEP_UNMATCHED).delete()
    return sum(_match(fact, now) for fact in _unmatched().order_by("pk"))


def _match(fact, now) -> bool:
    with transaction.atomic():
        letter = named(fact.message_id)
        if letter is None or not _lock_if_free(letter.subscriber_id):
            return False
        row = _unmatched().filter(pk=fact.pk)
        # Two may be at it: the one who changes the row acts on it.
        if not row.update(letter=letter, message_id=""):
            return False
        fact.letter = letter
        _act_on(fact, letter, now)
    return True


def _lock_if_free(subscriber_id) -> bool:
    """Lock a reader's row, and those of her letters that may be called off. Return whether nobody
    else holds one.
    """
    hers = Subscriber.objects.select_for_update(skip_locked=True).filter(pk=subscriber_id)
    if hers.first() is None:
        return False
    letters = Letter.objects.filter(subscriber=subscriber_id, state__in=Letter.NOT_LEFT)
    ids = list(letters.values_list("pk", flat=True))
    return not rows.held(ids)


def _unmatched():
    return LetterFact.objects.filter(letter=None)


# ---- Whose letter it is


def _letter(report, now) -> Letter | None:
    """Return the letter that is told of; None where it is one of ours that isn't known (yet).

    The address that it came back to is proof. A wrong one voids the whole report: whoever forged
    it may have forged the rest. Without any, the Message-ID is, which only those know who have seen
    the letter. Raises NoReport.
    """
    letter = _addressed(report, now)
    is_ours = message_ids.is_ours(report.message_id)
    if is_ours and (letter is None or letter.message_id != report.message_id):
        letter = named(report.message_id)  # After a restored backup, its number is another's.
    elif letter is None:
        raise NoReport("foreign")
    if letter is None and _unmatched().count() >= MOST_UNMATCHED:
        raise NoReport("too-many")
    if letter is not None:
        counts_for = COUNTS_FOR.get(report.kind, COUNTS_FOR_ELSE)
        if now - (letter.left_at or letter.created_at) > counts_for:
            raise NoReport("forged")
    return letter


def _addressed(report, now) -> Letter | None:
    if report.letter_id is not None:
        return Letter.objects.filter(pk=report.letter_id).first()
    ids = [verp.letter_of(address, now) for address in report.addresses]
    if ids := [one for one in ids if one is not None]:
        return Letter.objects.filter(pk=ids[0]).first()
    if any(verp.names_a_letter(address) for address in report.addresses):
        raise NoReport("forged")
    return None


def named(message_id) -> Letter | None:
    """Return the letter of this name. Letters are numbered by age, so the day tells where to look:
    an index on names would cost at each step of each letter.
    """
    moment = message_ids.moment_of(message_id)
    first = first_since(Letter, "created_at", moment - BEFORE)
    last = first_since(Letter, "created_at", moment + AFTER)
    found = Letter.objects.filter(pk__gte=first, pk__lt=last, message_id=message_id)
    return found.first()


# ---- What is written, and what follows


def _fields(report, letter, now):
    left_at = letter.left_at if letter and letter.left_at else now - KEEP_UNMATCHED
    # The moment that is told can be: after the letter left, and not to come.
    is_possible = report.at and left_at - CLOCKS_DIFFER <= report.at <= now + CLOCKS_DIFFER
    return {
        "letter": letter,
        "kind": report.kind,
        "grade": report.grade,
        "status": report.status,
        "said": report.said,
        "at": report.at if is_possible else None,
        "noted_at": now,
        "via": report.via,
        "message_id": "" if letter else report.message_id,
    }


def _act_on(fact, letter, now):
    moved = Subscriber.objects.filter(pk=letter.subscriber_id, email=letter.to)
    if letter.to and not moved.exists():  # Of her own address, it says nothing.
        if fact.kind in UNWANTED and letter.to != Letter.ELSEWHERE:
            seals.keep(letter.to, seals.Why.COMPLAINED, now)
        return
    match fact.kind:
        case Kind.BOUNCED if fact.grade == LetterFact.Grade.HARD:
            suppression.after_hard_bounce(letter, _told(fact), now)
        case Kind.BOUNCED:
            suppression.after_soft_bounce(letter.subscriber_id, _told(fact), now)
        case Kind.COMPLAINED:
            left_at = None if letter.to else letter.left_at  # It went to where she is now.
            suppression.after_complaint(letter.subscriber_id, _told(fact), now, left_at=left_at)
        case Kind.UNSUBSCRIBED:
            with suppress(Subscriber.DoesNotExist):  # Erased in this very moment.
                signup.unsubscribe(letter.subscriber.public_id, door=PROVIDERS_LINK, now=now)


def _told(fact):
    return fact.said if fact.status in fact.said else f"{fact.status} {fact.said}".strip()
