"""Parse bibliographies: BibTeX, RIS, or lines with one title or arXiv id each.

PubMed's and EndNote's formats are parsed like RIS: each line begins with a tag. Lines of arXiv ids
may be between the entries of any format, and entries of other formats between those of BibTeX. All
other text there is a comment. A broken entry is skipped.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice

from digest.sources import latex
from digest.sources.records import (
    MAX_TITLE,
    BadRecord,
    Record,
    canonical_id,
    id_from_title,
    month_of,
    plain,
)

MAX_ABSTRACT = 3_000  # Characters.
MIN_TITLE_WORDS = 3  # Of a line that is a title,
MIN_LETTERS = 0.5  # and the share of its characters that are letters.
MAX_LINE = 300
MAX_UNREAD = 3  # Entries that could not be read.
MAX_MARKS = 20_000  # Of LaTeX in one text: more would take many seconds.
MAX_ENTRIES = 10_000  # Of one text, to bound memory.
BIBTEX = re.compile(r"^[ \t]*@[ \t]*\w+[ \t]*[{(]", re.MULTILINE)
BEGINNING = re.compile(r"@[ \t]*\w+[ \t]*[{(]")  # Of an entry, also of a second one in a line.
#: A group only for TeX; first the alternatives whose braces stay: commands and formulas.
GROUP = re.compile(
    r"\\(?:[A-Za-z]+|.)(?:\{[^{}]*\})?|\$[^$]*\$|\{((?:[^{}\\$]|\\[&%$#_])*)\}", re.DOTALL
)
NESTED = 3  # Levels of groups.
#: The tag with which an entry begins, in RIS, in PubMed's format and in EndNote's.
RIS = re.compile(r"^(?:TY(?=[ \t]{1,2}-)|PMID(?=-)|%0(?=[ \t]))", re.MULTILINE)
#: The tag and the rest of a line in each format.
RIS_LINES = {
    "TY": re.compile(r"([A-Z][A-Z0-9])[ \t]{1,2}-(?:[ \t](.*))?"),
    "PMID": re.compile(r"(?=.{4}-)([A-Z][A-Z0-9]{1,3}) {0,2}-(?: (.*))?"),
    "%0": re.compile(r"(%\S)(?:[ \t](.*))?"),
}
RIS_ENDS = ("TY", "ER", "PMID", "%0")  # Of an entry, the next one begins with them.
#: Fields, and the tags that may contain them: the first one counts.
RIS_TAGS = {
    "title": ("TI", "T1", "BT", "%T"),
    "abstract": ("AB", "N2", "%X"),
    "year": ("PY", "Y1", "DA", "DP", "%D"),
    "doi": ("DO", "%R"),
    "journal": ("JO", "JF", "JA", "T2", "%J"),
}
RIS_ADDRESSES = ("UR", "L1", "L2", "LK", "%U")  # Each may be arXiv's.
#: Numbers and bullets before the titles of a list.
LABEL = re.compile(r"(?:\[\d{1,4}\]|\(?\d{1,4}[.)]|[-*\u2022\u2013])[ \t]+")
YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
#: Fields that may contain an arXiv id, the best first. Google Scholar has it in the journal.
ID_FIELDS = ("eprint", "arxivid", "doi", "url", "journal", "howpublished")
URL = re.compile(r"\\url|[{}]")
MAX_ID_FIELD = 300  # Characters of what names it.
#: What is between two arXiv ids: also a category, as on arXiv's pages.
BETWEEN = re.compile(r"(?:\[[\w.-]{1,30}\]|[,;\s])+")
DOI_OF_ARXIV = re.compile(r"(?:https?://(?:dx\.)?doi\.org/)?10\.48550/arxiv\.", re.IGNORECASE)

#: The fields of an entry, by BibTeX's names.
type Fields = dict[str, str]
#: The key of an entry, or its beginning, and its fields.
type Entry = tuple[str, Fields]


@dataclass(frozen=True)
class Bibliography:
    """A parsed bibliography.

    Attributes:
        records: each paper once; without a title if only the arXiv id is given. Days are estimates.
        bad: number of entries that could not be read.
        unread: names of the first of these.
    """

    records: list[Record]
    bad: int
    unread: list[str]


def read(text: str) -> Bibliography:
    """Parse a bibliography in any of the formats."""
    records: dict[str, Record] = {}
    bad, unread = 0, []
    for name, record in records_of(_entries(text.lstrip("\ufeff"))):
        if record is None:
            bad += 1
            unread += [name] if bad <= MAX_UNREAD else []
        elif record.abstract or not (record.id in records and records[record.id].abstract):
            records[record.id] = record
    return Bibliography([*records.values()], bad, unread)


def records_of(entries: Iterable[Entry]) -> Iterator[tuple[str, Record | None]]:
    """Yield the name of each entry with its record, or None if it could not be read."""
    left = MAX_MARKS
    for name, fields in entries:
        texts = {name: fields.get(name, "") for name in ("title", "abstract")}
        left -= sum(len(latex.MARKS.findall(text)) for text in texts.values())
        if left < 0:
            fields |= {name: latex.MARKS.sub(" ", text) for name, text in texts.items()}
        yield name, _record(fields)


def ris(record: Record) -> str:
    """Return a record as an RIS entry, which `read` parses to the same record."""
    is_arxiv = not record.id.startswith("title:")
    said = {
        "TY": "GEN",
        "TI": record.title,
        "AB": record.abstract,
        "PY": str(record.day.year) if record.day and record.day != month_of(record.id) else "",
        "UR": f"https://arxiv.org/abs/{record.id}" if is_arxiv else "",
    }
    return "".join(f"{tag}  - {value}\n" for tag, value in said.items() if value) + "ER  - \n"


def is_structured(text: str) -> bool:
    """Return whether a text has entries, rather than one title or arXiv id a line."""
    return bool(BIBTEX.search(text) or RIS.search(text))


def _entries(text) -> Iterator[Entry]:
    if BIBTEX.search(text):
        return _of_bibtex(text)
    return _of_ris(text) if RIS.search(text) else _of_lines(text)


def _of_bibtex(text):
    import bibtexparser  # Only one page needs it.
    from bibtexparser import model

    beyond = next(islice(BEGINNING.finditer(text), MAX_ENTRIES, None), None)
    for block in bibtexparser.parse_string(text[: beyond and beyond.start()]).blocks:
        if isinstance(block, model.DuplicateBlockKeyBlock):
            block = block.ignore_error_block
        if isinstance(block, model.Entry):
            fields = {field.key.lower(): str(field.value) for field in block.fields}
            whole = filter(None, (fields.get("title"), fields.get("subtitle")))
            title, abstract = ": ".join(whole), fields.get("abstract", "")
            said = {"title": _ungrouped(title), "abstract": _ungrouped(abstract)}
            yield block.key, fields | said
        elif isinstance(block, model.ImplicitComment):
            yield from _between(block.comment)
        elif isinstance(block, model.ParsingFailedBlock):
            yield _begins(block.raw or ""), {}
    if beyond:
        yield _begins(text[beyond.start() :][:MAX_LINE]), {}


def _between(text):
    """Return the entries of other formats, or arXiv ids, between entries of BibTeX."""
    if RIS.search(text):
        return _of_ris(text)
    return chain.from_iterable(map(_of_ids, text.splitlines()))


def _begins(entry):
    """Return the key of a BibTeX entry, or its beginning."""
    return BEGINNING.sub("", entry.strip()[:MAX_LINE], count=1).partition(",")[0]


def _ungrouped(text):
    """Return the text without braces around words: {{BERT}}, {L}earning."""
    for _ in range(NESTED):
        text = GROUP.sub(lambda found: found[0] if found[1] is None else found[1], text)
    return text


def _of_ris(text):
    line_of = RIS_LINES[RIS.search(text)[0]]
    said: dict[str, list[str]] = {}
    tag, is_apart = "", False
    for line in text.splitlines():
        tagged = line_of.fullmatch(line.rstrip())
        is_apart = not tagged and (is_apart or not tag or not line.strip())
        if is_apart and (ids := _of_ids(line)):
            yield from ids
        elif not tagged:  # It continues the line before.
            said.setdefault(tag, []).append(line)
        elif tagged[1] in RIS_ENDS:
            yield from _of_tags(said)
            said, tag = {}, ""
        else:
            tag = tagged[1]
            said.setdefault(tag, []).append(tagged[2] or "")
    yield from _of_tags(said)


def _of_tags(said):
    """Yield an entry, if there are any tags."""
    if not said.keys() - {""}:
        return
    texts = {tag: " ".join(lines).strip() for tag, lines in said.items()}
    fields = {
        name: next(filter(None, (texts.get(tag) for tag in tags)), "")
        for name, tags in RIS_TAGS.items()
    }
    texts.pop("", "")
    name = " ".join(texts.values())[:MAX_LINE]
    yield name, fields | {"url": " ".join(texts.get(tag, "") for tag in RIS_ADDRESSES)}


def _of_lines(text):
    for line in filter(None, map(str.strip, text.splitlines())):
        line = _unlabelled(line)
        if ids := _of_ids(line):
            yield from ids
        elif len(line) <= MAX_LINE and _is_title(line):
            yield line, {"title": line}
        else:
            yield line[:MAX_LINE], {}


def _is_title(line):
    """Return whether a line has enough words and letters. That of a binary file has few."""
    words = re.findall(r"[^\W\d_]+", line)
    return len(words) >= MIN_TITLE_WORDS and sum(map(len, words)) >= MIN_LETTERS * len(line)


def _unlabelled(line):
    label = LABEL.match(line)
    return line[label.end() :] if label else line


def _of_ids(line) -> list[Entry]:
    """Return the papers of a line with only arXiv ids."""
    found = []
    for word in filter(None, BETWEEN.split(_unlabelled(line))):
        number = _arxiv_id(word)
        if not number:
            return []
        found.append((number, {"eprint": number}))
    return found


def _record(fields: Fields) -> Record | None:
    """Return the record of an entry, or None without a title and an arXiv id."""
    title = plain(fields.get("title", ""), MAX_TITLE)
    found = (_number(fields.get(name, "")) for name in ID_FIELDS)
    identity = next(filter(None, found), "") or (id_from_title(title) if title else "")
    if not identity:
        return None
    year = YEAR.search(fields.get("year", "") or fields.get("date", ""))
    return Record(
        identity,
        title,
        plain(fields.get("abstract", ""), MAX_ABSTRACT),
        day=date(int(year[0]), 1, 1) if year else month_of(identity),
        day_is_estimate=True,
    )


def _number(text):
    """Return the arXiv id in a field, or an empty string."""
    words = URL.sub("", text[:MAX_ID_FIELD]).split()
    return next(filter(None, map(_arxiv_id, words)), "")


def _arxiv_id(text):
    """Return the arXiv id of a URL, DOI or number, or an empty string."""
    try:
        identity = canonical_id(DOI_OF_ARXIV.sub("", text.strip(), count=1))
    except BadRecord:
        return ""
    return "" if ":" in identity else identity
