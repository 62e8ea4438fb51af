"""An acceptance is recorded once, whatever becomes of the database, the worker and the letter."""

from unittest.mock import Mock

import pytest
from django.db import Error, connection

from digest.models import Pick
from subscriptions import hooks
from subscriptions.delivery import (
    queue,
    sweep,
    transactions,
    transitions,
    worker,
)
from subscriptions.delivery.transports.base import Message
from subscriptions.delivery.transports.registry import hand_over, transport_for
from subscriptions.models import Letter, MimeBatch
from tests.factories import make
from tests.factories.make import DAY, MINUTE, NOW
from tests.helpers.threads import at_once
from tests.subscriptions.delivery import steps
from tests.subscriptions.delivery.steps import claim, letter_to, pass_final_check, states

pytestmark = pytest.mark.django_db


def cut_the_database():
    """Return what closes this thread's connection to the database, from outside."""
    socket_or_file = connection.connection
    return lambda recipient: socket_or_file.close()


CUTS = [("reader", "accepted"), ("450-dot", "planned"), ("550-dot", "failed")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("name", "state"), CUTS)
def test_answer_is_recorded_after_a_database_cut(server, composed, monkeypatch, name, state):
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0)
    letter = steps.letter_to(f"{name}@example.org")
    server.before_dot_reply = cut_the_database()

    assert queue.deliver(letter.pk, NOW) is (state == "accepted")
    letter.refresh_from_db()
    assert steps.states(letter) == ["planned", "claimed", "transmitting", state]


@pytest.mark.django_db(transaction=True)
def test_record_cut_halfway_is_repeated_as_a_whole(server, composed, monkeypatch):
    monkeypatch.setattr(worker, "RETRY_SECONDS", 0)
    letter = steps.letter_to("550-dot@example.org")
    cuts = [cut_the_database()]
    cut_once = [lambda letter_ids: cuts and cuts.pop()(letter_ids)]
    monkeypatch.setattr(hooks, "on_not_sent", [*cut_once, *hooks.on_not_sent])

    queue.deliver(letter.pk, NOW)
    assert steps.states(letter) == ["planned", "claimed", "transmitting", "failed"]
    assert not Pick.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_unrecorded_acceptance_is_resent_unchanged(server, composed, monkeypatch, caplog):
    monkeypatch.setattr(worker, "RECORD_SECONDS", 0)
    letter = steps.letter_to()
    server.before_dot_reply = cut_the_database()
    monkeypatch.setattr(transactions.Transactions, "record_outcomes", Mock(side_effect=Error))
    with pytest.raises(Error):
        queue.deliver(letter.pk, NOW)
    monkeypatch.undo()
    assert f"Email {letter.pk}: accepted, not recorded" in caplog.messages

    connection.close()
    server.before_dot_reply = lambda recipient: None
    for minute in (16, 32):
        queue.sweep(NOW + minute * MINUTE)
    assert queue.deliver(letter.pk, NOW + 32 * MINUTE) is True
    (_, first), (_, second) = server.accepted
    assert first == second


def accept_late(letter, now):
    sweep.accept_late(letter, "250 kept", now)


def test_acceptance_is_recorded_once_when_written_again(composed):
    """The commit arrives, its confirmation doesn't: so the record is written again."""
    letter = steps.past_the_final_check()
    transitions.accept([letter], ["250 kept"], NOW)
    accept_late(letter, NOW)
    assert steps.states(letter) == ["planned", "claimed", "transmitting", "accepted"]


@pytest.mark.parametrize("minutes", [15, 30])
def test_acceptance_settles_a_letter_taken_for_lost(composed, minutes):
    letter = steps.past_the_final_check()
    for minute in (15, minutes):  # Doubted; then waiting to be repeated.
        queue.sweep(NOW + minute * MINUTE)

    now = NOW + minutes * MINUTE
    accept_late(letter, now)
    assert make.fresh(letter).state == "accepted"
    assert steps.due(now) == []


@pytest.mark.parametrize("is_past_the_final_check", [False, True])
def test_late_acceptance_stops_a_repeat_before_its_dot(composed, is_past_the_final_check):
    letter = steps.due_to_be_resent()
    now = NOW + 30 * MINUTE
    repeating = steps.claim(letter, now)
    if is_past_the_final_check:
        assert steps.pass_final_check(repeating, now)
        with pytest.raises(transitions.ConcurrentUpdate):
            accept_late(letter, now + MINUTE)
    else:
        accept_late(letter, now + MINUTE)
        assert not steps.pass_final_check(repeating, now + MINUTE)
    assert Letter.objects.get().state == ("transmitting" if is_past_the_final_check else "accepted")


def test_acceptance_does_not_change_a_final_state(composed):
    letter = steps.past_the_final_check()
    for days in (1, 2):
        queue.sweep(NOW + days * DAY)

    with pytest.raises(transitions.ConcurrentUpdate):
        accept_late(letter, NOW + 2 * DAY)
    assert Letter.objects.get().state == "failed"


# ---- What becomes of a letter by what the mail server says, or the outbox


def test_letter_is_delivered_once_and_its_bytes_dropped(server, composed):
    letter = letter_to()

    assert queue.deliver(letter.pk, NOW) is True
    assert queue.deliver(letter.pk, NOW) is False

    letter.refresh_from_db()
    assert [recipient for recipient, _ in server.accepted] == ["reader@example.org"]
    assert letter.state == "accepted"
    assert states(letter) == ["planned", "claimed", "transmitting", "accepted"]
    queue.sweep(NOW)
    assert not MimeBatch.objects.exists()


def test_concurrent_deliveries_send_one_letter(server, composed, transactional_db):
    letter = letter_to()

    def deliver():
        return [queue.deliver(letter.pk, NOW) for _ in range(4)]

    assert sum(map(sum, at_once(*5 * [deliver]))) == 1
    assert len(server.accepted) == 1
    assert Letter.objects.get().attempt == 1


def test_repeat_overwrites_its_file_in_the_outbox(composed, data_dir):
    letter = letter_to()
    mime = b"Subject: Papers\r\n\r\nHello.\r\n"
    assert pass_final_check(claim(letter), mime=mime)
    whom = "a@example.org", letter.subscriber.email
    hand_over(transport_for("file:"), Message(*whom, mime, "digest", letter.pk, NOW))
    # And the worker dies before it can write down that it was accepted.
    queue.sweep(NOW + 15 * MINUTE)
    queue.sweep(NOW + 30 * MINUTE)
    queue.deliver(letter.pk, NOW + 30 * MINUTE)

    assert make.fresh(letter).state == "accepted"
    assert len(list((data_dir / "outbox").iterdir())) == 1


def test_unwritable_outbox_defers_the_letter_without_limit(composed, data_dir):
    in_the_way = data_dir / "outbox"
    in_the_way.write_text("no folder")
    letter = letter_to()
    now = NOW
    for _ in range(transitions.MAX_FAILED_ATTEMPTS + 1):
        queue.deliver(letter.pk, now)
        now = make.fresh(letter).next_try_at

    assert (letter.state, letter.failed_attempts) == ("planned", 0)
    assert letter.last_reply == "the outbox folder can't be written to: File exists"
    assert Pick.objects.count() == 1

    in_the_way.unlink()
    assert queue.deliver(letter.pk, now) is True
