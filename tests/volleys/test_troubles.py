"""What a round must outlive, whatever it is that hangs."""

import os
import shutil
import signal
import threading
import time
from datetime import timedelta
from itertools import batched, count

import psycopg
import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import Error, OperationalError, connection, transaction

from subscriptions import mail, registry, tasks
from subscriptions.models import Letter, LetterEvent
from subscriptions.post import (
    clock,
    delivery,
    desk,
    doubts,
    in_hand,
    journal,
    ledger,
    recording,
    sending,
)
from subscriptions.post.books import Batch, Books, Handover
from subscriptions.post.delivery import Round
from subscriptions.post.journal import Entry, Journal, accepted_ids
from subscriptions.statements import run
from tests.faults.proxy import Proxy
from tests.make import NOW
from tests.volleys.thirty import (
    MINUTE,
    ODD,
    deliver,
    digest_to,
    digests,
    recipients,
    states,
    to_one,
)

LATER = b"450 4.2.0 not now\r\n"
HOLD = """
    SELECT 1 FROM subscriptions_letter AS letter
    JOIN subscriptions_subscriber AS reader ON reader.id = letter.subscriber_id
    WHERE reader.email = %s FOR UPDATE OF letter
"""
on_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'")
pytestmark = pytest.mark.django_db(transaction=True)


def another_session():
    told = connection.get_connection_params()
    where = {name: told[name] for name in ("host", "port", "user", "dbname")}
    return psycopg.connect(**where)


def test_a_server_that_is_slow_to_greet_gets_its_trial(server, monkeypatch):
    digests(count=5)
    sending.trip("unreachable", "away", NOW)
    monkeypatch.setattr(delivery, "GOES_WELL_SECONDS", 0.0)  # As if it had greeted after 5 seconds.
    deliver(NOW + MINUTE, seconds=3)
    assert states() == {"accepted": 5}


@on_postgresql
def test_a_held_row_delays_its_own_letter_alone(server):
    digests(odd=ODD, count=300)
    other = another_session()

    def says(stage, whom, conversation):
        if (stage, whom) != ("rcpt", ODD):
            return None
        if server.says is says:
            server.says = to_one(ODD, "rcpt", LATER)
            other.execute(HOLD, [ODD])
            threading.Timer(8, other.rollback).start()
        return LATER

    server.says = says
    deliver(NOW + MINUTE)
    other.close()
    assert states() == {"accepted": 300, "planned": 1}
    assert not Letter.objects.filter(attempt__gt=1).exists()
    notes = LetterEvent.objects.filter(became="planned").values_list("note", flat=True)
    assert list(notes) == ["450 4.2.0 not now"]


def hold(letters_of, seconds, others=0):
    """Hold the row of somebody's letter for so long, and half a minute longer at most, until so
    many others are accepted. Return a list that gets, just before it is let go of, how many were.
    """
    other, seen = another_session(), []
    other.execute(HOLD, [letters_of])

    def let_go():
        until = time.monotonic() + 30
        with another_session() as third:
            third.autocommit = True
            count = "SELECT count(*) FROM subscriptions_letter WHERE state = 'accepted'"
            while (accepted := third.execute(count).fetchone()[0]) < others:
                if time.monotonic() > until:
                    break
                time.sleep(0.1)
        seen.append(accepted)
        other.close()

    threading.Timer(seconds, let_go).start()
    return seen


@on_postgresql
@pytest.mark.parametrize("stage", ["rcpt", "dot"])
def test_a_row_that_is_held_when_its_letter_is_settled_costs_no_other_letter_its_dot(server, stage):
    """Held from RCPT on it is at the fence that it is wanted, held from the dot on as accepted."""
    digests(odd=ODD, count=300)
    seen = []

    def says(at, whom, conversation):
        if (at, whom) == (stage, ODD) and not seen:
            seen.append(hold(ODD, 8, others=300))

    server.says = says
    deliver(NOW + MINUTE)
    assert seen == [[300]]
    assert set(Letter.objects.values_list("state", "attempt")) == {("accepted", 1)}
    assert len(recipients(server)) == 301


