"""Rows of Hugging Face's daily papers become records, and its links lead to no other place."""

import json

import pytest

from digest.http.client import Refused
from digest.sources.huggingface import HuggingFace
from digest.sources.records import Record
from tests.factories.harvests import FixedAnswer, harvesting, serving
from tests.helpers.data_files import as_json, cases
from tests.servers.daily_lists import DAY, TODAY, HuggingFaceServer, hugging_face_row

CASES = cases("hugging_face")

server = serving(HuggingFaceServer)
run = harvesting(lambda server: server.source())


def row(number=1, **inner):
    return hugging_face_row(TODAY, number, **inner)


def read(item):
    """Return the batch that the source makes of a page: rows, or bytes."""
    (batch,) = HuggingFace().harvest(FixedAnswer(item), today=TODAY, since=TODAY, cursor="")
    return batch


def test_row_becomes_a_record():
    authors = [{"name": "A. One"}, {"name": "B. Hidden", "hidden": True}, {"name": "C. Three"}]
    repository = {"githubRepo": "https://github.com/example/bread", "githubStars": 7}
    fields = {"authors": authors, "upvotes": 41} | repository
    item = row(title="On  Bread", summary="How <b>it</b> rises.", **fields)
    assert read([item | {"numComments": 3}]).records == [
        Record(
            id="2606.00001",
            title="On Bread",
            abstract="How it rises.",
            day=TODAY,
            day_is_estimate=True,
            authors=["A. One", "C. Three"],
            upvotes=41,
            github="https://github.com/example/bread",
            github_stars=7,
            num_comments=3,
        )
    ]


def test_hugging_face_data_is_plain_text():
    for item, expected in CASES["hugging_face_fields"]:
        assert read([row(**item)]).records[0].hugging_face == expected
    (record,) = read([row(ai_summary="Bread " * 500)]).records
    assert record.hugging_face == {"summary": "Bread " * 99 + "Bread…"}


def test_fields_are_read_or_omitted():
    for item, expected in CASES["fields"]:
        (record,) = read([row(**item)]).records
        assert as_json({name: getattr(record, name) for name in expected}) == expected
    for day in ("2026-06-04T00:00:00.000Z", "2019-01-01", "recently", None, 20260601):
        (record,) = read([row(submittedOnDailyAt=day, publishedAt="2020-01-01")]).records
        assert record.day == TODAY


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
