"""What sources tell becomes plain records."""

import gzip
import json
import time
from datetime import date

import pytest

from digest.sources import import_files, records
from digest.sources.records import BadRecord, canonical_id, id_from_title, plain


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("2506.04235", "2506.04235"),
        ("2506.04235v3", "2506.04235"),
        ("arXiv:2506.04235v1", "2506.04235"),
        ("https://arxiv.org/abs/0704.0001", "0704.0001"),
        ("http://www.arxiv.org/abs/2506.04235v2", "2506.04235"),
        ("https://export.arxiv.org/abs/math.GT/0309136", "math/0309136"),
        ("https://arxiv.org/pdf/2506.04235v1.pdf", "2506.04235"),
        ("arxiv.org/abs/2506.04235", "2506.04235"),
        ("math/0309136", "math/0309136"),
        ("math.GT/0309136v2", "math/0309136"),
        ("hep-th/9901001", "hep-th/9901001"),
        ("biorxiv:10.1101/2024.01.01", "biorxiv:10.1101/2024.01.01"),
        ("x:a..b/..c/d.", "x:a..b/..c/d."),
    ],
)
def test_an_id_is_kept_without_its_version(written, kept):
    assert canonical_id(written) == kept


@pytest.mark.parametrize(
    "text",
    [
        *["", "x", "2506", "../etc", "a b", "<script>", "a:b c", "é:1"],
        # In an address, browsers take these for the way to another page.
        *["biorxiv:10.1101/../../admin", "x:a/./b", "x:a/.."],
        # As long as no database takes them, and in digits that are others than arXiv's.
        *["a" * 100 + "/0309136", "x:" + "a" * 100, "\u0662\u0665\u0660\u0666.\u0660\u0664235"],
    ],
)
def test_what_is_no_id_is_refused(text):
    with pytest.raises(BadRecord):
        canonical_id(text)


@pytest.mark.parametrize(
    ("marked", "readable"),
    [
        ("<p>One <b>bold <b>twice</b></b> word</p>", "One bold twice word"),
        ("<jats:p>Not a<b>c but H<sub>2</sub>O", "<jats:p>Not a<b>c but H2O"),
        ("over <b>two\n lines</b>: \\(\\alpha\n\\to x\\)", "over two lines: α → x"),
    ],
)
def test_tags_go_in_pairs_wherever_lines_end(marked, readable):
    assert plain(marked, 100) == readable


@pytest.mark.parametrize(
    "bomb",
    [
        *["{\\em" + " " * 200_000, "\\(" * 100_000, "\\[" * 100_000, "&" + "<b>" * 66_000],
        *["\\)" + "\\(" * 100_000, "</b>" + "<b>" * 66_000 + "</i>", "\\[\\" * 66_000],
        *["{\\em" + " \\cite{}" * 22_000, "<jats:a>" * 25_000 + "</b>", "&#" + "9" * 199_998],
    ],
    ids=range(10),
)
def test_no_text_takes_long_to_be_made_plain(bomb):
    begun = time.thread_time()
    assert len(plain(bomb, 200_000)) <= 200_000
    assert time.thread_time() - begun < 3  # Tenths of a second; minutes in the square.


@pytest.mark.parametrize(
    "unseen", ["\u2063", "\xad\u200e", "\u3164 \u2800", "\u200d\ufe0f", "\ue000"]
)
def test_what_nobody_can_see_is_no_text(unseen):
    assert plain(unseen, 100) == ""
    for seen in ("∀", "\u2026", "\u221e"):
        assert plain(f"{unseen}{seen}", 100) == f"{unseen}{seen}"
    assert records.names([unseen, "A. One"]) == ["A. One"]


def row(**fields):
    return json.dumps({"id": "2506.00001", "title": "A title"} | fields).encode()


@pytest.mark.parametrize(
    ("fields", "known"),
    [
        ({"date": "2025-06-07"}, {"day": date(2025, 6, 7)}),
        ({"upvotes": 3, "abstract": "About."}, {"upvotes": 3, "abstract": "About."}),
        ({"authors": [None, {"name": "Ann"}, ["b"], 1, "A. One"]}, {"authors": ["A. One"]}),
        ({"categories": [None, "cs.LG", {}]}, {"categories": ["cs.LG"]}),
        ({"categories": "cs.LG stat.ML"}, {"categories": ["cs.LG", "stat.ML"]}),
        ({"url": "https://example.org/p"}, {"url": "https://example.org/p"}),
        *(
            ({"url": url}, {"url": ""})
            for url in [
                "javascript:alert(1)",
                "ftp://x",
                "//evil",
                "http://[",
                "a b",
                "http://a/\0",
            ]
        ),
    ],
)
def test_a_field_of_a_row_is_read_or_left_out(fields, known):
    record = import_files.parse(row(**fields))
    assert {name: getattr(record, name) for name in known} == known


