"""What a round must outlive, whatever it is that hangs."""

import shutil
import threading
import time
from functools import partial
from itertools import batched, count

import pytest
from django.db import Error, OperationalError, connection, transaction

from subscriptions.db import run_sql
from subscriptions.delivery import circuit_breaker, clock, letter_sql, outcomes, transitions
from subscriptions.delivery.recovery import journal, sweep
from subscriptions.delivery.recovery.journal import Entry
from subscriptions.delivery.worker import batcher, greenlet_db
from subscriptions.delivery.worker import deliver as worker
from subscriptions.delivery.worker.transactions import InFlightLetter, Transactions
from subscriptions.models import Letter, LetterEvent
from tests.factories.make import MINUTE, NOW
from tests.faults.proxy import Proxy
from tests.subscriptions.delivery.steps import before, note_in_a_dead_workers_journal
from tests.subscriptions.delivery.worker import due_digests, held_locks

pytestmark = pytest.mark.django_db(transaction=True)

RELEASE = partial(outcomes.release, reason="to be seen")


def acceptance_of(letter):
    return Entry(letter.pk, 1, "<m@x>", "250 ok", NOW.isoformat())


def make_all_uncertain():
    Letter.objects.update(state="uncertain", next_try_at=NOW, attempt=1, message_id="<m@x>")


def test_slow_greeting_still_gets_its_trial(server, monkeypatch):
    due_digests.digests(count=5)
    circuit_breaker.open("unreachable", "away", NOW)
    # As if it had greeted after 5 seconds.
    monkeypatch.setattr(worker, "WARM_UP_SECONDS", 0.0)
    due_digests.deliver(NOW + MINUTE, seconds=3)
    assert due_digests.states() == {"accepted": 5}


@pytest.mark.slow
@held_locks.on_postgresql
def test_locked_row_delays_its_own_letter_only(server):
    due_digests.digests(odd=due_digests.ODD, count=60)
    other = held_locks.another_session()

    def says(stage, whom, conversation):
        if (stage, whom) != ("rcpt", due_digests.ODD):
            return None
        if server.says is says:
            server.says = due_digests.to_one(due_digests.ODD, "rcpt", due_digests.LATER)
            other.execute(held_locks.HOLD, [due_digests.ODD])
            threading.Timer(8, other.rollback).start()
        return due_digests.LATER

    server.says = says
    due_digests.deliver(NOW + MINUTE)
    other.close()
    assert due_digests.states() == {"accepted": 60, "planned": 1}
    assert not Letter.objects.filter(attempt__gt=1).exists()
    notes = LetterEvent.objects.filter(new_state="planned").values_list("note", flat=True)
    assert list(notes) == ["450 4.2.0 not now"]


@pytest.mark.slow
@held_locks.on_postgresql
@pytest.mark.parametrize("stage", ["rcpt", "dot"])
def test_row_locked_at_settlement_costs_no_other_letter(server, stage):
    """Held from RCPT on, it waits at the final check; held from the dot on, it is accepted."""
    due_digests.digests(odd=due_digests.ODD, count=60)
    seen = []

    def says(at, whom, conversation):
        if (at, whom) == (stage, due_digests.ODD) and not seen:
            seen.append(held_locks.hold(due_digests.ODD, 8, others=60))

    server.says = says
    due_digests.deliver(NOW + MINUTE)
    assert seen == [[60]]
    assert set(Letter.objects.values_list("state", "attempt")) == {("accepted", 1)}
    assert len(due_digests.recipients(server)) == 61


@held_locks.on_postgresql
def test_locked_letters_are_detected_but_not_deleted_ones():
    letter, other, gone = [
        due_digests.digest_to(f"{name}@example.org") for name in ("odd", "other", "gone")
    ]
    ids = [letter.pk, other.pk, gone.pk]
    gone.delete()
    with held_locks.another_session() as session, transaction.atomic():
        session.execute("UPDATE subscriptions_letter SET stage = '' WHERE id = %s", [letter.pk])
        assert letter_sql.locked_by_others(ids) == {letter.pk}


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