@on_postgresql
def test_a_letter_that_somebody_is_changing_is_held():
    letter, other = digest_to(ODD), digest_to("other@example.org")
    with another_session() as session, transaction.atomic():
        session.execute("UPDATE subscriptions_letter SET stage = '' WHERE id = %s", [letter.pk])
        assert ledger.held([letter.pk, other.pk]) == {letter.pk}


def test_a_letter_that_is_gone_is_held_by_nobody():
    """Else the others would be asked after again and again."""
    letter = digests(ODD, count=0)
    there = digest_to("reader@example.org")
    Letter.objects.filter(pk=letter.pk).delete()
    with transaction.atomic():
        assert ledger.held([letter.pk, there.pk]) == set()


def test_what_was_answered_while_the_database_was_away_is_recorded_when_it_is_back(
    server, monkeypatch
):
    accept, asked = ledger.accept, []

    def away_at_first(letters, *args):
        if letters:
            asked.append(len(letters))
            if len(asked) == 1:
                raise OperationalError("away")
        return accept(letters, *args)

    monkeypatch.setattr(ledger, "accept", away_at_first)
    digests(count=20)
    counts = deliver(NOW + MINUTE)
    counts += deliver(NOW + 2 * MINUTE)  # Of those that were at the fence just then.
    assert counts["accepted"] == len(server.accepted) == 20
    assert len(asked) > 1
    assert states() == {"accepted": 20}


def test_a_journal_whose_folder_goes_amid_a_round_costs_no_letter_and_not_the_round(
    server, data_dir, monkeypatch, caplog
):
    accept = ledger.accept

    def accept_without_folder(letters, *args):
        if letters:
            shutil.rmtree(data_dir / "journal", ignore_errors=True)
        return accept(letters, *args)

    monkeypatch.setattr(ledger, "accept", accept_without_folder)
    digests(count=5)
    assert deliver(NOW + MINUTE)["accepted"] == 5
    assert states() == {"accepted": 5}
    assert "the journal can't be closed" in caplog.text


def test_a_journal_that_can_not_be_written_costs_no_letter_and_not_the_round(
    server, data_dir, caplog
):
    (data_dir / "journal").write_text("no folder")
    digests(count=5)
    assert deliver(NOW + MINUTE)["accepted"] == 5
    assert states() == {"accepted": 5}
    assert "the journal can't be written" in caplog.text


@on_postgresql
def test_what_is_recorded_alone_keeps_the_dots_of_others_for_no_longer_than_a_moment():
    digest_to(ODD)
    Letter.objects.update(state="claimed")
    letter = Letter.objects.get()
    seen, began = hold(ODD, 2), time.monotonic()
    outcomes = [(letter, recording.of_withdrawal("to be seen"))]
    with pytest.raises(OperationalError):
        Books(clock.of_database, None).record(outcomes)
    assert time.monotonic() - began < 1
    assert len(outcomes) == 1
    while not seen:
        time.sleep(0.1)


@on_postgresql
def test_what_was_recorded_alone_leaves_the_session_its_usual_patience():
    digest_to(ODD)
    Letter.objects.update(state="claimed")
    usual = run("SHOW lock_timeout")
    outcomes = [(Letter.objects.get(), recording.of_withdrawal("to be seen"))]
    Books(clock.of_database, None).record(outcomes)
    assert run("SHOW lock_timeout") == usual != [("100ms",)]


