"""Papers as files for bibliographies: BibTeX for LaTeX, JabRef and Overleaf, RIS for Zotero.

What a paper says of itself may hold anything. Here it can neither end a field nor become a command
of LaTeX: both formats say what the pages say, sign by sign. Letters beyond ASCII stay as they are.
"""

import re
import unicodedata
from collections.abc import Container, Iterator, Sequence
from itertools import chain, count
from urllib.parse import quote

from digest.models import Paper
from digest.sources.arxiv_text import SUFFIXES
from digest.sources.records import month_of
from subscriptions.plaintext import one_line

#: What LaTeX takes for more than itself. Braces become commands: BibTeX counts those with a
#: backslash too, and one without its partner would swallow the entries after it.
ESCAPES = str.maketrans(
    {
        **{sign: f"\\{sign}" for sign in "#$%&_"},
        "\\": r"\textbackslash{}",
        "{": r"\textbraceleft{}",
        "}": r"\textbraceright{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
    }
)
#: What may stand in an address as it is. All else is written in percents: there is no other way to
#: escape within one.
IN_ADDRESSES = "!#$%&'()*+,-./:;=?@_~[]"
DOI = re.compile(r"10\.\d{4,9}/[^\s{}\\]+")

LATIN = "A-Za-zÀ-ÖØ-öø-ɏḀ-ỿ"
NAME = re.compile(rf"[{LATIN}]+(?:[-'’][{LATIN}]+)*")
INITIALS = re.compile(rf"(?:[{LATIN}]\.-?)*[{LATIN}]\.?")
PARTICLES = frozenset(
    """
    af av da das de del della den der di do dos du la le ten ter van von zu zum zur
    """.split()  # noqa: SIM905, a list of quoted words is harder to read
)
#: What makes a name one of many people, or of none.
BODIES = frozenset(
    """
    authors center centre collaboration committee community consortium foundation for group
    initiative institute lab laboratory labs network project research society survey team the
    university
    """.split()  # noqa: SIM905
)
ARTICLES = frozenset(["a", "an", "the"])
#: Letters that no accent makes, as keys write them.
LETTERS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"})
LONGEST_KEY = 60


# ---- BibTeX


def bibtex(papers: Sequence[Paper]) -> str:
    """Return the papers as entries of a BibTeX file. Of alike keys, the first paper's is plain."""
    taken: set[str] = set()
    entries = []
    for paper in papers:
        key = _key(paper, taken)
        taken.add(key)
        fields = ",\n".join(f"  {name} = {{{value}}}" for name, value in _fields(paper) if value)
        kind = "article" if paper.journal_ref else "misc"
        entries.append(f"@{kind}{{{key},\n{fields}\n}}\n")
    return "\n".join(entries)


def _fields(paper) -> Iterator[tuple[str, str]]:
    yield "title", f"{{{_latex(paper.title)}}}"  # Its capitals stay, whatever the style does.
    yield "author", " and ".join(map(_bibtex_name, _authors(paper)))
    yield "journal", _latex(paper.journal_ref)
    yield "year", year(paper)
    if paper.is_arxiv:
        yield "eprint", _address(paper.pk)
        yield "archiveprefix", "arXiv"
        yield "primaryclass", "".join(paper.fields[:1])
    elif not paper.journal_ref:
        yield "publisher", paper.server
    yield "doi", doi(paper)
    yield "url", _address(paper.link)
    yield "note", "Withdrawn by its authors" if paper.is_withdrawn else ""


def _latex(text):
    return one_line(text).translate(ESCAPES)


def _address(text):
    return quote(one_line(text), safe=IN_ADDRESSES)


def _bibtex_name(name):
    """Return a name in its two parts, or in braces, which keep it from being parted wrongly."""
    parted = parts(name)
    return ", ".join(parted) if parted else f"{{{_latex(name)}}}"


