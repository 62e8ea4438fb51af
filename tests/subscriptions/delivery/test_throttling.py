"""Mailbox providers: who they are, how they are held and paced; addresses that are none; names."""

from collections import Counter
from types import SimpleNamespace

import pytest
from django.core.exceptions import ImproperlyConfigured

from subscriptions.delivery import message_ids, suppress, throttling, verp
from subscriptions.models import Letter, Provider, Subscriber
from tests.factories import make
from tests.factories.make import DAY, HOUR, MINUTE, NOW, SECOND, TODAY
from tests.helpers import data_files

pytestmark = pytest.mark.django_db


def test_domains_of_one_provider_count_together():
    providers = data_files.load("mailbox_providers.toml")
    for provider, addresses in providers.items():
        assert {throttling.provider_of(address) for address in addresses} == {provider}


def slow_down(now=NOW):
    return throttling.slow_down("google", "450 4.7.1 slower", now)


def ten_for(domain="gmail.com", count=10):
    """Return what `allot` looks at: letters with the addresses they go to."""
    return [SimpleNamespace(recipient=f"reader-{number}@{domain}") for number in range(count)]


def admitted(letters, now):
    return throttling.admit(letters, now, Counter())[0]


def test_each_complaint_doubles_the_hold_and_halves_the_pace():
    now, holds, paces = NOW, [], []
    for _ in range(60):
        until = slow_down(now)
        holds.append((until - now) / MINUTE)
        paces.append(Provider.objects.get().pace)
        now = until
    assert holds == [1, 2, 4, 8, 16, 32, *[60] * 54]
    assert paces == [60, 30, 15, 7.5, 3.75, *[2] * 55]


def test_complaints_of_one_burst_count_once():
    until = slow_down()
    assert slow_down(NOW + SECOND) == until
    row = Provider.objects.get()
    assert (row.complaints, row.pace) == (1, throttling.INITIAL_PACE)
    until = slow_down(until)
    throttling.record_success(["reader@gmail.com"], until + MINUTE)
    assert slow_down(until + HOUR) == until + HOUR + MINUTE


def test_held_provider_gets_nothing_and_others_everything():
    until = slow_down()
    held, others = ten_for(), ten_for("example.org")
    assert throttling.admit(held + others, NOW + SECOND, Counter()) == (others, held)
    moments = [letter.next_try_at for letter in held]
    assert moments == sorted(moments)
    assert moments[0] > until
    assert moments[-1] == until + 10 * SECOND  # Each has a turn of its own, at sixty a minute.


def test_at_most_one_minutes_letters_follow_a_hold():
    """As rounds may come no more often than once a minute."""
    until = slow_down()
    letters = ten_for(count=80)
    for seconds in (10, 20, 30):  # Looks at it during the hold change nothing.
        assert admitted(letters, NOW + seconds * SECOND) == []
    assert len(admitted(letters, until + 5 * SECOND)) == 5
    assert len(admitted(letters, until + HOUR)) == 60
    assert len(admitted(letters, until + HOUR)) == 0


def test_allowance_from_before_a_hold_is_dropped(settings):
    settings.PROVIDER_RATES = {"google": 600.0}
    admitted(ten_for(count=1), NOW)
    admitted(ten_for(count=1), NOW + MINUTE)
    until = slow_down(NOW + MINUTE)
    assert len(admitted(ten_for(count=80), until + SECOND)) == 1


def test_held_letter_is_tried_within_five_minutes():
    """The pace may have risen by then."""
    until = slow_down()
    letters = ten_for(count=1_000)
    admitted(letters, NOW)
    assert letters[-1].next_try_at == until + 5 * MINUTE


def test_letters_are_postponed_by_a_hold_without_a_pace():
    Provider.objects.create(name="google", held_until=NOW + MINUTE, counted_at=NOW)
    (letter,) = letters = ten_for(count=1)
    assert admitted(letters, NOW) == []
    assert NOW + MINUTE < letter.next_try_at < NOW + 2 * MINUTE
    assert len(admitted(ten_for(), NOW + MINUTE)) == 10


def test_success_raises_the_pace_once_a_minute():
    until = slow_down()
    throttling.record_success(["reader@gmail.com"], until)  # Too early.
    assert Provider.objects.get().pace == 60
    for _ in range(3):
        throttling.record_success(["reader@gmail.com", "reader@example.org"], until + MINUTE)
    row = Provider.objects.get()
    assert (row.pace, row.complaints) == (90, 0)
    throttling.record_success(["reader@gmail.com"], until + 2 * MINUTE)
    assert Provider.objects.get().pace == 135


