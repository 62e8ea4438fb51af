"""Claims, the final check and stored bytes: which letters may take a step, and which not."""

from functools import partial
from operator import attrgetter

import pytest
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.base import ModelState
from django.utils import timezone

from digest.models import Pick
from subscriptions.actions import erase, signup
from subscriptions.db import run_sql
from subscriptions.delivery import outcomes, queue, transitions
from subscriptions.delivery.clock import database_now
from subscriptions.delivery.transitions import zstd
from subscriptions.models import Letter, MimeBatch, Subscriber
from tests.factories import make
from tests.factories.make import CONSENT_SOURCE, DAY, HOUR, MINUTE, NOW, TODAY
from tests.helpers.subscriber_pages import STATES
from tests.helpers.threads import at_once
from tests.subscriptions.delivery import steps
from tests.subscriptions.delivery.worker.due_digests import digest_to
from tests.subscriptions.delivery.worker.held_locks import on_postgresql

pytestmark = pytest.mark.django_db


def claimed_numbers(limit):
    """Claim so many letters as a worker does. Return their numbers."""
    with transaction.atomic():
        return [letter.pk for letter in transitions.claim(NOW, limit)[0]]


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_concurrent_claims_do_not_wait_for_each_other():
    letters = {steps.letter_to().pk, steps.letter_to("other@example.org").pk}

    def claim_one():
        with transaction.atomic():
            return transitions.claim(NOW, 1)[0][0].pk

    with transaction.atomic():
        ours = transitions.claim(NOW, 1)[0][0].pk
        assert at_once(claim_one) == [*(letters - {ours})]


def test_longest_waiting_letters_are_claimed_first():
    tries = [(f"{minutes}@example.org", NOW - minutes * MINUTE) for minutes in (2, 3, 1)]
    two, three, one = [steps.letter_to(email, next_try_at=at).pk for email, at in tries]
    assert [claimed_numbers(1) for _ in range(3)] == [[three], [two], [one]]


def test_awaited_letters_are_claimed_before_digests():
    digests = [
        steps.letter_to(f"{number}@example.org", next_try_at=NOW - (3 - number) * MINUTE).pk
        for number in range(3)
    ]
    awaited = make.subscriber(confirmed=False).letters.create(
        kind="confirm", created_at=NOW, next_try_at=NOW, closes_at=NOW + 60 * MINUTE
    )
    assert claimed_numbers(2) == [awaited.pk, digests[0]]
    assert claimed_numbers(3) == digests[1:]


def test_claim_skips_unwanted_letters_and_keeps_its_limit():
    unwanted = steps.letter_to("left@example.org", next_try_at=NOW - MINUTE)
    Subscriber.objects.update(unsubscribed_at=NOW)  # By nobody who calls their letters off.
    due = [steps.letter_to(f"{number}@example.org").pk for number in range(3)]
    for numbers, is_exhausted in ((due[:2], False), (due[2:], True), ([], True)):
        with transaction.atomic():
            claimed, is_last = transitions.claim(NOW, 2)
        assert ([letter.pk for letter in claimed], is_last) == (numbers, is_exhausted)
    assert (make.fresh(unwanted).state, unwanted.reason) == ("skipped", "unsubscribed")


def test_crash_suspects_are_claimed_alone():
    suspect = steps.letter_to(failed_attempts=transitions.SUSPECT_AFTER)
    well = steps.letter_to("well@example.org", failed_attempts=transitions.SUSPECT_AFTER - 1)
    assert claimed_numbers(5) == [well.pk]
    assert transitions.crash_suspects(NOW) == [suspect.pk]
    assert steps.claim(suspect) == suspect


def test_worker_past_its_lease_sends_nothing(server, composed):
    letter = steps.letter_to()
    asleep = steps.claim(letter)
    assert not steps.pass_final_check(asleep, asleep.lease_until)
    queue.sweep(NOW + 20 * MINUTE)
    queue.deliver(letter.pk, NOW + 40 * MINUTE)

    assert not steps.pass_final_check(asleep, NOW + 10 * MINUTE)  # Its own clock was asleep, too.
    assert len(server.accepted) == 1


def test_closed_letter_is_neither_claimed_nor_checked():
    letter = steps.letter_to()
    assert steps.claim(letter, letter.closes_at) is None
    assert make.fresh(letter).state == "missed"

    other = steps.claim(steps.letter_to("other@example.org"), letter.closes_at - MINUTE)
    assert not steps.pass_final_check(other, other.closes_at)
    assert make.fresh(other).state == "missed"