@pytest.mark.parametrize("is_gone_amid", [False, True])
def test_broken_journal_costs_no_letter(server, data_dir, monkeypatch, caplog, is_gone_amid):
    def remove_folder(letters, *_):
        if letters:
            shutil.rmtree(data_dir / "journal", ignore_errors=True)

    if is_gone_amid:
        before(monkeypatch, transitions, "accept", remove_folder)
    else:
        (data_dir / "journal").write_text("no folder")
    due_digests.digests(count=5)
    assert due_digests.deliver(NOW + MINUTE)["accepted"] == 5
    assert due_digests.states() == {"accepted": 5}
    assert f"Cannot {'close' if is_gone_amid else 'write'} the journal" in caplog.text


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
        transactions.record(waiting)
    assert time.monotonic() - began < 1
    assert len(waiting) == 1
    while not seen:
        time.sleep(0.1)
    transactions.record(waiting)
    assert run_sql("SHOW lock_timeout") == usual != [("100ms",)]


def test_unrecordable_or_locked_letter_delays_no_other(monkeypatch):
    monkeypatch.setattr("subscriptions.delivery.worker.transactions.RECORDING_SECONDS", 10)
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
        transactions.record(waiting)
    assert [letter for letter, _ in waiting] == [letters[3], letters[2]]
    with pytest.raises(OperationalError):
        transactions.record(waiting)
    assert [letter for letter, _ in waiting] == [letters[2]]
    assert due_digests.states() == {"claimed": 3, "planned": 1}


@pytest.mark.slow
@held_locks.on_postgresql
def test_locked_row_delays_no_other_letter_in_the_sweep():
    letter = due_digests.digests(odd=due_digests.ODD, count=4)
    Letter.objects.update(state="transmitting", lease_until=NOW, attempt=1, message_id="<m@x>")
    note_in_a_dead_workers_journal(acceptance_of(letter))
    seen = held_locks.hold(due_digests.ODD, 7)
    sweep.sweep(NOW + MINUTE)
    assert due_digests.states() == {"uncertain": 4, "transmitting": 1}
    while not seen:
        time.sleep(0.1)
    time.sleep(0.1)
    sweep.sweep(NOW + MINUTE)
    assert due_digests.states() == {"uncertain": 4, "accepted": 1}


@held_locks.on_postgresql
@pytest.mark.parametrize("files", [1, 2])
def test_locked_row_delays_no_other_journaled_acceptance(files, monkeypatch):
    """Else a letter that is known to have arrived would be sent again."""
    held = due_digests.digest_to(due_digests.ODD)
    other = due_digests.digest_to("reader@example.org")
    make_all_uncertain()
    names = iter(("first", "second"))
    monkeypatch.setattr(journal, "_file_name", lambda: next(names))
    for some in batched((held, other), 2 // files, strict=True):
        note_in_a_dead_workers_journal(*map(acceptance_of, some))
    with held_locks.another_session() as session:
        session.execute(held_locks.HOLD, [due_digests.ODD])
        sweep.sweep(NOW + MINUTE)
        assert due_digests.states() == {"accepted": 1, "uncertain": 1}
    sweep.sweep(NOW + MINUTE)
    assert due_digests.states() == {"accepted": 2}


@held_locks.on_postgresql
def test_acceptance_is_recorded_under_a_key_share_lock():
    """Whose row then must not be deleted, which keeps nobody from changing it."""
    letter = due_digests.digest_to(due_digests.ODD)
    make_all_uncertain()
    note_in_a_dead_workers_journal(acceptance_of(letter))
    with held_locks.another_session() as session:
        session.execute("SELECT 1 FROM subscriptions_letter FOR KEY SHARE")
        sweep.sweep(NOW + MINUTE)
        assert due_digests.states() == {"accepted": 1}


def test_letter_locked_during_the_journal_read_is_not_judged(monkeypatch):
    letter = due_digests.digest_to(due_digests.ODD)
    make_all_uncertain()
    note_in_a_dead_workers_journal(acceptance_of(letter))
    held, once = letter_sql.locked_by_others, iter([{letter.pk}])
    monkeypatch.setattr(letter_sql, "locked_by_others", lambda ids: next(once, None) or held(ids))
    for state in ("uncertain", "accepted"):
        sweep.sweep(NOW + MINUTE)
        assert due_digests.states() == {state: 1}


@held_locks.on_postgresql
def test_acceptance_is_recorded_while_its_letter_becomes_uncertain():
    letter = due_digests.digest_to(due_digests.ODD)
    Letter.objects.update(state="transmitting", lease_until=NOW, attempt=1, message_id="<m@x>")
    with held_locks.another_session() as other:
        other.execute("UPDATE subscriptions_letter SET state = 'uncertain', lease_until = NULL")
        threading.Timer(0.5, other.commit).start()
        sweep.accept_late(letter.pk, 1, "<m@x>", "250 ok", NOW)
    assert due_digests.states() == {"accepted": 1}


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
        "record": (lambda: transactions.record([(letter, RELEASE)]), "planned"),
    }[step]
    run_sql("SET default_transaction_read_only = on")
    with pytest.raises(Error):
        act()
    act()
    assert due_digests.states() == {became: 1}


