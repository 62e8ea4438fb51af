"""An acceptance is recorded once, whatever becomes of the database, the worker and the letter."""

from datetime import timedelta

import pytest
from django.db import Error, connection

from digest.models import Pick
from subscriptions import hooks
from subscriptions.delivery import queue, transitions
from subscriptions.delivery.recovery import sweep
from subscriptions.delivery.recovery.journal import Entry
from subscriptions.delivery.worker import batcher
from subscriptions.models import Letter
from tests.factories.make import NOW
from tests.helpers.invariants import broken
from tests.subscriptions.delivery.steps import (
    MINUTE,
    claim,
    due,
    letter_to,
    note_in_a_dead_workers_journal,
    pass_fence,
    past_the_fence,
    states,
)

pytestmark = pytest.mark.django_db


def cut_the_database():
    """Return what closes this thread's connection to the database, from outside."""
    socket_or_file = connection.connection

    def cut(recipient):
        socket_or_file.close()

    return cut


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("name", "state"), [("reader", "accepted"), ("450-dot", "planned"), ("550-dot", "failed")]
)
def test_an_answer_outlives_a_database_that_is_cut_as_it_is_recorded(
    server, composed, monkeypatch, name, state
):
    monkeypatch.setattr(batcher, "RETRY_SECONDS", 0)
    letter = letter_to(f"{name}@example.org")
    server.before_dot_reply = cut_the_database()

    assert queue.deliver(letter.pk, NOW) is (state == "accepted")
    letter.refresh_from_db()
    assert states(letter) == ["planned", "claimed", "transmitting", state]


@pytest.mark.django_db(transaction=True)
def test_a_record_that_is_cut_halfway_is_written_again_as_a_whole(server, composed, monkeypatch):
    monkeypatch.setattr(batcher, "RETRY_SECONDS", 0)
    letter = letter_to("550-dot@example.org")
    cuts = [cut_the_database()]
    cut_once = [lambda letter_ids: cuts and cuts.pop()(letter_ids)]
    monkeypatch.setattr(hooks, "on_not_sent", [*cut_once, *hooks.on_not_sent])

    queue.deliver(letter.pk, NOW)
    assert states(letter) == ["planned", "claimed", "transmitting", "failed"]
    assert not Pick.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("has_journal", [True, False])
def test_an_acceptance_that_cannot_be_recorded_is_known_from_the_journal_or_doubted(
    server, composed, monkeypatch, caplog, data_dir, has_journal
):
    """Without the journal, it is repeated with the same bytes."""
    monkeypatch.setattr(batcher, "RECORD_SECONDS", 0)
    letter = letter_to()
    server.before_dot_reply = cut_the_database()
    with pytest.raises(Error):
        queue.deliver(letter.pk, NOW)
    assert f"letter {letter.pk}: accepted, not written down" in caplog.messages

    connection.close()
    server.before_dot_reply = lambda recipient: None
    if not has_journal:
        (journal,) = (data_dir / "journal").iterdir()
        journal.unlink()
        for minute in (16, 32):
            queue.sweep(NOW + minute * MINUTE)
        assert queue.deliver(letter.pk, NOW + 32 * MINUTE) is True
        (_, first), (_, second) = server.accepted
        assert first == second
        return
    queue.sweep(NOW)
    letter.refresh_from_db()
    assert (letter.state, letter.last_reply) == ("accepted", "250 2.0.0 kept")
    assert states(letter) == ["planned", "claimed", "transmitting", "accepted"]


def accept_late(letter, now):
    sweep.accept_late(letter.pk, letter.attempt, letter.message_id, "250 kept", now)


def test_an_acceptance_is_recorded_once_though_the_database_lost_its_answer(composed):
    """The commit arrives, its confirmation doesn't: so the record is written again."""
    letter = past_the_fence()
    transitions.accept([letter], ["250 kept"], NOW)
    accept_late(letter, NOW)
    assert states(letter) == ["planned", "claimed", "transmitting", "accepted"]


@pytest.mark.parametrize("minutes", [15, 30])
def test_an_acceptance_ends_the_doubt_of_who_took_the_letter_for_lost(composed, minutes):
    letter = past_the_fence()
    for minute in (15, minutes):  # Doubted; then waiting to be repeated.
        queue.sweep(NOW + minute * MINUTE)

    now = NOW + minutes * MINUTE
    accept_late(letter, now)
    letter.refresh_from_db()
    assert letter.state == "accepted"
    assert due(now) == []


@pytest.mark.parametrize("is_past_the_fence", [False, True])
def test_an_acceptance_that_comes_late_stops_the_repeat_before_its_dot_alone(
    composed, is_past_the_fence
):
    letter = past_the_fence()
    for minute in (15, 30):
        queue.sweep(NOW + minute * MINUTE)
    now = NOW + 30 * MINUTE
    repeating = claim(letter, now)
    if is_past_the_fence:
        assert pass_fence(repeating, now)
        with pytest.raises(transitions.ConcurrentUpdate):
            accept_late(letter, now + MINUTE)
    else:
        accept_late(letter, now + MINUTE)
        assert not pass_fence(repeating, now + MINUTE)
    assert Letter.objects.get().state == ("transmitting" if is_past_the_fence else "accepted")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("lost", [("claimed", "transmitting"), ("transmitting",)])
def test_what_was_taken_while_the_database_lost_its_last_commits_is_not_sent_again(
    server, composed, lost
):
    """As where a standby takes over that had not heard of them yet."""
    letter = letter_to()

    def take_over(recipient):
        fields = {"mime_size": 0, "frozen_at": None, "message_id": "", "left_at": None}
        if "claimed" in lost:
            fields |= {"state": "planned", "attempt": 0, "lease_until": None}
        else:
            fields |= {"state": "claimed"}
        Letter.objects.update(volley=None, **fields)
        letter.events.filter(became__in=lost).delete()
        connection.close()

    server.before_dot_reply = take_over
    queue.deliver(letter.pk, NOW)
    letter.refresh_from_db()
    assert letter.state == "accepted"
    assert broken(NOW) == {}
    server.before_dot_reply = lambda recipient: None
    queue.sweep(NOW + 20 * MINUTE)
    queue.deliver(letter.pk, NOW + 40 * MINUTE)
    assert len(server.accepted) == 1


@pytest.mark.parametrize("state", ["planned", "uncertain"])
def test_the_journal_is_asked_before_a_letter_is_given_up(composed, state):
    letter = past_the_fence()
    Letter.objects.update(state=state, lease_until=None, next_try_at=NOW, repeats=1, closes_at=NOW)
    note_in_a_dead_workers_journal(
        Entry(letter.pk, 1, letter.message_id, "250 kept", NOW.isoformat())
    )
    queue.sweep(NOW)
    letter.refresh_from_db()
    assert letter.state == "accepted"


def test_an_acceptance_does_not_change_how_a_story_has_ended(composed):
    letter = past_the_fence()
    for days in (1, 2):
        queue.sweep(NOW + timedelta(days=days))

    with pytest.raises(transitions.ConcurrentUpdate):
        accept_late(letter, NOW + timedelta(days=2))
    assert Letter.objects.get().state == "failed"
