"""What a round must outlive, whatever it is that hangs."""

import time
from functools import partial

import pytest
from django.db import Error, OperationalError

from subscriptions.db import run_sql
from subscriptions.delivery import clock, outcomes, sweep, transitions, worker
from subscriptions.delivery.transactions import InFlightLetter, Transactions
from subscriptions.models import Letter
from tests.factories.make import MINUTE, NOW
from tests.subscriptions.delivery.steps import before
from tests.subscriptions.delivery.worker import due_digests, held_locks

pytestmark = pytest.mark.django_db(transaction=True)

RELEASE = partial(outcomes.release, reason="to be seen")


@pytest.mark.slow
@held_locks.on_postgresql
@pytest.mark.parametrize("stage", ["rcpt", "dot"])
def test_row_locked_at_settlement_delays_no_other_for_long(server, stage):
    """Held from RCPT on, it waits at the final check; held from the dot on, it is accepted."""
    due_digests.digests(odd=due_digests.ODD, count=60)
    seen = []

    def says(at, whom, conversation):
        if (at, whom) == (stage, due_digests.ODD) and not seen:
            seen.append(held_locks.hold(due_digests.ODD, 8))

    server.says = says
    for minutes in (1, 2, 4):
        due_digests.deliver(NOW + minutes * MINUTE)
    assert seen[0][0] >= 40  # While it was held.
    assert due_digests.states() == {"accepted": 61}
    assert len(set(due_digests.recipients(server))) == len(server.accepted) == 61


def test_answers_during_a_database_outage_are_recorded_later(server, monkeypatch):
    asked = []

    def away_at_first(letters, *_):
        asked.extend([len(letters)] if letters else [])
        if letters and len(asked) == 1:
            raise OperationalError("away")

    before(monkeypatch, transitions, "accept", away_at_first)
    due_digests.digests(count=8)
    counts = due_digests.deliver(NOW + MINUTE)
    # Of those that were at the final check just then.
    counts += due_digests.deliver(NOW + 2 * MINUTE)
    assert counts["accepted"] == len(server.accepted) == 8
    assert len(asked) > 1
    assert due_digests.states() == {"accepted": 8}


@pytest.mark.slow
@held_locks.on_postgresql
def test_lock_is_waited_for_only_a_moment_when_recording():
    due_digests.digest_to(due_digests.ODD)
    Letter.objects.update(state="claimed")
    transactions = Transactions(clock.database_now, None)
    usual = run_sql("SHOW lock_timeout")
    seen, began = held_locks.hold(due_digests.ODD, 2), time.monotonic()
    waiting = [(Letter.objects.get(), RELEASE)]
    with pytest.raises(OperationalError):
        transactions.record_outcomes(waiting)
    assert time.monotonic() - began < 1
    assert len(waiting) == 1
    while not seen:
        time.sleep(0.1)
    transactions.record_outcomes(waiting)
    assert run_sql("SHOW lock_timeout") == usual != [("100ms",)]


def test_unrecordable_or_locked_letter_delays_no_other(monkeypatch):
    monkeypatch.setattr("subscriptions.delivery.transactions.RECORDING_SECONDS", 10)
    for name in ("broken", "twice", "held", "last"):
        due_digests.digest_to(f"{name}@example.org")
    Letter.objects.update(state="claimed")
    letters = list(Letter.objects.order_by("pk"))

    def broken(letter, now):
        raise RuntimeError("a fault of ours")

    times = {"next_try_at": NOW, "closes_at": NOW}

    def twice(letter, now):
        Letter.objects.create(pk=letter.pk, subscriber=letter.subscriber, created_at=now, **times)

    def held(letter, now):
        raise OperationalError("somebody holds its row")

    waiting = list(zip(letters, [broken, twice, held, RELEASE], strict=True))
    transactions = Transactions(clock.database_now, None)
    with pytest.raises(OperationalError):
        transactions.record_outcomes(waiting)
    assert [letter for letter, _ in waiting] == [letters[3], letters[2]]
    with pytest.raises(OperationalError):
        transactions.record_outcomes(waiting)
    assert [letter for letter, _ in waiting] == [letters[2]]
    assert due_digests.states() == {"claimed": 3, "planned": 1}


@held_locks.on_postgresql
def test_locked_row_delays_no_other_letter_in_the_sweep():
    due_digests.digests(odd=due_digests.ODD, count=4)
    Letter.objects.update(state="transmitting", lease_until=NOW, attempt=1, message_id="<m@x>")
    with held_locks.another_session() as session:
        session.execute(held_locks.HOLD, [due_digests.ODD])
        sweep.sweep(NOW + MINUTE)
        assert due_digests.states() == {"uncertain": 4, "transmitting": 1}
    sweep.sweep(NOW + MINUTE)
    assert due_digests.states() == {"uncertain": 5}


@held_locks.on_postgresql
@pytest.mark.parametrize("step", ["claim", "settle", "record"])
def test_read_only_session_is_given_up(step):
    """As on a server from which another has taken over."""
    due_digests.digest_to(due_digests.ODD)
    transactions = Transactions(clock.database_now, None)
    letter = Letter.objects.get() if step == "claim" else transactions.claim(1).letters[0]
    one = InFlightLetter(letter, frozen=transitions.FrozenMessage(b"", "<m@x>", NOW))
    act, became = {
        "claim": (lambda: transactions.claim(1), "claimed"),
        "settle": (lambda: transactions.commit_batch([], [one]), "transmitting"),
        "record": (lambda: transactions.record_outcomes([(letter, RELEASE)]), "planned"),
    }[step]
    run_sql("SET default_transaction_read_only = on")
    with pytest.raises(Error):
        act()
    act()
    assert due_digests.states() == {became: 1}


def test_lasting_database_outage_ends_the_round(server, monkeypatch):
    monkeypatch.setattr(worker, "RECORD_SECONDS", 0.5)
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0.05)
    asked = []

    def away(letters, *_):
        if letters:
            asked.append(letters)
            assert len(asked) < 100
            raise OperationalError("away")

    before(monkeypatch, transitions, "accept", away)
    due_digests.digests(count=5)
    with pytest.raises(OperationalError, match="away"):
        due_digests.deliver(NOW + MINUTE)
