"""What was left lying: leases that ran out, letters of unknown fate, days that ended."""

from datetime import timedelta

import pytest

from digest.models import Pick
from digest.planning import plan
from subscriptions import hooks
from subscriptions.delivery import queue, transitions
from subscriptions.delivery.recovery import journal, sweep
from subscriptions.delivery.recovery.journal import Entry, Journal
from subscriptions.delivery.transports.base import Message
from subscriptions.delivery.transports.registry import transport_for
from subscriptions.models import Letter, Subscriber
from tests.factories.make import NOW
from tests.subscriptions.delivery.steps import (
    MINUTE,
    claim,
    due,
    letter_to,
    pass_fence,
    past_the_fence,
)

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
def test_what_breaks_as_it_is_swept_costs_itself_alone(composed, monkeypatch, caplog):
    def broken(letter_ids):
        raise RuntimeError("a fault of ours")

    letters = [letter_to(f"reader-{number}@example.org") for number in range(5)]
    late, stumbled, again, silent, doubted = [letter.pk for letter in letters]
    Letter.objects.filter(pk__in=[stumbled, again]).update(state="claimed", lease_until=NOW)
    Letter.objects.filter(pk=stumbled).update(stumbles=transitions.MAX_STUMBLES - 1)
    Letter.objects.filter(pk=silent).update(state="transmitting", lease_until=NOW)
    Letter.objects.filter(pk=doubted).update(state="uncertain", next_try_at=NOW, message_id="<m>")
    Letter.objects.filter(pk=late).update(closes_at=NOW)
    monkeypatch.setattr(hooks, "on_never_left", [broken])
    monkeypatch.setattr(sweep, "CHUNK", 1)
    queue.sweep(NOW)
    states = dict(Letter.objects.values_list("pk", "state"))
    assert states == {
        late: "planned",
        stumbled: "claimed",
        again: "planned",
        silent: "uncertain",
        doubted: "planned",
    }
    assert f"letter {stumbled}: can't be seen to" in caplog.messages


@pytest.mark.parametrize(("minutes", "state"), [(15, "missed"), (14, "claimed")])
def test_whose_worker_died_as_its_day_ended_is_missed_once_that_is_sure(composed, minutes, state):
    """Before, it may be past the fence, of which a database that was taken over has not heard."""
    letter = claim(letter_to())
    Letter.objects.update(closes_at=NOW + MINUTE)
    queue.sweep(NOW + minutes * MINUTE)
    letter.refresh_from_db()
    assert (letter.state, letter.stumbles) == (state, 0)


def test_silence_after_the_dot_is_held_then_repeated_once_with_the_same_bytes(server, composed):
    letter = letter_to("drop-dot@example.org")
    seen = []
    server.before_dot_reply = seen.append
    queue.deliver(letter.pk, NOW)
    letter.refresh_from_db()
    first = transitions.frozen_bytes(letter)
    assert letter.state == "uncertain"

    queue.sweep(NOW + 14 * MINUTE)
    assert due(NOW + 14 * MINUTE) == []
    queue.sweep(NOW + 16 * MINUTE)
    letter.refresh_from_db()
    assert (letter.state, letter.repeats) == ("planned", 1)
    assert transitions.frozen_bytes(letter) == first

    queue.deliver(letter.pk, NOW + 16 * MINUTE)
    queue.sweep(NOW + 40 * MINUTE)
    letter.refresh_from_db()
    assert len(seen) == 2
    assert len(composed) == 1
    assert letter.state == "failed"
    assert letter.reason.startswith("unknown")
    assert Pick.objects.count() == 1  # It may have arrived: its papers are not sent again.


def doubted(repeats, **fields):
    """Return a letter whose hold is over, and which the oracle knows not to be in the outbox."""
    message = Message("a@b.example", "c@d.example", b"", "link", 0, NOW)
    transport_for("file:").connect().offer(message)
    letter = past_the_fence()
    queue.sweep(NOW + 15 * MINUTE)
    Letter.objects.update(repeats=repeats, **fields)
    return letter


@pytest.mark.parametrize("repeats", [0, 1])
@pytest.mark.parametrize(
    ("left_at", "stumbles", "state", "reason"),
    [
        (NOW, 0, "skipped", "unsubscribed"),
        (None, transitions.MAX_STUMBLES - 1, "failed", "broken: the mail server does not have it"),
    ],
)
def test_what_did_not_arrive_is_given_up_at_last_and_a_repeats_papers_stay_hers(
    composed, repeats, left_at, stumbles, state, reason
):
    letter = doubted(repeats, stumbles=stumbles)
    Subscriber.objects.update(unsubscribed_at=left_at)
    queue.sweep(NOW + 30 * MINUTE)
    letter.refresh_from_db()
    assert (letter.state, letter.reason) == (state, reason)
    assert Pick.objects.count() == repeats


def test_the_oracle_is_asked_about_the_last_time_that_a_letter_left(composed, settings, data_dir):
    """Of that its log may not tell yet, though it is complete from the first time on."""
    log = data_dir / "mail.log"
    settings.ORACLE = f"postfix:{log}"
    letter, later = past_the_fence(), NOW + 120 * MINUTE
    transitions.put_back(letter, NOW)
    assert pass_fence(claim(letter, later), later)
    said = "mail postfix/anvil[1]: statistics"
    lines = [f"{NOW + minutes * MINUTE:%Y-%m-%dT%H:%M:%S+00:00} {said}\n" for minutes in (-60, 60)]
    log.write_text("".join(lines))
    for minutes in (15, 30):
        queue.sweep(later + minutes * MINUTE)
    letter.refresh_from_db()
    assert (letter.state, letter.repeats, letter.stumbles) == ("planned", 1, 0)