def test_what_can_not_be_written_down_costs_its_own_letter_and_what_is_held_keeps_no_other(
    monkeypatch,
):
    monkeypatch.setattr("subscriptions.post.books.RECORDING_SECONDS", 10)
    for name in ("broken", "twice", "held", "last"):
        digest_to(f"{name}@example.org")
    Letter.objects.update(state="claimed")
    letters = list(Letter.objects.order_by("pk"))

    def broken(letter, now):
        raise RuntimeError("a fault of ours")

    times = {"next_try_at": NOW, "closes_at": NOW}

    def twice(letter, now):
        Letter.objects.create(pk=letter.pk, subscriber=letter.subscriber, created_at=now, **times)

    def held(letter, now):
        raise OperationalError("somebody holds its row")

    acts = [broken, twice, held, recording.of_withdrawal("to be seen")]
    outcomes = list(zip(letters, acts, strict=True))
    books = Books(clock.of_database, None)
    with pytest.raises(OperationalError):
        books.record(outcomes)
    assert [letter for letter, _ in outcomes] == [letters[3], letters[2]]
    with pytest.raises(OperationalError):
        books.record(outcomes)
    assert [letter for letter, _ in outcomes] == [letters[2]]
    assert states() == {"claimed": 3, "planned": 1}


@on_postgresql
@pytest.mark.parametrize("is_journaled", [False, True])
def test_a_row_that_is_held_keeps_no_other_letter_from_being_swept(is_journaled):
    letter = digests(odd=ODD, count=4)
    Letter.objects.update(state="transmitting", lease_until=NOW, attempt=1, message_id="<m@x>")
    if is_journaled:
        journal = Journal(doubts.folder_of_journals())
        journal.write([Entry(letter.pk, 1, "<m@x>", "250 ok", NOW.isoformat())])
        journal.leave()
    seen = hold(ODD, 7)
    doubts.sweep(NOW + MINUTE)
    assert states() == {"uncertain": 4, "transmitting": 1}
    while not seen:
        time.sleep(0.1)
    time.sleep(0.1)
    doubts.sweep(NOW + MINUTE)
    assert states() == {"uncertain": 4} | ({"accepted": 1} if is_journaled else {"uncertain": 5})


@on_postgresql
@pytest.mark.parametrize("files", [1, 2])
def test_a_row_that_is_held_keeps_no_other_acceptance_in_the_journals(files, monkeypatch):
    """Else a letter that is known to have arrived would be sent again."""
    held, other = digest_to(ODD), digest_to("reader@example.org")
    Letter.objects.update(state="uncertain", next_try_at=NOW, attempt=1, message_id="<m@x>")
    names = iter(("first", "second"))
    monkeypatch.setattr(journal, "_name", lambda: next(names))
    entries = [Entry(one.pk, 1, "<m@x>", "250 ok", NOW.isoformat()) for one in (held, other)]
    for some in batched(entries, 2 // files, strict=True):
        dead = Journal(doubts.folder_of_journals())
        dead.write(some)
        dead.leave()
    with another_session() as session:
        session.execute(HOLD, [ODD])
        doubts.sweep(NOW + MINUTE)
        assert states() == {"accepted": 1, "uncertain": 1}
    doubts.sweep(NOW + MINUTE)
    assert states() == {"accepted": 2}


def test_what_was_held_as_the_journals_were_read_is_judged_by_no_sweep_before(monkeypatch):
    letter = digest_to(ODD)
    Letter.objects.update(state="uncertain", next_try_at=NOW, attempt=1, message_id="<m@x>")
    dead = Journal(doubts.folder_of_journals())
    dead.write([Entry(letter.pk, 1, "<m@x>", "250 ok", NOW.isoformat())])
    dead.leave()
    held, once = ledger.held, iter([{letter.pk}])
    monkeypatch.setattr(ledger, "held", lambda ids: next(once, None) or held(ids))
    for state in ("uncertain", "accepted"):
        doubts.sweep(NOW + MINUTE)
        assert states() == {state: 1}


@on_postgresql
def test_an_acceptance_is_recorded_though_its_letter_is_doubted_in_that_very_moment():
    letter = digest_to(ODD)
    Letter.objects.update(state="transmitting", lease_until=NOW, attempt=1, message_id="<m@x>")
    with another_session() as other:
        other.execute("UPDATE subscriptions_letter SET state = 'uncertain', lease_until = NULL")
        threading.Timer(0.5, other.commit).start()
        doubts.accept_late(letter.pk, 1, "<m@x>", "250 ok", NOW)
    assert states() == {"accepted": 1}


@on_postgresql
def test_a_session_that_was_ended_between_two_tasks_is_no_trouble(server):
    ((session,),) = run("SELECT pg_backend_pid()")
    connection.health_check_done = False  # As it is when a task begins.
    with another_session() as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [session])
    assert run("SELECT pg_backend_pid()") != [(session,)]


