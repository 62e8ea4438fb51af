"""The verbs across models, called once, twice, in the wrong order, and by twenty at once."""

import json
import threading
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from subscriptions import correspondence, operating, registry, schedule, seals, signup
from subscriptions.models import Consent, Letter, Seal, Subscriber, Topic, TopicPreference
from subscriptions.post import office, suppression
from subscriptions.signup import Wishes
from tests import make
from tests.make import NOW
from tests.threads import at_once, errors_of, uncommitted

pytestmark = pytest.mark.django_db

DOOR = signup.Door(via="a test", ip="192.0.2.1", wording="Send me papers.")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def subscribe(email="you@example.org", wishes=None, *, timezone="UTC", hour=7, now=NOW):
    wishes = wishes or Wishes()
    return signup.subscribe(email, wishes, timezone=timezone, hour=hour, door=DOOR, now=now)


def confirm(subscriber, *, now=NOW):
    subscriber.refresh_from_db()
    signup.confirm(subscriber, subscriber.asked_at, door=DOOR, now=now)


def say_yes(letter, *, now):
    """Follow the link of a letter that asks something."""
    signup.confirm(letter.subscriber, letter.created_at, kind=letter.kind, door=DOOR, now=now)
    letter.subscriber.refresh_from_db()


def unsubscribe(subscriber, *, now=NOW):
    return signup.unsubscribe(subscriber.public_id, door=DOOR, now=now)


def change(subscriber, wishes=None, *, now=NOW, **settings):
    signup.change(subscriber, wishes or Wishes(), settings, now=now)
    subscriber.refresh_from_db()


def accepted(subscriber, day, at):
    """Write down that she got the digest of this day."""
    return Letter.objects.create(
        subscriber=subscriber,
        kind=Letter.Kind.DIGEST,
        day=day,
        state=Letter.State.ACCEPTED,
        created_at=at,
        closes_at=at + DAY,
        ended_at=at,
    )


def goodbyes(subscriber):
    return subscriber.letters.filter(kind="goodbye").order_by("pk")


def bouncing(now=NOW, **fields):
    """Make a reader to whom letters came back."""
    return make.subscriber(suppressed_at=now, suppressed_by="bounced", **fields)


def stances(subscriber):
    return {p.topic.query: p.stance for p in subscriber.preferences.select_related("topic")}


# ---- Subscribing


def test_what_is_due_at_once_is_so_by_the_databases_clock(monkeypatch):
    """Behind a web server whose clock is ahead, letters and first digests would wait as long."""
    monkeypatch.setattr("subscriptions.post.clock.of_database", lambda: NOW - HOUR)
    letter = subscribe()
    assert letter in Letter.objects.due(NOW - HOUR)
    confirm(letter.subscriber)
    assert letter.subscriber in Subscriber.objects.due(NOW - HOUR)


def test_signing_up_writes_a_confirmation_and_nothing_else_is_due():
    letter = subscribe()
    someone = Subscriber.objects.get()
    assert (letter.kind, letter.subscriber, letter.state) == ("confirm", someone, "planned")
    assert someone.state_at(NOW) == "pending"
    assert not Subscriber.objects.due(NOW + 30 * DAY).exists()


def test_the_record_of_consent_says_when_by_which_door_and_to_which_words():
    subscribe()
    asked = Consent.objects.get()
    assert (asked.act, asked.at) == ("asked", NOW)
    assert (asked.via, asked.ip, asked.wording) == ("a test", "192.0.2.1", "Send me papers.")


def test_two_spellings_that_differ_by_case_are_one_subscriber():
    subscribe("You@example.org")
    subscribe("yOU@example.org", now=NOW + HOUR)
    assert Subscriber.objects.get().email == "You@example.org"


def test_dots_and_plus_tags_stay_apart():
    for address in ("firstlast@example.org", "first.last@example.org", "firstlast+a@example.org"):
        subscribe(address)
    assert Subscriber.objects.count() == 3


def test_signing_up_again_at_once_changes_the_wishes_and_sends_no_second_letter():
    subscribe(wishes=Wishes(interests=["bread"]))
    again = subscribe(wishes=Wishes(interests=["cake"]), hour=9, now=NOW + MINUTE)
    someone = Subscriber.objects.get()
    assert again is None
    assert Letter.objects.count() == 1
    assert (stances(someone), someone.hour) == ({"cake": "follow"}, 9)


def test_whoever_lost_the_confirmation_can_have_another_after_a_while():
    subscribe()
    assert subscribe(now=NOW + 10 * MINUTE) is not None


def test_a_confirmation_that_failed_does_not_stand_in_the_way_of_another():
    letter = subscribe()
    Letter.objects.filter(pk=letter.pk).update(state="failed")
    assert subscribe(now=NOW + MINUTE) is not None


