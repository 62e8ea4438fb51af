"""Claims, the fence and the bytes that pass it: which letters may take a step, and which not."""

import time
from datetime import timedelta
from functools import partial

import pytest
from django.db import transaction
from django.db.models import QuerySet

from digest.models import Pick
from subscriptions import hooks
from subscriptions.delivery import queue, throttling, transitions
from subscriptions.delivery.transitions import compress
from subscriptions.models import Letter, Subscriber, Volley
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.threads import at_once
from tests.subscriptions.delivery.steps import (
    MINUTE,
    claim,
    due,
    letter_to,
    pass_fence,
    past_the_fence,
)
from tests.subscriptions.delivery.worker.held_locks import on_postgresql

pytestmark = pytest.mark.django_db


def claimed_numbers(limit, **how):
    """Claim so many letters as a worker does. Return their numbers."""
    with transaction.atomic():
        return [letter.pk for letter in transitions.claim(NOW, limit, **how)[0]]


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_at_once_wait_for_none_of_each_others_letters():
    letters = {letter_to().pk, letter_to("other@example.org").pk}

    def claim_one():
        with transaction.atomic():
            return transitions.claim(NOW, 1)[0][0].pk

    with transaction.atomic():
        ours = transitions.claim(NOW, 1)[0][0].pk
        assert at_once(claim_one) == [*(letters - {ours})]


def test_letters_that_have_waited_longest_are_claimed_first():
    two, three, one = [
        letter_to(f"{minutes}@example.org", next_try_at=NOW - minutes * MINUTE).pk
        for minutes in (2, 3, 1)
    ]
    assert [claimed_numbers(1) for _ in range(3)] == [[three], [two], [one]]


def test_letters_that_a_person_waits_for_are_claimed_before_digests_where_they_are_looked_for():
    digests = [
        letter_to(f"{number}@example.org", next_try_at=NOW - (3 - number) * MINUTE).pk
        for number in range(3)
    ]
    awaited = make.subscriber(confirmed=False).letters.create(
        kind="confirm", created_at=NOW, next_try_at=NOW, closes_at=NOW + 60 * MINUTE
    )
    assert claimed_numbers(1, looks_for_awaited=False) == [digests[0]]
    assert claimed_numbers(2) == [awaited.pk, digests[1]]
    assert claimed_numbers(2) == [digests[2]]


def test_no_more_are_claimed_than_asked_for_though_some_turn_out_not_to_be_wanted():
    unwanted = letter_to("left@example.org", next_try_at=NOW - MINUTE)
    Subscriber.objects.update(unsubscribed_at=NOW)  # By nobody who calls her letters off.
    due = [letter_to(f"{number}@example.org").pk for number in range(3)]
    for numbers, is_exhausted in ((due[:2], False), (due[2:], True), ([], True)):
        with transaction.atomic():
            claimed, is_last = transitions.claim(NOW, 2)
        assert ([letter.pk for letter in claimed], is_last) == (numbers, is_exhausted)
    unwanted.refresh_from_db()
    assert (unwanted.state, unwanted.reason) == ("skipped", "unsubscribed")


def test_one_claim_puts_off_so_many_letters_and_says_that_more_may_be_due(monkeypatch):
    monkeypatch.setattr(transitions, "MAX_POSTPONED", 3)
    for number in range(6):
        letter_to(f"reader-{number}@gmail.com")
    with transaction.atomic():
        throttling.slow_down("google", "slower", NOW)
        claimed, is_exhausted = transitions.claim(NOW, 2)
    assert (claimed, is_exhausted) == ([], False)
    assert len(due(NOW)) == 2


def test_letters_that_broke_again_and_again_are_claimed_with_no_others():
    suspect = letter_to(stumbles=transitions.SUSPECT_AFTER)
    well = letter_to("well@example.org", stumbles=transitions.SUSPECT_AFTER - 1)
    assert claimed_numbers(5) == [well.pk]
    assert transitions.crash_suspects(NOW) == [suspect.pk]
    assert claim(suspect) == suspect


def test_a_worker_that_wakes_up_after_its_lease_sends_nothing(server, composed):
    letter = letter_to()
    asleep = claim(letter)
    assert not pass_fence(asleep, asleep.lease_until)
    queue.sweep(NOW + 20 * MINUTE)
    queue.deliver(letter.pk, NOW + 40 * MINUTE)

    assert not pass_fence(asleep, NOW + 10 * MINUTE)  # Its own clock was asleep, too.
    assert len(server.accepted) == 1


def test_a_lease_that_ran_out_is_not_carried_past_the_fence(server, composed, monkeypatch):
    letter, fence = letter_to(), transitions.final_check
    monkeypatch.setattr(
        transitions, "final_check", lambda *args: fence(*args[:2], args[2] + 15 * MINUTE)
    )
    assert queue.deliver(letter.pk, NOW) is False

    letter.refresh_from_db()
    assert letter.state == "claimed"  # Anybody's, as soon as the sweeper comes by.
    assert server.accepted == []
    queue.sweep(NOW + 16 * MINUTE)
    letter.refresh_from_db()
    assert letter.state == "planned"


def test_from_its_closing_on_a_letter_is_neither_claimed_nor_let_past_the_fence():
    letter = letter_to()
    assert claim(letter, letter.closes_at) is None
    letter.refresh_from_db()
    assert letter.state == "missed"

    other = claim(letter_to("other@example.org"), letter.closes_at - MINUTE)
    assert not pass_fence(other, other.closes_at)
    other.refresh_from_db()
    assert other.state == "missed"


