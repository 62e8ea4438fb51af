"""What tests of bioRxiv and medRxiv begin with: a server, and harvests of what was posted there."""

from datetime import date, timedelta

import pytest

from digest.sources.biorxiv import BioRxiv
from tests.biorxiv_server import BioRxivServer
from tests.harvests import harvesting, serving
from tests.loopback import says, web_page

TODAY = date(2026, 6, 3)  # A Wednesday.
DAY = timedelta(days=1)


NOT_A_LIST = [
    (web_page(), "sent a web page"),
    (says(b""), "something that is not JSON"),
    (says(b'{"messages":[{"status":"ok"}],"collec'), "something that is not JSON"),
    (says(b"[" * 200_000 + b"]" * 200_000), "something that is not JSON"),
    (says(b'{"collection":"\xff\xfe"}'), "not valid UTF-8"),
    (says([]), "no list of papers"),
    (says({"messages": [{"status": "ok"}]}), "no list of papers"),
    (says({"messages": [{"status": "ok"}], "collection": {}}), "no list of papers"),
    (says({"messages": [{"status": "Both dates must be in <b>"}]}), "answers: Both dates must be"),
    (says({"collection": [0] * 1001}), "1001 rows at once"),
]


server = serving(lambda: BioRxivServer(today=TODAY))
harvests = harvesting(lambda server, name="biorxiv": BioRxiv(name, server.base))


@pytest.fixture
def run(harvests):
    """Return a function that harvests and returns the batches of what was posted."""

    def run(*, since=TODAY, **asked):
        return [batch for batch in harvests(since=since, **asked) if batch.day]

    return run