@pytest.mark.parametrize("paused_until", [None, date(2026, 7, 1)])
def test_nobody_can_change_a_readers_settings_by_typing_her_address(paused_until):
    reader = make.subscriber(interests="bread", hour=8, paused_until=paused_until)
    subscribe(reader.email.upper(), Wishes(interests=["spam"]), timezone="Asia/Tokyo", hour=3)
    reader.refresh_from_db()
    assert stances(reader) == {"bread": "follow"}
    assert (reader.hour, reader.timezone) == (8, "UTC")
    assert reader.asked_at == NOW
    assert not reader.consents.exists()


def test_a_sign_up_sets_the_language_until_she_reads_here_or_has_read_here():
    languages = []
    for state in ({"confirmed": False}, {}, {"unsubscribed_at": NOW}):
        someone = make.subscriber(**state)
        signup.subscribe(
            someone.email, Wishes(), timezone="UTC", hour=7, language="de", door=DOOR, now=NOW
        )
        someone.refresh_from_db()
        languages.append(someone.language)
    assert languages == ["de", "en", "en"]


def test_one_who_reads_already_is_told_so_once_a_day():
    reader = make.subscriber()
    written = [subscribe(reader.email, now=NOW + n * HOUR) is not None for n in range(0, 49, 6)]
    assert written == [n % 24 == 0 for n in range(0, 49, 6)]


def test_a_suppressed_address_gets_no_letter_and_keeps_its_state():
    reader = make.subscriber(suppressed_at=NOW, suppressed_reason="bounced")
    assert subscribe(reader.email, Wishes(interests=["bread"])) is None
    assert not Letter.objects.exists()
    assert not Topic.objects.exists()


@pytest.mark.parametrize(
    "fields", [{"confirmed_at": None}, {"unsubscribed_at": NOW}, {"suppressed_at": NOW}]
)
def test_nobody_is_due_who_does_not_want_letters(fields):
    wanting = make.subscriber(next_due_at=NOW)
    make.subscriber(next_due_at=NOW, **fields)
    assert list(Subscriber.objects.due(NOW)) == [wanting]


# ---- Confirming


def test_confirming_makes_the_first_digest_due_at_once():
    subscribe(timezone="Pacific/Auckland", hour=7)
    someone = Subscriber.objects.get()
    confirm(someone, now=NOW + HOUR)
    assert list(Subscriber.objects.due(NOW + HOUR)) == [someone]
    assert [consent.act for consent in someone.consents.all()] == ["asked", "confirmed"]


def test_confirming_again_changes_nothing():
    subscribe()
    someone = Subscriber.objects.get()
    confirm(someone)
    Subscriber.objects.update(next_due_at=NOW + DAY)
    confirm(someone, now=NOW + HOUR)
    someone.refresh_from_db()
    assert (someone.confirmed_at, someone.next_due_at) == (NOW, NOW + DAY)
    assert someone.consents.count() == 2


def test_a_used_confirmation_does_not_bring_back_one_who_left():
    subscribe()
    someone = Subscriber.objects.get()
    confirm(someone, now=NOW + HOUR)
    unsubscribe(someone, now=NOW + 2 * HOUR)
    with pytest.raises(signup.UsedToken):
        confirm(someone, now=NOW + 3 * HOUR)
    someone.refresh_from_db()
    assert someone.state_at(NOW + 3 * HOUR) == "unsubscribed"


def test_of_two_letters_the_other_is_used_too_once_one_is():
    subscribe()
    first = Subscriber.objects.get()
    subscribe(now=NOW + HOUR)
    confirm(Subscriber.objects.get(), now=NOW + 2 * HOUR)
    unsubscribe(first, now=NOW + 3 * HOUR)
    with pytest.raises(signup.UsedToken):
        signup.confirm(first, first.asked_at, door=DOOR, now=NOW + 4 * HOUR)


def test_one_who_left_may_come_back_the_same_minute():
    subscribe()
    someone = Subscriber.objects.get()
    confirm(someone, now=NOW + MINUTE)
    signup.pause(someone, NOW.date() + 9 * DAY, now=NOW + MINUTE)
    unsubscribe(someone, now=NOW + 2 * MINUTE)
    assert subscribe(wishes=Wishes(interests=["bread"]), now=NOW + 3 * MINUTE) is not None
    confirm(someone, now=NOW + 4 * MINUTE)
    someone.refresh_from_db()
    assert someone.state_at(NOW + 4 * MINUTE) == "active"
    assert stances(someone) == {"bread": "follow"}
    assert someone in Subscriber.objects.due(NOW + 4 * MINUTE)


def test_one_who_had_todays_digest_before_she_left_is_due_at_her_hour_tomorrow():
    someone = make.subscriber(hour=7)
    accepted(someone, NOW.date(), NOW - HOUR)
    unsubscribe(someone)
    subscribe(someone.email, now=NOW + MINUTE)
    confirm(someone, now=NOW + 2 * MINUTE)
    someone.refresh_from_db()
    tomorrow = NOW.date() + DAY
    assert someone.next_due_at >= datetime(
        tomorrow.year, tomorrow.month, tomorrow.day, 7, tzinfo=UTC
    )