def test_where_the_operator_wants_it_silence_is_never_answered_by_a_repeat(
    server, composed, settings
):
    settings.MAX_REPEATS = 0
    letter = letter_to("drop-dot@example.org")
    queue.deliver(letter.pk, NOW)
    queue.sweep(NOW + 16 * MINUTE)
    letter.refresh_from_db()
    assert (letter.state, letter.repeats) == ("failed", 0)
    assert letter.reason.startswith("unknown")
    assert Pick.objects.count() == 1


def test_a_worker_that_dies_between_claim_and_send_loses_nothing(server, composed, monkeypatch):
    letter = letter_to()
    assert claim(letter)  # And then its worker is no more.

    queue.sweep(NOW + 14 * MINUTE)
    assert due(NOW + 14 * MINUTE) == []  # It might still be alive.
    queue.sweep(NOW + 15 * MINUTE)
    (again,) = due(NOW + 30 * MINUTE)
    assert queue.deliver(again, NOW + 30 * MINUTE) is True
    assert len(server.accepted) == 1


def test_that_a_letter_may_have_arrived_is_remembered_however_its_attempts_break():
    """Else its papers would be given back, and come once more."""
    letter = claim(letter_to(repeats=1))
    transitions.stumble(letter, NOW)
    letter.refresh_from_db()
    assert (letter.state, letter.repeats) == ("planned", 1)


def test_a_worker_that_dies_past_the_fence_leaves_a_letter_that_is_repeated(server, composed):
    letter = letter_to()
    assert pass_fence(claim(letter))

    queue.sweep(NOW + 15 * MINUTE)
    letter.refresh_from_db()
    assert letter.state == "uncertain"
    queue.sweep(NOW + 30 * MINUTE)
    assert queue.deliver(letter.pk, NOW + 30 * MINUTE) is True
    assert len(server.accepted) == 1


def test_a_letter_whose_day_has_ended_is_missed_and_its_papers_come_the_next_day(server, composed):
    letter = letter_to()
    tomorrow = NOW + timedelta(days=1)

    queue.sweep(tomorrow)
    plan.plan(tomorrow)

    letter.refresh_from_db()
    assert (letter.state, letter.reason) == ("missed", "its day ended first")
    assert [pick.paper.title for pick in Pick.objects.all()] == ["Graphs"]
    assert Pick.objects.get().digest.day == tomorrow.date()


def test_the_journals_of_living_workers_are_read_once_for_all_letters_in_doubt(
    composed, monkeypatch
):
    """Those of many workers take seconds."""
    names = [f"<{number}@x>" for number in range(3)]
    for number, name in enumerate(names):
        letter = letter_to(f"reader-{number}@example.org")
        past = {"state": "uncertain", "next_try_at": NOW, "repeats": 1}
        Letter.objects.filter(pk=letter.pk).update(message_id=name, **past)
    living = Journal(journal.folder_of_journals())
    living.write([Entry(7, 1, name, "250 Ok", NOW.isoformat()) for name in names])
    asked, look = [], sweep.journal.accepted_ids
    monkeypatch.setattr(
        sweep.journal, "accepted_ids", lambda *told, **of: asked.append(1) or look(*told, **of)
    )
    monkeypatch.setattr(sweep, "CHUNK", 1)
    queue.sweep(NOW)
    living.leave()
    assert asked == [1]
    assert set(Letter.objects.values_list("state", flat=True)) == {"accepted"}


def test_of_letters_in_doubt_the_oldest_says_how_far_back_the_journals_are_read(composed):
    """A worker is halted since it noted the first; the other was written after that."""
    old, young = letter_to("old@example.org"), letter_to("young@example.org")
    past = {"state": "uncertain", "next_try_at": NOW, "repeats": 1}
    Letter.objects.filter(pk=old.pk).update(
        message_id="<old@x>", created_at=NOW - 9 * MINUTE, **past
    )
    Letter.objects.filter(pk=young.pk).update(message_id="<young@x>", **past)
    halted = Journal(journal.folder_of_journals())
    noted_at = NOW - 8 * MINUTE
    halted.write([Entry(old.pk, 1, "<old@x>", "250 Ok", noted_at.isoformat())])
    queue.sweep(NOW)
    halted.leave()
    old.refresh_from_db()
    assert (old.state, old.last_reply) == ("accepted", transitions.KNOWN)


def test_where_journals_can_not_be_read_a_letter_in_doubt_is_asked_for_elsewhere(
    composed, monkeypatch, caplog
):
    """Or no letter would come out of its doubt until a person looks."""
    letter = letter_to("reader@example.org")
    past = {"state": "uncertain", "next_try_at": NOW}
    Letter.objects.filter(pk=letter.pk).update(message_id="<m@x>", **past)

    def unreadable(*told, **of):
        raise PermissionError("not ours")

    monkeypatch.setattr(sweep.journal, "accepted_ids", unreadable)
    queue.sweep(NOW)
    letter.refresh_from_db()
    assert (letter.state, letter.repeats) == ("planned", 1)
    assert "the journals can't be looked through" in caplog.messages
