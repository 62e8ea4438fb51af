"""Messages come in, letters come back day after day, and what is known of it then."""

from subscriptions.bounces import inbound
from tests.factories import returned_mail
from tests.factories.make import DAY, HOUR, NOW
from tests.factories.returned_mail import address_of, group, report


def receive(mime, now=NOW + HOUR, to=()):
    return inbound.receive(mime, now, to)


def state_of(subscriber):
    subscriber.refresh_from_db()
    return subscriber.suppressed_by or "written to"


def letters_of_days(subscriber, count, now=NOW):
    days = range(count - 1, -1, -1)
    return [returned_mail.letter(subscriber, left_at=now - days_ago * DAY) for days_ago in days]


def bounce_softly(letters, status="4.2.2"):
    for one in letters:
        receive(report(address_of(one), group(status=status)), now=NOW + HOUR)