@on_postgresql
@pytest.mark.parametrize("step", ["claim", "settle", "record"])
def test_a_session_in_which_nothing_can_be_written_is_given_up(step):
    """As on a server from which another has taken over."""
    digest_to(ODD)
    books = Books(clock.of_database, None)
    letter = Letter.objects.get() if step == "claim" else books.claim(1).letters[0]
    one = Handover(letter, ledger.Frozen(b"", "<m@x>", NOW), None)
    acts = {
        "claim": lambda: books.claim(1),
        "settle": lambda: books.settle(Batch(at_fence=[one])),
        "record": lambda: books.record([(letter, recording.of_withdrawal("to be seen"))]),
    }
    run("SET default_transaction_read_only = on")
    with pytest.raises(Error):
        acts[step]()
    acts[step]()
    became = {"claim": "claimed", "settle": "transmitting", "record": "planned"}[step]
    assert states() == {became: 1}


class Enough(Exception):
    """A fault of ours: an exception, wherever the round is."""


def broken_off(monkeypatch, when):
    """Run a round that is broken off at a turn of which this is true, with a slow database."""
    fence = ledger.fence

    def slow_fence(*args):
        fenced = fence(*args)
        run("SELECT pg_sleep(0.2)")
        return fenced

    monkeypatch.setattr(ledger, "fence", slow_fence)
    seen = []

    def is_stopping():
        if when(round_):
            seen.extend(round_.hand.answered)
            raise Enough
        return False

    round_ = Round(clock.running_from(NOW + MINUTE), is_stopping=is_stopping)
    with pytest.raises(Enough):
        round_.run()
    time.sleep(0.3)
    return seen


@on_postgresql
def test_what_was_answered_is_on_the_disk_when_a_round_is_broken_off(server, monkeypatch):
    digests(count=60)
    seen = broken_off(monkeypatch, lambda round_: round_.hand.answered and not round_.desk.is_free)
    assert seen
    noted = accepted_ids(doubts.folder_of_journals(), NOW)
    assert {one.frozen.message_id for one in seen} <= noted


@on_postgresql
def test_a_round_that_is_broken_off_leaves_no_letter_in_doubt_without_a_dot(server, monkeypatch):
    digests(count=60)
    broken_off(monkeypatch, lambda round_: round_.hand.at_the_desk.at_fence)
    doubtful = Letter.objects.filter(state="transmitting").values_list(
        "subscriber__email", flat=True
    )
    assert set(doubtful) <= set(recipients(server))


def test_a_fault_of_ours_leaves_claims_to_their_leases_and_lets_go_of_what_awaits_its_dot(server):
    """One that is claimed may be at fault, and is found by its stumbles."""

    def is_stopping():
        if round_.hand.past_fence:
            raise Enough
        return False

    digests(count=60)
    round_ = Round(clock.running_from(NOW + MINUTE), is_stopping=is_stopping)
    with pytest.raises(Enough):
        round_.run()
    assert server.accepted == []
    assert set(states()) == {"claimed", "planned"}
    assert Letter.objects.filter(state="planned", attempt=1).exists()


def test_a_database_that_stays_away_ends_the_round(server, monkeypatch):
    monkeypatch.setattr(delivery, "RECORD_SECONDS", 0.5)
    monkeypatch.setattr(delivery, "RECORD_AGAIN_SECONDS", 0.05)
    asked = []

    def away(letters, *args):
        if not letters:
            return []
        asked.append(letters)
        assert len(asked) < 100
        raise OperationalError("away")

    monkeypatch.setattr(ledger, "accept", away)
    digests(count=5)
    with pytest.raises(OperationalError, match="away"):
        deliver(NOW + MINUTE)


