"""What the addresses of servers have in common that the operator names in the settings."""

from contextlib import suppress
from ipaddress import ip_address

from django.core.exceptions import ImproperlyConfigured


def is_here(host: str | None) -> bool:
    """Return whether a host is this machine, to which a password may go in the clear."""
    with suppress(ValueError):
        return ip_address(host or "").is_loopback
    return host == "localhost"


def connections_told(said: str, most: int) -> int:
    """Return how many connections EMAIL_URL allows. Raises ImproperlyConfigured."""
    if not said.isdecimal() or not 1 <= int(said) <= most:
        raise ImproperlyConfigured(
            f"EMAIL_URL: connections must be a number from 1 to {most}, not {said!r}."
        )
    return int(said)