def test_one_who_had_a_digest_on_an_earlier_day_is_due_at_once():
    someone = make.subscriber(hour=7)
    accepted(someone, NOW.date() - DAY, NOW - DAY)
    unsubscribe(someone)
    subscribe(someone.email, now=NOW + MINUTE)
    confirm(someone, now=NOW + 2 * MINUTE)
    assert someone in Subscriber.objects.due(NOW + 2 * MINUTE)


def test_a_confirmation_does_not_lift_a_suppression():
    subscribe()
    someone = Subscriber.objects.get()
    Subscriber.objects.update(suppressed_at=NOW)
    confirm(someone, now=NOW + HOUR)
    someone.refresh_from_db()
    assert someone.state_at(NOW + HOUR) == "suppressed"
    assert someone.confirmed_at is None


# ---- Changing


def test_what_is_no_longer_wished_for_is_gone_and_what_stays_keeps_its_weight():
    kept, dropped = make.topic(), make.topic()
    reader = make.subscriber(interests="bread\ncake", topics=[kept, dropped])
    reader.preferences.filter(topic=kept).update(weight=2.5)
    bread = reader.own_topics.get(query="bread")
    change(reader, Wishes(follow=[kept], interests=["bread"]))
    assert stances(reader) == {kept.query: "follow", "bread": "follow"}
    assert reader.preferences.get(topic=kept).weight == 2.5
    assert list(reader.own_topics.all()) == [bread]
    assert Topic.objects.filter(pk=dropped.pk).exists()


def test_muting_wins_where_a_topic_is_both_followed_and_muted():
    topic = make.topic()
    reader = make.subscriber(topics=[topic], interests="bread")
    change(
        reader,
        Wishes(follow=[topic], mute=[topic], interests=["bread"], muted_interests=["bread"]),
    )
    assert stances(reader) == {topic.query: "mute", "bread": "mute"}


def test_two_readers_may_have_the_same_words():
    one, other = make.subscriber(), make.subscriber()
    for reader in (one, other):
        change(reader, Wishes(interests=["bread"]))
    change(one)
    assert stances(other) == {"bread": "follow"}


def test_changing_the_wishes_alone_leaves_the_next_digest_when_it_was():
    reader = make.subscriber()
    change(reader, Wishes(interests=["bread"]), now=NOW - HOUR, hour=7, size=5)
    assert (reader.next_due_at, reader.size) == (NOW, 5)


def test_a_later_hour_holds_today_where_today_has_no_digest_yet():
    reader = make.subscriber(next_due_at=NOW + 2 * HOUR, hour=14)
    change(reader, hour=20)
    assert reader.next_due_at == NOW + 8 * HOUR


def test_a_later_hour_holds_from_tomorrow_where_today_had_its_digest():
    reader = make.subscriber()
    accepted(reader, NOW.date(), at=NOW - 5 * HOUR)
    change(reader, hour=20)
    assert reader.next_due_at == NOW + DAY + 8 * HOUR


@given(
    zones=st.tuples(*2 * [st.sampled_from(sorted(available_timezones() - {"localtime"}))]),
    hour=st.integers(0, 23),
    sent_at=st.timedeltas(timedelta(0), timedelta(days=730)).map(lambda later: NOW + later),
    wait=st.timedeltas(timedelta(0), timedelta(hours=24)),
)
def test_wherever_she_moves_the_next_digest_is_of_a_later_day_and_twelve_hours_away(
    zones, hour, sent_at, wait
):
    reader = make.subscriber(timezone=zones[0])
    last = schedule.local_day(sent_at, ZoneInfo(zones[0]))
    accepted(reader, last, at=sent_at)
    change(reader, now=sent_at + wait, timezone=zones[1], hour=hour)
    next_day = schedule.local_day(reader.next_due_at, reader.zone)
    if (reader.timezone, reader.hour) != (zones[0], 7):
        assert next_day > last
        assert reader.next_due_at >= sent_at + timedelta(hours=12)
        # Three days: from the first to the last hour, across the date line, one day being taken.
        assert reader.next_due_at <= sent_at + timedelta(hours=73)


@pytest.mark.parametrize("fields", [{"confirmed": False}, {"unsubscribed_at": NOW}])
def test_a_change_of_hour_makes_nothing_due_for_one_who_gets_no_digest(fields):
    reader = make.subscriber(next_due_at=None, **fields)
    change(reader, hour=20)
    assert reader.next_due_at is None


# ---- Pausing


def test_a_pause_ends_by_itself_at_her_hour_on_the_day_that_she_chose():
    reader = make.subscriber(timezone="Europe/Berlin")
    change(reader, paused_until=date(2026, 6, 10))
    assert reader.state_at(NOW) == "paused"
    assert reader.next_due_at == datetime(2026, 6, 10, 5, tzinfo=UTC)
    assert reader.state_at(reader.next_due_at) == "active"


def test_a_pause_stops_the_digest_that_waits_but_not_a_confirmation():
    reader = make.subscriber()
    for kind in Letter.Kind.values:
        office.write(reader, kind, now=NOW, closes_at=NOW + DAY)
    change(reader, paused_until=date(2026, 6, 10))
    states = dict(reader.letters.values_list("kind", "state"))
    assert states.pop("confirm") == "planned"
    assert states.pop("digest") == "skipped"
    assert states.pop("welcome") == "skipped"


