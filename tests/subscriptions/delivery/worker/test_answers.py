"""What the mail server says of one letter costs that one alone (faults 15 to 20)."""

import time

import pytest

from subscriptions.delivery import circuit_breaker, throttling
from subscriptions.delivery.recovery import sweep
from subscriptions.delivery.worker.transactions import Transactions
from subscriptions.models import Letter, Provider, Subscriber
from tests.factories.make import HOUR, MINUTE, NOW, SECOND
from tests.helpers import data_files
from tests.subscriptions.delivery.steps import before
from tests.subscriptions.delivery.worker import due_digests

pytestmark = pytest.mark.django_db

REPLIES = data_files.load("smtp_replies.toml")["answers"]


def test_reply_about_one_letter_affects_that_letter_alone(server):
    due_digests.digests()
    said = {f"odd@{number}.example": answer[:2] for number, answer in enumerate(REPLIES)}
    letters = [due_digests.digest_to(email) for email in said]

    def says(at, whom, conversation):
        stage, reply = said.get(whom, ("", ""))
        return f"{reply}\r\n".encode() if at == stage else None

    server.says = says
    assert due_digests.deliver()["accepted"] == due_digests.MANY
    assert len(set(due_digests.recipients(server)) - set(said)) == due_digests.MANY
    slowed = {f"odd@{name}" for name in Provider.objects.values_list("name", flat=True)}
    suppressed = set(Subscriber.objects.exclude(suppressed_at=None).values_list("email", flat=True))
    for letter, (stage, reply, state, then) in zip(letters, REPLIES, strict=True):
        letter.refresh_from_db()
        assert (letter.state, letter.stage, letter.attempt) == (state, stage, 1), reply
        assert (letter.failed_attempts, letter.repeats) == (0, 0)
        assert reply in (letter.reason if state == "failed" else letter.last_reply)
        email = letter.subscriber.email
        follows = (email in slowed, email in suppressed)
        assert follows == (then == "slowed", then == "suppressed"), reply
    assert circuit_breaker.current().wait_reason(NOW) == ""


def test_any_reply_to_quit_costs_no_letter(server):
    for how in ("garble", "drop", "silent", "endless", "550"):
        due_digests.digest_to(f"{how}-quit@{how}.example")
    due_digests.digests()
    began = time.monotonic()
    assert due_digests.deliver()["accepted"] == due_digests.MANY + 5
    assert time.monotonic() - began < 3
    sweep.sweep(NOW + HOUR)
    assert due_digests.states() == {"accepted": due_digests.MANY + 5}


# ---- Providers that want us slower, and those for which the operator does (fault 26)


def test_only_the_complaining_provider_is_paced(server):
    due_digests.digests(count=30, domain="gmail.com")
    due_digests.digests(count=4, domain="example.org")
    taken = []
    takes = [5]

    def limit(stage, whom, conversation):
        if stage == "rcpt" and whom.endswith("@gmail.com"):
            if len(taken) >= takes[0]:
                return b"450 4.7.1 rate limit exceeded, try later\r\n"
            taken.append(whom)

    server.says = limit
    due_digests.deliver()
    assert sum(to.endswith("@example.org") for to, _ in server.accepted) == 4
    assert len(taken) == 5
    row = Provider.objects.get()
    assert (row.name, row.complaints) == ("google", 1)
    assert NOW + MINUTE <= row.held_until <= NOW + 1.1 * MINUTE

    offered = sum(line.startswith(b"MAIL") for line in server.heard)
    due_digests.deliver(NOW + 0.5 * MINUTE)  # It is left alone meanwhile.
    assert sum(line.startswith(b"MAIL") for line in server.heard) == offered

    takes[0], arrivals, now = 1_000, [], row.held_until
    while Letter.objects.open().exists():
        before = len(taken)
        due_digests.deliver(now)
        arrivals.append(len(taken) - before)
        now += 5 * SECOND
        assert now < NOW + HOUR
    assert due_digests.states() == {"accepted": 34}
    assert max(arrivals) <= 60  # A minute's worth of sixty a minute.
    assert len(arrivals) >= 3
    assert not Subscriber.objects.exclude(suppressed_at=None).exists()
    assert not Letter.objects.exclude(failed_attempts=0).exists()


def test_successes_are_not_recorded_while_a_claim_counts_providers(server, monkeypatch):
    """Both lock them: else two workers would wait for each other in a circle."""
    Provider.objects.create(name="google", pace=3_000, faster_at=NOW, counted_at=NOW)
    due_digests.digests(count=24, domain="gmail.com")
    order = []
    steps_of = {throttling: ["admit", "record_success"], Transactions: ["claim", "commit_batch"]}
    for owner, names in steps_of.items():
        for name in names:
            before(monkeypatch, owner, name, lambda *_, name=name: order.append(name))
    due_digests.deliver(NOW + MINUTE)
    steps = " ".join(order)
    assert "claim admit" in steps
    assert "commit_batch record_success" in steps
    assert "commit_batch admit" not in steps
    assert "claim record_success" not in steps


def test_complaining_provider_is_left_alone_at_once(server):
    """At most what was under way is refused besides, though a hundred wait."""
    due_digests.digests(count=100, domain="gmail.com")
    refused = []

    def limit(stage, whom, conversation):
        if stage == "rcpt":
            refused.append(whom)
            return b"450 4.7.1 rate limit exceeded, try later\r\n"

    server.says = limit
    due_digests.deliver()
    assert len(refused) <= 40  # Twice as many as there are lines, twice.
    assert Provider.objects.get().complaints == 1
