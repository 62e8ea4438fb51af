"""Mailbox providers: who they are, how they are held and paced; addresses that are none; names."""

from collections import Counter
from types import SimpleNamespace

import pytest
from django.core.exceptions import ImproperlyConfigured

from subscriptions.delivery import message_ids, suppress, throttling, verp
from subscriptions.models import Letter, Provider, Subscriber
from tests.factories import make
from tests.factories.make import DAY, HOUR, MINUTE, NOW, SECOND, TODAY

pytestmark = pytest.mark.django_db


def test_domains_of_one_provider_count_together():
    providers = {
        "google": ["a@gmail.com", "a@GoogleMail.com"],
        "microsoft": ["a@hotmail.co.uk", "a@outlook.de"],
        "yahoo": ["a@yahoo.co.jp"],
        "apple": ["a@me.com"],
        "gmx": ["a@web.de"],
        "web.example.org": ["a@web.example.org"],
        "me.example.com": ["a@me.example.com"],
        "gmail.com.evil.example": ["a@gmail.com.evil.example"],
        "example.org": ["a@Example.ORG"],
        "no address": ["no address"],
    }
    for provider, addresses in providers.items():
        assert {throttling.provider_of(address) for address in addresses} == {provider}


def slow_down(now=NOW):
    return throttling.slow_down("google", "450 4.7.1 slower", now)


def ten_for(domain="gmail.com", count=10):
    """Return what `allot` looks at: letters with the addresses they go to."""
    return [SimpleNamespace(recipient=f"reader-{number}@{domain}") for number in range(count)]


def admitted(letters, now):
    return throttling.admit(letters, now, Counter())[0]


def test_where_nobody_complains_there_is_nothing_to_count():
    letters = ten_for()
    assert admitted(letters, NOW) == letters
    throttling.record_success(["reader@gmail.com"], NOW)
    assert not Provider.objects.exists()


def test_a_provider_is_left_alone_for_longer_at_half_the_pace_each_time_it_complains():
    now, holds, paces = NOW, [], []
    for _ in range(60):
        until = slow_down(now)
        holds.append((until - now) / MINUTE)
        paces.append(Provider.objects.get().pace)
        now = until
    assert holds == [1, 2, 4, 8, 16, 32, *[60] * 54]
    assert paces == [60, 30, 15, 7.5, 3.75, *[2] * 55]


def test_complaints_of_one_rush_count_once_and_a_success_ends_their_row():
    until = slow_down()
    assert slow_down(NOW + SECOND) == until
    row = Provider.objects.get()
    assert (row.complaints, row.pace) == (1, throttling.INITIAL_PACE)
    until = slow_down(until)
    throttling.record_success(["reader@gmail.com"], until + MINUTE)
    assert slow_down(until + HOUR) == until + HOUR + MINUTE


def test_a_provider_that_is_held_gets_nothing_and_the_others_all():
    until = slow_down()
    held, others = ten_for(), ten_for("example.org")
    assert throttling.admit(held + others, NOW + SECOND, Counter()) == (others, held)
    moments = [letter.next_try_at for letter in held]
    assert moments == sorted(moments)
    assert moments[0] > until
    assert moments[-1] == until + 10 * SECOND  # Each has a turn of its own, at sixty a minute.


def test_after_the_hold_it_gets_a_minutes_worth_at_most():
    """As rounds may come no more often than once a minute."""
    until = slow_down()
    letters = ten_for(count=80)
    for seconds in (10, 20, 30):  # Looks at it during the hold change nothing.
        assert admitted(letters, NOW + seconds * SECOND) == []
    assert len(admitted(letters, until + 5 * SECOND)) == 5
    assert len(admitted(letters, until + HOUR)) == 60
    assert len(admitted(letters, until + HOUR)) == 0


def test_what_it_would_have_taken_before_the_hold_is_forgotten(settings):
    settings.PROVIDER_RATES = {"google": 600.0}
    admitted(ten_for(count=1), NOW)
    admitted(ten_for(count=1), NOW + MINUTE)
    until = slow_down(NOW + MINUTE)
    assert len(admitted(ten_for(count=80), until + SECOND)) == 1


