"""What a round lets go of, and what it records, where it is broken off or stopped."""

import os
import signal
import threading
import time

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from subscriptions import hooks, tasks
from subscriptions.delivery import clock, transitions, worker
from subscriptions.delivery.transactions import Transactions
from subscriptions.delivery.worker import Round
from subscriptions.models import Letter, LetterEvent
from tests.factories import make
from tests.factories.make import MINUTE, NOW, SECOND
from tests.subscriptions.delivery.steps import before
from tests.subscriptions.delivery.worker import due_digests
from tests.subscriptions.delivery.worker.held_locks import HOLD, another_session, on_postgresql

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


def end_time(*_):
    """Let the soft time limit come, as Celery tells of it."""
    os.kill(os.getpid(), signal.SIGUSR1)


def deliver_in_time():
    with pytest.raises(SoftTimeLimitExceeded), tasks.raise_at_time_limit():
        due_digests.deliver(NOW + MINUTE)


@pytest.fixture
def when_written(monkeypatch):
    """Call what this holds for an address as the letter to it is composed, which is late."""
    instead = {}

    def compose(letters, now):
        for letter in letters:
            try:
                instead.get(letter.subscriber.email, id)(letter)
                yield make.content()
            except Exception as error:
                yield error

    monkeypatch.setitem(hooks.composers, "digest", compose)
    return instead


def test_time_limit_while_rendering_costs_nothing(server, when_written):
    when_written[due_digests.ODD] = end_time
    due_digests.digests(odd=due_digests.ODD, count=30)
    deliver_in_time()
    assert set(due_digests.states()) <= {"accepted", "planned", "transmitting"}
    assert set(Letter.objects.values_list("failed_attempts", flat=True)) == {0}
    assert len(server.accepted) < 30
    when_written.clear()
    due_digests.deliver(NOW + 2 * MINUTE)
    assert Letter.objects.get(subscriber__email=due_digests.ODD).state == "accepted"
    assert len(set(due_digests.recipients(server))) == len(due_digests.recipients(server))


def test_endless_letter_is_blamed_for_the_time_limit(server, when_written, monkeypatch):
    monkeypatch.setattr(worker, "MAX_RENDER_SECONDS", 0.05)
    monkeypatch.setattr(hooks, "COMPOSE_BATCH_SIZE", 5)  # Of those that are claimed with it.
    when_written[due_digests.ODD] = lambda letter: time.sleep(0.1) or end_time()
    due_digests.digest_to(due_digests.ODD)
    due_digests.digests(count=30)
    deliver_in_time()
    claimed = emails_in("claimed")
    assert due_digests.ODD in claimed
    assert len(claimed) == hooks.COMPOSE_BATCH_SIZE


def test_time_limit_while_recording_loses_nothing(server, monkeypatch):
    server.says = due_digests.to_one(due_digests.ODD, "rcpt", due_digests.LATER)
    seen = []

    def interrupt(letter, *_):
        seen.append(letter.pk)
        if len(seen) == 1:
            end_time()

    before(monkeypatch, transitions, "put_back", interrupt)
    due_digests.digests(odd=due_digests.ODD, count=30)
    deliver_in_time()
    odd = Letter.objects.get(subscriber__email=due_digests.ODD)
    assert (set(seen), odd.state, odd.failed_attempts) == ({odd.pk}, "planned", 0)
    assert odd.last_reply.startswith("450 4.2.0")


def test_time_limit_leaves_no_accepted_letter_open(server, monkeypatch):
    last = []

    def interrupt(*_):
        if due_digests.ODD in [one.message.recipient for one in last[-1]]:
            end_time()

    before(monkeypatch, Transactions, "commit_batch", lambda *batch, **_: last.append(batch[1]))
    before(monkeypatch, transitions, "accept", interrupt)
    due_digests.digests(odd=due_digests.ODD, count=30)
    deliver_in_time()
    odd = Letter.objects.get(subscriber__email=due_digests.ODD)
    assert (odd.state, odd.failed_attempts) == ("accepted", 0)


@pytest.mark.parametrize("stage", ["rendered", "at the check"])
def test_time_limit_releases_letters_without_a_dot(server, monkeypatch, stage):
    monkeypatch.setattr(worker, "WATCH_SECONDS", 0)

    def is_stopping():
        if round_.check_queue if stage == "at the check" else round_.todo.qsize():
            end_time()
        return False

    due_digests.digests(count=30)
    round_ = Round(clock.running_from(NOW + MINUTE), is_stopping=is_stopping)
    with pytest.raises(SoftTimeLimitExceeded), tasks.raise_at_time_limit():
        round_.run()
    assert not {"claimed", "transmitting"} & {*due_digests.states()}


@pytest.mark.slow
@on_postgresql
def test_row_locked_at_the_time_limit_delays_no_other(server, when_written):
    def hold_and_end_time(letter):
        held.append(another_session())
        held[0].execute(HOLD, ["early-0@example.org"])
        end_time()

    held = []
    server.before_dot_reply = lambda recipient: time.sleep(1)  # No other letter ends before.
    when_written["early-0@example.org"] = hold_and_end_time
    due_digests.digests(odd=due_digests.ODD, count=20)
    deliver_in_time()
    held[0].close()
    assert emails_in("claimed") == ["early-0@example.org"]


@pytest.mark.slow
def test_time_limit_makes_only_unanswered_letters_uncertain(server, monkeypatch):
    monkeypatch.setattr(worker, "ABORT_SECONDS", 0.5)
    recipients = []

    def be_silent(recipient):
        recipients.append(recipient)
        if len(recipients) == 10:
            time.sleep(0.3)
            end_time()
        time.sleep(3)

    server.before_dot_reply = be_silent
    due_digests.digests(count=30)
    deliver_in_time()
    uncertain = emails_in("transmitting")
    assert set(due_digests.states()) == {"planned", "transmitting"}
    assert sorted(uncertain) == sorted(recipients)


@pytest.mark.slow
def test_letters_behind_a_silent_server_are_released(server, monkeypatch):
    due_digests.digests(count=30)
    monkeypatch.setattr(transitions, "LEASE", 6 * SECOND)
    server.before_dot_reply = lambda recipient: time.sleep(7)
    due_digests.deliver(NOW + MINUTE, seconds=1)
    let_go = LetterEvent.objects.filter(new_state="planned").order_by("at")
    assert {event.note for event in let_go} == {"it waited too long for a connection"}
    assert let_go[0].at < NOW + MINUTE + transitions.LEASE
    assert "claimed" not in due_digests.states()


@pytest.mark.slow
@on_postgresql
def test_stopping_worker_releases_letters_behind_a_silent_server(server):
    due_digests.digests(count=30)
    began_at, claimed = time.monotonic(), []
    server.before_dot_reply = lambda recipient: time.sleep(3)

    def look():
        with another_session() as other:
            query = "SELECT id FROM subscriptions_letter WHERE state = 'claimed'"
            claimed.extend(other.execute(query))

    threading.Timer(2, look).start()
    due_digests.deliver(NOW + MINUTE, is_stopping=lambda: time.monotonic() - began_at > 1)
    assert claimed == []