def test_resuming_brings_the_next_digest_at_her_hour_and_none_for_a_day_that_had_one():
    reader = make.subscriber(hour=20, paused_until=date(2026, 6, 10), next_due_at=NOW + 9 * DAY)
    signup.resume(reader, now=NOW)
    reader.refresh_from_db()
    assert (reader.paused_until, reader.next_due_at) == (None, NOW + 8 * HOUR)
    accepted(reader, NOW.date(), at=NOW)
    change(reader, paused_until=date(2026, 6, 10))
    signup.resume(reader, now=NOW)
    reader.refresh_from_db()
    assert reader.next_due_at == NOW + DAY + 8 * HOUR


def test_resuming_without_a_pause_changes_nothing():
    reader = make.subscriber(next_due_at=NOW - HOUR)
    signup.resume(reader, now=NOW)
    reader.refresh_from_db()
    assert reader.next_due_at == NOW - HOUR


def test_the_operator_pauses_and_resumes_only_who_gets_digests():
    reader, until = make.subscriber(), NOW.date() + 9 * DAY
    assert signup.pause(reader, until, now=NOW)
    reader.refresh_from_db()
    assert (reader.state_at(NOW), reader.paused_until) == ("paused", until)
    assert signup.resume(reader, now=NOW)
    assert not signup.resume(reader, now=NOW)
    others = [
        make.subscriber(confirmed=False),
        make.subscriber(unsubscribed_at=NOW, next_due_at=None),
        make.subscriber(suppressed_at=NOW),
    ]
    assert not any(signup.pause(one, until, now=NOW) for one in others)
    assert not Subscriber.objects.filter(paused_until__isnull=False).exists()


def test_a_pause_until_a_day_that_has_come_is_none():
    reader = make.subscriber(timezone="Pacific/Kiritimati")  # Where it is tomorrow already.
    assert not signup.pause(reader, NOW.date() + DAY, now=NOW)
    assert signup.pause(reader, NOW.date() + 2 * DAY, now=NOW)


# ---- What the operator sends again, and what he keeps from somebody


def asking(now=NOW, ago=DAY):
    """Make one who asked for the digest so long ago, with her letter, and hasn't confirmed."""
    reader = make.subscriber(confirmed=False, now=now - ago)
    signup.note(reader, "asked", DOOR, now - ago)
    correspondence.write(reader, "confirm", now - ago, closes_at=now + DAY)
    return reader


def test_a_confirmation_is_sent_again_with_a_link_that_holds_from_then_on():
    reader = asking(ago=6 * DAY)
    letter = operating.ask_to_confirm(reader, now=NOW)
    assert (letter.kind, letter.state) == ("confirm", "planned")
    reader.refresh_from_db()
    assert reader.asked_at == NOW
    assert operating.ask_to_confirm(reader, now=NOW + 9 * MINUTE) is None
    assert operating.ask_to_confirm(reader, now=NOW + 11 * MINUTE) is not None


def test_nobody_is_asked_for_ever_to_confirm():
    reader = asking()
    days = [NOW + n * DAY for n in range(30)]
    asked = [day for day in days if operating.ask_to_confirm(reader, now=day) is not None]
    assert asked == days[:6]
    assert reader.consents.count() == 1, "that she asked is her own word alone"


@pytest.mark.parametrize(
    "fields",
    [
        {"confirmed_at": NOW},
        {"unsubscribed_at": NOW},
        {"suppressed_at": NOW},
        {"confirmed_at": NOW, "paused_until": NOW.date() + 9 * DAY},
    ],
)
def test_who_is_not_waiting_to_confirm_is_not_asked_to(fields):
    reader = asking()
    Subscriber.objects.update(**fields)
    assert operating.ask_to_confirm(reader, now=NOW) is None


def test_what_the_operator_keeps_from_somebody_is_called_off_and_only_he_lets_it_go():
    reader = make.subscriber()
    waiting = office.write(reader, "digest", now=NOW, closes_at=NOW + DAY)
    assert operating.suppress(reader, "asked by phone", now=NOW)
    assert not operating.suppress(reader, "again", now=NOW + HOUR)
    waiting.refresh_from_db()
    reader.refresh_from_db()
    assert (waiting.state, waiting.reason) == ("skipped", "suppressed")
    assert (reader.state_at(NOW), reader.suppressed_reason) == ("suppressed", "asked by phone")
    assert not signup.lift(reader, now=NOW, door=DOOR), "she can't"
    assert operating.ask_if_right(reader, now=NOW) is None
    assert subscribe(reader.email) is None
    assert operating.lift(reader, now=NOW), "he can"


def test_a_complaint_does_not_hand_her_the_key_to_what_the_operator_decided():
    reader = make.subscriber()
    operating.suppress(reader, "asked by phone", now=NOW)
    with transaction.atomic():
        suppression.after_complaint(reader.pk, "reported", NOW + HOUR)
    reader.refresh_from_db()
    assert reader.suppressed_by == "operator"
    assert not signup.lift(reader, now=NOW + HOUR, door=DOOR)


