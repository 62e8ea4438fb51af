"""The client's IP address behind proxies.

Each proxy appends the address of its peer to X-Forwarded-For. What is left of the entries of our
own proxies was written by the client, and cannot be trusted. TRUSTED_PROXIES says how many proxies
there are, or in which networks. REMOTE_USER_HEADER is believed of proxies in these networks only.
"""

import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

Networks = tuple[IPv4Network | IPv6Network, ...]


def parse_proxies(values: Sequence[str]) -> int | Networks:
    """Return the value of TRUSTED_PROXIES: a number or networks. Nothing is 0."""
    try:
        if len(values) == 1 and values[0].isdecimal():
            return int(values[0])
        return tuple(ip_network(value) for value in values) or 0
    except ValueError:
        raise ImproperlyConfigured(
            f"TRUSTED_PROXIES must be a number or networks such as 10.0.0.0/8, not "
            f"{', '.join(values)!r}."
        ) from None


def header_key(name: str, trusted_proxies: int | Networks) -> str:
    """Return the key in `request.META` of the header REMOTE_USER_HEADER, or ""."""
    if name and isinstance(trusted_proxies, int):
        raise ImproperlyConfigured(
            "REMOTE_USER_HEADER needs the network of your proxy in TRUSTED_PROXIES, such as "
            "10.0.0.5/32: a number of proxies does not say who may send the header."
        )
    if name and not re.fullmatch("[A-Za-z][A-Za-z0-9-]*", name):
        raise ImproperlyConfigured(f"REMOTE_USER_HEADER must be like Remote-User, not {name!r}.")
    return name and f"HTTP_{name.upper().replace('-', '_')}"


def set_client_ip(get_response):
    """Put the client's address into REMOTE_ADDR, and set `request.bypassed_proxies`.

    Removes REMOTE_USER_HEADER unless a trusted proxy sent it.
    """

    def middleware(request):
        meta = request.META
        peer, forwarded = meta.get("REMOTE_ADDR", ""), meta.get("HTTP_X_FORWARDED_FOR", "")
        if settings.REMOTE_USER_HEADER and not _is_in(peer, settings.TRUSTED_PROXIES):
            meta.pop(settings.REMOTE_USER_HEADER, None)
        meta["REMOTE_ADDR"] = client_ip(peer, forwarded, settings.TRUSTED_PROXIES)
        request.bypassed_proxies = is_bypassed(peer, forwarded, settings.TRUSTED_PROXIES)
        return get_response(request)

    return middleware


def client_ip(peer: str, forwarded: str, trusted_proxies: int | Networks) -> str:
    """Return the client's address, or "" if it is unknown.

    `peer` is the address of the connection, `forwarded` the header X-Forwarded-For.
    """
    hops = _hops(peer, forwarded)
    if isinstance(trusted_proxies, int):
        return _address(hops[-1 - min(trusted_proxies, len(hops) - 1)])
    address = _address(peer)
    for hop in reversed(hops[:-1]):
        if not _is_in(address, trusted_proxies):
            break
        address = _address(hop)
    return address


def is_bypassed(peer: str, forwarded: str, trusted_proxies: int | Networks) -> bool:
    """Return whether a request passed fewer proxies than TRUSTED_PROXIES says.

    Such a client could write the missing entries, and so its address. Requests from private
    addresses, such as health checks, may bypass the proxies.
    """
    hops = _hops(peer, forwarded)
    first_address = _address(hops[0])
    is_short = isinstance(trusted_proxies, int) and len(hops) <= trusted_proxies
    return is_short and bool(first_address) and ip_address(first_address).is_global


def _is_in(peer, networks):
    address = _address(peer)
    return bool(address) and any(ip_address(address) in network for network in networks)


def _hops(peer, forwarded):
    return [*(forwarded.split(",") if forwarded else []), peer]


def _address(text):
    """Return the address without the port that some proxies add, or "" if it is none."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)
