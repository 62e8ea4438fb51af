"""All that can be in the interests box is read as entries."""

import pytest

from digest.interests.entries import Entry, NoVocabulary, lines_of, paragraphs, read, written
from tests.helpers.data_files import cases

CASES = cases("interest_entries")


class Papers(NoVocabulary):
    def is_author(self, name):
        return name in ("Lei Li", "Noether, Emmy", "Emmy Noether")

    def is_general(self, phrase):
        return phrase == "taste"

    def topic(self, name):
        return {"computer vision": "vision"}.get(name.lower(), "")

    def paper(self, reference):
        return "2606.00001" if "2606.00001" in reference else ""


TITLE = "Steep, Pour and Wait: A Long Survey of Slow Green Tea for Small Kitchens in Old Houses"


@pytest.mark.parametrize(("text", "expected"), CASES["readings"])
def test_line_is_read_as_its_entries(text, expected):
    entries = read(text, Papers())
    assert [[entry.kind, entry.text] for entry in entries] == expected
    assert not any(entry.is_muted for entry in entries)


@pytest.mark.parametrize(("text", "expected"), CASES["unwanted"])
def test_unwanted_entry_is_muted(text, expected):
    (entry,) = [entry for entry in read(text, Papers()) if entry.is_muted]
    assert [entry.kind, entry.text] == expected


@pytest.mark.parametrize("link", CASES["links"])
def test_links_and_identifiers_are_unread(link):
    unread = Entry("unread", link)
    assert read(link) == [unread]
    assert read(f"green tea ({link}).") == [Entry("words", "green tea"), unread]
    abstract = f"{TITLE}. {TITLE}: {link}"
    assert [entry.kind for entry in read(abstract)] == ["text"]


@pytest.mark.parametrize(("text", "expected"), CASES["people"].items())
def test_researchers_of_all_fields_are_understood(text, expected):
    """In the table, entries are separated by "|", and muted ones begin with "-"."""
    assert " | ".join("-" * entry.is_muted + entry.text for entry in read(text)) == expected


@pytest.mark.parametrize(
    "text",
    [text for text, _ in CASES["readings"] + CASES["unwanted"]]
    + ["words: Lei Li", "words: no tea"],
)
def test_written_entry_is_read_as_itself(text):
    for entry in read(text, Papers()):
        assert read(written(entry, Papers()), Papers()) == [entry]


def test_stored_line_is_not_parsed_again():
    before = Entry("", "tea, cups")
    assert read("tea, cups\nlids", stored={"tea, cups": before}) == [before, Entry("words", "lids")]


def test_pasted_paragraph_is_one_line():
    wrapped = CASES["wrapped"]
    text = "tea\n" + "\n".join(wrapped) + "\n\ncups"
    assert list(paragraphs(text)) == ["tea", " ".join(wrapped), "cups"]
    lines = ["kettles of old clay that keep the heat of the water for a very long time", "tea"] * 2
    assert list(paragraphs("\n".join(lines))) == lines


@pytest.mark.parametrize(("text", "lines"), CASES["old_lines"])
def test_legacy_entries_are_split_into_phrases(text, lines):
    assert list(lines_of("", text)) == lines


@pytest.mark.parametrize(
    ("text", "muted"),
    [("-computer vision", [True]), ("tea\n-cups", [False, True]), ("-tea\n-cups", [False] * 2)],
)
def test_hyphen_mutes_unless_all_lines_have_one(text, muted):
    entries = read(text, Papers())
    assert [entry.is_muted for entry in entries] == muted
    assert not any("-" in entry.text for entry in entries)
    omics = Entry("words", "-omics")
    assert read(written(omics)) == [omics]


def test_not_before_a_group_mutes_the_group():
    entries = [(entry.text, entry.is_muted) for entry in read("tea NOT (salt OR milk)")]
    assert entries == [("tea", False), ("salt", True), ("milk", True)]


def test_prefixed_lines_are_not_joined():
    entries = read("\n".join(f"paper: {title}" for title in CASES["titles"]))
    assert [entry.text for entry in entries] == CASES["titles"]


class Counting(Papers):
    def __init__(self):
        self.names = []

    def is_author(self, name):
        self.names.append(name)
        return False


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("robots\n" * 500, 2),  # As a line, and as its phrase.
        ("robots" + " NOT robots OR tea" * 500, 4),
        ("\n".join(f"robot{'s' * number}" for number in range(500)), 8),
        ("robots AND (" + " OR ".join(["big tea"] * 300) + ")", 1),
    ],
)
def test_interest_is_read_once_and_none_beyond_limit(text, count):
    vocabulary = Counting()
    read(text, vocabulary, limit=3)
    assert len(vocabulary.names) == count


def test_alternatives_in_parentheses_are_limited():
    text = "robots AND (" + " OR ".join(f"tea{number}" for number in range(300)) + ")"
    assert len(read(text)) == 20


@pytest.mark.parametrize("mark", ["not: ", "topic: ", "without ", "no ", "paper: not "])
def test_line_of_marks_is_unread(mark):
    line = (mark * 400).strip()
    assert read(line) == [Entry("unread", line)]