def test_of_whom_the_operator_kept_letters_from_a_seal_stays():
    reader = make.subscriber("you@example.org")
    operating.suppress(reader, "asked by phone", now=NOW)
    signup.erase(reader, now=NOW)
    assert Seal.objects.get().why == "operator"
    assert seals.is_kept("you@example.org", NOW + 4000 * DAY)


# ---- Unsubscribing


@pytest.mark.parametrize(
    ("state", "becomes", "may_yet_arrive"),
    [
        ("planned", "skipped", 0),
        ("claimed", "skipped", 0),
        ("transmitting", "transmitting", 1),
        ("uncertain", "uncertain", 1),
        ("accepted", "accepted", 0),
        ("failed", "failed", 0),
    ],
)
def test_unsubscribing_ends_what_has_not_left_and_counts_what_may_yet_arrive(
    state, becomes, may_yet_arrive
):
    reader = make.subscriber()
    letter = office.write(reader, "digest", now=NOW, closes_at=NOW + DAY)
    Letter.objects.update(state=state)
    assert unsubscribe(reader) == may_yet_arrive
    letter.refresh_from_db()
    assert letter.state == becomes


def test_unsubscribing_stops_at_once_and_again_changes_nothing():
    reader = make.subscriber()
    unsubscribe(reader)
    unsubscribe(reader, now=NOW + DAY)
    reader.refresh_from_db()
    assert (reader.unsubscribed_at, reader.next_due_at) == (NOW, None)
    assert [consent.act for consent in reader.consents.all()] == ["unsubscribed"]
    assert not Subscriber.objects.due(NOW + 30 * DAY).exists()


def test_one_last_letter_says_goodbye_after_those_that_wait_are_called_off():
    reader = make.subscriber()
    office.write(reader, "digest", now=NOW, closes_at=NOW + DAY)
    unsubscribe(reader, now=NOW + HOUR)
    assert list(reader.letters.order_by("pk").values_list("kind", "state")) == [
        ("digest", "skipped"),
        ("goodbye", "planned"),
    ]
    goodbye = goodbyes(reader).get()
    assert goodbye.created_at == NOW + HOUR
    assert goodbye.created_at < goodbye.closes_at < goodbye.created_at + 7 * DAY


def test_a_second_unsubscribe_writes_no_second_goodbye_and_lets_the_first_go():
    reader = make.subscriber()
    unsubscribe(reader)
    unsubscribe(reader, now=NOW + MINUTE)
    assert goodbyes(reader).get().state == "planned"


def test_a_second_unsubscribe_leaves_the_confirmation_that_was_asked_for_since():
    reader = make.subscriber("you@example.org")
    unsubscribe(reader)
    letter = subscribe(now=NOW + HOUR)
    unsubscribe(reader, now=NOW + HOUR + MINUTE)
    letter.refresh_from_db()
    assert (letter.kind, letter.state) == ("confirm", "planned")


def test_the_goodbye_itself_is_not_among_what_may_yet_arrive():
    reader = make.subscriber()
    unsubscribe(reader)
    goodbyes(reader).update(state="transmitting")
    assert unsubscribe(reader, now=NOW + MINUTE) == 0


@pytest.mark.parametrize("fields", [{"confirmed": False}, {"suppressed_at": NOW}])
def test_no_goodbye_goes_to_who_never_confirmed_or_cannot_be_reached(fields):
    reader = make.subscriber(**fields)
    unsubscribe(reader)
    assert not reader.letters.exists()


def test_a_worker_hears_of_the_goodbye_once_it_is_committed(
    monkeypatch, django_capture_on_commit_callbacks
):
    hints = []
    monkeypatch.setattr(
        correspondence, "hint", lambda task, *args: hints.append((task.name, *args))
    )
    reader = make.subscriber()
    with django_capture_on_commit_callbacks(execute=True):
        unsubscribe(reader)
        assert hints == []
    assert hints == [("subscriptions.tasks.deliver_letter", goodbyes(reader).get().pk)]


def test_the_letters_of_others_go_on():
    reader, other = make.subscriber(), make.subscriber()
    letter = office.write(other, "digest", now=NOW, closes_at=NOW + DAY)
    unsubscribe(reader)
    signup.erase(reader, now=NOW)
    letter.refresh_from_db()
    assert letter.state == "planned"


# ---- Coming back


def test_undoing_brings_all_back_as_it_was():
    reader = make.subscriber(
        interests="bread",
        topics=[make.topic()],
        muted=[make.topic()],
        timezone="Europe/Berlin",
        hour=20,
        size=3,
        language="de",
        wants_quiet_days=True,
        paused_until=date(2026, 6, 10),
    )
    before, wishes = Subscriber.objects.values().get(), stances(reader)
    unsubscribe(reader, now=NOW + MINUTE)
    say_yes(goodbyes(reader).get(), now=NOW + HOUR)
    moved = {"confirmed_at": NOW + HOUR, "next_due_at": datetime(2026, 6, 10, 18, tzinfo=UTC)}
    assert Subscriber.objects.values().get() == before | moved
    assert stances(reader) == wishes
    assert [consent.act for consent in reader.consents.all()] == ["unsubscribed", "confirmed"]


