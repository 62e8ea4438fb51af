"""Subscribing and confirming."""

from contextlib import suppress
from datetime import UTC, date, datetime

import pytest

from digest.operations.retention import UNCONFIRMED
from subscriptions.actions import erase, moderation, preferences, signup
from subscriptions.actions.preferences import TopicSelection
from subscriptions.delivery import queue, worker
from subscriptions.models import Consent, Letter, Subscriber, Topic, TopicPreference
from subscriptions.notices import send
from tests.factories import make
from tests.factories.make import DAY, HOUR, MINUTE, NOW
from tests.helpers.subscriber_pages import stances
from tests.helpers.threads import at_once, errors_of
from tests.subscriptions.actions.signup_steps import (
    CONSENT_SOURCE,
    accepted,
    bouncing,
    confirm,
    goodbyes,
    say_yes,
    subscribe,
    unsubscribe,
)

pytestmark = pytest.mark.django_db


# ---- Subscribing


def test_due_letters_and_digests_follow_the_database_clock(monkeypatch):
    """Behind a web server whose clock is ahead, letters and first digests would wait as long."""
    monkeypatch.setattr("subscriptions.delivery.clock.database_now", lambda: NOW - HOUR)
    letter = subscribe()
    assert letter in Letter.objects.due(NOW - HOUR)
    confirm(letter.subscriber)
    assert letter.subscriber in Subscriber.objects.due(NOW - HOUR)


def test_immediate_second_sign_up_changes_wishes_without_a_letter():
    subscribe(wishes=TopicSelection(interests=["bread"]))
    again = subscribe(wishes=TopicSelection(interests=["cake"]), hour=9, now=NOW + MINUTE)
    someone = Subscriber.objects.get()
    assert again is None
    assert Letter.objects.count() == 1
    assert (stances(someone), someone.hour) == ({"cake": "follow"}, 9)
    subscribe(now=NOW + MINUTE)  # The address alone: the interests stay.
    assert stances(someone) == {"cake": "follow"}


def test_another_confirmation_is_sent_after_a_while_or_failure():
    letter = subscribe()
    assert subscribe(now=NOW + MINUTE) is None
    Letter.objects.filter(pk=letter.pk).update(state="failed")
    assert subscribe(now=NOW + MINUTE) is not None
    assert subscribe(now=NOW + 11 * MINUTE) is not None


@pytest.mark.parametrize("paused_until", [None, date(2026, 7, 1)])
def test_sign_up_changes_no_active_subscribers_settings(paused_until):
    subscriber = make.subscriber(interests="bread", hour=8, paused_until=paused_until)
    wishes = TopicSelection(interests=["x"])
    subscribe(subscriber.email.upper(), wishes, timezone="Asia/Tokyo", hour=3)
    subscriber.refresh_from_db()
    assert stances(subscriber) == {"bread": "follow"}
    assert (subscriber.hour, subscriber.timezone) == (8, "UTC")
    assert subscriber.asked_at == NOW
    assert not subscriber.consents.exists()


def test_sign_up_sets_the_language_of_pending_subscribers_only():
    languages = []
    for state in ({"confirmed": False}, {}, {"unsubscribed_at": NOW}):
        someone = make.subscriber(**state)
        request = signup.SignUpRequest(language="de")
        signup.subscribe(someone.email, request, source=CONSENT_SOURCE, now=NOW)
        languages.append(make.fresh(someone).language)
    assert languages == ["de", "en", "en"]


def test_active_subscriber_is_reminded_once_a_day():
    subscriber = make.subscriber()
    written = [subscribe(subscriber.email, now=NOW + n * HOUR) is not None for n in range(0, 49, 6)]
    assert written == [n % 24 == 0 for n in range(0, 49, 6)]


# ---- Addresses that never answer


def bombed_days(email, days, *, start=NOW):
    """Request sign-ups and links every eight hours. Return on which days emails were written."""
    written = []
    for day in range(days):
        for hour in (0, 8, 16):
            now = start + day * DAY + hour * HOUR
            erase.forget_unconfirmed(now - UNCONFIRMED, now)
            letters = (subscribe(email, now=now), send.send_link(email, now=now))
            written += [day for letter in letters if letter]
    return written


