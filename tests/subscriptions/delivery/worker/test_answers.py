"""What the mail server says of one letter among thirty costs that one alone (faults 15 to 20)."""

import time
from datetime import timedelta

import pytest

from subscriptions.delivery import circuit_breaker
from subscriptions.delivery.recovery import sweep
from subscriptions.models import Provider, Subscriber
from tests.factories.make import NOW
from tests.subscriptions.delivery.worker.thirty_letters import (
    MANY,
    ODD,
    deliver,
    digest_to,
    digests,
    recipients,
    states,
    to_one,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("stage", "reply", "state", "is_suppressed", "is_slowed"),
    [
        ("rcpt", b"421 come back later", "planned", False, True),
        ("data", b"421 4.3.2 shutting down", "planned", False, True),
        ("dot", b"421 4.3.2 shutting down", "planned", False, True),
        ("rcpt", b"450 4.2.1 mailbox busy", "planned", False, False),
        ("rcpt", b"451 4.7.1 greylisted, come back later", "planned", False, False),
        ("rcpt", b"452 4.2.2 mailbox full", "planned", False, False),
        ("rcpt", b"450 4.7.1 rate limit exceeded", "planned", False, True),
        ("data", b"451 4.3.0 not now", "planned", False, False),
        ("dot", b"451 4.3.0 not now", "planned", False, False),
        ("dot", b"452 4.3.1 disk full", "planned", False, False),
        ("dot", b"450 4.7.28 unusual rate of mail", "planned", False, True),
        ("rcpt", b"550 5.1.1 no such user", "failed", True, False),
        ("rcpt", b"550 5.2.1 mailbox disabled", "failed", True, False),
        ("dot", b"550 5.1.1 no such user", "failed", True, False),
        ("rcpt", b"552 5.2.2 mailbox full", "failed", False, False),
        ("rcpt", b"550 no", "failed", False, False),
        ("rcpt", b"550 5.7.1 not from you", "failed", False, False),
        ("data", b"554 5.3.0 no", "failed", False, False),
        ("dot", b"554 5.7.1 looks like spam", "failed", False, False),
    ],
)
def test_what_is_said_of_one_letter_costs_that_one_alone(
    server, stage, reply, state, is_suppressed, is_slowed
):
    letter = digests(ODD)
    server.says = to_one(ODD, stage, reply + b"\r\n")

    counts = deliver()

    assert counts["accepted"] == len(set(recipients(server)) - {ODD}) == MANY
    letter.refresh_from_db()
    assert (letter.state, letter.stage, letter.attempt) == (state, stage, 1)
    assert (letter.stumbles, letter.repeats) == (0, 0)
    assert reply.decode() in (letter.reason if state == "failed" else letter.last_reply)
    suppressed = Subscriber.objects.exclude(suppressed_at=None)
    assert [reader.email for reader in suppressed] == [ODD] * is_suppressed
    assert [row.name for row in Provider.objects.all()] == ["elsewhere.example"] * is_slowed
    assert circuit_breaker.current().why_not(NOW) == ""


@pytest.mark.parametrize(
    "how", ["drop", "reset", "204", "garble", "999", "2x0", "nothing", "long", "lines", "binary"]
)
@pytest.mark.parametrize("stage", ["rcpt", "data", "dot"])
def test_nonsense_and_silence_cost_one_letter_a_try_and_leave_doubt_only_after_its_dot(
    server, stage, how
):
    said = {
        "999": b"999 what\r\n",
        "2x0": b"2x0 what\r\n",
        "nothing": b"\r\n",
        "long": b"250 " + b"x" * 10_000 + b"\r\n",
        "lines": b"250-and\r\n" * 1_000 + b"250 done\r\n",
        "binary": b"\x00\xff\x16\x03\r\n",
    }
    odd = ODD if how in said else f"{how}-{stage}@elsewhere.example"
    letter = digests(odd)
    if how in said:
        server.says = to_one(odd, stage, said[how])

    counts = deliver()

    assert counts["accepted"] == MANY
    letter.refresh_from_db()
    assert letter.state == ("uncertain" if stage == "dot" else "planned")
    assert (letter.attempt, letter.stumbles, letter.stage) == (1, 0, stage)
    assert not Subscriber.objects.exclude(suppressed_at=None).exists()
    assert circuit_breaker.current().why_not(NOW) == ""


def test_a_server_that_hangs_up_amid_the_body_is_offered_that_letter_later(server):
    letter = digests("drop-body@elsewhere.example")
    assert deliver()["accepted"] == MANY
    letter.refresh_from_db()
    assert (letter.state, letter.attempt) == ("planned", 1)


@pytest.mark.parametrize("how", ["garble", "drop", "silent", "endless", "550"])
def test_whatever_is_said_to_quit_costs_no_letter(server, how):
    digests(domain="example.org")
    for number in range(10):
        digest_to(f"{how}-quit@{number}.example")
    began = time.monotonic()
    assert deliver()["accepted"] == MANY + 10
    assert time.monotonic() - began < 3
    sweep.sweep(NOW + timedelta(hours=1))
    assert states() == {"accepted": MANY + 10}