def test_words_that_are_too_long_for_the_ledger_are_cut():
    words = "not now, " * 50
    letter, other = letter_to(), letter_to("other@example.org")
    transitions.release([claim(letter)], NOW, words)
    assert letter.events.get(was="claimed", became="planned").note == words[:300]
    again = claim(letter)
    assert pass_fence(again)
    assert transitions.accept([again], [words], NOW)
    assert transitions.end([claim(other)], Letter.State.FAILED, words, NOW)
    letter.refresh_from_db()
    other.refresh_from_db()
    assert letter.last_reply == other.reason == words[:300]


def test_bytes_are_kept_while_their_letter_waits_and_dropped_once_it_has_ended():
    letter = past_the_fence()
    hours = [NOW + timedelta(hours=hour) for hour in (2, 4)]
    transitions.put_back(letter, NOW, until=hours[1])
    queue.sweep(hours[0])
    letter.refresh_from_db()
    assert transitions.frozen_bytes(letter).endswith(b"Hello.\r\n")
    transitions.end([letter], Letter.State.SKIPPED, "paused", hours[0])
    queue.sweep(hours[0])
    assert not Volley.objects.exists()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (QuerySet.delete, "its bytes are gone"),
        (partial(QuerySet.update, mime=b"What no frame begins with."), "its bytes can't be read: "),
        (partial(QuerySet.update, mime=compress([b"Subject: Pap"])), "its bytes are not all there"),
    ],
)
def test_a_letter_whose_bytes_are_damaged_is_sent_again_neither_in_part_nor_written_anew(
    server, composed, caplog, damage, why
):
    """She may have it already, as it was."""
    letter = past_the_fence()
    for minute in (16, 32):
        queue.sweep(NOW + minute * MINUTE)
    damage(Volley.objects.all())
    now = NOW + 32 * MINUTE
    for _ in range(transitions.MAX_FAILED_ATTEMPTS):
        queue.deliver(letter.pk, now)
        now += 80 * MINUTE
    letter.refresh_from_db()
    assert (letter.state, letter.repeats) == ("failed", 1)
    assert why in caplog.text
    assert server.accepted == composed == []
    assert Pick.objects.count() == 1


def test_who_was_overtaken_gives_no_papers_back():
    """The letter that another has claimed since may arrive with them."""
    letter = letter_to()
    asleep = claim(letter)
    queue.sweep(NOW + 20 * MINUTE)
    assert pass_fence(claim(letter, NOW + 40 * MINUTE), NOW + 40 * MINUTE)
    assert transitions.end([asleep], Letter.State.FAILED, "refused", NOW + 40 * MINUTE) == []
    assert Pick.objects.count() == 1


def test_letters_that_pass_the_fence_together_have_each_their_own_bytes_again():
    again = past_the_fence()
    first = transitions.frozen_bytes(again)
    later = NOW + 10 * MINUTE
    transitions.put_back(again, NOW)
    letters = [claim(again, later), claim(letter_to("other@example.org"), later)]
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
def test_a_letter_waits_for_its_provider_and_for_its_own_turn_whichever_is_longer(minutes):
    letter = letter_to(attempt=3)  # The next wait is an hour.
    letter = claim(letter)
    transitions.put_back(letter, NOW, until=NOW + minutes * MINUTE)
    letter.refresh_from_db()
    own = transitions.next_attempt_at(letter, NOW)
    assert own >= NOW + 60 * MINUTE
    assert letter.next_try_at == max(own, NOW + minutes * MINUTE)


def test_a_server_may_think_for_its_ten_minutes_however_late_the_fence_was_passed(composed):
    assert pass_fence(claim(letter_to()), NOW + 14 * MINUTE)

    queue.sweep(NOW + 25 * MINUTE)
    assert Letter.objects.get().state == "transmitting"
    queue.sweep(NOW + 29 * MINUTE)
    assert Letter.objects.get().state == "uncertain"


def test_whose_letter_was_claimed_by_another_leaves_it_alone_when_it_breaks(monkeypatch, caplog):
    letter = letter_to()

    def compose(composing, now):
        queue.sweep(NOW + 20 * MINUTE)
        assert claim(letter, NOW + 40 * MINUTE)
        raise RuntimeError("woken up, and broken")

    monkeypatch.setitem(hooks.composers, "digest", make.one_by_one(compose))
    queue.deliver(letter.pk, NOW)

    letter.refresh_from_db()
    assert (letter.state, letter.attempt, letter.stumbles) == ("claimed", 2, 1)


def test_who_would_give_up_a_letter_that_another_has_is_overtaken(caplog):
    seen = claim(letter_to(stumbles=transitions.MAX_FAILED_ATTEMPTS - 1))
    Letter.objects.update(attempt=2)
    with pytest.raises(transitions.ConcurrentUpdate):
        transitions.record_failed_attempt(seen, NOW)
    assert Letter.objects.get().state == "claimed"
    assert "given up" not in caplog.text


def test_events_carry_their_attempt_and_with_the_next_try_their_own_moment_not_the_claims(
    server, composed
):
    letter = letter_to("450-dot@example.org")
    slow = timedelta(milliseconds=50)
    server.before_dot_reply = lambda recipient: time.sleep(slow.total_seconds())

    queue.deliver(letter.pk, NOW)

    claimed, fenced, put_back = letter.events.all()[1:]
    assert NOW <= claimed.at < fenced.at < put_back.at
    assert put_back.at - fenced.at >= slow
    assert [event.attempt for event in (claimed, fenced, put_back)] == [1, 1, 1]
    letter.refresh_from_db()
    assert letter.next_try_at == transitions.next_attempt_at(letter, put_back.at)
