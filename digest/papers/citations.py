"""Export papers as BibTeX and RIS, and within pages as meta tags and COinS.

The fields of a paper may contain anything. They are escaped, so that they can neither end a field
nor be a LaTeX command. Non-ASCII letters stay.
"""

import re
import unicodedata
from collections.abc import Container, Iterator, Sequence
from functools import lru_cache
from itertools import chain, count
from urllib.parse import quote, quote_plus

from digest.models import Paper
from digest.sources.arxiv.fields import SUFFIXES
from digest.sources.records import month_of
from subscriptions.mail.plaintext import one_line

#: Characters with a meaning in LaTeX. Braces become commands, because BibTeX counts braces after a
#: backslash as well, and an unbalanced one would include the entries after it.
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
#: Characters that stay in a URL. All others are percent-encoded: LaTeX has no other way.
IN_ADDRESSES = "!#$%&'()*+,-./:;=?@_~[]"

LATIN = "A-Za-zÀ-ÖØ-öø-ɏḀ-ỿ"
NAME = re.compile(rf"[{LATIN}]+(?:[-'’][{LATIN}]+)*")
INITIALS = re.compile(rf"(?:[{LATIN}]\.-?)*[{LATIN}]\.?")
PARTICLES = frozenset(  # A list of quoted words is harder to read.
    "af av da das de del della den der di do dos du la le ten ter van von zu zum zur".split()  # noqa: SIM905
)
#: Words in the names of groups.
GROUP_WORDS = frozenset(
    """
    authors center centre collaboration committee community consortium foundation for group
    initiative institute lab laboratory labs network project research society survey team the
    university
    """.split()  # noqa: SIM905
)
ARTICLES = frozenset(["a", "an", "the"])
#: Letters that are not a letter with an accent, as keys have them.
LETTERS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"})
MAX_KEY_LENGTH = 60
MAX_AUTHORS = 20  # Of a paper in a list of papers.


# ---- BibTeX


def bibtex(papers: Sequence[Paper]) -> str:
    """Return the papers as a BibTeX file."""
    used_keys: set[str] = set()
    entries = []
    for paper in papers:
        key = _key(paper, used_keys)
        used_keys.add(key)
        fields = ",\n".join(f"  {name} = {{{value}}}" for name, value in _fields(paper) if value)
        kind = "article" if paper.journal_ref else "misc"
        entries.append(f"@{kind}{{{key},\n{fields}\n}}\n")
    return "\n".join(entries)


def _fields(paper) -> Iterator[tuple[str, str]]:
    yield "title", f"{{{_latex(paper.title)}}}"  # Inner braces protect capitals from the style.
    # "family, given", or in braces, which keep BibTeX from splitting a name.
    authors = (split_name(name) or [f"{{{_latex(name)}}}"] for name in _authors(paper))
    yield "author", " and ".join(", ".join(name_parts) for name_parts in authors)
    yield "journal", _latex(paper.journal_ref)
    yield "year", year(paper)
    if paper.is_arxiv:
        yield "eprint", _escaped_url(paper.pk)
        yield "archiveprefix", "arXiv"
        yield "primaryclass", "".join(paper.fields[:1])
    elif not paper.journal_ref:
        yield "publisher", paper.server
    yield "doi", paper.first_doi
    yield "url", _escaped_url(paper.link)
    yield "note", "Withdrawn by its authors" if paper.is_withdrawn else ""


def _latex(text):
    return one_line(text).translate(ESCAPES)


def _escaped_url(text):
    return quote(one_line(text), safe=IN_ADDRESSES)


def _key(paper: Paper, used_keys: Container[str]) -> str:
    """Return the key of an entry: surname, year and first word, with the id if that is taken."""
    title_words = filter(None, map(_ascii, one_line(paper.title).split()))
    first_word = next((word for word in title_words if word not in ARTICLES), "")
    words = [_surname(paper) or "paper", year(paper), first_word]
    short_key = "".join(words)[:MAX_KEY_LENGTH]
    long_key = f"{short_key}-{_ascii(paper.pk)}"
    candidates = chain([short_key, long_key], (f"{long_key}-{number}" for number in count(2)))
    return next(key for key in candidates if key not in used_keys)


def _surname(paper):
    for name in _authors(paper)[:1]:
        if family_and_given := split_name(name):
            return _ascii(family_and_given[0])
        words = [word for word in name.split() if word.lower() not in GROUP_WORDS | SUFFIXES]
        return _ascii("".join(words[-1:]))
    return ""


def _ascii(text):
    """Return the ASCII letters and digits of a text, in lower case, without accents."""
    text = unicodedata.normalize("NFKD", text.casefold().translate(LETTERS))
    return re.sub(r"[^a-z0-9]", "", text)


# ---- RIS


