"""What the mail server says of one letter costs that one alone (faults 15 to 20)."""

import time

import pytest

from subscriptions.delivery import circuit_breaker, sweep
from subscriptions.models import Subscriber
from tests.factories.make import HOUR, NOW
from tests.helpers import data_files
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
    suppressed = set(Subscriber.objects.exclude(suppressed_at=None).values_list("email", flat=True))
    for letter, (stage, reply, state, then) in zip(letters, REPLIES, strict=True):
        letter.refresh_from_db()
        assert (letter.state, letter.stage, letter.attempt) == (state, stage, 1), reply
        assert (letter.failed_attempts, letter.repeats) == (0, 0)
        assert reply in (letter.reason if state == "failed" else letter.last_reply)
        email = letter.subscriber.email
        assert (email in suppressed) == (then == "suppressed"), reply
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
