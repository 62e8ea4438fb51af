"""All that can be in the interests box is read as entries, and prose as phrases."""

import time

import pytest

from digest.interests.entries import TEXT, WORDS, Entry, Vocabulary, lines_of, read, written
from digest.interests.phrases import phrases, toggle
from tests.helpers.data_files import cases

CASES = cases("interest_entries")
BOXES = CASES["lines"] | CASES["beside_prose"]


class Papers(Vocabulary):
    def is_author(self, name):
        return name in ("Lei Li", "Noether, Emmy")

    def topic(self, name):
        return {"computer vision": "vision"}.get(name.lower(), "")

    def paper(self, reference):
        papers = ("2606.00001", "2606.00002")
        return next((paper for paper in papers if paper in reference), "")

    def titled(self, title):
        return "2606.00002" if title == "Hot Tea on Roads" else ""


def shown(entries):
    """Return entries as the tables have them: without the kind of words, and "-" before mutes."""
    kinds = {WORDS: "", "author": ""}
    texts = [kinds.get(entry.kind, f"{entry.kind}:") + entry.text for entry in entries]
    marks = ["-" * entry.is_muted for entry in entries]
    return " | ".join(map("".join, zip(marks, texts, strict=True)))


@pytest.mark.parametrize(("text", "expected"), BOXES.items())
def test_box_is_read_as_its_entries(text, expected):
    assert shown(read(text, Papers())) == expected


@pytest.mark.parametrize(
    "text", [*BOXES, "words: Lei Li\nwords: no tea\n-omics", *CASES["phrases"]]
)
def test_written_entries_are_read_as_themselves(text):
    entries = read(text, Papers())
    assert read("\n".join(written(entries, Papers())), Papers()) == entries


@pytest.mark.parametrize(("text", "expected"), CASES["phrases"].items())
def test_prose_is_one_entry_with_phrases(text, expected):
    assert read(text) == [Entry(TEXT, text)]
    assert (
        " | ".join("-" * phrase.is_unwanted + phrase.text for phrase in phrases(text)) == expected
    )
    wanted = [phrase for phrase in expected.split(" | ") if not phrase.startswith("-")]
    assert list(lines_of(TEXT, text)) == wanted
    assert all(text[p.start : p.end].split() == p.text.split() for p in phrases(text))


def test_toggled_phrase_is_struck_wherever_it_stands():
    text = "I like tea, clay cups and Tea leaves. Tea!"
    struck = "I like ~~tea~~, clay cups and Tea leaves. ~~Tea~~!"
    assert toggle(text, "tea") == struck
    assert lines_of(TEXT, struck) == ("clay cups", "Tea leaves")
    assert toggle(struck, "Tea") == text
    assert toggle(text, "rice") == text


def test_text_without_subject_is_unread():
    for text in ("I am a student", "hi", "What are my interests?"):
        assert [entry.kind for entry in read(text)] == ["unread"]


@pytest.mark.parametrize("link", CASES["links"])
def test_links_and_identifiers_are_unread(link):
    assert read(link) == [Entry("unread", link)]
    assert shown(read(f"green tea ({link}).")) == f"green tea | unread:{link}"


def test_stored_line_is_not_parsed_again():
    stored = Entry(WORDS, "tea, cups")
    entries = read("tea, cups\nlids", stored={"tea, cups": stored})
    assert entries == [stored, Entry(WORDS, "lids")]


@pytest.mark.parametrize("part", ["I ", "a, ", "no ", "is(", "x-", "ph.d ", "(a ", "~~", "A. "])
def test_reading_takes_linear_time(part):
    start = time.process_time()
    read((part * 8_000)[:8_000])
    assert time.process_time() - start < 0.5


def test_alternatives_in_parentheses_are_limited():
    text = "robots AND (" + " OR ".join(f"tea{number}" for number in range(300)) + ")"
    assert len(read(text)) == 20


@pytest.mark.parametrize("mark", ["not: ", "topic: ", "without ", "no ", "paper: not "])
def test_line_of_marks_is_unread(mark):
    line = (mark * 400).strip()
    assert read(line) == [Entry("unread", line)]