def test_fast_provider_is_no_longer_counted():
    now = slow_down()
    while Provider.objects.exists():
        now += MINUTE
        throttling.record_success(["reader@gmail.com"], now)
        assert now < NOW + HOUR
    letters = ten_for(count=100)
    assert admitted(letters, now) == letters


@pytest.mark.parametrize("rate", [30.0, 600.0])
def test_lower_of_setting_and_learned_pace_counts(settings, rate):
    settings.PROVIDER_RATES = {"google": rate}
    slow_down()
    assert Provider.objects.get().limit() == min(rate, throttling.INITIAL_PACE)


def test_clock_set_back_grants_nothing_and_does_not_block(settings):
    settings.PROVIDER_RATES = {"google": 60.0}
    letters = ten_for(count=30)
    admitted(letters, NOW)
    assert admitted(letters, NOW - HOUR) == []
    assert len(admitted(letters, NOW - HOUR + 5 * SECOND)) == 5


def test_rate_below_one_a_minute_admits_letters(settings):
    settings.PROVIDER_RATES = {"google": 0.5}
    letters = ten_for(count=3)
    assert len(admitted(letters, NOW)) == 1
    assert len(admitted(letters, NOW + MINUTE)) == 0
    assert len(admitted(letters, NOW + 2 * MINUTE)) == 1


# ---- Addresses that are none


def test_rejection_is_truncated_and_ignores_erased_subscribers():
    subscriber = make.subscriber()
    suppress.after_rejection(subscriber.pk, subscriber.email, "550 5.1.1 " + "no " * 500, NOW)
    assert len(Subscriber.objects.get().suppressed_reason) == 200
    subscriber.delete()
    suppress.after_rejection(subscriber.pk, subscriber.email, "550 5.1.1 no", NOW)


# ---- Names of letters


def letter_of(subscriber, kind="digest", day=TODAY, created_at=NOW):
    return Letter(subscriber=subscriber, kind=kind, day=day, created_at=created_at)


def test_digest_message_id_depends_on_subscriber_and_day():
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


def test_message_id_does_not_reveal_the_subscriber(settings):
    subscriber = make.subscriber("someone@example.org")
    name = message_ids.for_letter(letter_of(subscriber))
    assert "someone" not in name
    assert subscriber.public_id.hex not in name.replace("-", "")
    settings.SECRET_KEY = "another"
    assert message_ids.for_letter(letter_of(subscriber)) != name


def test_provider_reply_is_truncated_and_without_addresses():
    throttling.slow_down("example.org", "450 <reader@example.org>: " + "slower, " * 50, NOW)
    said = Provider.objects.get().reply
    assert said.startswith("450 <…>: slower, ")
    assert len(said) == 300


# ---- The envelope's senders: which letter came back, and that nobody else can say so


@pytest.mark.parametrize("delimiter", "+-")
@pytest.mark.parametrize("letter_id", [1, 0xABC, 2**63 - 1])
def test_bounce_address_names_its_letter_within_64_octets(settings, letter_id, delimiter):
    """RFC 5321, 4.5.3.1.1: 64 octets before the @. Some servers change the case."""
    settings.RECIPIENT_DELIMITER = delimiter
    settings.BOUNCE_ADDRESS = "Returned <returned@bounces.example>"
    address = verp.envelope_sender("digest", letter_id, NOW)
    local, _, domain = address.partition("@")
    assert len(local) <= 64
    assert (local.partition(delimiter)[0], domain) == ("returned", "bounces.example")
    assert verp.letter_id_of(address, NOW) == letter_id
    assert verp.letter_id_of(address.upper(), NOW + DAY) == letter_id


def test_expired_or_forged_bounce_address_names_no_letter(settings):
    address = verp.envelope_sender("digest", 4711, NOW)
    assert verp.letter_id_of(address, NOW + 14 * DAY) == 4711
    assert verp.letter_id_of(address, NOW + 16 * DAY) is None
    local, _, domain = address.partition("@")
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
    settings.SECRET_KEY = "another"
    assert verp.letter_id_of(address, NOW) is None


def test_bounce_address_is_shared_without_a_delimiter(settings):
    settings.RECIPIENT_DELIMITER = ""
    settings.BOUNCE_ADDRESS = "returned@bounces.example"
    assert verp.envelope_sender("digest", 4711, NOW) == "returned@bounces.example"
    assert verp.letter_id_of("returned@bounces.example", NOW) is None


@pytest.mark.parametrize("address", ["nobody", "b" * 40 + "@bounces.example"])
def test_invalid_bounce_address_is_refused_at_start(settings, address):
    settings.BOUNCE_ADDRESS = address
    with pytest.raises(ImproperlyConfigured, match=r"BOUNCE_ADDRESS"):
        verp.check()
    settings.RECIPIENT_DELIMITER = ""
    if "@" in address:
        verp.check()
