"""What the mail server says of one letter costs that one alone (faults 15 to 20)."""

import time
from datetime import timedelta

import pytest

from subscriptions.delivery import circuit_breaker
from subscriptions.delivery.recovery import sweep
from subscriptions.models import Provider, Subscriber
from tests.factories.make import NOW
from tests.subscriptions.delivery.worker.due_digests import (
    MANY,
    deliver,
    digest_to,
    digests,
    recipients,
    states,
)

pytestmark = pytest.mark.django_db

#: Stage, reply, the letter's state then, and what else follows.
REPLIES = [
    ("rcpt", "421 come back later", "planned", "slowed"),
    ("data", "421 4.3.2 shutting down", "planned", "slowed"),
    ("dot", "450 4.7.28 unusual rate of mail", "planned", "slowed"),
    ("rcpt", "450 4.2.1 mailbox busy", "planned", ""),
    ("rcpt", "451 4.7.1 greylisted, come back later", "planned", ""),
    ("data", "451 4.3.0 not now", "planned", ""),
    ("dot", "452 4.3.1 disk full", "planned", ""),
    ("rcpt", "550 5.1.1 no such user", "failed", "suppressed"),
    ("dot", "550 5.1.1 no such user", "failed", "suppressed"),
    ("rcpt", "552 5.2.2 mailbox full", "failed", ""),
    ("data", "554 5.3.0 no", "failed", ""),
    ("dot", "554 5.7.1 looks like spam", "failed", ""),
]


def test_a_reply_about_one_letter_affects_that_letter_alone(server):
    digests()
    said = {
        f"odd@{number}.example": (stage, reply) for number, (stage, reply, *_) in enumerate(REPLIES)
    }
    letters = [digest_to(email) for email in said]

    def says(at, whom, conversation):
        stage, reply = said.get(whom, ("", ""))
        return f"{reply}\r\n".encode() if at == stage else None

    server.says = says
    assert deliver()["accepted"] == len(set(recipients(server)) - set(said)) == MANY
    slowed = {f"odd@{name}" for name in Provider.objects.values_list("name", flat=True)}
    suppressed = set(Subscriber.objects.exclude(suppressed_at=None).values_list("email", flat=True))
    for letter, (stage, reply, state, then) in zip(letters, REPLIES, strict=True):
        letter.refresh_from_db()
        assert (letter.state, letter.stage, letter.attempt) == (state, stage, 1), reply
        assert (letter.stumbles, letter.repeats) == (0, 0)
        assert reply in (letter.reason if state == "failed" else letter.last_reply)
        email = letter.subscriber.email
        follows = (email in slowed, email in suppressed)
        assert follows == (then == "slowed", then == "suppressed"), reply
    assert circuit_breaker.current().blocked_reason(NOW) == ""


def test_nonsense_and_silence_leave_doubt_only_after_the_dot(server):
    digests()
    stages = ("rcpt", "data", "dot")
    odd = [f"{how}-{stage}" for how in ("drop", "reset", "garble", "204") for stage in stages]
    odd.append("drop-body")
    letters = {name: digest_to(f"{name}@elsewhere.example") for name in odd}
    assert deliver()["accepted"] == MANY
    for name, letter in letters.items():
        letter.refresh_from_db()
        state = "uncertain" if name.endswith("-dot") else "planned"
        assert (letter.state, letter.attempt, letter.stumbles) == (state, 1, 0), name
        assert letter.stage == name.partition("-")[2]
    assert not Subscriber.objects.exclude(suppressed_at=None).exists()
    assert circuit_breaker.current().blocked_reason(NOW) == ""


def test_whatever_is_said_to_quit_costs_no_letter(server):
    for how in ("garble", "drop", "silent", "endless", "550"):
        digest_to(f"{how}-quit@{how}.example")
    digests()
    began = time.monotonic()
    assert deliver()["accepted"] == MANY + 5
    assert time.monotonic() - began < 3
    sweep.sweep(NOW + timedelta(hours=1))
    assert states() == {"accepted": MANY + 5}
