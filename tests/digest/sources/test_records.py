"""What sources tell becomes plain records."""

import json
import time

import pytest

from digest.sources import import_files, records
from digest.sources.records import BadRecord, canonical_id, clean, id_from_title
from tests.helpers.data_files import as_json, cases

CASES = cases("records")


def test_id_is_stored_without_version():
    for identity, written in CASES["ids"].items():
        assert {canonical_id(one) for one in written.split()} == {identity}


def test_invalid_id_is_refused():
    # In an address, browsers take some for the way to another page. Others are too long.
    for text in [*CASES["invalid_ids"], "a" * 100 + "/0309136", "x:" + "a" * 100]:
        with pytest.raises(BadRecord):
            canonical_id(text)


def test_paired_tags_are_removed_across_lines():
    for marked, expected in CASES["paired_tags"]:
        assert clean(marked, 100) == expected


BOMBS = [
    *["{\\em" + " " * 50_000, "\\(" * 25_000, "\\[" * 25_000, "&" + "<b>" * 16_000],
    *["\\)" + "\\(" * 25_000, "</b>" + "<b>" * 16_000 + "</i>", "\\[\\" * 16_000],
    *["{\\em" + " \\cite{}" * 5_000, "<jats:a>" * 6_000 + "</b>", "&#" + "9" * 49_998],
]


@pytest.mark.parametrize("bomb", BOMBS, ids=range(10))
def test_plain_text_takes_linear_time(bomb):
    begun = time.thread_time()
    assert len(clean(bomb, 50_000)) <= 50_000
    assert time.thread_time() - begun < 1  # Hundredths of a second; many seconds in the square.


def test_invisible_characters_are_no_text():
    for unseen in ["\u2063", "\xad\u200e", "\u3164 \u2800", "\u200d\ufe0f", "\ue000"]:
        assert clean(unseen, 100) == ""
        for visible in ("∀", "\u2026", "\u221e"):
            assert clean(f"{unseen}{visible}", 100) == f"{unseen}{visible}"
        assert records.clean_names([unseen, "A. One"]) == ["A. One"]


def row(**fields):
    return json.dumps({"id": "2506.00001", "title": "A title"} | fields).encode()


def test_fields_are_read_or_omitted():
    for fields, expected in CASES["fields"]:
        record = import_files.parse(row(**fields))
        assert as_json({name: getattr(record, name) for name in expected}) == expected
    for url in ("javascript:alert(1)", "ftp://x", "//evil", "http://[", "a b", "http://a/\0"):
        assert import_files.parse(row(url=url)).url == ""


def test_missing_id_is_made_from_title():
    titles = b"On  Bread", b"on bread!"
    first, second = (import_files.parse(b'{"title": "%s"}' % title) for title in titles)
    assert first.id == second.id
    assert first.id.startswith("title:")
    assert id_from_title("🔥🔥") != id_from_title("😀")


def test_a_bad_line_is_a_bad_record():
    lines = [line.encode() for line in CASES["bad_lines"]]
    lines += [row(**fields) for fields in CASES["bad_fields"]]
    lines += [b"\xff\xfe", b"[" * 100_000, b'{"title": "' + b"x" * 3_000_000 + b'"}']
    for line in lines:
        with pytest.raises(BadRecord):
            import_files.parse(line)


@pytest.mark.parametrize(("fields", "becomes"), CASES["snapshot"])
def test_a_line_of_arxivs_snapshot_is_read(fields, becomes):
    record = import_files.parse(json.dumps(CASES["snapshot_line"] | fields).encode())
    assert as_json({name: getattr(record, name) for name in becomes}) == becomes


def test_too_long_line_is_reported(tmp_path):
    path = tmp_path / "papers"
    path.write_bytes(row() + b"\n" + b"x" * 5_000_000 + b"\n" + row(id="2506.00002") + b"\n")
    bad = []
    read = list(import_files.read(path, lambda *problem: bad.append(problem), lambda count: None))
    assert [record.id for record in read] == ["2506.00001", "2506.00002"]
    assert bad == [(2, "the line is too long")]


@pytest.mark.slow
def test_no_control_character_is_printable():
    controls = records.CONTROLS.findall("".join(map(chr, range(0x110000))))
    assert controls
    assert not any(map(str.isprintable, controls))