def end_time(*_):
    """Let the soft time limit come, as Celery tells of it."""
    os.kill(os.getpid(), signal.SIGUSR1)


def deliver_in_time():
    with pytest.raises(SoftTimeLimitExceeded), tasks.in_time():
        deliver(NOW + MINUTE)


@pytest.fixture
def when_written(monkeypatch):
    """Call what this holds for an address as the letter to it is composed, which is late."""
    instead = {}

    def compose(letters, now):
        for letter in letters:
            try:
                instead.get(letter.subscriber.email, id)(letter)
                headers = mail.headers("digest", "http://x/")
                yield mail.Content.of("Papers", "Hello.\n", "<p>Hello.</p>", headers)
            except Exception as error:
                yield error

    monkeypatch.setitem(registry.composers, "digest", compose)
    return instead


def test_a_time_limit_amid_one_letters_writing_ends_the_round_and_costs_no_letter_anything(
    server, when_written
):
    when_written[ODD] = end_time
    digests(odd=ODD, count=60)
    deliver_in_time()
    assert set(states()) <= {"accepted", "planned", "transmitting"}
    assert set(Letter.objects.values_list("stumbles", flat=True)) == {0}
    assert len(server.accepted) < 60
    when_written.clear()
    deliver(NOW + 2 * MINUTE)
    assert Letter.objects.get(subscriber__email=ODD).state == "accepted"
    assert len(set(recipients(server))) == len(recipients(server))


def test_a_letter_that_is_never_done_and_those_written_with_it_are_to_blame_for_a_time_limit(
    server, when_written, monkeypatch
):
    monkeypatch.setattr(in_hand, "ENDLESS_SECONDS", 0.05)
    monkeypatch.setattr(registry, "TOGETHER", 5)  # Of those that are claimed with it.
    when_written[ODD] = lambda letter: time.sleep(0.1) or end_time()
    digest_to(ODD)
    digests(count=60)
    deliver_in_time()
    claimed = Letter.objects.filter(state="claimed").values_list("subscriber__email", flat=True)
    assert ODD in claimed
    assert len(claimed) == registry.TOGETHER


def test_a_time_limit_amid_one_letters_record_ends_the_round_and_what_is_known_is_recorded(
    server, monkeypatch
):
    server.says = to_one(ODD, "rcpt", LATER)
    put_back, seen = ledger.put_back, []

    def interrupted(letter, *args, **facts):
        if not seen:
            seen.append(letter.pk)
            end_time()
        put_back(letter, *args, **facts)

    monkeypatch.setattr(ledger, "put_back", interrupted)
    digests(odd=ODD, count=60)
    deliver_in_time()
    odd = Letter.objects.get(subscriber__email=ODD)
    assert (seen, odd.state, odd.stumbles) == ([odd.pk], "planned", 0)
    assert odd.last_reply.startswith("450 4.2.0")


@pytest.mark.parametrize(
    ("stage", "reply", "state"),
    [
        ("rcpt", LATER, "planned"),
        ("rcpt", b"550 5.1.1 no such user\r\n", "failed"),
        ("dot", LATER, "planned"),
        ("dot", b"554 5.7.1 no\r\n", "failed"),
        ("dot", b"250 2.0.0 kept\r\n", "accepted"),
    ],
)
def test_a_time_limit_amid_a_settlement_leaves_nothing_open_that_was_answered(
    server, monkeypatch, stage, reply, state
):
    server.says = to_one(ODD, stage, reply)
    accept = ledger.accept

    def interrupted(letters, *args):
        if ODD in [one.envelope.recipient for one in round_.hand.at_the_desk.answered]:
            end_time()
        return accept(letters, *args)

    monkeypatch.setattr(ledger, "accept", interrupted)
    digests(odd=ODD, count=60)
    round_ = Round(clock.running_from(NOW + MINUTE))
    with pytest.raises(SoftTimeLimitExceeded), tasks.in_time():
        round_.run()
    odd = Letter.objects.get(subscriber__email=ODD)
    assert (odd.state, odd.stumbles) == (state, 0)
    assert odd.last_reply.encode() + b"\r\n" == reply