def test_a_row_without_an_id_gets_one_from_its_title():
    first, second = (
        import_files.parse(b'{"title": "%s"}' % one) for one in (b"On  Bread", b"on bread!")
    )
    assert first.id == second.id
    assert first.id.startswith("title:")
    assert id_from_title("🔥🔥") != id_from_title("😀")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b'{"id": "2506.00001", "title": "cut in ha',
        b"[]",
        b"null",
        b'{"id": "2506.00001"}',
        b'{"title": 7}',
        b"\xff\xfe",
        b"[" * 100_000,
        row(date="yesterday"),
        row(date="0001-01-01"),
        row(date="9999-12-31"),
        row(versions=[], authors_parsed=5),
        row(upvotes="many"),
        row(upvotes=-1),
        row(upvotes=True),
        row(id="what?"),
        b'{"id": 2506.04230, "title": "A number loses its last digit"}',
        row(abstract={"a": 1}),
        b'{"title": "' + b"x" * 3_000_000 + b'"}',
    ],
)
def test_a_bad_line_is_a_bad_record(line):
    with pytest.raises(BadRecord):
        import_files.parse(line)


def test_a_line_of_arxivs_snapshot_is_read():
    line = json.dumps(
        {
            "id": "0704.0001",
            "title": "Calculation of\n  cross sections",
            "abstract": "  A calculation. ",
            "categories": "hep-ph hep-ex",
            "versions": [{"version": "v1", "created": "Mon, 2 Apr 2007 19:18:42 GMT"}],
            "update_date": "2008-11-26",
            "authors_parsed": [["Balázs", "C.", ""], ["Nadolsky", "P. M.", "Jr"]],
        }
    ).encode()
    record = import_files.parse(line)
    assert record.title == "Calculation of cross sections"
    assert (record.day, record.day_is_estimate) == (date(2007, 4, 2), True)
    assert record.authors == ["C. Balázs", "P. M. Nadolsky Jr"]
    assert record.categories == ["hep-ph", "hep-ex"]


@pytest.mark.parametrize(
    "created",
    [None, [], {}, 7, "yesterday", *(f"Mon, 2 Apr {y} 19:18:42 GMT" for y in (99999, 9999))],
)
def test_a_snapshot_line_of_unknown_day_or_names_is_read(created):
    names = [[], ["Curie"], ["", "", ""], ["Curie", "Marie"]]
    line = {"id": "0704.0001", "title": "T", "categories": "hep-ph \x00", "authors_parsed": names}
    line |= {"update_date": "2008-11-26", "versions": [{"created": created}]}
    record = import_files.parse(json.dumps(line).encode())
    assert (record.day, record.categories) == (date(2008, 11, 26), ["hep-ph"])
    assert record.authors == ["Curie", "Marie Curie"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_bad_line_is_reported_by_number_and_the_rest_is_read(tmp_path, pack):
    path = tmp_path / "papers"
    path.write_bytes(pack(row() + b"\n{\n\n" + row(id="2506.00002")))
    bad = []
    read = list(import_files.read(path, lambda number, why: bad.append(number), lambda count: None))
    assert [record.id for record in read] == ["2506.00001", "2506.00002"]
    assert bad == [2]


def test_a_gzip_file_that_breaks_off_gives_what_came_before(tmp_path):
    path = tmp_path / "papers.gz"
    lines = b"\n".join(row(id=f"2506.{n:05}", abstract=f"{n * 7919}" * 20) for n in range(3000))
    path.write_bytes(gzip.compress(lines)[:-2000])
    read, got = import_files.read(path, lambda *why: None, lambda count: None), []
    with pytest.raises(OSError, match="broken after line"):
        got.extend(map(got.append, read))
    assert len(got) > 100


def test_a_line_of_many_megabytes_takes_no_memory_with_it(tmp_path):
    path = tmp_path / "papers"
    with path.open("wb") as file:
        file.write(row() + b"\n")
        for _ in range(30):
            file.write(b"x" * 1_000_000)
        file.write(b"\n" + row(id="2506.00002") + b"\n")
    bad = []
    read = list(import_files.read(path, lambda *problem: bad.append(problem), lambda count: None))
    assert [record.id for record in read] == ["2506.00001", "2506.00002"]
    assert bad == [(2, "the line is too long")]


def test_no_control_is_printable_so_that_printable_texts_need_not_be_searched_for_them():
    controls = records.CONTROLS.findall("".join(map(chr, range(0x110000))))
    assert controls
    assert not any(map(str.isprintable, controls))
