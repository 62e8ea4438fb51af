"""What arXiv's feeds, lists and API share: cleaned records, authors in one line, withdrawals."""

import re

from digest.sources import records
from digest.sources.arxiv import taxonomy
from digest.sources.records import BadRecord, Record

VERSION = re.compile(r"v(\d{1,4})$")
SUFFIXES = {"jr", "jr.", "sr", "sr.", "ii", "iii", "iv"}
# At the start of a comment or abstract ("This paper has been withdrawn by the authors"), or of a
# title ("Withdrawn: On bread"). Elsewhere the word may be about another paper ("supersedes the
# withdrawn 2506.00001"), or about a drug that was withdrawn.
PAPER = r"(?:(?:e-?|pre-?)?print|paper|submission|article|manuscript|work|note|letter|report|draft)"
WITHDRAWN = re.compile(
    r"\W*(?:arxiv admin note:\s*)?"
    rf"(?:(?:(?:this|the)\s(?:[\w-]+\s)?{PAPER}\s(?:(?:has|have)\sbeen|was|is)\s(?:[\w-]+\s)?"
    rf"|{PAPER}\s)?"
    r"withdrawn\b(?!-|\s(?!by|due|because|as|since|on|from|for|in|at|pending|until)\w)"
    r"|(?:i|we|(?:the\s)?authors?)\s(?:has\s|have\s)?(?:withdrawn?|withdrew)\sthis\s(?:[\w-]+\s)?"
    rf"{PAPER})",
    re.IGNORECASE,
)
MAX_FIELD = 300
MAX_AUTHORS = 200_000  # Characters: three thousand names with affiliations.


def record(
    versioned_id: str,
    title: str,
    abstract: str,
    categories: list[str],
    *,
    comments: str = "",
    journal_ref: str = "",
    doi: str = "",
    license: str = "",
    is_withdrawn: bool = False,
    **values,
) -> Record:
    """Return a record with these texts, which are cleaned. Raises BadRecord."""
    identity = records.canonical_id(versioned_id)
    title = records.clean(title, records.MAX_TITLE)
    if not title:
        raise BadRecord("no title")
    abstract = records.clean(abstract, records.MAX_ABSTRACT)
    comments, license = records.clean(comments, 2_000), records.web_address(license)
    version = VERSION.search(versioned_id.strip())
    return Record(
        id=identity,
        title=title,
        abstract=abstract,
        categories=taxonomy.canonical_names(records.clean_names(categories)),
        url=f"https://arxiv.org/abs/{identity}",
        version=int(version[1]) if version else None,
        is_withdrawn=is_withdrawn or says_withdrawn(title, comments, abstract),
        comments=comments,
        journal_ref=records.clean(journal_ref, 1_000),
        doi=records.clean(doi, MAX_FIELD),
        license=license if len(license) <= MAX_FIELD else "",
        **values,
    )


def author_names(line: str) -> list[str]:
    """Return the names in a line such as `A. One (MIT), B. Two, Jr. and C. Three`."""
    names = []
    for part in re.split(r",|;|\sand\s", _without_affiliations(line[:MAX_AUTHORS])):
        name = " ".join(part.split())
        if name.casefold() in SUFFIXES and names:
            names[-1] += f" {name}"
        elif name:
            names.append(name.removeprefix("and "))
    return records.clean_names(names)


def _without_affiliations(line):
    """Remove text in parentheses, also nested, and unbalanced parentheses."""
    open_positions, spans = [], []
    for parenthesis in re.finditer(r"[()]", line):
        if parenthesis[0] == "(":
            open_positions.append(parenthesis.start())
        elif open_positions:
            start = open_positions.pop()
            while spans and spans[-1][0] > start:  # Those within.
                spans.pop()
            spans.append((start, parenthesis.end()))
    return re.sub(r"[()]", " ", " ".join(records.parts_outside(line, spans)))


def says_withdrawn(*texts: str) -> bool:
    """Return whether a title, comment or abstract begins with a withdrawal of the paper."""
    return any(WITHDRAWN.match(text) for text in texts)