def test_undoing_twice_is_undoing_once():
    reader = make.subscriber()
    unsubscribe(reader, now=NOW + MINUTE)
    for minutes in (2, 3):
        say_yes(goodbyes(reader).get(), now=NOW + minutes * MINUTE)
    reader.refresh_from_db()
    assert reader.confirmed_at == NOW + 2 * MINUTE
    assert reader.consents.count() == 2


def test_one_whose_clock_stands_still_can_undo_too():
    reader = make.subscriber()
    unsubscribe(reader)
    say_yes(goodbyes(reader).get(), now=NOW)
    reader.refresh_from_db()
    assert reader.state_at(NOW) == "active"


def test_after_undoing_the_next_digest_comes_at_her_hour_and_none_for_a_day_that_had_one():
    early, late = make.subscriber(hour=7), make.subscriber(hour=20)
    accepted(early, NOW.date(), at=NOW - 5 * HOUR)
    for reader in (early, late):
        unsubscribe(reader)
        say_yes(goodbyes(reader).get(), now=NOW + HOUR)
        reader.refresh_from_db()
    assert early.next_due_at == datetime(2026, 6, 2, 7, tzinfo=UTC)
    assert late.next_due_at == datetime(2026, 6, 1, 20, tzinfo=UTC)


def test_one_who_undoes_and_leaves_again_gets_a_new_goodbye_and_the_old_one_is_used_up():
    reader = make.subscriber()
    unsubscribe(reader, now=NOW + MINUTE)
    old = goodbyes(reader).get()
    say_yes(old, now=NOW + 2 * MINUTE)
    unsubscribe(reader, now=NOW + 3 * MINUTE)
    new = goodbyes(reader).last()
    with pytest.raises(signup.UsedToken):
        say_yes(old, now=NOW + 4 * MINUTE)
    say_yes(new, now=NOW + 5 * MINUTE)
    assert goodbyes(reader).count() == 2
    assert new.subscriber.state_at(NOW + 5 * MINUTE) == "active"


def test_undoing_takes_over_nothing_that_someone_asked_for_with_her_address():
    reader = make.subscriber(interests="bread", hour=20)
    unsubscribe(reader, now=NOW + MINUTE)
    subscribe(reader.email, Wishes(interests=["spam"]), hour=3, now=NOW + 2 * MINUTE)
    say_yes(goodbyes(reader).get(), now=NOW + 3 * MINUTE)
    reader.refresh_from_db()
    assert (stances(reader), reader.hour, reader.asked_for) == ({"bread": "follow"}, 20, {})


def test_a_sign_up_from_before_she_undid_does_not_bring_her_back_when_she_leaves_again():
    reader = make.subscriber()
    unsubscribe(reader, now=NOW + MINUTE)
    subscribe(reader.email, now=NOW + 2 * MINUTE)
    say_yes(goodbyes(reader).get(), now=NOW + 3 * MINUTE)
    unsubscribe(reader, now=NOW + 4 * MINUTE)
    with pytest.raises(signup.UsedToken):
        confirm(reader, now=NOW + 5 * MINUTE)


def test_the_goodbye_of_one_who_signed_up_again_and_left_again_is_used_up():
    reader = make.subscriber()
    unsubscribe(reader, now=NOW + MINUTE)
    old = goodbyes(reader).get()
    subscribe(reader.email, now=NOW + 2 * MINUTE)
    confirm(reader, now=NOW + 3 * MINUTE)
    unsubscribe(reader, now=NOW + 4 * MINUTE)
    with pytest.raises(signup.UsedToken):
        say_yes(old, now=NOW + 5 * MINUTE)


def test_undoing_lifts_no_suppression():
    reader = make.subscriber()
    unsubscribe(reader)
    Subscriber.objects.update(suppressed_at=NOW, suppressed_by="complained")
    say_yes(goodbyes(reader).get(), now=NOW + MINUTE)
    reader.refresh_from_db()
    assert (reader.suppressed_at, reader.unsubscribed_at) == (NOW, NOW)


# ---- Whether her address is right


def test_one_whose_letters_came_back_is_asked_at_most_once_in_seven_days():
    reader = bouncing()
    asked = [operating.ask_if_right(reader, now=NOW + day * DAY) is not None for day in range(15)]
    assert [day for day in range(15) if asked[day]] == [0, 7, 14]
    assert set(reader.letters.values_list("kind", flat=True)) == {"bounced"}


@pytest.mark.parametrize(
    "fields",
    [
        {"suppressed_at": None},
        {"suppressed_by": ""},
        {"suppressed_by": "complained"},
        {"unsubscribed_at": NOW},
        {"confirmed_at": None},
    ],
)
def test_nobody_else_is_asked(fields):
    reader = bouncing()
    Subscriber.objects.update(**fields)
    assert operating.ask_if_right(reader, now=NOW + DAY) is None
    assert not Letter.objects.exists()


