"""Fields that arXiv's feeds, lists and API share: ids, authors in one line, withdrawals."""

import re

from digest.sources import records

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


def address(identity: str) -> str:
    return f"https://arxiv.org/abs/{identity}"


def version_of(versioned_id: str) -> int | None:
    """Return 3 for 2506.00001v3, and None for 2506.00001."""
    match = VERSION.search(versioned_id.strip())
    return int(match[1]) if match else None


def author_names(line: str) -> list[str]:
    """Return the names in a line such as `A. One (MIT), B. Two, Jr. and C. Three`."""
    names = []
    for part in re.split(r",|;|\sand\s", _without_affiliations(line[:MAX_AUTHORS])):
        name = " ".join(part.split())
        if name.casefold() in SUFFIXES and names:
            names[-1] += f" {name}"
        elif name:
            names.append(name.removeprefix("and "))
    return records.names(names)


def _without_affiliations(line):
    """Remove text in parentheses, also nested, and unbalanced parentheses."""
    starts, cuts = [], []
    for sign in re.finditer(r"[()]", line):
        if sign[0] == "(":
            starts.append(sign.start())
        elif starts:
            start = starts.pop()
            while cuts and cuts[-1][0] > start:  # Those within.
                cuts.pop()
            cuts.append((start, sign.end()))
    return re.sub(r"[()]", " ", " ".join(records.between(line, cuts)))


def says_withdrawn(*texts: str) -> bool:
    """Return whether a title, comment or abstract begins with a withdrawal of the paper."""
    return any(WITHDRAWN.match(text) for text in texts)


def licence(text: str) -> str:
    link = records.web_address(text)
    return link if len(link) <= MAX_FIELD else ""
