"""Bibliographies, as reference managers write them: BibTeX, RIS, or one title or arXiv id a line.

Whatever can be read is read: an entry that is broken costs itself alone.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from digest.sources.records import (
    MAX_TITLE,
    BadRecord,
    Record,
    canonical_id,
    id_from_title,
    plain,
)

MAX_ABSTRACT = 3_000  # Characters: what a paper is about is said by then.
LEAST_WORDS = 3  # Of a line that is a title.
LONGEST_LINE = 300
BIBTEX = re.compile(r"^[ \t]*@[ \t]*\w+[ \t]*[{(]", re.MULTILINE)
RIS = re.compile(r"^TY[ \t]{1,2}-", re.MULTILINE)
RIS_LINE = re.compile(r"([A-Z][A-Z0-9])[ \t]{1,2}-(?:[ \t](.*))?")
RIS_NAMES = {
    **dict.fromkeys(("TI", "T1"), "title"),
    **dict.fromkeys(("AB", "N2"), "abstract"),
    **dict.fromkeys(("PY", "Y1", "DA"), "year"),
    "UR": "url",
    "DO": "doi",
}
YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
DOI_OF_ARXIV = re.compile(r"(?:https?://(?:dx\.)?doi\.org/)?10\.48550/arxiv\.", re.IGNORECASE)

#: What an entry says, by the names that BibTeX has for it.
type Fields = dict[str, str]


@dataclass(frozen=True)
class Bibliography:
    """The papers of a bibliography, each once, and how many entries could not be read.

    Of what is given by its arXiv id alone, there is no title. Years are days that are estimates.
    """

    records: list[Record]
    bad: int


def read(text: str) -> Bibliography:
    """Return what a bibliography tells of, whichever of the formats it is in."""
    records: dict[str, Record] = {}
    bad = 0
    for fields in _fields(text.lstrip("\ufeff")):
        record = _record(fields)
        if record is None:
            bad += 1
        else:
            records[record.id] = record
    return Bibliography([*records.values()], bad)


def _fields(text) -> Iterator[Fields]:
    if BIBTEX.search(text):
        return _of_bibtex(text)
    return _of_ris(text) if RIS.search(text) else _of_lines(text)


def _of_bibtex(text):
    import bibtexparser  # Which one page needs.
    from bibtexparser.model import DuplicateBlockKeyBlock, Entry, ParsingFailedBlock

    for block in bibtexparser.parse_string(text).blocks:
        if isinstance(block, DuplicateBlockKeyBlock):
            block = block.ignore_error_block
        if isinstance(block, Entry):
            yield {field.key.lower(): str(field.value) for field in block.fields}
        elif isinstance(block, ParsingFailedBlock):
            yield {}


def _of_ris(text):
    fields: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        tagged = RIS_LINE.fullmatch(line.strip())
        if not tagged:  # It goes on with what the line before said.
            fields.setdefault(name, []).append(line)
        elif tagged[1] in ("TY", "ER"):
            if fields.keys() - {""}:
                yield _joined(fields)
            fields, name = {}, ""
        else:
            name = RIS_NAMES.get(tagged[1], "")
            fields.setdefault(name, []).append(tagged[2] or "")
    if fields.keys() - {""}:
        yield _joined(fields)


def _joined(fields):
    return {name: " ".join(said) for name, said in fields.items()}


def _of_lines(text):
    for line in filter(None, map(str.strip, text.splitlines())):
        if _arxiv_id(line):
            yield {"eprint": line}
        elif len(line) <= LONGEST_LINE and len(re.findall(r"[^\W\d_]+", line)) >= LEAST_WORDS:
            yield {"title": line}
        else:
            yield {}


def _record(fields: Fields) -> Record | None:
    """Return what an entry tells, or nothing where it has neither a title nor arXiv's id."""
    title = plain(fields.get("title", ""), MAX_TITLE)
    found = (_arxiv_id(fields.get(name, "")) for name in ("eprint", "doi", "url"))
    identity = next(filter(None, found), "") or (id_from_title(title) if title else "")
    if not identity:
        return None
    year = YEAR.search(fields.get("year", "") or fields.get("date", ""))
    return Record(
        identity,
        title,
        plain(fields.get("abstract", ""), MAX_ABSTRACT),
        day=date(int(year[0]), 1, 1) if year else None,
        day_is_estimate=True,
    )


def _arxiv_id(text):
    """Return the id of which arXiv's address, DOI or number this is, or nothing."""
    try:
        identity = canonical_id(DOI_OF_ARXIV.sub("", text.strip(), count=1))
    except BadRecord:
        return ""
    return "" if ":" in identity else identity
