"""Providers that want us slower, and those for which the operator does (fault 26)."""

from datetime import timedelta

import pytest

from subscriptions.delivery import throttling
from subscriptions.delivery.worker.transactions import Transactions
from subscriptions.models import Letter, Provider, Subscriber
from tests.factories.make import NOW
from tests.subscriptions.delivery.worker.thirty_letters import (
    MINUTE,
    deliver,
    digests,
    recipients,
    states,
)

pytestmark = pytest.mark.django_db


def test_a_provider_that_wants_us_slower_is_paced_and_the_others_are_not(server, monkeypatch):
    digests(count=40, domain="gmail.com")
    digests(count=20, domain="example.org")
    taken = []
    takes = [5]

    def limit(stage, whom, conversation):
        if stage == "rcpt" and whom.endswith("@gmail.com"):
            if len(taken) >= takes[0]:
                return b"450 4.7.1 rate limit exceeded, try later\r\n"
            taken.append(whom)

    server.says = limit
    deliver()
    assert len([one for one in recipients(server) if one.endswith("@example.org")]) == 20
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
    assert states() == {"accepted": 60}
    assert max(arrivals) <= 60  # A minute's worth of sixty a minute.
    assert len(arrivals) >= 4
    assert not Subscriber.objects.exclude(suppressed_at=None).exists()
    assert not Letter.objects.exclude(stumbles=0).exists()


def test_a_provider_gets_no_more_than_the_operator_says(server, settings):
    settings.PROVIDER_RATES = {"google": 30.0}
    digests(count=20, domain="gmail.com")
    digests(count=10, domain="example.org")
    deliver()
    assert len([one for one in recipients(server) if one.endswith("@example.org")]) == 10
    assert 1 <= len([one for one in recipients(server) if one.endswith("@gmail.com")]) <= 3
    seconds = 0
    while Letter.objects.open().exists():
        seconds += 5
        deliver(NOW + timedelta(seconds=seconds))
        taken = len([one for one in recipients(server) if one.endswith("@gmail.com")])
        assert taken <= 5 + seconds / 2
        assert seconds < 300
    assert seconds >= 30


def test_providers_are_not_thanked_where_a_claim_counts_them(server, monkeypatch):
    """Both lock them: else two workers would wait for each other in a circle."""
    Provider.objects.create(name="google", pace=3_000, faster_at=NOW, counted_at=NOW)
    digests(count=60, domain="gmail.com")
    order = []

    def watch(owner, name):
        function = getattr(owner, name)

        def watched(*args, **kwargs):
            order.append(name)
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, watched)

    watch(throttling, "allot")
    watch(throttling, "thank")
    watch(Transactions, "claim")
    watch(Transactions, "settle")
    deliver(NOW + MINUTE)
    told = " ".join(order)
    assert "claim allot" in told
    assert "settle thank" in told
    assert "settle allot" not in told
    assert "claim thank" not in told


def test_a_provider_that_complains_is_left_alone_at_once(server):
    """At most what was under way is refused besides, though hundreds wait."""
    digests(count=300, domain="gmail.com")
    refused = []

    def limit(stage, whom, conversation):
        if stage == "rcpt":
            refused.append(whom)
            return b"450 4.7.1 rate limit exceeded, try later\r\n"

    server.says = limit
    deliver()
    assert len(refused) <= 40  # Twice as many as there are lines, twice.
    assert Provider.objects.get().complaints == 1
