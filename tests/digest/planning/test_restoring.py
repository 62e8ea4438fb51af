"""After a restored backup: the days since then count as sent, and nothing comes twice."""

import pytest
from django.core.management import CommandError, call_command

from digest.planning import plan, restoring
from subscriptions.delivery import circuit_breaker, queue, status, worker
from subscriptions.models import Letter, Subscriber
from tests.factories import make
from tests.factories.make import DAY, HOUR, MINUTE, NOW, TODAY
from tests.helpers.invariants import broken

pytestmark = pytest.mark.django_db

SINCE = NOW - 2 * DAY


@pytest.fixture
def restored():
    """A backup of two days ago is put back, in which an email waits, and sending is stopped."""
    subscriber = make.subscriber(interests="graphs", next_due_at=SINCE + HOUR, now=SINCE - 9 * DAY)
    other = make.subscriber(confirmed=False)
    queue.create(other, "confirm", now=SINCE, closes_at=NOW + DAY)
    for age in range(3):
        make.paper(f"Graphs {age}", day=TODAY - age * DAY, came_in_at=NOW)  # Harvested again.
    circuit_breaker.stop("Ada", NOW)
    return subscriber


def test_lost_days_and_waiting_emails_count_as_sent(restored, outbox, capsys, clock):
    call_command("sending", "skip", since=SINCE)
    assert "3 digests that came due since, and 1 waiting email" in capsys.readouterr().out
    circuit_breaker.resume("Ada", NOW)
    plan.plan(NOW + MINUTE)
    worker.deliver_due(lambda: NOW + MINUTE)
    assert outbox() == []
    states = Letter.objects.values_list("state", "reason")
    assert set(states) == {("accepted", Letter.COUNTED_AS_SENT)}
    assert [letter.day for letter in restored.letters.order_by("day")] == [
        TODAY - 2 * DAY,
        TODAY - DAY,
        TODAY,
    ]
    assert "nobody knows whether it was sent" in status.describe(restored.letters.first(), NOW)
    assert broken(NOW + MINUTE) == {}


def test_emails_created_after_the_stop_are_sent(restored, outbox):
    queue.create(restored, "link", now=NOW + MINUTE, closes_at=NOW + DAY)
    restoring.skip(SINCE, NOW + 2 * MINUTE)
    circuit_breaker.resume("Ada", NOW)
    worker.deliver_due(lambda: NOW + 2 * MINUTE)
    assert [mail["To"] for mail in outbox()] == [Subscriber.objects.get(pk=restored.pk).email]


def test_skip_is_refused_unless_sending_is_stopped(restored):
    for since in (None, NOW + DAY):
        with pytest.raises(CommandError):
            call_command("sending", "skip", since=since)
    circuit_breaker.resume("Ada", NOW)
    with pytest.raises(restoring.Refused, match="sending stop"):
        restoring.skip(SINCE, NOW)