def ris(papers: Sequence[Paper]) -> str:
    """Return the papers as a RIS file."""
    records = []
    for paper in papers:
        fields = ((tag, one_line(value)) for tag, value in _ris_fields(paper))
        lines = [f"{tag}  - {value}\r\n" for tag, value in fields if value]
        records.append("".join([*lines, "ER  - \r\n"]))
    return "\r\n".join(records)


def _ris_fields(paper) -> Iterator[tuple[str, str]]:
    yield "TY", "JOUR" if paper.journal_ref else "UNPB"
    yield "TI", paper.title
    for name in _inverted_authors(paper):
        yield "AU", name
    yield "PY", year(paper)
    yield "DA", "" if paper.day_is_estimate or paper.is_sample else f"{paper.day:%Y/%m/%d}"
    yield "T2", paper.journal_ref
    yield "PB", "" if paper.journal_ref else paper.server
    if paper.is_arxiv:
        yield "AN", f"arXiv:{paper.pk}"
    yield "DO", paper.first_doi
    yield "UR", paper.link
    yield "AB", "" if paper.is_sample else paper.abstract
    for category in paper.fields:
        yield "KW", category
    yield "N1", "Withdrawn by its authors" if paper.is_withdrawn else ""


# ---- In pages, as Zotero and Google Scholar read them


def meta_tags(paper: Paper) -> list[tuple[str, str]]:
    """Return the names and contents of a page's `citation_*` meta tags."""
    tags = [
        ("citation_title", one_line(paper.title)),
        *(("citation_author", name) for name in _inverted_authors(paper)),
        ("citation_publication_date", _date(paper).replace("-", "/")),
        ("citation_journal_title", one_line(paper.journal_ref)),
        ("citation_publisher", "" if paper.journal_ref else paper.server),
        ("citation_arxiv_id", paper.pk if paper.is_arxiv else ""),
        ("citation_doi", paper.first_doi),
        ("citation_public_url", paper.link),
        ("citation_pdf_url", paper.pdf),
    ]
    return [(name, content) for name, content in tags if content]


def coins(paper: Paper) -> str:
    """Return the paper as an OpenURL context object: the title of a span of class Z3988 (COinS)."""
    fields = [
        ("ctx_ver", "Z39.88-2004"),
        ("rft_val_fmt", "info:ofi/fmt:kev:mtx:dc"),
        ("rft.type", "journalArticle" if paper.journal_ref else "preprint"),
        ("rft.title", one_line(paper.title)),
        ("rft.source", one_line(paper.journal_ref)),
        ("rft.publisher", paper.server),
        ("rft.date", _date(paper)),
        ("rft.identifier", f"urn:doi:{paper.first_doi}" if paper.first_doi else ""),
        ("rft_id", paper.link),
        *(("rft.au", name) for name in _inverted_authors(paper)[:MAX_AUTHORS]),
    ]
    return "&".join([f"{name}={quote_plus(value)}" for name, value in fields if value])


def _date(paper):
    return year(paper) if paper.day_is_estimate or paper.is_sample else paper.day.isoformat()


# ---- All of them


def _inverted_authors(paper) -> list[str]:
    """Return the authors as "family, given", or as they are if it isn't clear which is which."""
    return [", ".join(split_name(name) or [name]) for name in _authors(paper)]


def _authors(paper) -> list[str]:
    return [line for name in paper.authors if (line := one_line(name))]


@lru_cache(20_000)
def split_name(name: str) -> tuple[str, str] | None:
    """Return the family name and the given name, or None if it isn't clear which is which.

    >>> [split_name(name) for name in ("Jan van der Berg", "D. E. Knuth", "Gabriel García Márquez")]
    [('van der Berg', 'Jan'), ('Knuth', 'D. E.'), None]
    """
    *given_names, family_name = name.split()
    if not given_names or not _is_name(family_name):
        return None
    while given_names and given_names[-1] in PARTICLES:
        family_name = f"{given_names.pop()} {family_name}"
    has_given_name = given_names and (_is_name(given_names[0]) or _are_initials(given_names[0]))
    if not has_given_name or not all(map(_are_initials, given_names[1:])):
        return None
    return family_name, " ".join(given_names)


def _is_name(word):
    """Return whether a word may be a person's name. One in capitals may be anything."""
    is_group = word.lower() in GROUP_WORDS
    return bool(NAME.fullmatch(word) and word[0].isupper() and not word.isupper() and not is_group)


def _are_initials(word):
    return bool(INITIALS.fullmatch(word) and word.isupper())


def year(paper: Paper) -> str:
    """Return the year of publication, by the arXiv id if there is one, or an empty string."""
    month = month_of(paper.pk) if paper.is_arxiv else None
    if month is None and paper.day_is_estimate:
        return ""
    return str((month or paper.day).year)
