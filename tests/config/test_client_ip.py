"""Whose request it is, whatever the visitor writes into X-Forwarded-For."""

from ipaddress import ip_address, ip_network

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from config.client_ip import client_ip, is_bypassed, parse_proxies
from tests.helpers import data_files

NEAR = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


DATA = data_files.load("client_ip.toml")


def trusted_in(value):
    return NEAR if value == "near" else value


@pytest.mark.parametrize(("forwarded", "trusted", "found"), DATA["forwarded"])
def test_client_ip_is_read_from_trusted_proxies(forwarded, trusted, found):
    assert client_ip("10.0.0.1", forwarded, trusted_in(trusted)) == found


def test_networks_are_trusted_only_from_a_proxy():
    assert client_ip("203.0.113.9", "198.51.100.1", NEAR) == "203.0.113.9"
    assert client_ip("", "198.51.100.1", NEAR) == ""
    assert client_ip("", "198.51.100.1", 1) == "198.51.100.1"  # A socket in the file system.


@pytest.mark.parametrize(("peer", "forwarded", "trusted", "is_past"), DATA["bypasses"])
def test_bypassing_a_counted_proxy_is_detected(peer, forwarded, trusted, is_past):
    assert is_bypassed(peer, forwarded, trusted_in(trusted)) is is_past


@given(st.text(st.characters(codec="latin-1")), st.sampled_from([0, 1, 2, NEAR]))
def test_forged_header_yields_no_other_address(written, trusted):
    found = client_ip(written, written, trusted)
    assert not found or ip_address(found)
    if trusted in (1, NEAR):
        assert client_ip("10.0.0.1", f"{written}, 198.51.100.1", trusted) == "198.51.100.1"


CONFIGURED = [([], 0), (["2"], 2), (["10.0.0.0/8", "fd00::/8"], NEAR)]


@pytest.mark.parametrize(("items", "trusted"), CONFIGURED)
def test_proxies_are_configured_by_number_or_network(items, trusted):
    assert parse_proxies(items) == trusted


@pytest.mark.parametrize("items", [["10.0.0.1/8"], ["1", "2"], ["-1"], ["nginx"], ["1.5"]])
def test_invalid_proxies_are_refused(items):
    with pytest.raises(ImproperlyConfigured, match="TRUSTED_PROXIES must be a number"):
        parse_proxies(items)
