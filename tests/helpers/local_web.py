"""What sources ask through, without a database: a gate that lets all through, and kept answers."""

from contextlib import contextmanager

from django.utils import timezone

from digest.http.client import Web


class OpenGate:
    """Lets all through, and counts them."""

    turns = 0

    @contextmanager
    def turn(self):
        self.turns += 1
        yield


class MemoryCache(dict):
    """Answers, kept as long as it lives."""

    put = dict.__setitem__


def web_of(hosts, **options):
    """Return a Web to these hosts that waits for nothing, shaped by options of Web."""
    usual = {"gate": OpenGate(), "cache": MemoryCache(), "user_agent": "Paperboy test"}
    usual |= {"now": timezone.now, "sleep": lambda seconds: None}
    return Web(hosts=hosts and frozenset(hosts), **usual | options)