def test_replies_are_truncated_to_the_column():
    words = "not now, " * 50
    letter, other = steps.letter_to(), steps.letter_to("other@example.org")
    outcomes.release(steps.claim(letter), NOW, words)
    assert letter.events.get(old_state="claimed", new_state="planned").note == words[:300]
    again = steps.claim(letter)
    assert steps.pass_final_check(again)
    assert transitions.accept([again], [words], NOW)
    assert transitions.end([steps.claim(other)], Letter.State.FAILED, words, NOW)
    letter.refresh_from_db()
    other.refresh_from_db()
    assert letter.last_reply == other.reason == words[:300]


def test_bytes_are_dropped_once_the_letter_has_ended():
    letter = steps.past_the_final_check()
    transitions.put_back(letter, NOW, retry_at=NOW + 4 * HOUR)
    queue.sweep(NOW + 2 * HOUR)
    letter.refresh_from_db()
    assert transitions.frozen_bytes(letter).endswith(b"Hello.\r\n")
    transitions.end([letter], Letter.State.SKIPPED, "paused", NOW + 2 * HOUR)
    queue.sweep(NOW + 2 * HOUR)
    assert not MimeBatch.objects.exists()


DAMAGE = [
    (QuerySet.delete, "its bytes are gone"),
    (partial(QuerySet.update, mime=b"What no frame begins with."), "its bytes can't be read: "),
    (partial(QuerySet.update, mime=zstd.compress(b"Subject: Pap")), "its bytes are not all there"),
]


@pytest.mark.parametrize(("damage", "why"), DAMAGE)
def test_damaged_bytes_are_neither_sent_nor_rewritten(server, composed, caplog, damage, why):
    """They may have it already, as it was."""
    letter = steps.due_to_be_resent()
    damage(MimeBatch.objects.all())
    now = NOW + 32 * MINUTE
    for _ in range(transitions.MAX_FAILED_ATTEMPTS):
        queue.deliver(letter.pk, now)
        now += 80 * MINUTE
    queue.sweep(now)
    assert (make.fresh(letter).state, letter.repeats) == ("failed", 1)
    assert letter.reason == "unknown, once resent: broken: DamagedBytes in composing"
    assert why in caplog.text
    assert server.accepted == composed == []
    assert Pick.objects.count() == 1


def test_overtaken_worker_releases_no_papers():
    """The letter that another has claimed since may arrive with them."""
    letter = steps.letter_to()
    asleep = steps.claim(letter)
    queue.sweep(NOW + 20 * MINUTE)
    assert steps.pass_final_check(steps.claim(letter, NOW + 40 * MINUTE), NOW + 40 * MINUTE)
    assert transitions.end([asleep], Letter.State.FAILED, "refused", NOW + 40 * MINUTE) == []
    assert Pick.objects.count() == 1


def test_each_letter_of_a_batch_keeps_its_bytes():
    again = steps.past_the_final_check()
    first = transitions.frozen_bytes(again)
    later = NOW + 10 * MINUTE
    transitions.put_back(again, NOW)
    letters = [steps.claim(again, later), steps.claim(steps.letter_to("other@example.org"), later)]
    frozen = {
        one.pk: transitions.FrozenMessage(b"To: %d\r\n" % one.pk, f"<{one.pk}@x>", later)
        for one in letters
    }
    with transaction.atomic():
        passed = transitions.final_check(letters, frozen, later).passed
    assert sorted(letter.pk for letter in passed) == sorted(frozen)
    for letter in Letter.objects.all():
        own = first if letter == again else frozen[letter.pk].mime
        assert (letter.state, transitions.frozen_bytes(letter)) == ("transmitting", own)


@pytest.mark.parametrize("minutes", [1, 300])
def test_longer_of_hold_and_back_off_counts(minutes):
    letter = steps.letter_to(attempt=3)  # The next wait is an hour.
    letter = steps.claim(letter)
    transitions.put_back(letter, NOW, retry_at=NOW + minutes * MINUTE)
    own = transitions.next_try_at(make.fresh(letter), NOW)
    assert own >= NOW + 60 * MINUTE
    assert letter.next_try_at == max(own, NOW + minutes * MINUTE)


