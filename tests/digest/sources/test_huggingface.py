"""Rows of Hugging Face's daily papers become records, and its links lead to no other place."""

import pytest

from digest.http.client import Refused
from digest.sources.huggingface import HuggingFace
from tests.factories.harvests import FixedAnswer, harvesting, serving
from tests.servers.daily_lists import DAY, TODAY, HuggingFaceServer, hugging_face_row

server = serving(HuggingFaceServer)
run = harvesting(lambda server: server.source())


def row(number=1, **inner):
    return hugging_face_row(TODAY, number, **inner)


def read(item):
    """Return the batch that the source makes of a page: rows, or bytes."""
    (batch,) = HuggingFace().harvest(FixedAnswer(item), today=TODAY, since=TODAY, cursor="")
    return batch


def test_refused_past_day_stops_the_run(server, run):
    server.today = TODAY - DAY
    last = run(today=TODAY)[-1]
    assert (last.records, last.errors, last.state, last.cursor) == ([], [], "empty", "")
    server.today = TODAY - 2 * DAY
    with pytest.raises(Refused):
        run(today=TODAY)


LINKS = (
    "https://example.org/api/daily_papers?p=1 //example.org/api/daily_papers?p=1 /api/other?p=1 "
    "file:///api/daily_papers?p=1 http://[/api/daily_papers?p=1 ?p=0 ?p=7 ?p=x ?p=1&p=2 ?q=1"
)


@pytest.mark.parametrize("link", LINKS.split())
def test_wrong_next_link_is_not_followed(server, run, link):
    server.add(TODAY)
    server.has_next = lambda day, page: day != TODAY
    server.add(TODAY - DAY)
    server.link = lambda day, page: link
    first, second = run(since=TODAY - DAY)
    assert (first.state, first.cursor, len(first.records)) == ("incomplete", "2026-06-03", 1)
    assert ("comes a wrong one" if link[0] == "?" else "elsewhere") in first.note
    assert (second.state, len(second.records)) == ("fresh", 1)
    assert len(server.asked) == 2
