"""Rows of Hugging Face's daily papers become records, and its links lead to no other place."""

import json

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


def test_huge_number_is_one_bad_record():
    rows = json.dumps([row(upvotes=0), row(2)])
    batch = read(rows.replace('"upvotes": 0', f'"upvotes": {"9" * 9999}').encode())
    assert (batch.errors, len(batch.records)) == (["2606.00001: upvotes is no count"], 1)


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


def test_relative_next_link_is_followed(server, run):
    server.add(TODAY)
    server.has_next = lambda day, page: True
    server.link = lambda day, page: f"?p={page + 1}"
    (batch,) = run(since=TODAY)
    assert (batch.state, len(batch.records), batch.note) == ("fresh", 1, "")
    assert len(server.asked) == 2
