"""What a round lets go of, and what it records, where it is broken off or stopped."""

import os
import signal
import threading
import time

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from subscriptions import hooks, tasks
from subscriptions.db import run_sql
from subscriptions.delivery import clock, transitions
from subscriptions.delivery.recovery import journal
from subscriptions.delivery.recovery.journal import accepted_ids
from subscriptions.delivery.worker import deliver as worker
from subscriptions.delivery.worker.rounds import Round
from subscriptions.delivery.worker.transactions import Transactions
from subscriptions.models import Letter, LetterEvent
from tests.factories import make
from tests.factories.make import MINUTE, NOW, SECOND
from tests.subscriptions.delivery.steps import before
from tests.subscriptions.delivery.worker import due_digests
from tests.subscriptions.delivery.worker.held_locks import HOLD, another_session, on_postgresql

pytestmark = pytest.mark.django_db(transaction=True)


def emails_in(state):
    return list(Letter.objects.filter(state=state).values_list("subscriber__email", flat=True))


def letters_at(round_, stage):
    in_flight = round_.worker.in_flight if round_.worker else {}
    return [one for one in in_flight.values() if one.stage == stage]


class Enough(Exception):
    """A fault of ours: an exception, wherever the round is."""


@on_postgresql
def test_interrupted_round_records_its_answers(server, monkeypatch):
    final_check, checking, seen = transitions.final_check, [], []

    def slow_check(*args):
        checked = final_check(*args)
        checking.append(checked)
        run_sql("SELECT pg_sleep(0.2)")
        checking.clear()
        return checked

    def is_stopping():
        if checking and round_.worker.batcher.finished_letters:
            seen.extend(round_.worker.batcher.finished_letters)
            raise Enough
        return False

    monkeypatch.setattr(transitions, "final_check", slow_check)
    server.before_dot_reply = lambda recipient: time.sleep(len(recipient) % 2 * 0.15)
    due_digests.digests(count=60)
    round_ = Round(clock.running_from(NOW + MINUTE), is_stopping=is_stopping)
    with pytest.raises(Enough):
        round_.run()
    time.sleep(0.3)
    noted = accepted_ids(journal.folder_of_journals(), NOW)
    assert seen
    assert {one.frozen.message_id for one in seen} <= noted
    assert set(emails_in("transmitting")) <= set(due_digests.recipients(server))


def test_internal_error_keeps_claims_and_releases_checked_letters(server):
    """One that is claimed may be at fault, and is found by its failed_attempts."""

    def is_stopping():
        if letters_at(round_, "passed"):
            raise Enough
        return False

    due_digests.digests(count=30)
    round_ = Round(clock.running_from(NOW + MINUTE), is_stopping=is_stopping)
    with pytest.raises(Enough):
        round_.run()
    assert server.accepted == []
    assert set(due_digests.states()) == {"claimed", "planned"}
    assert Letter.objects.filter(state="planned", attempt=1).exists()


def end_time(*_):
    """Let the soft time limit come, as Celery tells of it."""
    os.kill(os.getpid(), signal.SIGUSR1)


def deliver_in_time():
    with pytest.raises(SoftTimeLimitExceeded), tasks.raise_at_time_limit():
        due_digests.deliver(NOW + MINUTE)


def hold_subscriber(session):
    query = "SELECT 1 FROM subscriptions_subscriber WHERE email = %s FOR UPDATE"
    session.execute(query, [due_digests.ODD])


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


ANSWERS = [("rcpt", due_digests.LATER, "planned"), ("dot", b"554 5.7.1 no\r\n", "failed")]
ANSWERS += [("dot", b"250 2.0.0 kept\r\n", "accepted")]


@pytest.mark.parametrize(("stage", "reply", "state"), ANSWERS)
def test_time_limit_leaves_no_answered_letter_open(server, monkeypatch, stage, reply, state):
    server.says = due_digests.to_one(due_digests.ODD, stage, reply)
    last = []

    def interrupt(*_):
        if due_digests.ODD in [one.message.recipient for one in last[-1]]:
            end_time()

    before(monkeypatch, Transactions, "commit_batch", lambda *batch, **_: last.append(batch[1]))
    before(monkeypatch, transitions, "accept", interrupt)
    due_digests.digests(odd=due_digests.ODD, count=30)
    deliver_in_time()
    odd = Letter.objects.get(subscriber__email=due_digests.ODD)
    assert (odd.state, odd.failed_attempts) == (state, 0)
    assert odd.last_reply.encode() + b"\r\n" == reply


@pytest.mark.parametrize("stage", ["rendered", "offered", "at the check"])
def test_time_limit_releases_letters_without_a_dot(server, stage):
    def is_stopping():
        at_check = round_.worker and round_.worker.batcher.check_queue
        if at_check if stage == "at the check" else letters_at(round_, stage):
            end_time()
        return False

    due_digests.digests(count=30)
    round_ = Round(clock.running_from(NOW + MINUTE), is_stopping=is_stopping)
    with pytest.raises(SoftTimeLimitExceeded), tasks.raise_at_time_limit():
        round_.run()
    assert "claimed" not in due_digests.states()


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
@on_postgresql
def test_time_limit_during_a_subscriber_lock_costs_nothing(server):
    due_digests.digests(odd=due_digests.ODD, count=5)
    with another_session() as other:
        hold_subscriber(other)
        threading.Timer(2, end_time).start()
        deliver_in_time()
    assert due_digests.states() == {"accepted": 5, "planned": 1}


@pytest.mark.slow
def test_time_limit_makes_only_unanswered_letters_uncertain(server):
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


@pytest.mark.slow
@on_postgresql
def test_stopping_worker_does_not_wait_for_a_lock(server):
    due_digests.digests(odd=due_digests.ODD, count=5)
    began_at = time.monotonic()
    with another_session() as other:
        hold_subscriber(other)
        let_go = threading.Timer(12, other.rollback)
        let_go.start()
        due_digests.deliver(NOW + MINUTE, is_stopping=lambda: time.monotonic() - began_at > 2)
        took = time.monotonic() - began_at
        let_go.cancel()
    assert due_digests.states() == {"accepted": 5, "planned": 1}
    assert took < 11