def test_a_letter_that_waits_for_its_turn_is_looked_at_before_long():
    """The pace may have risen by then."""
    until = slow_down()
    letters = ten_for(count=1_000)
    admitted(letters, NOW)
    assert letters[-1].next_try_at == until + 5 * MINUTE


def test_one_that_is_held_and_has_no_pace_puts_letters_off():
    Provider.objects.create(name="google", held_until=NOW + MINUTE, counted_at=NOW)
    (letter,) = letters = ten_for(count=1)
    assert admitted(letters, NOW) == []
    assert NOW + MINUTE < letter.next_try_at < NOW + 2 * MINUTE
    assert len(admitted(ten_for(), NOW + MINUTE)) == 10


def test_a_success_makes_it_half_as_fast_again_once_a_minute():
    until = slow_down()
    throttling.record_success(["reader@gmail.com"], until)  # Too early.
    assert Provider.objects.get().pace == 60
    for _ in range(3):
        throttling.record_success(["reader@gmail.com", "reader@example.org"], until + MINUTE)
    row = Provider.objects.get()
    assert (row.pace, row.complaints) == (90, 0)
    throttling.record_success(["reader@gmail.com"], until + 2 * MINUTE)
    assert Provider.objects.get().pace == 135


def test_one_that_takes_much_is_not_counted_any_longer():
    now = slow_down()
    while Provider.objects.exists():
        now += MINUTE
        throttling.record_success(["reader@gmail.com"], now)
        assert now < NOW + HOUR
    letters = ten_for(count=100)
    assert admitted(letters, now) == letters


@pytest.mark.parametrize("rate", [30.0, 600.0])
def test_the_lower_of_both_wishes_counts(settings, rate):
    settings.PROVIDER_RATES = {"google": rate}
    slow_down()
    assert Provider.objects.get().limit() == min(rate, throttling.INITIAL_PACE)


def test_a_clock_that_goes_back_gives_nothing_away_and_is_not_waited_for(settings):
    settings.PROVIDER_RATES = {"google": 60.0}
    letters = ten_for(count=30)
    admitted(letters, NOW)
    assert admitted(letters, NOW - HOUR) == []
    assert len(admitted(letters, NOW - HOUR + 5 * SECOND)) == 5


def test_a_rate_below_one_a_minute_lets_letters_through_all_the_same(settings):
    settings.PROVIDER_RATES = {"google": 0.5}
    letters = ten_for(count=3)
    assert len(admitted(letters, NOW)) == 1
    assert len(admitted(letters, NOW + MINUTE)) == 0
    assert len(admitted(letters, NOW + 2 * MINUTE)) == 1


# ---- Addresses that are none


def test_long_words_and_erased_subscribers_do_no_harm():
    subscriber = make.subscriber()
    suppress.after_rejection(subscriber.pk, subscriber.email, "550 5.1.1 " + "no " * 500, NOW)
    assert len(Subscriber.objects.get().suppressed_reason) == 200
    subscriber.delete()
    suppress.after_rejection(subscriber.pk, subscriber.email, "550 5.1.1 no", NOW)


# ---- Names of letters


def letter_of(subscriber, kind="digest", day=TODAY, created_at=NOW):
    return Letter(subscriber=subscriber, kind=kind, day=day, created_at=created_at)


def test_a_digests_name_depends_on_its_subscriber_and_day_alone():
    subscriber, other = make.subscriber(), make.subscriber()
    name = message_ids.for_letter(letter_of(subscriber))
    assert message_ids.for_letter(letter_of(subscriber, created_at=NOW + HOUR)) == name
    assert message_ids.for_letter(letter_of(subscriber, kind="welcome")) == name
    assert message_ids.for_digest(subscriber.public_id, TODAY) == name
    letters = [
        letter_of(subscriber),
        letter_of(other),
        letter_of(subscriber, day=TODAY + DAY),
        letter_of(subscriber, "confirm", None),
        letter_of(subscriber, "goodbye", None),
        letter_of(subscriber, "confirm", None, NOW + SECOND),
    ]
    assert len({message_ids.for_letter(letter) for letter in letters}) == len(letters)