def test_lasting_database_outage_ends_the_round(server, monkeypatch):
    monkeypatch.setattr(batcher, "RECORD_SECONDS", 0.5)
    monkeypatch.setattr(batcher, "RETRY_SECONDS", 0.05)
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


@held_locks.on_postgresql
def test_claim_during_a_login_refusal_is_released(server, monkeypatch):
    claim, claimed, again = transitions.claim, [], threading.Event()

    def slow_claim(*args, **options):
        letters, is_exhausted = claim(*args, **options)
        claimed.append([letter.pk for letter in letters])
        if len(claimed) == 2:
            again.set()
            run_sql("SELECT pg_sleep(0.5)")
        return letters, is_exhausted

    numbers = count(1)

    def lock_out_after_ten(stage, whom, conversation):
        if stage == "mail" and next(numbers) > 10:
            again.wait(10)
            return b"530 5.7.0 authentication required\r\n"

    monkeypatch.setattr(transitions, "claim", slow_claim)
    server.says = lock_out_after_ten
    due_digests.digests(count=60)
    due_digests.deliver(NOW + MINUTE)
    late = Letter.objects.filter(pk__in=claimed[1])
    assert set(late.values_list("state", "attempt", "last_reply")) == {("planned", 1, "")}
    assert due_digests.states() == {"accepted": 10, "planned": 50}


@pytest.fixture
def proxy(transactional_db):
    """Let the round reach the database through a proxy, and other sessions without it."""
    proxy = Proxy(int(connection.settings_dict["PORT"] or 5432))
    usual = connection.settings_dict["PORT"]
    connection.close()
    connection.settings_dict["PORT"] = str(proxy.port)
    yield proxy
    connection.close()
    connection.settings_dict["PORT"] = usual
    proxy.close()


@pytest.mark.slow
@held_locks.on_postgresql
def test_silent_database_is_reconnected(server, monkeypatch, caplog, proxy):
    monkeypatch.setattr(greenlet_db, "MAX_SILENCE_SECONDS", 0.5)
    due_digests.digests(count=60)
    silent = []

    def speak():
        silent.append("Not recorded yet: the database is silent" in caplog.text)
        proxy.is_stalling = False

    def fall_silent(*args):
        if not silent and not proxy.is_stalling:
            proxy.is_stalling = True
            threading.Timer(2, speak).start()

    before(monkeypatch, transitions, "final_check", fall_silent)
    due_digests.deliver(NOW + MINUTE)
    assert silent == [True]
    assert due_digests.states() == {"accepted": 60}
    assert len(set(due_digests.recipients(server))) == len(due_digests.recipients(server)) == 60
