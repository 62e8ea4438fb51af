"""The envelope's senders: which letter came back, and that nobody else can say so."""

from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured

from subscriptions.delivery import verp
from tests.factories.make import NOW

DAY = timedelta(days=1)


@pytest.mark.parametrize("delimiter", "+-")
@pytest.mark.parametrize("letter_id", [1, 0xABC, 2**63 - 1])
def test_an_address_names_its_letter_in_no_more_octets_than_smtp_allows(
    settings, letter_id, delimiter
):
    """RFC 5321, 4.5.3.1.1: 64 octets before the @. Some servers change the case."""
    settings.RECIPIENT_DELIMITER = delimiter
    settings.BOUNCE_ADDRESS = "Returned <returned@bounces.example>"
    address = verp.envelope_sender("digest", letter_id, NOW)
    local, _, domain = address.partition("@")
    assert len(local) <= 64
    assert (local.partition(delimiter)[0], domain) == ("returned", "bounces.example")
    assert (
        verp.letter_id_of(address, NOW)
        == verp.letter_id_of(address.upper(), NOW + DAY)
        == letter_id
    )


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


def test_an_address_of_long_ago_or_of_another_key_tells_nothing(settings):
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
