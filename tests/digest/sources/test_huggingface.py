"""Rows of Hugging Face's daily papers become records, and its links lead to no other place."""

import json
from datetime import date

import pytest

from digest.sources.http import Refused
from digest.sources.huggingface import HuggingFace
from digest.sources.records import Record
from tests.factories.harvests import Told, harvesting, serving
from tests.servers.daily_lists import DAY, TODAY, HuggingFaceServer, hugging_face_row

server = serving(HuggingFaceServer)
run = harvesting(lambda server: server.source())


def row(number=1, **inner):
    return hugging_face_row(TODAY, number, **inner)


def read(told):
    """Return the batch that the source makes of a page: rows, or bytes."""
    (batch,) = HuggingFace().harvest(Told(told), today=TODAY, since=TODAY, cursor="")
    return batch


def test_a_row_becomes_a_record():
    (record,) = read(
        [
            row(
                title="On  Bread",
                summary="How <b>it</b> rises.",
                authors=[
                    {"name": "A. One"},
                    {"name": "B. Hidden", "hidden": True},
                    {"name": "C. Three"},
                ],
                upvotes=41,
                githubRepo="https://github.com/example/bread",
                githubStars=7,
            )
            | {"numComments": 3}
        ]
    ).records
    assert record == Record(
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


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ({"ai_summary": "It <b>rises</b>.\x07"}, {"summary": "It rises."}),
        ({"ai_summary": "Bread " * 500}, {"summary": "Bread " * 99 + "Bread…"}),
        ({"ai_keywords": ["rye", 7, " ", *"abcdefghij"]}, {"keywords": ["rye", *"abcdefghi"]}),
        ({"ai_keywords": {"rye": 1}}, None),
        ({"organization": {"name": "b", "fullname": "Bakers"}}, {"organization": "Bakers"}),
        ({"organization": {"name": "bakers"}}, {"organization": "bakers"}),
        ({"organization": "Bakers"}, None),
        ({"projectPage": "https://example.org/~b"}, {"project_page": "https://example.org/~b"}),
        ({"projectPage": "javascript:alert(1)"}, None),
    ],
)
def test_what_hugging_face_says_of_a_paper_is_kept_as_plain_text(told, known):
    assert read([row(**told)]).records[0].hugging_face == known


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ({"upvotes": 0}, {"upvotes": 0}),
        ({"upvotes": None}, {"upvotes": None}),
        ({"numComments": 4}, {"num_comments": 4}),  # Not beside the paper, but inside.
        ({"withdrawnAt": "2026-06-03T01:02:03.000Z"}, {"is_withdrawn": True}),
        ({"title": "<b>Bread</b>\x00 &amp; $\\alpha$"}, {"title": "Bread & α"}),
        ({"summary": "\ud800\u202eabout"}, {"abstract": "about"}),
        ({"githubRepo": "javascript:alert(1)"}, {"github": ""}),
        # The day is that on which it was listed; some come at the weekend.
        ({"submittedOnDailyAt": "2026-05-30T18:09:00.000Z"}, {"day": date(2026, 5, 30)}),
        *(
            ({"submittedOnDailyAt": said, "publishedAt": "2020-01-01"}, {"day": TODAY})
            for said in ("2026-06-04T00:00:00.000Z", "2019-01-01", "recently", None, 20260601)
        ),
    ],
)
def test_a_field_of_a_row_is_read_or_left_out(told, known):
    (record,) = read([row(**told)]).records
    assert {name: getattr(record, name) for name in known} == known


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        (None, "2026-06-03, page 1, row 2: it holds no paper"),
        ({"paper": []}, "2026-06-03, page 1, row 2: it holds no paper"),
        ({"paper": {}}, "2026-06-03, page 1, row 2: it has no title"),
        ({"paper": {"title": "A"}}, "2026-06-03, page 1, row 2: '' is no id of a paper"),
        (row(9, title=7), "2606.00009: title is no text"),
        (row(id="what?"), "what?: 'what?' is no id of a paper"),
        (row(id=2606.1), "2026-06-03, page 1, row 2: id is no text"),
        (row(9, upvotes="many"), "2606.00009: upvotes is no count"),
        (row(9, upvotes=-1), "2606.00009: upvotes is no count"),
        (row(9, githubStars=True), "2606.00009: githubStars is no count"),
        (row(9, githubStars=2**40), "2606.00009: githubStars is no count"),
        (row(9, authors="A. One"), "2606.00009: its authors are no list of authors"),
        (row(9, authors=["A. One"]), "2606.00009: its authors are no list of authors"),
    ],
)
def test_a_bad_row_is_one_bad_record(spoilt, said):
    batch = read([row(1), spoilt, row(3)])
    assert [record.id for record in batch.records] == ["2606.00001", "2606.00003"]
    assert batch.bad == [said]
    alone = read([spoilt])
    assert (alone.records, alone.state, alone.note) == ([], "fresh", "")


def test_a_number_of_thousands_of_digits_is_one_bad_record():
    rows = json.dumps([row(upvotes=0), row(2)])
    batch = read(rows.replace('"upvotes": 0', f'"upvotes": {"9" * 9999}').encode())
    assert (batch.bad, len(batch.records)) == (["2606.00001: upvotes is no count"], 1)


def test_a_list_of_too_many_rows_is_refused(run):
    run.server.answers.append((200, {}, b"[" + b"0," * 5_000 + b"0]"))
    assert "5001 rows at once" in str(run.cut_off(since=TODAY)[1])


def test_a_day_that_has_not_begun_there_is_empty_and_a_past_one_that_is_refused_stops_the_run(
    server, run
):
    server.today = TODAY - DAY
    last = run(today=TODAY)[-1]
    assert (last.records, last.bad, last.state, last.cursor) == ([], [], "empty", "")
    server.today = TODAY - 2 * DAY
    with pytest.raises(Refused):
        run(today=TODAY)


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("https://example.org/api/daily_papers?p=1", "elsewhere"),
        ("//example.org/api/daily_papers?p=1", "elsewhere"),
        ("/api/other?p=1", "elsewhere"),
        ("file:///api/daily_papers?p=1", "elsewhere"),
        ("http://[/api/daily_papers?p=1", "elsewhere"),
        *((f"?{query}", "comes a wrong one") for query in ("p=0", "p=7", "p=x", "p=1&p=2", "q=1")),
    ],
)
def test_a_next_page_that_is_elsewhere_or_not_the_next_is_not_asked_for(server, run, link, said):
    server.add(TODAY)
    server.has_next = lambda day, page: day != TODAY
    server.add(TODAY - DAY)
    server.link = lambda day, page: link
    first, second = run(since=TODAY - DAY)
    assert (first.state, first.cursor, len(first.records)) == ("incomplete", "2026-06-03", 1)
    assert said in first.note
    assert (second.state, len(second.records)) == ("fresh", 1)
    assert len(server.asked) == 2


def test_a_relative_link_is_followed_also_after_the_last_page(server, run):
    server.add(TODAY)
    server.has_next = lambda day, page: True
    server.link = lambda day, page: f"?p={page + 1}"
    (batch,) = run(since=TODAY)
    assert (batch.state, len(batch.records), batch.note) == ("fresh", 1, "")
    assert len(server.asked) == 2


def test_a_paper_that_is_put_first_while_the_pages_are_read_loses_no_other(server, run):
    for number in range(150):
        server.add(TODAY, number)
    server.before_second = lambda: server.lists[TODAY].insert(0, row(999))
    (batch,) = run(since=TODAY)
    assert [record.id for record in batch.records] == [f"2606.{n:05}" for n in range(150)]
    assert batch.state == "fresh"
