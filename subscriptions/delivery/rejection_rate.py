"""Whether digests are let in: how many of the last day were refused or came back, and by whom.

One address that is none costs one letter. A provider that has had enough of us, or a mail server
that no longer passes our letters on, refuses each by itself, and each says a thing of its own
letter: only together they tell that something is wrong with us.
"""

from collections import Counter
from datetime import timedelta

from subscriptions import db
from subscriptions.delivery.throttling import provider_of
from subscriptions.delivery.transports.smtp_replies import without_addresses
from subscriptions.models import Letter, LetterFact

DAY = timedelta(days=1)
#: What is no alarm: so few, or so small a part of all. A list of good addresses loses one in fifty.
FEW, SHARE = 5, 0.05
LOOKED_AT = 500  # So many of them tell who refuses, and why.


def of_the_day(now) -> str:
    """Return how many of the last day's digests nobody took, in sentences; "" where few are.

    Nothing that was sent is counted until enough was refused, since it may be very much.
    """
    first = db.first_since(Letter, "created_at", now - DAY - db.SLACK)
    digests = Letter.objects.filter(
        pk__gte=first, kind=Letter.Kind.DIGEST, created_at__gte=now - DAY
    )
    # Those without a reason are named, so that the index of all others is used.
    refused = digests.filter(state=Letter.State.FAILED).exclude(reason="")
    refused = refused.filter(reason__startswith=f"{Letter.REFUSED}: ")
    bounced = LetterFact.objects.filter(kind=LetterFact.Kind.BOUNCED, noted_at__gte=now - DAY)
    returned = digests.filter(state=Letter.State.ACCEPTED, pk__in=bounced.values("letter"))
    count = refused.count() + returned.count()
    if count < FEW:
        return ""
    total = refused.count() + digests.filter(state=Letter.State.ACCEPTED).count()
    if count < SHARE * total:
        return ""
    provider, said = _most(refused, bounced.filter(letter__in=digests))
    return (
        f"Of the {total:,} digests that left in 24 hours, {count:,} were refused or came back, "
        f"most of them from {provider}: {without_addresses(said).rstrip('.')}."
    )


def _most(refused, bounced) -> tuple[str, str]:
    """Return the provider that takes least, and what it said last."""
    letters = refused.select_related("subscriber").order_by("-pk")[:LOOKED_AT]
    told = [(provider_of(letter.recipient), letter.last_reply) for letter in letters]
    facts = bounced.select_related("letter__subscriber")[:LOOKED_AT]
    told += [(provider_of(fact.letter.recipient), fact.said) for fact in facts]
    provider = Counter(name for name, _ in told).most_common(1)[0][0]
    return provider, next(said for name, said in told if name == provider)