def test_a_name_does_not_disclose_the_subscriber(settings):
    subscriber = make.subscriber("someone@example.org")
    name = message_ids.for_letter(letter_of(subscriber))
    assert "someone" not in name
    assert subscriber.public_id.hex not in name.replace("-", "")
    settings.SECRET_KEY = "another"
    assert message_ids.for_letter(letter_of(subscriber)) != name


def test_what_a_provider_said_is_kept_in_short_and_without_addresses():
    throttling.slow_down("example.org", "450 <reader@example.org>: " + "slower, " * 50, NOW)
    said = Provider.objects.get().said
    assert said.startswith("450 <…>: slower, ")
    assert len(said) == 300


# ---- The envelope's senders: which letter came back, and that nobody else can say so


@pytest.mark.parametrize("delimiter", "+-")
@pytest.mark.parametrize("letter_id", [1, 0xABC, 2**63 - 1])
def test_an_address_names_its_letter_within_smtps_limit(settings, letter_id, delimiter):
    """RFC 5321, 4.5.3.1.1: 64 octets before the @. Some servers change the case."""
    settings.RECIPIENT_DELIMITER = delimiter
    settings.BOUNCE_ADDRESS = "Returned <returned@bounces.example>"
    address = verp.envelope_sender("digest", letter_id, NOW)
    local, _, domain = address.partition("@")
    assert len(local) <= 64
    assert (local.partition(delimiter)[0], domain) == ("returned", "bounces.example")
    assert verp.letter_id_of(address, NOW) == letter_id
    assert verp.letter_id_of(address.upper(), NOW + DAY) == letter_id


def test_an_address_can_not_be_made_up_from_another():
    local, _, domain = verp.envelope_sender("digest", 4711, NOW).partition("@")
    base, _, extension = local.partition("+")
    stamp, _, signature = extension.rpartition(".")
    number, _, day = stamp.partition(".")
    forged = [
        f"{base}+{int(number, 16) + 1:x}.{day}.{signature}@{domain}",
        f"{base}+{number}.{int(day, 16) + 1:x}.{signature}@{domain}",
        f"{base}+{stamp}.{signature[:-1]}@{domain}",
        f"{base}+{stamp}.{'0' * len(signature)}@{domain}",
        f"{base}+{stamp}.@{domain}",
        f"{base}+{stamp}@{domain}",
        f"{base}@{domain}",
        *("", "@", "+", "a@b", "a+.@b", "a+..@b", "a+é.ü.ß@b", "a+\0@b"),
    ]
    assert [verp.letter_id_of(address, NOW) for address in forged] == [None] * len(forged)


def test_an_old_address_or_one_of_another_key_names_no_letter(settings):
    address = verp.envelope_sender("digest", 4711, NOW)
    assert verp.letter_id_of(address, NOW + 14 * DAY) == 4711
    assert verp.letter_id_of(address, NOW + 16 * DAY) is None
    settings.SECRET_KEY = "another"
    assert verp.letter_id_of(address, NOW) is None


def test_without_a_delimiter_all_come_back_to_one_address(settings):
    settings.RECIPIENT_DELIMITER = ""
    settings.BOUNCE_ADDRESS = "returned@bounces.example"
    assert verp.envelope_sender("digest", 4711, NOW) == "returned@bounces.example"
    assert verp.letter_id_of("returned@bounces.example", NOW) is None


@pytest.mark.parametrize("address", ["nobody", "b" * 40 + "@bounces.example"])
def test_an_address_that_nothing_can_come_back_to_is_refused_at_the_start(settings, address):
    settings.BOUNCE_ADDRESS = address
    with pytest.raises(ImproperlyConfigured, match=r"BOUNCE_ADDRESS"):
        verp.check()
    settings.RECIPIENT_DELIMITER = ""
    if "@" in address:
        verp.check()
