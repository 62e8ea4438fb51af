"""Whose request this is, where proxies stand between the visitor and us.

Each proxy appends the address of whoever asked it to X-Forwarded-For. All to the left of what our
own proxies appended was written by the visitor, who writes what he likes. So nothing is believed
but what TRUSTED_PROXIES vouches for: the number of our proxies, or their networks.
"""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

Networks = tuple[IPv4Network | IPv6Network, ...]


def parsed(items: Sequence[str]) -> int | Networks:
    """Return what TRUSTED_PROXIES says: how many, or the networks in which they are. None is 0."""
    try:
        if len(items) == 1 and items[0].isdecimal():
            return int(items[0])
        return tuple(ip_network(item) for item in items) or 0
    except ValueError:
        raise ImproperlyConfigured(
            f"TRUSTED_PROXIES must be a number, or networks such as 10.0.0.0/8, not "
            f"{', '.join(items)!r}."
        ) from None


def find_visitor(get_response):
    """Put the visitor's own address into REMOTE_ADDR, where all who ask for it look. The request
    says whether it came past a proxy of ours.
    """

    def middleware(request):
        meta = request.META
        peer, forwarded = meta.get("REMOTE_ADDR", ""), meta.get("HTTP_X_FORWARDED_FOR", "")
        meta["REMOTE_ADDR"] = visitor(peer, forwarded, settings.TRUSTED_PROXIES)
        request.came_past_proxies = came_past(peer, forwarded, settings.TRUSTED_PROXIES)
        return get_response(request)

    return middleware


def visitor(peer: str, forwarded: str, trusted: int | Networks) -> str:
    """Return who asked, of those who handed the request on to us, or "" where nobody knows.

    `peer` is who is connected to us, `forwarded` the header X-Forwarded-For.
    """
    hops = _hops(peer, forwarded)
    if isinstance(trusted, int):
        return _address(hops[-1 - min(trusted, len(hops) - 1)])
    address = _address(peer)
    for hop in reversed(hops[:-1]):
        if not address or not any(ip_address(address) in network for network in trusted):
            break
        address = _address(hop)
    return address


def came_past(peer: str, forwarded: str, trusted: int | Networks) -> bool:
    """Return whether a visitor's request was handed on by fewer proxies than there are said to be.

    Whoever comes so may write the missing ones herself, and so who she is. What comes from a house
    of ours, such as a look whether we live, may go past them.
    """
    hops = _hops(peer, forwarded)
    first = _address(hops[0])
    is_short = isinstance(trusted, int) and len(hops) <= trusted
    return is_short and bool(first) and ip_address(first).is_global


def _hops(peer, forwarded):
    return [*(forwarded.split(",") if forwarded else []), peer]


def _address(text):
    """Return the bare address, without the port that some proxies add; "" where it is none."""
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