@pytest.mark.parametrize("place", ["composed", "busy", "at_fence"])
def test_a_time_limit_lets_go_of_what_has_no_dot_wherever_it_is(server, place):
    def is_stopping():
        if getattr(round_.hand, place):
            end_time()
        return False

    digests(count=60)
    round_ = Round(clock.running_from(NOW + MINUTE), is_stopping=is_stopping)
    with pytest.raises(SoftTimeLimitExceeded), tasks.in_time():
        round_.run()
    assert "claimed" not in states()


def test_a_time_limit_amid_the_fence_lets_go_of_what_was_about_to_pass(server, monkeypatch):
    fence = ledger.fence

    def interrupted(letters, *args):
        if letters:
            end_time()
        return fence(letters, *args)

    monkeypatch.setattr(ledger, "fence", interrupted)
    digests(count=60)
    deliver_in_time()
    assert (states(), server.accepted) == ({"planned": 60}, [])


@on_postgresql
def test_a_row_that_is_held_as_the_time_ends_costs_no_other_letter_its_release(
    server, when_written
):
    def hold_and_end_time(letter):
        held.append(another_session())
        held[0].execute(HOLD, ["early-0@example.org"])
        end_time()

    held = []
    server.before_dot_reply = lambda recipient: time.sleep(1)  # No other letter ends before.
    when_written["early-0@example.org"] = hold_and_end_time
    digests(odd=ODD, count=20)
    deliver_in_time()
    held[0].close()
    claimed = Letter.objects.filter(state="claimed").values_list("subscriber__email", flat=True)
    assert list(claimed) == ["early-0@example.org"]


@on_postgresql
def test_a_time_limit_while_a_readers_row_is_held_costs_her_letter_nothing(server):
    digests(odd=ODD, count=5)
    with another_session() as other:
        other.execute("SELECT 1 FROM subscriptions_subscriber WHERE email = %s FOR UPDATE", [ODD])
        threading.Timer(2, end_time).start()
        deliver_in_time()
    assert states() == {"accepted": 5, "planned": 1}


def test_a_time_limit_amid_a_silent_servers_answers_leaves_those_letters_alone_in_doubt(server):
    told = []

    def be_silent(recipient):
        told.append(recipient)
        if len(told) == 10:
            time.sleep(0.3)
            end_time()
        time.sleep(3)

    server.before_dot_reply = be_silent
    digests(count=60)
    deliver_in_time()
    doubtful = Letter.objects.filter(state="transmitting").values_list(
        "subscriber__email", flat=True
    )
    assert set(states()) == {"planned", "transmitting"}
    assert sorted(doubtful) == sorted(told)


@on_postgresql
def test_a_letter_whose_reader_was_held_for_a_moment_does_not_wait_for_the_end(server):
    digests(odd=ODD, count=1200)
    taken = {}
    server.before_dot_reply = lambda recipient: taken.setdefault(recipient, time.monotonic())
    other = another_session()
    other.execute("SELECT 1 FROM subscriptions_subscriber WHERE email = %s FOR UPDATE", [ODD])
    released = []

    def release():
        released.append(time.monotonic())
        other.rollback()

    def says(stage, whom, conversation):
        if (stage, whom) == ("rcpt", ODD):
            threading.Timer(
                0.5, lambda: released.append(time.monotonic()) or other.rollback()
            ).start()

    server.says = says
    Letter.objects.filter(subscriber__email=ODD).update(next_try_at=NOW - MINUTE)
    deliver(NOW + MINUTE)
    other.close()
    waited = taken[ODD] - released[0]
    assert waited < 0.6


def test_what_waits_behind_a_silent_server_is_let_go_of_before_its_lease_ends(server, monkeypatch):
    digests(count=60)
    monkeypatch.setattr(ledger, "LEASE", timedelta(seconds=6))
    server.before_dot_reply = lambda recipient: time.sleep(7)
    deliver(NOW + MINUTE, seconds=1)
    notes = LetterEvent.objects.filter(became="planned").values_list("note", flat=True)
    assert set(notes) == {"it waited too long for a connection"}
    assert "claimed" not in states()