def test_saying_that_the_address_is_right_makes_digests_go_on_without_those_of_the_past():
    reader = bouncing(hour=20, suppressed_reason="550 mailbox full", next_due_at=NOW)
    letter = operating.ask_if_right(reader, now=NOW + 30 * DAY)
    say_yes(letter, now=NOW + 31 * DAY)
    reader.refresh_from_db()
    assert reader.state_at(NOW + 31 * DAY) == "active"
    assert (reader.suppressed_at, reader.suppressed_by, reader.suppressed_reason) == (None, "", "")
    assert reader.next_due_at == NOW + 31 * DAY + 8 * HOUR
    assert reader.confirmed_at == NOW
    assert [consent.act for consent in reader.consents.all()] == ["confirmed"]
    say_yes(letter, now=NOW + 32 * DAY)
    assert reader.consents.count() == 1


@pytest.mark.parametrize("since", [{"suppressed_by": "complained"}, {"suppressed_at": NOW + DAY}])
def test_saying_so_does_not_outweigh_what_came_after_the_question(since):
    reader = bouncing()
    letter = operating.ask_if_right(reader, now=NOW + HOUR)
    Subscriber.objects.update(**since)
    say_yes(letter, now=NOW + 2 * DAY)
    reader.refresh_from_db()
    assert reader.suppressed_at is not None
    assert not reader.consents.exists()


def test_saying_so_brings_nobody_back_who_has_left_since():
    reader = bouncing()
    letter = operating.ask_if_right(reader, now=NOW + HOUR)
    unsubscribe(reader, now=NOW + 2 * HOUR)
    letter.refresh_from_db()
    say_yes(letter, now=NOW + 3 * HOUR)
    assert letter.state == "skipped"
    reader.refresh_from_db()
    assert (reader.suppressed_at, reader.unsubscribed_at) == (NOW, NOW + 2 * HOUR)


def test_a_question_that_was_answered_brings_nobody_back_who_left_after():
    reader = bouncing()
    letter = operating.ask_if_right(reader, now=NOW + HOUR)
    say_yes(letter, now=NOW + 2 * HOUR)
    unsubscribe(reader, now=NOW + 3 * HOUR)
    with pytest.raises(signup.UsedToken):
        say_yes(letter, now=NOW + 4 * HOUR)


def test_a_confirmation_is_no_answer_to_whether_the_address_is_right():
    reader = bouncing()
    confirm(reader, now=NOW + HOUR)
    reader.refresh_from_db()
    assert reader.suppressed_at == NOW
    assert not reader.consents.exists()


# ---- Her data


def test_what_is_kept_about_her_is_exported_whole():
    topic = make.topic("Graph learning")
    long_query = "bread " * 60
    subscribe("you@example.org", Wishes(follow=[topic], interests=[long_query.strip()]))
    reader = Subscriber.objects.get()
    confirm(reader)
    change(
        reader,
        Wishes(mute=[topic], interests=[long_query.strip()], muted_interests=["cake"]),
        size=5,
        language="de",
        wants_quiet_days=True,
        paused_until=date(2026, 6, 10),
    )
    Subscriber.objects.update(
        suppressed_at=NOW, suppressed_by="bounced", suppressed_reason="mailbox unknown"
    )
    reader.refresh_from_db()
    exported = json.dumps(signup.export(reader), cls=DjangoJSONEncoder)
    for fact in (
        "you@example.org",
        "Graph learning",
        long_query.strip(),
        "cake",
        "mute",
        "192.0.2.1",
        "Send me papers.",
        "confirmed",
        "2026-06-10",
        "mailbox unknown",
        '"size": 5',
        '"language": "de"',
        '"wants_quiet_days": true',
        '"suppressed_by": "bounced"',
        '"kind": "confirm"',
    ):
        assert fact in exported


def test_the_export_of_one_holds_nothing_of_another():
    make.subscriber("else@example.org", interests="secret plans")
    exported = json.dumps(signup.export(make.subscriber()), cls=DjangoJSONEncoder)
    assert "else@example.org" not in exported
    assert "secret plans" not in exported


def test_erasing_twice_is_erasing_once():
    reader = make.subscriber(interests="bread")
    subscribe(reader.email)
    signup.erase(reader, now=NOW)
    signup.erase(reader, now=NOW)
    for model in (Subscriber, TopicPreference, Topic, Letter, Consent):
        assert not model.objects.exists()


# ---- Who never confirmed


def test_who_asks_anew_while_others_are_forgotten_is_not(monkeypatch):
    for name in ("first", "second"):
        subscribe(f"{name}@example.org", now=NOW - 31 * DAY)
    monkeypatch.setattr(registry, "erasers", [lambda _: subscribe("second@example.org")])
    assert signup.forget_unconfirmed(NOW - 30 * DAY, NOW) == 1
    assert Subscriber.objects.get().email == "second@example.org"


