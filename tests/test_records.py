"""What sources tell becomes plain records."""

import gzip
import json
import time
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.sources import arxiv_text, files, records
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
    ("latex", "readable"),
    [
        (r"$\alpha<\beta$", "α<β"),
        (r"p$<$0.05", "p<0.05"),
        (r"costs \$5, $10 or $20", "costs $5, $10 or $20"),
        (r"Erd\H{o}s--R\'enyi", "Erdős–Rényi"),
        (r"\textbf{bold} {\em and} plain", "bold and plain"),
        (r"$O(\log n)$ in $\mathbb{R}^d$", "O(log n) in ℝ^d"),
        (r"Code: \href{https://example.org/x}{here}", "Code: https://example.org/x"),
        (r"A~\cite{a,b} note\footnote{see B}", "A note (see B)"),
        (r"5\% of A\&B", "5% of A&B"),
        ("AT&amp;T &lt;3", "AT&T <3"),
        ("a\nb\tc\x00d\u202ee", "a b c d e"),
    ],
)
def test_latex_entities_and_controls_become_readable(latex, readable):
    assert plain(latex, 100) == readable


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
)
def test_no_text_takes_long_to_be_made_plain(bomb):
    begun = time.thread_time()
    assert len(plain(bomb, 200_000)) <= 200_000
    assert time.thread_time() - begun < 3  # Tenths of a second; minutes in the square.


def test_a_line_of_ten_thousand_parentheses_is_read_at_once():
    begun = time.monotonic()
    line = "A. One " + "(" * 50_000 + "MIT" + ")" * 50_000 + ", B. Two (X (Y)"
    assert arxiv_text.author_names(line) == ["A. One", "B. Two X"]
    assert time.monotonic() - begun < 1


@given(st.text(alphabet=st.characters(codec=None), max_size=300))
def test_any_text_becomes_one_line_without_controls(text):
    line = plain(text, 100)
    assert len(line) <= 100
    assert "\n" not in line
    assert not records.CONTROLS.search(line)
    line.encode("utf-8")


@pytest.mark.parametrize(
    "unseen", ["\u2063", "\xad\u200e", "\u3164 \u2800", "\u200d\ufe0f", "\ue000"]
)
def test_what_nobody_can_see_is_no_text(unseen):
    assert plain(unseen, 100) == ""
    assert plain(f"{unseen}∀", 100) == f"{unseen}∀"
    assert records.names([unseen, "A. One"]) == ["A. One"]


def test_what_has_neither_letter_nor_number_can_be_seen_too():
    assert [plain(text, 100) for text in ("\u2026", "\u221e")] == ["\u2026", "\u221e"]


def row(**fields):
    return json.dumps({"id": "2506.00001", "title": "A title"} | fields).encode()


def test_a_full_row_is_read():
    record = files.parse(
        row(
            abstract="About.",
            date="2025-06-07",
            authors=["A. One"],
            categories=["cs.LG"],
            upvotes=3,
            url="https://example.org/p",
        )
    )
    assert record.day == date(2025, 6, 7)
    assert (record.authors, record.categories, record.upvotes) == (["A. One"], ["cs.LG"], 3)
    assert record.url == "https://example.org/p"


def test_a_row_without_an_id_gets_one_from_its_title():
    first = files.parse(b'{"title": "On  Bread"}')
    second = files.parse(b'{"title": "on bread!"}')
    assert first.id == second.id
    assert first.id.startswith("title:")


def test_titles_without_words_are_of_papers_of_their_own():
    assert id_from_title("🔥🔥") != id_from_title("😀")


def test_authors_and_categories_that_are_no_text_are_left_out():
    odd = [None, {"name": "Ann"}, ["b"], 1, "A. One"]
    record = files.parse(row(authors=odd, categories=[None, "cs.LG", {}]))
    assert (record.authors, record.categories) == (["A. One"], ["cs.LG"])


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
        files.parse(line)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "ftp://x",
        "//evil",
        "http://[",
        "a b",
        "http://a/\ud800",
        "http://a/\0",
    ],
)
def test_only_web_addresses_are_taken_as_links(url):
    assert files.parse(row(url=url)).url == ""


def test_categories_may_be_one_text_as_arxiv_writes_them():
    record = files.parse(b'{"id": "2506.00001", "title": "A", "categories": "cs.LG stat.ML"}')
    assert record.categories == ["cs.LG", "stat.ML"]


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
    record = files.parse(line)
    assert record.title == "Calculation of cross sections"
    assert (record.day, record.day_is_estimate) == (date(2007, 4, 2), True)
    assert record.authors == ["C. Balázs", "P. M. Nadolsky Jr"]
    assert record.categories == ["hep-ph", "hep-ex"]


def test_a_snapshot_line_with_an_author_without_a_name_is_read():
    row = {"id": "0704.0001", "title": "T", "update_date": "2008-11-26"}
    names = [[], ["Curie"], ["", "", ""], ["Curie", "Marie"]]
    record = files.parse(json.dumps(row | {"authors_parsed": names}).encode())
    assert record.authors == ["Curie", "Marie Curie"]


@pytest.mark.parametrize(
    "created",
    [
        *[None, [], {}, 7, "yesterday"],
        *["Mon, 2 Apr 99999 19:18:42 GMT", "Mon, 2 Apr 9999 19:18:42 GMT"],
    ],
)
def test_a_snapshot_line_of_unknown_day_takes_that_of_its_update(created):
    row = {
        "id": "0704.0001",
        "title": "T",
        "categories": "hep-ph \x00",
        "update_date": "2008-11-26",
    }
    line = json.dumps(row | {"versions": [{"created": created}]}).encode()
    record = files.parse(line)
    assert record.day == date(2008, 11, 26)
    assert record.categories == ["hep-ph"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_bad_line_is_reported_by_number_and_the_rest_is_read(tmp_path, pack):
    path = tmp_path / "papers"
    path.write_bytes(pack(row() + b"\n{\n\n" + row(id="2506.00002")))
    bad = []
    read = list(files.read(path, lambda number, why: bad.append(number), lambda count: None))
    assert [record.id for record in read] == ["2506.00001", "2506.00002"]
    assert bad == [2]


def test_a_gzip_file_that_breaks_off_gives_what_came_before(tmp_path):
    path = tmp_path / "papers.gz"
    lines = b"\n".join(row(id=f"2506.{n:05}", abstract=f"{n * 7919}" * 20) for n in range(3000))
    path.write_bytes(gzip.compress(lines)[:-2000])
    got = []
    with pytest.raises(OSError, match="broken after line"):
        got.extend(iter_into(got, files.read(path, lambda *why: None, lambda count: None)))
    assert len(got) > 100


def iter_into(kept, records):
    for record in records:
        kept.append(record)
    return []


def test_a_line_of_many_megabytes_takes_no_memory_with_it(tmp_path):
    path = tmp_path / "papers"
    with path.open("wb") as file:
        file.write(row() + b"\n")
        for _ in range(30):
            file.write(b"x" * 1_000_000)
        file.write(b"\n" + row(id="2506.00002") + b"\n")
    bad = []
    read = list(files.read(path, lambda *problem: bad.append(problem), lambda count: None))
    assert [record.id for record in read] == ["2506.00001", "2506.00002"]
    assert bad == [(2, "the line is too long")]


def test_no_control_is_printable_so_that_printable_texts_need_not_be_searched_for_them():
    controls = records.CONTROLS.findall("".join(map(chr, range(0x110000))))
    assert controls
    assert not any(map(str.isprintable, controls))