@on_postgresql
def test_a_worker_that_stops_lets_go_of_what_waits_though_its_server_is_silent(server):
    digests(count=60)
    began_at, claimed = time.monotonic(), []
    server.before_dot_reply = lambda recipient: time.sleep(3)

    def look():
        with another_session() as other:
            claimed.extend(
                other.execute("SELECT id FROM subscriptions_letter WHERE state = 'claimed'")
            )

    threading.Timer(2, look).start()
    deliver(NOW + MINUTE, is_stopping=lambda: time.monotonic() - began_at > 1)
    assert claimed == []


@on_postgresql
def test_a_worker_that_stops_waits_for_no_reader_whose_row_is_held(server):
    digests(odd=ODD, count=5)
    began_at = time.monotonic()
    with another_session() as other:
        other.execute("SELECT 1 FROM subscriptions_subscriber WHERE email = %s FOR UPDATE", [ODD])
        let_go = threading.Timer(12, other.rollback)
        let_go.start()
        deliver(NOW + MINUTE, is_stopping=lambda: time.monotonic() - began_at > 2)
        took = time.monotonic() - began_at
        let_go.cancel()
    assert states() == {"accepted": 5, "planned": 1}
    assert took < 11


@on_postgresql
def test_what_is_being_claimed_as_the_server_locks_us_out_is_let_go_of(server, monkeypatch):
    claim, claimed, again = ledger.claim, [], threading.Event()

    def slow_claim(*args, **options):
        letters, is_exhausted = claim(*args, **options)
        claimed.append([letter.pk for letter in letters])
        if len(claimed) == 2:
            again.set()
            run("SELECT pg_sleep(0.5)")
        return letters, is_exhausted

    numbers = count(1)

    def lock_out_after_ten(stage, whom, conversation):
        if stage == "mail" and next(numbers) > 10:
            again.wait(10)
            return b"530 5.7.0 authentication required\r\n"

    monkeypatch.setattr(ledger, "claim", slow_claim)
    server.says = lock_out_after_ten
    digests(count=60)
    deliver(NOW + MINUTE)
    late = Letter.objects.filter(pk__in=claimed[1])
    assert set(late.values_list("state", "attempt", "last_reply")) == {("planned", 1, "")}
    assert states() == {"accepted": 10, "planned": 50}


@on_postgresql
def test_a_migration_beside_a_worker_costs_no_letter_its_attempt(server, written):
    """What prepared statements read changes its type."""
    run("CREATE TABLE changing (number integer)")
    seen = []

    def migrate_once(letter):
        run("SELECT number FROM changing")
        if len(seen) == 5:
            with another_session() as other:
                other.execute("ALTER TABLE changing ALTER number TYPE bigint")
        seen.append(letter)

    written["all"] = migrate_once
    digests(count=30)
    deliver(NOW + MINUTE)
    run("DROP TABLE changing")
    assert set(Letter.objects.values_list("state", "attempt")) == {("accepted", 1)}


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


@on_postgresql
def test_a_database_that_falls_silent_amid_a_settlement_is_given_up_and_asked_anew(
    server, monkeypatch, caplog, proxy
):
    monkeypatch.setattr(desk, "SILENT_SECONDS", 0.5)
    digests(count=60)
    fence, silent = ledger.fence, []

    def speak():
        silent.append("not written down yet: the database is silent" in caplog.text)
        proxy.is_stalling = False

    def fall_silent(*args):
        if not silent and not proxy.is_stalling:
            proxy.is_stalling = True
            threading.Timer(2, speak).start()
        return fence(*args)

    monkeypatch.setattr(ledger, "fence", fall_silent)
    deliver(NOW + MINUTE)
    assert silent == [True]
    assert states() == {"accepted": 60}
    assert len(set(recipients(server))) == len(recipients(server)) == 60