@pytest.mark.parametrize("fields", [{"confirmed": False}, {}, {"unsubscribed_at": NOW - DAY}])
def test_letters_back_off_until_the_address_answers(fields):
    make.subscriber("you@example.org", now=NOW - 40 * DAY, **fields)
    assert bombed_days("You@example.org", 58) == [0, 0, 0, 28, 56]
    Subscriber.objects.update(subscribed_at=NOW + 58 * DAY)
    assert bombed_days("you@example.org", 2, start=NOW + 59 * DAY) == [0, 0, 0]


# ---- Confirming


def test_unsubscribed_subscriber_may_resubscribe_in_the_same_minute():
    subscribe()
    someone = Subscriber.objects.get()
    confirm(someone, now=NOW + MINUTE)
    preferences.pause(someone, NOW.date() + 9 * DAY, now=NOW + MINUTE)
    unsubscribe(someone, now=NOW + 2 * MINUTE)
    assert subscribe(wishes=TopicSelection(interests=["bread"]), now=NOW + 3 * MINUTE) is not None
    confirm(someone, now=NOW + 4 * MINUTE)
    assert make.fresh(someone).state_at(NOW + 4 * MINUTE) == "active"
    assert stances(someone) == {"bread": "follow"}
    assert someone in Subscriber.objects.due(NOW + 4 * MINUTE)


def test_resubscribed_subscriber_is_due_at_once_without_todays_digest():
    someone = make.subscriber(hour=7)
    accepted(someone, NOW.date() - DAY, NOW - DAY)
    unsubscribe(someone)
    subscribe(someone.email, now=NOW + MINUTE)
    confirm(someone, now=NOW + 2 * MINUTE)
    assert someone in Subscriber.objects.due(NOW + 2 * MINUTE)


@pytest.mark.parametrize("kind", ["confirm", "goodbye"])
def test_confirming_or_undoing_lifts_no_suppression(kind):
    letter = subscribe()
    if kind == "goodbye":
        confirm(letter.subscriber)
        unsubscribe(letter.subscriber)
        letter = goodbyes(letter.subscriber).get()
    Subscriber.objects.update(suppressed_at=NOW, suppressed_by="complained")
    before = Subscriber.objects.values().get()
    say_yes(letter, now=NOW + MINUTE)
    assert Subscriber.objects.values().get() == before


# ---- Who never confirmed


# ---- Several at once


@pytest.mark.django_db(transaction=True)
def test_concurrent_sign_ups_make_one_subscriber_and_letter():
    spellings = ["you@example.org", "You@example.org", "YOU@example.org", "yoU@example.org"]
    wishes = TopicSelection(interests=["bread"])
    came_of = at_once(*2 * [lambda s=s: subscribe(s, wishes) for s in spellings])
    assert errors_of(came_of) == []
    someone = Subscriber.objects.get()
    assert someone.consents.count() == 8
    assert someone.letters.count() == 1
    assert stances(someone) == {"bread": "follow"}


@pytest.mark.django_db(transaction=True)
def test_concurrent_clicks_confirm_or_unsubscribe_once():
    subscribe()
    someone = Subscriber.objects.get()
    confirming = at_once(*8 * [lambda: confirm(someone)])
    unsubscribing = at_once(*8 * [lambda: unsubscribe(someone)])
    assert errors_of(confirming + unsubscribing) == []
    acts = [consent.act for consent in someone.consents.all()]
    assert sorted(acts) == ["asked", "confirmed", "unsubscribed"]
    assert goodbyes(someone).count() == 1


@pytest.mark.django_db(transaction=True)
def test_erasing_amid_other_clicks_leaves_nothing():
    subscriber = make.subscriber(interests="bread")
    wishes = TopicSelection(interests=["cake"])
    came_of = at_once(
        *5 * [lambda: erase.erase(subscriber, now=NOW)],
        *5 * [lambda: preferences.change(subscriber, wishes, {"hour": 9}, now=NOW)],
        *5 * [lambda: unsubscribe(subscriber)],
        *5 * [lambda: preferences.resume(subscriber, now=NOW)],
    )
    assert {type(error) for error in errors_of(came_of)} <= {Subscriber.DoesNotExist}
    for model in (Subscriber, TopicPreference, Topic, Letter, Consent):
        assert not model.objects.exists()