@pytest.mark.django_db(transaction=True)
def test_who_is_asking_anew_in_this_very_moment_is_not_forgotten():
    if connection.vendor != "postgresql":
        pytest.skip("on SQLite, writers come one after the other")
    subscribe(now=NOW - 31 * DAY)
    thread, commit = uncommitted(subscribe)
    threading.Timer(0.5, commit.set).start()
    assert signup.forget_unconfirmed(NOW - 30 * DAY, NOW) == 0
    commit.set()
    thread.join(30)
    assert Subscriber.objects.get().asked_at == NOW


# ---- Twenty at once


@pytest.mark.django_db(transaction=True)
def test_twenty_sign_ups_of_one_person_are_one_subscriber_with_one_letter():
    spellings = ["you@example.org", "You@example.org", "YOU@example.org", "yoU@example.org"]
    wishes = Wishes(interests=["bread"])
    came_of = at_once(*5 * [lambda s=s: subscribe(s, wishes) for s in spellings])
    assert errors_of(came_of) == []
    someone = Subscriber.objects.get()
    assert someone.consents.count() == 20
    assert someone.letters.count() == 1
    assert stances(someone) == {"bread": "follow"}


@pytest.mark.django_db(transaction=True)
def test_twenty_clicks_on_confirm_or_unsubscribe_are_one():
    subscribe()
    someone = Subscriber.objects.get()
    confirming = at_once(*20 * [lambda: confirm(someone)])
    unsubscribing = at_once(*20 * [lambda: unsubscribe(someone)])
    assert errors_of(confirming + unsubscribing) == []
    acts = [consent.act for consent in someone.consents.all()]
    assert sorted(acts) == ["asked", "confirmed", "unsubscribed"]
    assert goodbyes(someone).count() == 1


@pytest.mark.django_db(transaction=True)
def test_undoing_amid_clicks_that_unsubscribe_leaves_one_goodbye_for_each_leaving():
    reader = make.subscriber()
    unsubscribe(reader, now=NOW + MINUTE)
    goodbye = goodbyes(reader).get()
    came_of = at_once(
        *5 * [lambda: say_yes(goodbye, now=NOW + 2 * MINUTE)],
        *5 * [lambda: unsubscribe(reader, now=NOW + 3 * MINUTE)],
    )
    assert {type(error) for error in errors_of(came_of)} <= {signup.UsedToken}
    left = reader.consents.filter(act="unsubscribed").count()
    assert goodbyes(reader).count() == left


@pytest.mark.django_db(transaction=True)
def test_of_twenty_operators_one_asks():
    reader = bouncing()
    came_of = at_once(*20 * [lambda: operating.ask_if_right(reader, now=NOW + HOUR)])
    assert errors_of(came_of) == []
    assert reader.letters.count() == 1


@pytest.mark.parametrize(
    ("fields", "act"),
    [
        ({}, lambda one: signup.change(one, None, {"hour": 9}, now=NOW)),
        ({}, lambda one: signup.pause(one, NOW.date() + 9 * DAY, now=NOW)),
        ({"paused_until": NOW.date() + DAY}, lambda one: signup.resume(one, now=NOW)),
        (
            {"suppressed_at": NOW, "suppressed_by": "bounced"},
            lambda one: signup.lift(one, door=DOOR, now=NOW),
        ),
    ],
)
def test_what_another_click_has_changed_since_the_page_asked_stays(fields, act):
    one = make.subscriber(**fields)
    Subscriber.objects.filter(pk=one.pk).update(size=3, unsubscribed_at=NOW)
    act(one)
    one.refresh_from_db()
    assert (one.size, one.unsubscribed_at, one.paused_until) == (3, NOW, None)


@pytest.mark.django_db(transaction=True)
def test_of_twenty_changes_at_once_one_wins_whole():
    reader = make.subscriber(interests="bread")
    came_of = at_once(
        *(
            lambda n=n: change(
                Subscriber.objects.get(), Wishes(interests=[f"bread {n}"]), hour=n, size=n + 1
            )
            for n in range(20)
        )
    )
    assert errors_of(came_of) == []
    reader.refresh_from_db()
    assert reader.size == reader.hour + 1
    assert stances(reader) == {f"bread {reader.hour}": "follow"}


@pytest.mark.django_db(transaction=True)
def test_nothing_of_her_is_left_when_she_erases_amid_other_clicks():
    reader = make.subscriber(interests="bread")
    wishes = Wishes(interests=["cake"])
    came_of = at_once(
        *5 * [lambda: signup.erase(reader, now=NOW)],
        *5 * [lambda: signup.change(reader, wishes, {"hour": 9}, now=NOW)],
        *5 * [lambda: unsubscribe(reader)],
        *5 * [lambda: signup.resume(reader, now=NOW)],
    )
    assert {type(error) for error in errors_of(came_of)} <= {Subscriber.DoesNotExist}
    for model in (Subscriber, TopicPreference, Topic, Letter, Consent):
        assert not model.objects.exists()