def test_lease_is_extended_at_the_final_check(composed):
    assert steps.pass_final_check(steps.claim(steps.letter_to()), NOW + 14 * MINUTE)

    queue.sweep(NOW + 25 * MINUTE)
    assert Letter.objects.get().state == "transmitting"
    queue.sweep(NOW + 29 * MINUTE)
    assert Letter.objects.get().state == "uncertain"


# ---- The clock by which workers agree on leases


def test_clock_is_the_databases_within_a_transaction():
    if connection.vendor != "postgresql":  # SQLite has no clock: ours is asked.
        assert database_now() == timezone.now()
        return
    ((before,),) = run_sql("SELECT clock_timestamp()")
    moment = database_now()
    ((after,),) = run_sql("SELECT clock_timestamp()")
    assert before < moment < after


# ---- What the steps of a letter cost the database, and that less is asked of it for nothing


#: What the claim and the final check change.
CHANGED = {
    *("state", "attempt", "lease_until", "left_at"),
    *("message_id", "frozen_at", "mime_batch", "mime_offset", "mime_size"),
}


@pytest.mark.django_db
def test_claimed_letter_equals_the_stored_row():
    digest_to("reader@example.org")
    with transaction.atomic():
        ((claimed,), _) = transitions.claim(NOW, 1)
    stored = Letter.objects.select_related("subscriber").get()
    for one, other in ((claimed, stored), (claimed.subscriber, stored.subscriber)):
        assert one == other
        values_of = attrgetter(*[field.attname for field in other._meta.concrete_fields])
        assert values_of(one) == values_of(other)
        assert type(one._state) is ModelState
        assert (one._state.db, one._state.adding) == ("default", False)


# ---- Whom no letter reaches any more: who unsubscribes, or is erased, while one is on its way


UNWANTED = [({"unsubscribed_at": NOW}, "unsubscribed"), ({"suppressed_at": NOW}, "suppressed")]
UNWANTED += [({"paused_until": TODAY + DAY}, "paused"), ({"confirmed_at": None}, "pending")]


@pytest.mark.parametrize(("fields", "reason"), UNWANTED)
def test_final_check_skips_unwanted_digests(fields, reason):
    """Whatever was changed, and whoever did it without calling their letters off."""
    letter = steps.claim(steps.letter_to())
    Subscriber.objects.update(**fields)
    assert not steps.pass_final_check(letter)
    assert (make.fresh(letter).state, letter.reason) == ("skipped", reason)
    assert not Pick.objects.exists()


def test_letter_kinds_are_wanted_in_these_states():
    subscribers = {state: make.subscriber(**fields) for state, fields in STATES.items()}
    for kind, wanted in {
        "digest": ["active"],
        "welcome": ["active"],
        "move": ["active", "paused"],
        "link": ["active", "paused", "unsubscribed"],
        "confirm": ["active", "paused", "unsubscribed", "pending"],
    }.items():
        for state, subscriber in subscribers.items():
            why = transitions.skip_reason(Letter(kind=kind, created_at=NOW), subscriber, NOW)
            assert why == ("" if state in wanted else state), (kind, state)


def test_goodbye_is_skipped_after_a_new_subscription():
    subscriber = make.subscriber()
    signup.unsubscribe(subscriber.public_id, source=CONSENT_SOURCE, now=NOW)
    goodbye = steps.claim(Letter.objects.get(kind="goodbye"))
    signup.confirm(subscriber, goodbye.created_at, source=CONSENT_SOURCE, now=NOW, kind="goodbye")
    assert not steps.pass_final_check(goodbye)
    assert (make.fresh(goodbye).state, goodbye.reason) == ("skipped", "the subscriber came back")


def test_papers_of_a_resent_letter_stay_assigned_after_unsubscribing():
    letter = steps.due_to_be_resent()
    assert (make.fresh(letter).state, letter.repeats) == ("planned", 1)
    signup.unsubscribe(letter.subscriber.public_id, source=CONSENT_SOURCE, now=NOW + 32 * MINUTE)
    queue.sweep(NOW + 32 * MINUTE)
    assert make.fresh(letter).reason == "unknown, once resent: unsubscribed"
    assert Pick.objects.count() == 1


def test_erased_subscriber_is_not_sent_the_dot(server, composed, monkeypatch):
    letter = steps.letter_to()
    steps.before(
        monkeypatch, transitions, "final_check", lambda *_: erase.erase(letter.subscriber, now=NOW)
    )
    assert queue.deliver(letter.pk, NOW) is False
    assert server.accepted == []
    assert not Letter.objects.exists()
