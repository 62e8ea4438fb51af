"""Where many digests are refused or come back, an alarm says so: each letter says so of itself."""

import pytest

from digest import tasks
from digest.models import Alarm
from digest.operations import alarms, health, rejection_rate
from subscriptions.models import Letter, LetterFact
from tests.factories import make, returned_mail
from tests.factories.make import DAY, MINUTE, NOW

pytestmark = pytest.mark.django_db

BLOCKED = "550 5.7.1 <reader@gmail.com>: blocked"


def digests(count, *, state="accepted", domain="example.org", said="250 ok", kind="digest"):
    """Make digests that ended so, each of a subscriber of its own."""
    fields = {"state": state, "kind": kind, "last_reply": said}
    fields["reason"] = f"refused: {said}" if state == "failed" else ""
    return [
        returned_mail.letter(make.subscriber(f"{Letter.objects.count()}@{domain}"), **fields)
        for _ in range(count)
    ]


def test_rejected_digests_are_reported_by_domain_without_addresses():
    digests(10)
    digests(2, state="failed", domain="example.net", said="550 5.1.1 no such user")
    digests(5, state="failed", domain="gmail.com", said=BLOCKED)
    assert rejection_rate.describe_last_day(NOW) == (
        "7 of 17 digests of the last 24 hours were rejected or bounced, most by "
        "gmail.com: 550 5.7.1 <…>: blocked."
    )


def test_later_bounces_count_as_rejections():
    fact = {"kind": "bounced", "grade": "policy", "reply": "5.7.1 not let in", "noted_at": NOW}
    for letter in digests(5, domain="outlook.com"):
        LetterFact.objects.create(letter=letter, key=letter.pk, **fact)
    assert rejection_rate.describe_last_day(NOW) == (
        "5 of 5 digests of the last 24 hours were rejected or bounced, most by "
        "outlook.com: 5.7.1 not let in."
    )


def test_few_rejections_or_those_of_confirmations_are_no_alarm():
    digests(9, state="failed", kind="confirm")
    digests(4, state="failed")
    assert rejection_rate.describe_last_day(NOW) == ""
    digests(1, state="failed")
    digests(95)
    assert rejection_rate.describe_last_day(NOW) != ""
    digests(1)
    assert rejection_rate.describe_last_day(NOW) == ""


def test_alarm_lasts_a_day_and_is_public_without_names():
    digests(5, state="failed", domain="gmail.com", said=BLOCKED)
    tasks.check_rejections()
    (row,) = Alarm.objects.standing()
    assert row.name == "refused"
    assert "Many emails are rejected." in health.degradations(NOW)
    assert alarms.refused_digests(NOW + DAY - MINUTE)
    assert not alarms.refused_digests(NOW + DAY + MINUTE)