def _key(paper: Paper, taken: Container[str]) -> str:
    """Return the key of an entry: surname, year and first word, and the id too where these are
    taken.
    """
    said = [_surname(paper) or "paper", year(paper), _first_word(paper.title)]
    plain = "".join(said)[:LONGEST_KEY]
    longer = f"{plain}-{_ascii(paper.pk)}"
    keys = chain([plain, longer], (f"{longer}-{number}" for number in count(2)))
    return next(key for key in keys if key not in taken)


def _surname(paper):
    for name in _authors(paper)[:1]:
        if parted := parts(name):
            return _ascii(parted[0])
        telling = [word for word in name.split() if word.lower() not in BODIES | SUFFIXES]
        return _ascii("".join(telling[-1:]))
    return ""


def _first_word(title):
    words = filter(None, map(_ascii, one_line(title).split()))
    return next((word for word in words if word not in ARTICLES), "")


def _ascii(text):
    """Return the letters and digits of a text that ASCII has, in lower case, without accents."""
    text = unicodedata.normalize("NFKD", text.casefold().translate(LETTERS))
    return re.sub(r"[^a-z0-9]", "", text)


# ---- RIS


def ris(papers: Sequence[Paper]) -> str:
    """Return the papers as records of a RIS file."""
    return "\r\n".join(_record(paper) for paper in papers)


def _record(paper):
    said = ((tag, one_line(value)) for tag, value in _lines(paper))
    lines = [f"{tag}  - {value}\r\n" for tag, value in said if value]
    return "".join([*lines, "ER  - \r\n"])


def _lines(paper) -> Iterator[tuple[str, str]]:
    yield "TY", "JOUR" if paper.journal_ref else "UNPB"
    yield "TI", paper.title
    for name in _authors(paper):
        yield "AU", ", ".join(parts(name) or [name])
    yield "PY", year(paper)
    yield "DA", "" if paper.day_is_estimate or paper.is_sample else f"{paper.day:%Y/%m/%d}"
    yield "T2", paper.journal_ref
    yield "PB", "" if paper.journal_ref else paper.server
    if paper.is_arxiv:
        yield "AN", f"arXiv:{paper.pk}"
    yield "DO", doi(paper)
    yield "UR", paper.link
    yield "AB", "" if paper.is_sample else paper.abstract
    for category in paper.fields:
        yield "KW", category
    yield "N1", "Withdrawn by its authors" if paper.is_withdrawn else ""


# ---- Both


def _authors(paper) -> list[str]:
    return [said for name in paper.authors if (said := one_line(name))]


def parts(name: str) -> tuple[str, str] | None:
    """Return the family's and the given name, None where it isn't sure which is which.

    >>> parts("Jan van der Berg"), parts("D. E. Knuth"), parts("Gabriel García Márquez")
    (('van der Berg', 'Jan'), ('Knuth', 'D. E.'), None)
    """
    *given, family = name.split()
    if not given or not _is_name(family):
        return None
    while given and given[-1] in PARTICLES:
        family = f"{given.pop()} {family}"
    begins_well = given and (_is_name(given[0]) or _are_initials(given[0]))
    if not begins_well or not all(map(_are_initials, given[1:])):
        return None
    return family, " ".join(given)


def _is_name(word):
    """Return whether it is one of a person: in capitals it may be anything."""
    is_body = word.lower() in BODIES
    return bool(NAME.fullmatch(word) and word[0].isupper() and not word.isupper() and not is_body)


def _are_initials(word):
    return bool(INITIALS.fullmatch(word) and word.isupper())


def year(paper: Paper) -> str:
    """Return the year in which it came out: the number from arXiv has it. Nothing if unknown."""
    month = month_of(paper.pk) if paper.is_arxiv else None
    if month is None and paper.day_is_estimate:
        return ""
    return str((month or paper.day).year)


def doi(paper: Paper) -> str:
    """Return its DOI, the first of several, or nothing where that is none."""
    found = DOI.search(one_line(paper.doi))
    return found[0].rstrip(".,;") if found else ""
