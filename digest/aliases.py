"""Works that are stored under two ids, as where a file told of one before arXiv did."""

import re
from collections import defaultdict
from itertools import permutations

from django.db.models import QuerySet

from digest import titles
from digest.models import Paper
from digest.ranking import text

MOST_WORDS = 6  # Of a name; what has more is a group's.


def aliases_of(papers: QuerySet[Paper]) -> dict[str, list[str]]:
    """Return the other ids under which any of the papers are stored, each with theirs.

    Asks one query, and one more where a title is that of several.
    """
    told = ("pk", "title", "abstract", "authors")
    by_title = defaultdict(list)
    for paper in titles.shared(papers.order_by()).values(*told):
        by_title[paper["title"].casefold()].append(paper)
    if not by_title:
        return {}
    # As they are written: a database may not know what else is "ΛCDM" in small letters.
    written = {paper["title"] for some in by_title.values() for paper in some}
    namesakes = titles.alike(Paper.objects.order_by(), written)
    aliases = defaultdict(list)
    for other in namesakes.values(*told):
        for paper in by_title.get(other["title"].casefold(), ()):
            if _is_one_work(paper, other):
                aliases[other["pk"]].append(paper["pk"])
    return dict(aliases)


def _is_one_work(paper, other):
    """Return whether two of the same title are by the same people, or say the same.

    A source tells its own works apart: on arXiv, authors use a title again for other work.
    """
    if _source(paper["pk"]) == _source(other["pk"]):
        return False
    if paper["authors"] and other["authors"]:
        return not _people(paper["authors"]).isdisjoint(_people(other["authors"]))
    said = _words(paper["abstract"])
    return bool(said) and said == _words(other["abstract"])


def _source(identity):
    """Return the prefix of an id. Those of arXiv have none."""
    return identity.rpartition(":")[0]


def _people(names):
    """Return the authors, each as what "Ada B. Lovelace" and "Lovelace, A." have in common, too.

    Looser than authors.is_called: the title is the same already, so that a namesake is rare, and a
    hyphen that initials lost ("Chen-Xiao Gao", "Gao, C.") must not make two works of one.
    """
    people = set()
    for name in names:
        words = _words(name)[:MOST_WORDS]
        pairs = {(word, other[0]) for word, other in permutations(words, 2) if len(word) > 1}
        people |= pairs or {tuple(words)}
    return people - {()}


def _words(said):
    """Return the words of a text, without case and accents."""
    return re.findall(r"\w+", text.folded(said))
