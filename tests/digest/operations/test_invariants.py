"""The invariants as queries: kept on a day that went well, and each found broken where it is."""

from datetime import timedelta

import pytest

from digest.models import Coverage, Digest
from digest.operations import invariants
from digest.planning import plan
from subscriptions import schedule
from subscriptions.actions import signup
from subscriptions.delivery import transitions, worker
from subscriptions.models import Letter, MimeBatch, Subscriber
from tests.factories import make
from tests.factories.make import CONSENT_SOURCE, DAY, MINUTE, NOW
from tests.factories.planning import plan_and_send
from tests.helpers.data_files import cases
from tests.helpers.invariants import broken

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent():
    """A letter that was planned and sent at NOW, with its paper."""
    letter = planned()
    worker.deliver_due(lambda: NOW)
    letter.refresh_from_db()
    return letter


def planned():
    """Make a subscriber whose digest waits."""
    make.paper("Graph networks")
    make.subscriber(interests="graph networks")
    plan.plan(NOW)
    return Letter.objects.get()


def beside(letter, **fields):
    """Write another letter to the same subscriber, which waits."""
    written = {"kind": "confirm", "created_at": NOW, "closes_at": NOW + DAY, "next_try_at": NOW}
    other = letter.subscriber.letters.create(**written, **fields)
    other.events.create(at=NOW, new_state="planned", attempt=0)
    return other


def past_the_final_check(letter):
    """Bring a waiting letter past the final check, as a worker that died there would leave it."""
    (claimed,), _ = transitions.claim(NOW, 1)
    frozen = transitions.FrozenMessage(b"Subject: x\r\n\r\nx\r\n", "<x@paperboy.example>", NOW)
    assert transitions.final_check([claimed], {claimed.pk: frozen}, NOW).passed
    letter.refresh_from_db()
    return letter


def leave(subscriber, now=NOW):
    signup.unsubscribe(subscriber.public_id, source=CONSENT_SOURCE, now=now)


def change(letter, **fields):
    Letter.objects.filter(pk=letter.pk).update(**fields)


@pytest.mark.parametrize("waits_for_papers", [False, True])
def test_late_unplanned_subscriber_is_found(settings, waits_for_papers):
    grace = timedelta(0)
    if waits_for_papers:
        grace, day = settings.HARVEST_GRACE, NOW.date() - DAY
        Coverage.objects.create(
            source="arxiv", category="cs", day=day, state="fresh", checked_at=NOW
        )
    late = make.subscriber()
    assert broken(NOW + grace + timedelta(minutes=29)) == {}
    assert broken(NOW + grace + timedelta(minutes=31)) == {"planned": [late.pk]}


def test_subscriber_never_due_is_found_unless_paused():
    forgotten, far = (make.subscriber(next_due_at=due) for due in (None, NOW + 17 * DAY))
    make.subscriber(next_due_at=NOW + 15 * DAY)
    make.subscriber(next_due_at=NOW + 30 * DAY, paused_until=NOW.date() + 30 * DAY)
    assert broken(NOW) == {"due": [forgotten.pk, far.pk]}


def test_abandoned_open_letter_is_found():
    letter = planned()
    for state, fields in cases("abandoned_letters"):
        change(letter, **{"next_try_at": NOW, "lease_until": NOW} | fields, state=state)
        assert broken(NOW)["held"] == [letter.pk], (state, fields)
    change(letter, state="planned", next_try_at=NOW, lease_until=None)
    change(letter, closes_at=NOW - timedelta(minutes=46))
    assert broken(NOW) == {"ended": [letter.pk]}


def test_impossible_rows_are_found(sent):
    for name, changes in cases("impossible_letters").items():
        for fields in changes:
            change(sent, **fields)
            assert broken(NOW)[name] == [sent.pk], fields
            sent.save()  # As it was.
    Digest.objects.all().delete()
    assert broken(NOW) == {"days": [sent.pk]}


def test_possibly_delivered_letter_may_keep_picks(sent):
    for reason, repeats in [("unknown: no answer", 0), ("refused: 550", 1)]:
        change(sent, state="failed", reason=reason, repeats=repeats)
        assert "picks" not in broken(NOW)


@pytest.mark.parametrize("fields", [{}, {"repeats": 1}, {"failed_attempts": 1}])
def test_uncounted_retry_after_silence_is_found(sent, fields):
    change(sent, **fields)
    for expected in [None] * len(fields) + [[sent.pk]]:
        sent.events.create(at=NOW, attempt=1, old_state="uncertain", new_state="planned")
        assert broken(NOW).get("counted") == expected


@pytest.fixture
def next_day(sent):
    """Their digest of the day after, which has left as well."""
    make.paper("Graph networks of tomorrow", now=NOW + DAY)
    plan_and_send(NOW + DAY)
    return Letter.objects.get(day=sent.day + DAY)


def test_digests_too_soon_after_each_other_are_found(sent, next_day, monkeypatch):
    """In either order: a resend may be late, and who moves across the date line leaves dates out.

    The clocks of two machines may differ by a minute.
    """
    monkeypatch.setattr(invariants, "RANGE_SIZE", 1)
    gap, second = schedule.MIN_GAP_AFTER_FIRST - MINUTE, timedelta(seconds=1)
    change(beside(sent, day=sent.day - 9 * DAY), left_at=next_day.left_at - 9 * DAY)
    for distance, expected in [
        (gap, None),
        (gap - second, [next_day.pk]),
        (second - gap, [next_day.pk]),
        (-gap, None),
    ]:
        change(sent, left_at=next_day.left_at - distance)
        assert broken(NOW + DAY).get("apart") == expected


def test_letter_without_stored_bytes_is_found():
    letter = past_the_final_check(planned())
    assert broken(NOW) == {}
    MimeBatch.objects.all().delete()
    assert broken(NOW) == {"bytes": [letter.pk]}


def test_digest_sent_after_unsubscribe_is_found(sent):
    Subscriber.objects.update(unsubscribed_at=NOW - timedelta(seconds=59), next_due_at=None)
    assert broken(NOW) == {}
    Subscriber.objects.update(unsubscribed_at=NOW - timedelta(seconds=61))
    assert broken(NOW) == {"leavers": [sent.pk]}
    for kind in ("confirm", "goodbye", "link"):
        change(sent, kind=kind)
        assert broken(NOW) == {}


def test_transmission_after_goodbye_is_found_by_its_order(sent):
    # By the clock, the letter was sent before: tick was run for another day.
    leave(sent.subscriber, NOW - DAY)
    make.subscriber(confirmed=False)
    assert broken(NOW) == {}
    sent.events.create(at=NOW, attempt=1, new_state="transmitting")
    assert broken(NOW)["leavers"] == [sent.pk]


def test_missing_step_is_found_unless_noted(sent):
    sent.events.get(new_state="transmitting").delete()
    assert broken(NOW) == {"steps": [sent.pk], "proofs": [sent.pk]}
    sent.events.filter(new_state="claimed").delete()
    assert broken(NOW)["claims"] == [sent.pk]
    sent.events.filter(new_state="accepted").update(old_state="planned", note="counted")
    change(sent, attempt=0, last_reply="", frozen_at=None)
    assert broken(NOW) == {}