# ---- Unsubscribing, coming back, and whether an address is right


# ---- Unsubscribing


STATES = [("planned", "skipped", 0), ("claimed", "skipped", 0), ("failed", "failed", 0)]
STATES += [(state, state, 1) for state in ("transmitting", "uncertain")]


@pytest.mark.parametrize(("state", "becomes", "may_yet_arrive"), STATES)
def test_unsubscribing_cancels_unsent_and_counts_what_may_arrive(state, becomes, may_yet_arrive):
    subscriber, other = make.subscriber(), make.subscriber()
    letter = queue.create(subscriber, "digest", now=NOW, closes_at=NOW + DAY)
    of_other = queue.create(other, "digest", now=NOW, closes_at=NOW + DAY)
    Letter.objects.update(state=state)
    assert unsubscribe(subscriber) == may_yet_arrive
    letter.refresh_from_db()
    of_other.refresh_from_db()
    assert (letter.state, of_other.state) == (becomes, state)
    assert goodbyes(subscriber).get().closes_at < NOW + 7 * DAY


def test_unsubscribing_stops_at_once_and_again_changes_nothing():
    subscriber = make.subscriber()
    unsubscribe(subscriber)
    unsubscribe(subscriber, now=NOW + DAY)
    assert (make.fresh(subscriber).unsubscribed_at, subscriber.next_due_at) == (NOW, None)
    assert [consent.act for consent in subscriber.consents.all()] == ["unsubscribed"]
    assert not Subscriber.objects.due(NOW + 30 * DAY).exists()


def test_second_unsubscribe_keeps_a_later_confirmation():
    subscriber = make.subscriber("you@example.org")
    unsubscribe(subscriber)
    letter = subscribe(now=NOW + HOUR)
    unsubscribe(subscriber, now=NOW + HOUR + MINUTE)
    assert (make.fresh(letter).kind, letter.state) == ("confirm", "planned")


def test_goodbye_is_not_counted_as_what_may_arrive():
    subscriber = make.subscriber()
    unsubscribe(subscriber)
    goodbyes(subscriber).update(state="transmitting")
    assert unsubscribe(subscriber, now=NOW + MINUTE) == 0


# ---- Coming back


def test_undoing_restores_the_subscription_as_it_was():
    settings = {"timezone": "Europe/Berlin", "hour": 20, "size": 3, "language": "de"}
    settings |= {"wants_quiet_days": True, "paused_until": date(2026, 6, 10)}
    wishes = {"interests": "bread", "topics": [make.topic()], "muted": [make.topic()]}
    subscriber = make.subscriber(**wishes, **settings)
    before, wishes = Subscriber.objects.values().get(), stances(subscriber)
    unsubscribe(subscriber, now=NOW + MINUTE)
    say_yes(goodbyes(subscriber).get(), now=NOW + HOUR)
    moved = {"confirmed_at": NOW + HOUR, "next_due_at": datetime(2026, 6, 10, 18, tzinfo=UTC)}
    assert Subscriber.objects.values().get() == before | moved
    assert stances(subscriber) == wishes
    assert [consent.act for consent in subscriber.consents.all()] == ["unsubscribed", "confirmed"]


STORIES = [(["leave", "undo", "leave"], "undo"), (["bounce", "answer", "leave"], "answer")]
STORIES += [(["leave", "sign up", "undo", "leave"], "confirm")]
STORIES += [(["leave", "sign up", "confirm", "leave"], "undo")]


@pytest.mark.parametrize(("story", "used"), STORIES)
def test_confirmation_used_before_an_unsubscribe_does_not_resubscribe(story, used):
    subscriber, moments = make.subscriber(), [NOW + n * MINUTE for n in range(5)]
    acts = {
        "leave": lambda now: unsubscribe(subscriber, now=now),
        "sign up": lambda now: subscribe(subscriber.email, now=now),
        "confirm": lambda now: confirm(subscriber, now=now),
        "undo": lambda now: say_yes(goodbyes(subscriber).first(), now=now),
        "bounce": lambda now: bounce(subscriber, now),
        "answer": lambda now: say_yes(subscriber.letters.get(kind="bounced"), now=now),
    }
    for act, now in zip(story, moments, strict=False):
        acts[act](now)
    with pytest.raises(signup.UsedToken):
        acts[used](moments[len(story)])


