"""Parse bibliographies: BibTeX, RIS, EndNote XML, or lines with one title or arXiv id each.

The formats of PubMed, ERIC, EndNote and the Web of Science are parsed like RIS: each line begins
with a tag. Lines of arXiv ids may be between the entries of these formats and of BibTeX, and
entries of other formats between those of BibTeX. All other text there is a comment. A broken entry
is skipped. Other formats are recognised and refused.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from itertools import chain, islice

from digest.sources import latex, records, xml
from digest.sources.base import MalformedFeed
from digest.sources.records import MAX_TITLE, BadRecord, Record, clean, month_of
from subscriptions import child_process

MAX_ABSTRACT = 3_000  # Characters.
MIN_TITLE_WORDS = 3  # Of a line that is a title,
MIN_LETTERS = 0.5  # and the share of its characters that are letters.
MAX_LINE = 300
MAX_BEGINNING = 2_000  # Characters by which a format is recognised.
MAX_CONTROLS = 0.05  # The share of control characters in a text.
MAX_UNREAD = 3  # Entries that could not be read.
MAX_MARKS = 30_000  # Of LaTeX in one text: more would take many seconds.
MAX_ENTRIES = 10_000  # Of one text, to bound memory.
BIBTEX = re.compile(r"^[ \t]*@[ \t]*\w+[ \t]*[{(]", re.MULTILINE)
BEGINNING = re.compile(r"@[ \t]*\w+[ \t]*[{(]")  # Of an entry, also of a second one in a line.
#: A group only for TeX; first the alternatives whose braces stay: commands and formulas.
GROUP = re.compile(
    r"\\(?:[A-Za-z]+|.)(?:\{[^{}]*\})?|\$[^$]*\$|\{((?:[^{}\\$]|\\[&%$#_])*)\}", re.DOTALL
)
NESTED = 3  # Levels of groups.
#: The tag with which an entry begins, in RIS, in the formats of PubMed, ERIC and EndNote, and in
#: that of the Web of Science.
RIS = re.compile(
    r"(?m)^(?:TY(?=[ \t]{1,2}-)|PMID(?=-)|OWN(?= - )|%0(?=[ \t])|PT(?= [A-Z]\w*[ \t]*\r?$))"
)
MEDLINE_LINE = re.compile(r"(?=.{4}-)([A-Z][A-Z0-9]{1,3}) {0,2}-(?: (.*))?")
#: The tag and the rest of a line in each format, and the tags between two entries.
RIS_LINES = {
    "TY": (re.compile(r"([A-Z][A-Z0-9])[ \t]{1,2}-(?:[ \t](.*))?"), {"TY", "ER"}),
    "PMID": (MEDLINE_LINE, {"PMID"}),
    "OWN": (MEDLINE_LINE, {"OWN"}),
    "%0": (re.compile(r"(%\S)(?:[ \t](.*))?"), {"%0"}),
    "PT": (re.compile(r"([A-Z][A-Z0-9])(?: (.*))?"), {"PT", "ER", "EF", "FN", "VR"}),
}
#: Fields, and the tags that may contain them: the first one counts.
RIS_TAGS = {
    "title": ("TI", "T1", "BT", "%T"),
    "abstract": ("AB", "N2", "%X"),
    "year": ("PY", "Y1", "DA", "DP", "%D"),
    "doi": ("DO", "DI", "%R"),
    "journal": ("JO", "JF", "JA", "T2", "%J", "SO"),
}
RIS_ADDRESSES = ("UR", "L1", "L2", "LK", "%U")  # Each may be arXiv's.
#: The fields of an entry of EndNote XML.
XML_PATHS = {"title": "titles/title", "abstract": "abstract", "year": "dates/year"}
XML_PATHS |= {"doi": "electronic-resource-num", "journal": "titles/secondary-title", "url": "urls"}
#: The label of a line in other programs' exports (TI- , --TI--, %T) or in YAML (title:).
LABEL_OF_LINE = re.compile(
    r"[ \t]*(--[A-Z]{2}--|%[A-Z0-9] |[A-Z][A-Z0-9]{1,3} {0,2}[-~] |[A-Z][A-Z0-9]:\s"
    r"|(?:- )?[a-z][a-z-]*:(?:\s|$)|(?:Title|Authors?|Abstract|Journal|Source|Year|Date|DOI): )"
)
#: The beginning of an entry of EndNote XML.
ENDNOTE_XML = re.compile(
    r"<record>\s*<(?:contributors|database|foreign-keys|rec-number|ref-type|source-app|titles)\b"
)
PROLOG = r"(?:<[?!][^>]*>\s*){0,9}"  # Of XML: before the root element.
INLINE_TAGS = r"(?:b|em|i|scp|span|strong|sub|sup|u)\b"  # A title may begin with them.
#: The first line of a table: quoted cells, tabs, or a column of titles.
TABLE = (
    r'"[^"\n]*"[,;]"|[^\t\n]+\t[^\t\n]+\t'
    r"|(?:[^\n]*[,;])?(?:\w+ )?titles?[,;]|[^\n]*[,;](?:\w+ )?titles?\s*\n"
)
#: Numbers and bullets before the titles of a list.
LABEL = re.compile(r"(?:\[\d{1,4}\]|\(?\d{1,4}[.)]|[-*\u2022\u2013])[ \t]+")
YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
#: Fields that may contain an arXiv id, the best first. Google Scholar has it in the journal.
ID_FIELDS = ("eprint", "arxivid", "doi", "url", "journal", "howpublished")
URL = re.compile(r"\\url|[{}]")
MAX_ID_FIELD = 300  # Characters of what names it.
#: What is between two arXiv ids: also a category, as on arXiv's pages.
ID_SEPARATOR = re.compile(r"(?:\[[\w.-]{1,30}\]|[,;\s])+")
DOI = re.compile(r"10\.\d{4,9}/[^\s\"{}]{1,90}", re.ASCII)
DOI_OF_ARXIV = re.compile(r"(?:https?://(?:dx\.)?doi\.org/)?10\.48550/arxiv\.", re.IGNORECASE)

BINARY = "binary"  # The name of all formats that are no text.

#: The fields of an entry, by BibTeX's names.
type Fields = dict[str, str]
#: The key of an entry, or its beginning, and its fields.
type Entry = tuple[str, Fields]
type Reader = Callable[[str], Iterable[Entry]]


class UnreadableFormat(ValueError):
    """The text is in another format. The message is its name, or empty if that is unknown."""


@dataclass(frozen=True)
class Bibliography:
    """A parsed bibliography.

    Attributes:
        records: each paper once; without a title if only the arXiv id is given. Days are estimates.
        unread_count: number of entries that could not be read.
        unread_names: names of the first of these.
    """

    records: list[Record]
    unread_count: int
    unread_names: list[str]


def read(text: str) -> Bibliography:
    """Parse a bibliography in any of the formats.

    Raises UnreadableFormat and child_process.ParseError.
    """
    reader_of(text.lstrip("\ufeff"))
    row = child_process.run_limited(parse, text.encode(errors="surrogatepass"))
    return Bibliography(**row | {"records": list(map(Record.from_json, row["records"]))})


def parse(data: bytes) -> dict:
    """Return the fields of the bibliography as JSON has them."""
    text = data.decode(errors="surrogatepass").lstrip("\ufeff")
    by_id: dict[str, Record] = {}
    unread_count, unread_names = 0, []
    for name, record in records_of(reader_of(text)(text)):
        if record is None:
            unread_count += 1
            unread_names += [name] if unread_count <= MAX_UNREAD else []
        elif record.abstract or not (record.id in by_id and by_id[record.id].abstract):
            by_id[record.id] = record
    return asdict(Bibliography([*by_id.values()], unread_count, unread_names))


def records_of(entries: Iterable[Entry]) -> Iterator[tuple[str, Record | None]]:
    """Yield the name of each entry with its record, or None if it could not be read."""
    marks_left = MAX_MARKS
    for name, fields in entries:
        texts = {name: fields.get(name, "") for name in ("title", "abstract")}
        marks_left -= sum(len(latex.MARKS.findall(text)) for text in texts.values())
        if marks_left < 0:
            fields |= {name: latex.MARKS.sub(" ", text) for name, text in texts.items()}
        yield name, _record(fields)


def ris(record: Record) -> str:
    """Return a record as an RIS entry, which `read` parses to the same record."""
    is_arxiv = not record.id.startswith("title:")
    tags = {
        "TY": "GEN",
        "TI": record.title,
        "AB": record.abstract,
        "PY": str(record.day.year) if record.day and record.day != month_of(record.id) else "",
        "UR": f"https://arxiv.org/abs/{record.id}" if is_arxiv else "",
    }
    return "".join(f"{tag}  - {value}\n" for tag, value in tags.items() if value) + "ER  - \n"


def is_structured(text: str) -> bool:
    """Return whether a text has entries, rather than one title or arXiv id a line."""
    return start_of_entries(text) is not None


def start_of_entries(text: str) -> int | None:
    """Return where the first entry of a text begins, or None if it has none."""
    matches = (pattern.search(text) for pattern in (BIBTEX, RIS, ENDNOTE_XML))
    return min((match.start() for match in matches if match), default=None)


def split_entries(text: str) -> tuple[str, list[str]]:
    """Return the entries of a text, and the other lines: those between entries, and after them."""
    start, other_lines = start_of_entries(text), []
    if start is None:
        return "", text.splitlines()
    if ENDNOTE_XML.search(text):
        start, end = text.index("<"), text.rindex(">") + 1
        other_lines = [*text[:start].splitlines(), *text[end:].splitlines()]
        return text[start:end], [line for line in other_lines if line.strip()]
    entry_lines, depth, is_inside, is_bibtex = [], 0, False, bool(BIBTEX.search(text))
    for line in text.splitlines():
        entry_start = (BIBTEX if is_bibtex else RIS).match(line)
        is_inside = is_inside or bool(entry_start)
        (entry_lines if is_inside else other_lines).append(line)
        if is_bibtex and is_inside:
            depth += line.count("{") - line.count("}")
            is_inside = depth > 0
        elif re.match(r"ER(?:  - |$| *$)", line):
            is_inside = False
    return "\n".join(entry_lines), [line for line in other_lines if line.strip()]


def reader_of(text: str) -> Reader:
    """Return the function that parses a text, by its format. Raises UnreadableFormat."""
    reader, name = next((reader, name) for matches, reader, name in FORMATS if matches(text))
    if reader is None:
        raise UnreadableFormat(name)
    return reader


def _bibtex_entries(text):
    import bibtexparser  # Only one page needs it.
    from bibtexparser import model

    first_excess = next(islice(BEGINNING.finditer(text), MAX_ENTRIES, None), None)
    for block in bibtexparser.parse_string(text[: first_excess and first_excess.start()]).blocks:
        if isinstance(block, model.DuplicateBlockKeyBlock):
            block = block.ignore_error_block
        if isinstance(block, model.Entry):
            fields = {field.key.lower(): str(field.value) for field in block.fields}
            title_parts = filter(None, (fields.get("title"), fields.get("subtitle")))
            title, abstract = ": ".join(title_parts), fields.get("abstract", "")
            ungrouped = {"title": _strip_groups(title), "abstract": _strip_groups(abstract)}
            yield block.key, fields | ungrouped
        elif isinstance(block, model.ImplicitComment):
            yield from _entries_between(block.comment)
        elif isinstance(block, model.ParsingFailedBlock):
            yield _key(block.raw or ""), {}
    if first_excess:
        yield _key(text[first_excess.start() :][:MAX_LINE]), {}


def _entries_between(text):
    """Return the entries of other formats, or arXiv ids, between entries of BibTeX."""
    if RIS.search(text):
        return _ris_entries(text)
    return chain.from_iterable(map(_arxiv_id_entries, text.splitlines()))


def _key(entry):
    """Return the key of a BibTeX entry, or its beginning."""
    return BEGINNING.sub("", entry.strip()[:MAX_LINE], count=1).partition(",")[0]


def _strip_groups(text):
    """Return the text without braces around words: {{BERT}}, {L}earning."""
    for _ in range(NESTED):
        text = GROUP.sub(lambda group: group[0] if group[1] is None else group[1], text)
    return text


def _ris_entries(text):
    line_pattern, end_tags = RIS_LINES[RIS.search(text)[0]]
    lines_by_tag: dict[str, list[str]] = {}
    tag, is_outside = "", False
    for line in text.splitlines():
        match = line_pattern.fullmatch(line.rstrip())
        is_outside = not match and (is_outside or not tag or not line.strip())
        if is_outside and (entries := _arxiv_id_entries(line)):
            yield from entries
        elif not match:  # It continues the line before.
            lines_by_tag.setdefault(tag, []).append(line)
        elif match[1] in end_tags:
            yield from _tag_entries(lines_by_tag)
            lines_by_tag, tag = {}, ""
        else:
            tag = match[1]
            lines_by_tag.setdefault(tag, []).append(match[2] or "")
    yield from _tag_entries(lines_by_tag)


def _tag_entries(lines_by_tag):
    """Yield an entry, if there are any tags."""
    if not lines_by_tag.keys() - {""}:
        return
    texts = {tag: " ".join(lines).strip() for tag, lines in lines_by_tag.items()}
    fields = {
        name: next(filter(None, (texts.get(tag) for tag in tags)), "")
        for name, tags in RIS_TAGS.items()
    }
    texts.pop("", "")
    name = " ".join(texts.values())[:MAX_LINE]
    yield name, fields | {"url": " ".join(texts.get(tag, "") for tag in RIS_ADDRESSES)}


def _endnote_entries(text):
    """Yield the entries, each parsed by itself: a broken one, or a cut file, costs no others."""
    for element in text.split("<record>", MAX_ENTRIES)[1:]:
        body, fields = element.partition("</record>")[0].replace("</url>", " </url>"), {}
        with suppress(BadRecord, MalformedFeed):
            record = xml.parse(f"<record>{body}</record>".encode(errors="replace"))
            fields = {name: xml.text(record, path) for name, path in XML_PATHS.items()}
        yield clean(re.sub(r"<[^<>]*>", " ", body[:MAX_LINE]), MAX_LINE), fields


def _line_entries(text):
    for line in filter(None, map(str.strip, text.splitlines())):
        line = _strip_label(line)
        if entries := _arxiv_id_entries(line):
            yield from entries
        elif len(line) <= MAX_LINE and _is_title(line):
            yield line, {"title": line}
        else:
            yield line[:MAX_LINE], {}


def _is_binary(text):
    return "\0" in text or len(records.CONTROLS.findall(text)) > MAX_CONTROLS * len(text)


def _is_labelled(text):
    """Return whether a third of the lines begin with labels, as in formats of other programs."""
    lines = [line for line in text.splitlines() if line.strip()]
    labels = [label[1] for label in map(LABEL_OF_LINE.match, lines) if label]
    return len(set(labels)) >= 3 and len(labels) >= len(lines) / 3


def _starts(pattern):
    """Return a function that matches a text whose beginning has this pattern."""
    match = re.compile(pattern, re.IGNORECASE).match
    return lambda text: match(text.lstrip()[:MAX_BEGINNING])


#: How each format is recognised, its reader or None, and its name if it is refused. The first one
#: that fits counts.
FORMATS: list[tuple[Callable[[str], object], Reader | None, str]] = [
    (_starts(r"%PDF-|PK\x03\x04|\xd0\xcf\x11\xe0"), None, BINARY),  # Also Word.
    (_starts(r"\{\\rtf"), None, "RTF"),
    (_starts(r"<(?:!doctype\s+(?:html|netscape)|html|head|body|meta)\b"), None, "HTML"),
    (BIBTEX.search, _bibtex_entries, ""),
    (RIS.search, _ris_entries, ""),
    (ENDNOTE_XML.search, _endnote_entries, ""),
    (_is_binary, None, BINARY),
    (_starts(rf"{PROLOG}<pubmed"), None, "PubMed XML"),
    (_starts(rf"{PROLOG}<(?:\w+:)?mods"), None, "MODS XML"),
    (_starts(rf"<[?!]|<(?!{INLINE_TAGS})[a-z][\w:.-]*[\s/>]"), None, "XML"),
    (_starts(r"\{\s*\"|\[\s*[\[{\"]"), None, "JSON"),
    (_starts(r"<\d+\.? ?>\s|VN {1,2}- Ovid|(?:score\s+\*+\s+)?accession number\s"), None, "Ovid"),
    (_starts(r"(?-i:RT [A-Z]\w+.*\s+[A-Z][A-Z0-9] )|refworks export"), None, "RefWorks"),
    (_starts(r"\d{5}.{5}22\d{5}"), None, "MARC"),
    (_starts(TABLE), None, "CSV"),
    (_starts(r"(?:%[^\n]*\n\s*)*\\(?:documentclass|begin|bibitem|usepackage)\b"), None, "LaTeX"),
    (_is_labelled, None, ""),
    (lambda text: True, _line_entries, ""),
]


def _is_title(line):
    """Return whether a line has enough words and letters. That of a binary file has few."""
    words = re.findall(r"[^\W\d_]+", line)
    return len(words) >= MIN_TITLE_WORDS and sum(map(len, words)) >= MIN_LETTERS * len(line)


def _strip_label(line):
    label = LABEL.match(line)
    return line[label.end() :] if label else line


def _arxiv_id_entries(line) -> list[Entry]:
    """Return the papers of a line with only arXiv ids."""
    entries = []
    for word in filter(None, ID_SEPARATOR.split(_strip_label(line))):
        arxiv_id = _arxiv_id(word)
        if not arxiv_id:
            return []
        entries.append((arxiv_id, {"eprint": arxiv_id}))
    return entries


def _record(fields: Fields) -> Record | None:
    """Return the record of an entry, or None without a title and an arXiv id."""
    title = clean(fields.get("title", ""), MAX_TITLE)
    arxiv_ids = (_arxiv_id_in_field(fields.get(name, "")) for name in ID_FIELDS)
    identity = next(filter(None, arxiv_ids), "") or (records.id_from_title(title) if title else "")
    if not identity:
        return None
    year_match = YEAR.search(fields.get("year", "") or fields.get("date", ""))
    doi_match = DOI.search(fields.get("doi", "").lower())
    return Record(
        identity,
        title,
        clean(fields.get("abstract", ""), MAX_ABSTRACT),
        doi=doi_match[0].rstrip(".,;") if doi_match else "",
        day=date(int(year_match[0]), 1, 1) if year_match else month_of(identity),
        day_is_estimate=True,
    )


def _arxiv_id_in_field(text):
    """Return the arXiv id in a field, or an empty string."""
    words = URL.sub("", text[:MAX_ID_FIELD]).split()
    return next(filter(None, map(_arxiv_id, words)), "")


def _arxiv_id(text):
    """Return the arXiv id of a URL, DOI or number, or an empty string."""
    try:
        identity = records.canonical_id(DOI_OF_ARXIV.sub("", text.strip(), count=1))
    except BadRecord:
        return ""
    return "" if ":" in identity else identity
