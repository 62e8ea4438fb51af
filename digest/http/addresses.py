"""Which addresses requests may be sent to: public ones, at the ports of web servers.

So nobody who enters a URL reaches the services beside this one.
"""

import ipaddress
import socket
from collections.abc import Mapping
from urllib.parse import SplitResult, quote, urlencode, urljoin, urlsplit

PORTS = {"https": 443, "http": 80}
#: Ports of hosts that operators enter, so that they cannot reach other services than web servers.
WEB_PORTS = {80, 443, 8080, 8443}
UNICAST_IPV6 = ipaddress.ip_network("2000::/3")
IPV4_IN_IPV6 = [ipaddress.ip_network(net) for net in ("::ffff:0:0/96", "64:ff9b::/96")]


class Refused(Exception):
    """The URL, host, size, time or content is not allowed. A retry would not help.

    `status` is the server's, if the server refused.
    """

    def __init__(self, reason: str, status: int | None = None):
        super().__init__(reason)
        self.status = status


def check(url: str, private_hosts: frozenset[str]) -> None:
    """Raise Refused for a URL that no request would be sent to. Asks no DNS."""
    parts, port = parts_of(url, url)
    host = parts.hostname or ""
    if host in private_hosts:
        return
    if not is_public(host) if is_address(host) else host.endswith("localhost"):
        raise Refused(f"{host} is not a public address")
    if port not in WEB_PORTS:
        raise Refused(f"port {port} is not a port of web servers")


def parts_of(url: str, start: str) -> tuple[SplitResult, int]:
    """Return the parsed URL and its port. `start`: the first URL of redirects. Raises Refused."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
    except ValueError:
        raise Refused(f"{url[:200]!r} is not a URL") from None
    if parts.scheme != "https" and (parts.scheme != "http" or start.lower().startswith("https:")):
        raise Refused(f"{parts.scheme[:20]!r} is not https")
    if parts.username is not None or parts.password is not None:
        raise Refused("URLs with a user name or password are not allowed")
    return parts, port


def resolved(host: str) -> list[str]:
    """Return the addresses of a name, as DNS has them."""
    rows = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_public(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    if any(address in net for net in IPV4_IN_IPV6):
        address = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    is_unicast = address in UNICAST_IPV6 if address.version == 6 else not address.is_multicast
    return address.is_global and is_unicast


def with_params(url: str, params: Mapping[str, str]) -> str:
    """Return the URL as it is sent: ASCII, without a fragment."""
    url = url.partition("#")[0]
    if params:
        url += ("&" if "?" in url else "?") + urlencode(params)
    try:
        return quote(url, safe="%/:=&?~+!$,;'@()*[]")
    except UnicodeEncodeError:
        raise Refused(f"{url[:200]!r} is not a URL") from None


def joined(url: str, location: str) -> str:
    """Return the URL that a redirect leads to. Raises Refused."""
    try:
        return with_params(urljoin(url, location), {})
    except ValueError:
        raise Refused(f"{urlsplit(url).hostname} redirects to what is not a URL") from None