def bounce(subscriber, now):
    """Let the subscriber's letters come back, and ask whether the address works."""
    Subscriber.objects.update(suppressed_at=now, suppressed_by="bounced")
    moderation.ask_if_address_works(make.fresh(subscriber), now=now)


def test_undoing_applies_no_request_made_meanwhile():
    subscriber = make.subscriber(interests="bread", hour=20)
    unsubscribe(subscriber, now=NOW + MINUTE)
    spam = TopicSelection(interests=["spam"])
    subscribe(subscriber.email, spam, hour=3, now=NOW + 2 * MINUTE)
    say_yes(goodbyes(subscriber).get(), now=NOW + 3 * MINUTE)
    subscriber.refresh_from_db()
    assert stances(subscriber) == {"bread": "follow"}
    assert (subscriber.hour, subscriber.pending_settings) == (20, {})


# ---- Whether their address is right


def test_bounced_subscriber_is_asked_once_in_seven_days():
    subscriber = bouncing()
    ask = moderation.ask_if_address_works
    asked = [ask(subscriber, now=NOW + day * DAY) is not None for day in range(15)]
    assert [day for day in range(15) if asked[day]] == [0, 7, 14]
    assert set(subscriber.letters.values_list("kind", flat=True)) == {"bounced"}


NOT_BOUNCING = [{"suppressed_at": None}, {"suppressed_by": ""}, {"suppressed_by": "complained"}]
NOT_BOUNCING += [{"unsubscribed_at": NOW}, {"confirmed_at": None}]


@pytest.mark.parametrize("fields", NOT_BOUNCING)
def test_other_subscribers_are_not_asked_about_their_address(fields):
    subscriber = bouncing()
    Subscriber.objects.update(**fields)
    assert moderation.ask_if_address_works(subscriber, now=NOW + DAY) is None
    assert not Letter.objects.exists()


def test_confirmed_address_resumes_digests_without_past_ones():
    subscriber = bouncing(hour=20, suppressed_reason="550 mailbox full", next_due_at=NOW)
    letter = moderation.ask_if_address_works(subscriber, now=NOW + 30 * DAY)
    say_yes(letter, now=NOW + 31 * DAY)
    assert make.fresh(subscriber).state_at(NOW + 31 * DAY) == "active"
    assert subscriber.suppressed_at is None
    assert subscriber.suppressed_by == subscriber.suppressed_reason == ""
    assert subscriber.next_due_at == NOW + 31 * DAY + 8 * HOUR
    assert subscriber.confirmed_at == NOW
    assert [consent.act for consent in subscriber.consents.all()] == ["confirmed"]
    say_yes(letter, now=NOW + 32 * DAY)
    assert subscriber.consents.count() == 1


@pytest.mark.parametrize("since", [{"suppressed_by": "complained"}, {"suppressed_at": NOW + DAY}])
def test_confirming_an_address_does_not_lift_later_suppressions(since):
    subscriber = bouncing()
    letter = moderation.ask_if_address_works(subscriber, now=NOW + HOUR)
    Subscriber.objects.update(**since)
    say_yes(letter, now=NOW + 2 * DAY)
    assert make.fresh(subscriber).suppressed_at is not None
    assert not subscriber.consents.exists()


# ---- Unsubscribing again and again


@pytest.mark.parametrize("delivers", [False, True])
def test_repeated_leaving_and_undoing_sends_one_goodbye(outbox, delivers):
    subscriber = make.subscriber()
    for n in range(12):
        now = NOW + n * 90 * MINUTE
        unsubscribe(subscriber, now=now)
        assert make.fresh(subscriber).unsubscribed_at
        with suppress(signup.UsedToken):
            say_yes(Letter(subscriber=subscriber, kind="goodbye", created_at=now), now=now)
        if delivers or n == 11:
            worker.deliver_due(lambda now=now: now)
    assert len(outbox()) == 1
    assert subscriber.consents.count() == 3
