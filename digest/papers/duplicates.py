"""Find works that are stored under two ids, such as a file's and arXiv's."""

import re
from collections import defaultdict
from itertools import batched, permutations

from django.db.models import QuerySet
from django.db.models.functions import Lower

from digest.models import Paper, title_lookup
from digest.ranking import text

MAX_NAME_WORDS = 6  # A longer name is a group's.
BATCH = 1_000  # DOIs of a query: SQLite may take 32,766 values at most.


def aliases_of(papers: QuerySet[Paper]) -> dict[str, list[str]]:
    """Return the other ids of these papers' works: other id -> ids of the papers.

    Runs two queries, one more if papers share a title, and one more for BATCH DOIs.
    """
    aliases = defaultdict(list)
    for other_id, paper_id in dict.fromkeys([*_of_one_title(papers), *_of_one_doi(papers)]):
        aliases[other_id].append(paper_id)
    return dict(aliases)


def _of_one_doi(papers):
    by_doi = defaultdict(list)
    for doi, paper in papers.order_by().filter(doi__gt="").values_list(Lower("doi"), "pk"):
        by_doi[doi].append(paper)
    for dois in batched(by_doi, BATCH):
        others = Paper.objects.with_doi(dois).order_by().values_list("lower_doi", "pk")
        for doi, other in others:
            yield from ((other, pk) for pk in by_doi[doi] if _source(pk) != _source(other))


def _of_one_title(papers):
    fields = ("pk", "title", "abstract", "authors")
    by_title = defaultdict(list)
    for paper in title_lookup.shared(papers.order_by()).values(*fields):
        by_title[paper["title"].casefold()].append(paper)
    if not by_title:
        return
    # With their capitals: a database may not know that "λcdm" is "ΛCDM".
    spelled = {paper["title"] for group in by_title.values() for paper in group}
    namesakes = title_lookup.alike(Paper.objects.order_by(), spelled)
    for other in namesakes.values(*fields):
        for paper in by_title.get(other["title"].casefold(), ()):
            if _is_one_work(paper, other):
                yield other["pk"], paper["pk"]


def _is_one_work(paper, other):
    """Return whether two papers with one title share an author, or else an abstract.

    Not papers of one source: on arXiv, authors use a title again for other work.
    """
    if _source(paper["pk"]) == _source(other["pk"]):
        return False
    if paper["authors"] and other["authors"]:
        return not _people(paper["authors"]).isdisjoint(_people(other["authors"]))
    words = _words(paper["abstract"])
    return bool(words) and words == _words(other["abstract"])


def _source(identity):
    """Return the prefix of an id, with the publisher's of a DOI. Those of arXiv have none."""
    if identity.startswith("doi:"):
        return identity.partition("/")[0]
    return identity.rpartition(":")[0]


def _people(names):
    """Return what spellings of one name share, such as "Lovelace, A." and "Ada Lovelace".

    Looser than authors.is_called, because the title is the same already, and initials may lack a
    hyphen ("Chen-Xiao Gao", "Gao, C.").
    """
    people = set()
    for name in names:
        words = _words(name)[:MAX_NAME_WORDS]
        pairs = {(word, other[0]) for word, other in permutations(words, 2) if len(word) > 1}
        people |= pairs or {tuple(words)}
    return people - {()}


def _words(string):
    """Return the words of a string, without case and accents."""
    return re.findall(r"\w+", text.folded(string))
