"""What was left lying: leases that ran out, letters of unknown fate, days that ended."""

from unittest.mock import Mock

import pytest

from digest.models import Pick
from subscriptions import hooks
from subscriptions.delivery import outcomes, queue, transitions
from subscriptions.delivery.recovery import journal, lookup, sweep
from subscriptions.delivery.recovery.journal import Entry, Journal
from subscriptions.delivery.transports.base import DeliveryResult, Message
from subscriptions.delivery.transports.registry import transport_for
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
    assert f"letter {stumbled}: recovery failed" in caplog.messages


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


AT_LAST = transitions.MAX_FAILED_ATTEMPTS - 1
GIVEN_UP = [(NOW, 0, "skipped", "unsubscribed")]
GIVEN_UP += [(None, AT_LAST, "failed", "broken: the mail server does not have it")]


@pytest.mark.parametrize("repeats", [0, 1])
@pytest.mark.parametrize(("left_at", "failed_attempts", "state", "reason"), GIVEN_UP)
def test_undelivered_letter_is_given_up(composed, repeats, left_at, failed_attempts, state, reason):
    # The lookup finds no letter like this one in the outbox.
    message = Message("a@b.example", "c@d.example", b"", "link", 0, NOW)
    transport_for("file:").connect().offer(message)
    letter = steps.past_the_final_check()
    queue.sweep(NOW + 15 * MINUTE)
    Letter.objects.update(repeats=repeats, failed_attempts=failed_attempts)
    Subscriber.objects.update(unsubscribed_at=left_at)
    queue.sweep(NOW + 30 * MINUTE)
    assert (make.fresh(letter).state, letter.reason) == (state, reason)
    assert Pick.objects.count() == repeats


AGAIN = NOW + 31 * MINUTE
REFUSAL = DeliveryResult("refused", "dot", "550 no")


def refuse(letter):
    outcomes.record(steps.claim(letter, AGAIN), AGAIN, REFUSAL)


def break_for_good(letter):
    Letter.objects.update(failed_attempts=AT_LAST)
    transitions.record_failed_attempt(steps.claim(letter, AGAIN), AGAIN)


FAILED_RESENDS = [
    (lambda letter: Letter.objects.update(closes_at=AGAIN), "skipped", "its day ended first"),
    (refuse, "failed", "refused: 550 no"),
    (break_for_good, "failed", "broken: it could not be written"),
]


@pytest.mark.parametrize("answer", ["yes", "unknown", "no"])
@pytest.mark.parametrize(("fail", "state", "why"), FAILED_RESENDS)
@pytest.mark.parametrize("claims", [False, True])
def test_failed_resend_ends_as_the_lookup_says(
    server, composed, monkeypatch, fail, state, why, answer, claims
):
    letter = steps.due_to_be_resent()
    fail(make.fresh(letter))
    if claims:
        assert steps.claim(letter, AGAIN) is None
    answers = lambda self, letters: {one.message_id: answer for one in letters}  # noqa: E731
    monkeypatch.setattr(lookup.DeliveryLookup, "look_up", answers)
    queue.sweep(AGAIN)
    ends = {"yes": ("accepted", ""), "no": (state, why)}
    ends["unknown"] = ("failed", f"unknown, once resent: {why}")
    assert (make.fresh(letter).state, letter.reason, letter.repeats) == (*ends[answer], 1)
    assert Pick.objects.count() == 1
    assert broken(AGAIN) == {}


def test_lookup_is_about_the_last_attempt(composed, settings, data_dir):
    """Of that its log may not tell yet, though it is complete from the first time on."""
    log = data_dir / "mail.log"
    settings.DELIVERY_LOOKUP = f"postfix:{log}"
    letter, later = steps.past_the_final_check(), NOW + 120 * MINUTE
    transitions.put_back(letter, NOW)
    assert steps.pass_final_check(steps.claim(letter, later), later)
    said = "mail postfix/anvil[1]: statistics"
    lines = [f"{NOW + minutes * MINUTE:%Y-%m-%dT%H:%M:%S+00:00} {said}\n" for minutes in (-60, 60)]
    log.write_text("".join(lines))
    for minutes in (15, 30):
        queue.sweep(later + minutes * MINUTE)
    assert (make.fresh(letter).state, letter.repeats, letter.failed_attempts) == ("planned", 1, 0)


def test_possible_arrival_is_remembered_after_failed_attempts():
    """Else its papers would be given back, and come once more."""
    letter = steps.claim(steps.letter_to(repeats=1))
    transitions.record_failed_attempt(letter, NOW)
    assert (make.fresh(letter).state, letter.repeats) == ("planned", 1)


def uncertain_letter(name, **fields):
    """Make an uncertain letter that may be looked up now."""
    past = {"state": "uncertain", "next_try_at": NOW, "message_id": f"<{name}@x>"}
    return steps.letter_to(f"{name}@example.org", **past | fields)


def test_journals_of_living_workers_are_read_once(composed, monkeypatch):
    """Those of many workers take seconds, and one may be halted since it noted the first."""
    old = uncertain_letter("old", repeats=1, created_at=NOW - 9 * MINUTE)
    for name in ("young", "other"):
        uncertain_letter(name, repeats=1)
    halted, noted_at = Journal(journal.folder_of_journals()), (NOW - 8 * MINUTE).isoformat()
    names = ("old", "young", "other")
    halted.write([Entry(7, 1, f"<{name}@x>", "250", noted_at) for name in names])
    asked = []
    steps.before(monkeypatch, sweep.journal, "accepted_ids", lambda *_: asked.append(1))
    monkeypatch.setattr(sweep, "CHUNK", 1)
    queue.sweep(NOW)
    halted.abandon()
    assert asked == [1]
    assert set(Letter.objects.values_list("state", flat=True)) == {"accepted"}
    assert make.fresh(old).last_reply == transitions.KNOWN_REPLY


def test_unreadable_journals_leave_the_question_to_other_lookups(composed, monkeypatch, caplog):
    """Or every letter would stay uncertain until a person looks."""
    letter = uncertain_letter("reader")
    unreadable = Mock(side_effect=PermissionError("not ours"))
    monkeypatch.setattr(sweep.journal, "accepted_ids", unreadable)
    queue.sweep(NOW)
    assert (make.fresh(letter).state, letter.repeats) == ("planned", 1)
    assert "Cannot replay the journals" in caplog.messages
