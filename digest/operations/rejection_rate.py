"""Whether digests are accepted: how many of the last day were refused or bounced, and by whom.

A wrong address costs one letter. A provider that blocks us, or a mail server that no longer relays
our letters, refuses every letter with a reply about that letter. Only the rate shows the problem.
"""

from collections import Counter
from datetime import timedelta

from subscriptions import db
from subscriptions.delivery.transports.smtp_replies import without_addresses
from subscriptions.models import Letter, LetterFact

DAY = timedelta(days=1)
#: Below either, there is no alarm: a list of good addresses loses one in fifty.
MIN_REJECTED, MIN_SHARE = 5, 0.05
SAMPLE_SIZE = 500  # Rejections that are read to find the main domain.


def describe_last_day(now) -> str:
    """Return a sentence about the last day's rejected digests, or "" if they are few.

    Accepted digests are only counted if enough were rejected, since there may be very many.
    """
    first_id = db.first_id_since(Letter, "created_at", now - DAY - db.SLACK)
    digests = Letter.objects.filter(Letter.EMAILS, kind=Letter.Kind.DIGEST)
    digests = digests.filter(pk__gte=first_id, created_at__gte=now - DAY)
    # Excludes an empty reason, so that the partial index is used.
    refused_digests = digests.filter(state=Letter.State.FAILED).exclude(reason="")
    refused_digests = refused_digests.filter(reason__startswith=f"{Letter.REFUSED}: ")
    bounces = LetterFact.objects.filter(kind=LetterFact.Kind.BOUNCED, noted_at__gte=now - DAY)
    bounced_digests = digests.filter(state=Letter.State.ACCEPTED, pk__in=bounces.values("letter"))
    count = refused_digests.count() + bounced_digests.count()
    if count < MIN_REJECTED:
        return ""
    total = refused_digests.count() + digests.filter(state=Letter.State.ACCEPTED).count()
    if count < MIN_SHARE * total:
        return ""
    # The domain that rejects most, and its latest reply.
    letters = refused_digests.select_related("subscriber").order_by("-pk")[:SAMPLE_SIZE]
    replies = [(_domain(letter.recipient), letter.last_reply) for letter in letters]
    reports = bounces.filter(letter__in=digests).select_related("letter__subscriber")[:SAMPLE_SIZE]
    replies += [(_domain(report.letter.recipient), report.reply) for report in reports]
    domain = Counter(name for name, _ in replies).most_common(1)[0][0]
    reply = next(reply for name, reply in replies if name == domain)
    return (
        f"{count:,} of {total:,} digests of the last 24 hours were rejected or bounced, most by "
        f"{domain}: {without_addresses(reply).rstrip('.')}."
    )


def _domain(address):
    return address.rpartition("@")[2].lower()
