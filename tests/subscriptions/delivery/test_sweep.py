"""What was left lying: leases that ran out, letters of unknown fate, days that ended."""

from unittest.mock import Mock

import pytest

from digest.models import Pick
from subscriptions import hooks
from subscriptions.delivery import outcomes, queue, sweep, transitions
from subscriptions.delivery.transports.base import DeliveryResult
from subscriptions.models import Letter, Subscriber
from tests.factories import make
from tests.factories.make import MINUTE, NOW
from tests.helpers.invariants import broken
from tests.subscriptions.delivery import steps

pytestmark = pytest.mark.django_db


@pytest.mark.django_db(transaction=True)
def test_error_in_the_sweep_affects_its_letter_only(composed, monkeypatch, caplog):
    letters = [steps.letter_to(f"reader-{number}@example.org") for number in range(5)]
    late, stumbled, again, silent, doubted = [letter.pk for letter in letters]
    Letter.objects.filter(pk__in=[stumbled, again]).update(state="claimed", lease_until=NOW)
    Letter.objects.filter(pk=stumbled).update(failed_attempts=transitions.MAX_FAILED_ATTEMPTS - 1)
    Letter.objects.filter(pk=silent).update(state="transmitting", lease_until=NOW)
    Letter.objects.filter(pk=doubted).update(state="uncertain", next_try_at=NOW, message_id="<m>")
    Letter.objects.filter(pk=late).update(closes_at=NOW)
    monkeypatch.setattr(hooks, "on_not_sent", [Mock(side_effect=RuntimeError("a fault of ours"))])
    monkeypatch.setattr(sweep, "CHUNK", 1)
    queue.sweep(NOW)
    states = {late: "planned", stumbled: "claimed", again: "planned", silent: "uncertain"}
    assert dict(Letter.objects.values_list("pk", "state")) == states | {doubted: "planned"}
    assert f"Letter {stumbled}: recovery failed" in caplog.messages


@pytest.mark.parametrize(("minutes", "state"), [(15, "missed"), (14, "claimed")])
def test_dead_workers_letter_is_missed_after_its_lease(composed, minutes, state):
    """Before, it may be past the final check without a trace in a restored database."""
    letter = steps.claim(steps.letter_to())
    Letter.objects.update(closes_at=NOW + MINUTE)
    queue.sweep(NOW + minutes * MINUTE)
    assert (make.fresh(letter).state, letter.failed_attempts) == (state, 0)


@pytest.mark.parametrize("repeats", [1, 0])
def test_silence_after_the_dot_is_held_then_maybe_repeated(server, composed, settings, repeats):
    settings.MAX_REPEATS = repeats
    letter = steps.letter_to("drop-dot@example.org")
    seen = []
    server.before_dot_reply = seen.append
    queue.deliver(letter.pk, NOW)
    first = transitions.frozen_bytes(make.fresh(letter))
    assert letter.state == "uncertain"

    queue.sweep(NOW + 14 * MINUTE)
    assert steps.due(NOW + 14 * MINUTE) == []
    queue.sweep(NOW + 16 * MINUTE)
    letter.refresh_from_db()
    if repeats:
        assert (letter.state, letter.repeats) == ("planned", 1)
        assert transitions.frozen_bytes(letter) == first
        queue.deliver(letter.pk, NOW + 16 * MINUTE)
        queue.sweep(NOW + 40 * MINUTE)
        letter.refresh_from_db()
    assert len(seen) == 1 + repeats
    assert len(composed) == 1
    assert letter.state == "failed"
    assert letter.reason.startswith("unknown")
    assert Pick.objects.count() == 1  # It may have arrived: its papers are not sent again.


@pytest.mark.parametrize("repeats", [0, 1])
def test_uncertain_letter_of_a_leaver_ends_unknown(composed, repeats):
    letter = steps.past_the_final_check()
    queue.sweep(NOW + 15 * MINUTE)
    Letter.objects.update(repeats=repeats)
    Subscriber.objects.update(unsubscribed_at=NOW)
    queue.sweep(NOW + 30 * MINUTE)
    assert make.fresh(letter).state == "failed"
    assert letter.reason.startswith("unknown, once resent" if repeats else "unknown: ")
    assert Pick.objects.count() == 1


AGAIN = NOW + 31 * MINUTE
AT_LAST = transitions.MAX_FAILED_ATTEMPTS - 1
REFUSAL = DeliveryResult("refused", "dot", "550 no")


def refuse(letter):
    outcomes.record_result(steps.claim(letter, AGAIN), AGAIN, REFUSAL)


def break_for_good(letter):
    Letter.objects.update(failed_attempts=AT_LAST)
    transitions.record_failed_attempt(steps.claim(letter, AGAIN), AGAIN)


def end_its_day(letter):
    Letter.objects.update(closes_at=AGAIN)
    assert steps.claim(letter, AGAIN) is None


FAILED_RESENDS = [
    (end_its_day, "its day ended first"),
    (refuse, "refused: 550 no"),
    (break_for_good, "broken: it could not be written"),
]


@pytest.mark.parametrize(("fail", "why"), FAILED_RESENDS)
def test_failed_resend_ends_unknown_with_its_reason(server, composed, fail, why):
    letter = steps.due_to_be_resent()
    fail(make.fresh(letter))
    assert (make.fresh(letter).state, letter.repeats) == ("failed", 1)
    assert letter.reason == f"unknown, once resent: {why}"
    assert Pick.objects.count() == 1
    assert broken(AGAIN) == {}


def test_reported_letter_is_accepted_and_not_resent(composed):
    letter = steps.past_the_final_check()
    queue.sweep(NOW + 15 * MINUTE)
    letter.facts.create(kind="delivered", noted_at=NOW, via="Mail", key="1")
    queue.sweep(NOW + 30 * MINUTE)
    assert make.fresh(letter).state == "accepted"
    assert letter.last_reply == transitions.KNOWN_REPLY


def test_possible_arrival_is_remembered_after_failed_attempts():
    """Else its papers would be given back, and come once more."""
    letter = steps.claim(steps.letter_to(repeats=1))
    transitions.record_failed_attempt(letter, NOW)
    assert (make.fresh(letter).state, letter.repeats) == ("planned", 1)
