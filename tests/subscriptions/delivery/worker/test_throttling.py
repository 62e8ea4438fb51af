"""Providers that want us slower, and those for which the operator does (fault 26)."""

from datetime import timedelta

import pytest

from subscriptions.delivery import throttling
from subscriptions.delivery.worker.transactions import Transactions
from subscriptions.models import Letter, Provider, Subscriber
from tests.factories.make import NOW
from tests.subscriptions.delivery.worker.due_digests import (
    MINUTE,
    deliver,
    digests,
    recipients,
    states,
)

pytestmark = pytest.mark.django_db


def recipients_at(server, domain):
    return sum(one.endswith(f"@{domain}") for one in recipients(server))


def test_a_provider_that_wants_us_slower_is_paced_and_the_others_are_not(server):
    digests(count=30, domain="gmail.com")
    digests(count=4, domain="example.org")
    taken = []
    takes = [5]

    def limit(stage, whom, conversation):
        if stage == "rcpt" and whom.endswith("@gmail.com"):
            if len(taken) >= takes[0]:
                return b"450 4.7.1 rate limit exceeded, try later\r\n"
            taken.append(whom)

    server.says = limit
    deliver()
    assert recipients_at(server, "example.org") == 4
    assert len(taken) == 5
    row = Provider.objects.get()
    assert (row.name, row.complaints) == ("google", 1)
    assert NOW + MINUTE <= row.held_until <= NOW + 1.1 * MINUTE

    offered = sum(line.startswith(b"MAIL") for line in server.heard)
    deliver(NOW + 0.5 * MINUTE)  # It is left alone meanwhile.
    assert sum(line.startswith(b"MAIL") for line in server.heard) == offered

    takes[0], arrivals, now = 1_000, [], row.held_until
    while Letter.objects.open().exists():
        before = len(taken)
        deliver(now)
        arrivals.append(len(taken) - before)
        now += timedelta(seconds=5)
        assert now < NOW + timedelta(hours=1)
    assert states() == {"accepted": 34}
    assert max(arrivals) <= 60  # A minute's worth of sixty a minute.
    assert len(arrivals) >= 3
    assert not Subscriber.objects.exclude(suppressed_at=None).exists()
    assert not Letter.objects.exclude(stumbles=0).exists()


def test_successes_are_not_recorded_where_a_claim_counts_providers(server, monkeypatch):
    """Both lock them: else two workers would wait for each other in a circle."""
    Provider.objects.create(name="google", pace=3_000, faster_at=NOW, counted_at=NOW)
    digests(count=24, domain="gmail.com")
    order = []

    def watch(owner, name):
        function = getattr(owner, name)

        def watched(*args, **kwargs):
            order.append(name)
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, watched)

    watch(throttling, "admit")
    watch(throttling, "record_success")
    watch(Transactions, "claim")
    watch(Transactions, "commit_batch")
    deliver(NOW + MINUTE)
    told = " ".join(order)
    assert "claim admit" in told
    assert "commit_batch record_success" in told
    assert "commit_batch admit" not in told
    assert "claim record_success" not in told


def test_a_provider_that_complains_is_left_alone_at_once(server):
    """At most what was under way is refused besides, though a hundred wait."""
    digests(count=100, domain="gmail.com")
    refused = []

    def limit(stage, whom, conversation):
        if stage == "rcpt":
            refused.append(whom)
            return b"450 4.7.1 rate limit exceeded, try later\r\n"

    server.says = limit
    deliver()
    assert len(refused) <= 40  # Twice as many as there are lines, twice.
    assert Provider.objects.get().complaints == 1
