"""What a test of a source begins with: a server on loopback, and harvests from it.

Two lines make both: `server = serving(HuggingFaceServer)` and
`run = harvesting(lambda server: server.source())`.
"""

from datetime import UTC, datetime, time

import pytest
from hypothesis import strategies as st

from digest.http.client import Entry, Refused, Unavailable
from digest.sources.base import MalformedFeed
from tests.helpers.local_web import web_of
from tests.servers.loopback import says

#: Whatever may stand in JSON.
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)


def serving(make):
    """Return a fixture: the server that `make` starts, for one test."""

    @pytest.fixture
    def server():
        with make() as server:
            yield server

    return server


def harvesting(source_of):
    """Return a fixture: harvests of the source that `source_of` makes for the server."""

    @pytest.fixture
    def harvests(server):
        return Harvests(server, source_of)

    return harvests


class Harvests:
    """Harvests at noon of the server's day, through one web. Called, it returns the batches.

    What else is named, such as categories, is for the source. `slept` are the seconds for which
    the web would have waited.
    """

    def __init__(self, server, source_of):
        self.server, self.source_of = server, source_of
        self.begin_web()

    def begin_web(self):
        """Go on with a web that remembers nothing."""
        self.slept, noon = [], datetime.combine(self.server.today, time(12), UTC)
        hosts = self.source_of(self.server).hosts
        private = frozenset() if hosts else frozenset(["127.0.0.1"])
        self.web = web_of(hosts, private_hosts=private, now=lambda: noon, sleep=self.slept.append)

    def __call__(self, **asked):
        return list(self.batches(**asked))

    def batches(self, *, today=None, since=None, cursor="", **of_source):
        """Return the batches one by one, as they are asked for."""
        source = self.source_of(self.server, **of_source)
        today = today or self.server.today
        return source.harvest(self.web, today=today, since=since, cursor=cursor)

    def cut_off(self, **asked):
        """Harvest until it breaks off. Return the batches, and why."""
        batches = []
        try:
            for batch in self.batches(**asked):
                batches.append(batch)
        except (MalformedFeed, Refused, Unavailable) as error:
            return batches, error
        raise AssertionError("it did not break off")


class FixedAnswer:
    """A web in which everything is this, as JSON."""

    def __init__(self, answer):
        self.body = says(answer)[2]

    def get(self, url, params=None, *, cache_for=None):
        noon = datetime(2026, 6, 3, 12, tzinfo=UTC)
        return Entry(self.body, headers={}, fetched_at=noon)


def found(batches):
    return [record for batch in batches for record in batch.records]


def only(batches):
    (record,) = found(batches)
    return record
