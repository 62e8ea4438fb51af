"""What a round lets go of, and what it records, where it is broken off or stopped."""

import time

import pytest

from subscriptions.delivery import worker
from subscriptions.models import Letter, LetterEvent
from tests.factories.make import MINUTE, NOW, SECOND
from tests.subscriptions.delivery.worker import due_digests

pytestmark = pytest.mark.django_db(transaction=True)


def emails_in(state):
    return list(Letter.objects.filter(state=state).values_list("subscriber__email", flat=True))


class Enough(Exception):
    """A fault of ours: an exception, wherever the round is."""


def fail_after(count, server):
    """Return what raises once so many letters were accepted."""

    def is_stopping():
        if len(server.accepted) >= count:
            raise Enough
        return False

    return is_stopping


def test_failed_round_records_its_answers(server, monkeypatch):
    monkeypatch.setattr(worker, "WATCH_SECONDS", 0)
    due_digests.digests(count=60)
    with pytest.raises(Enough):
        due_digests.deliver(NOW + MINUTE, is_stopping=fail_after(10, server))
    assert sorted(emails_in("accepted")) == due_digests.recipients(server)
    assert "transmitting" not in due_digests.states()


def test_internal_error_keeps_claims(server, monkeypatch):
    """One that is claimed may be at fault, and is found by its failed_attempts."""
    monkeypatch.setattr(worker, "WATCH_SECONDS", 0)
    due_digests.digests(count=100)
    with pytest.raises(Enough):
        due_digests.deliver(NOW + MINUTE, is_stopping=fail_after(1, server))
    assert set(due_digests.states()) == {"accepted", "claimed", "planned"}
    assert not Letter.objects.filter(state="planned", attempt=1).exists()


@pytest.mark.slow
def test_letters_behind_a_silent_server_are_released(server, monkeypatch):
    due_digests.digests(count=30)
    monkeypatch.setattr(worker, "MAX_WAIT_SECONDS", 4)
    server.before_dot_reply = lambda recipient: time.sleep(7)
    due_digests.deliver(NOW + MINUTE, seconds=1)
    let_go = LetterEvent.objects.filter(new_state="planned").order_by("at")
    assert {event.note for event in let_go} == {"it waited too long for a connection"}
    assert let_go[0].at < NOW + MINUTE + 6 * SECOND
    assert "claimed" not in due_digests.states()
