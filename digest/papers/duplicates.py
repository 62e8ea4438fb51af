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
    ids_by_alias = defaultdict(list)
    for alias, paper_id in dict.fromkeys([*_title_pairs(papers), *_doi_pairs(papers)]):
        ids_by_alias[alias].append(paper_id)
    return dict(ids_by_alias)


def _doi_pairs(papers):
    """Yield pairs of ids with one DOI: that of another paper, and that of one of the papers."""
    ids_by_doi = defaultdict(list)
    for doi, paper_id in papers.order_by().filter(doi__gt="").values_list(Lower("doi"), "pk"):
        ids_by_doi[doi].append(paper_id)
    for dois in batched(ids_by_doi, BATCH):
        aliases = Paper.objects.with_doi(dois).order_by()
        for doi, alias in aliases.values_list("lower_doi", "pk"):
            yield from ((alias, pk) for pk in ids_by_doi[doi] if _source(pk) != _source(alias))


def _title_pairs(papers):
    """Yield pairs of ids, as `_doi_pairs` does, of works with one title."""
    fields = ("pk", "title", "abstract", "authors")
    group_by_title = defaultdict(list)
    for paper in title_lookup.with_shared_title(papers.order_by()).values(*fields):
        group_by_title[paper["title"].casefold()].append(paper)
    if not group_by_title:
        return
    # With their capitals: a database may not know that "λcdm" is "ΛCDM".
    titles = {paper["title"] for group in group_by_title.values() for paper in group}
    namesakes = title_lookup.with_similar_titles(Paper.objects.order_by(), titles)
    for namesake in namesakes.values(*fields):
        for paper in group_by_title.get(namesake["title"].casefold(), ()):
            if _is_one_work(paper, namesake):
                yield namesake["pk"], paper["pk"]


def _is_one_work(paper, other):
    """Return whether two papers with one title share an author, or else an abstract.

    Not papers of one source: on arXiv, authors use a title again for other work.
    """
    if _source(paper["pk"]) == _source(other["pk"]):
        return False
    if paper["authors"] and other["authors"]:
        return not _name_pairs(paper["authors"]).isdisjoint(_name_pairs(other["authors"]))
    words = _words(paper["abstract"])
    return bool(words) and words == _words(other["abstract"])


def _source(paper_id):
    """Return the prefix of an id, with the publisher's of a DOI. Those of arXiv have none."""
    if paper_id.startswith("doi:"):
        return paper_id.partition("/")[0]
    return paper_id.rpartition(":")[0]


def _name_pairs(authors):
    """Return the names as pairs of a word and an initial: ("lovelace", "a").

    Spellings of one name share a pair, such as "Lovelace, A." and "Ada Lovelace". Looser than
    authors.is_called, because the titles are equal, and initials may lack a hyphen ("Chen-Xiao
    Gao", "Gao, C.").
    """
    pairs = set()
    for name in authors:
        words = _words(name)[:MAX_NAME_WORDS]
        name_pairs = {(word, other[0]) for word, other in permutations(words, 2) if len(word) > 1}
        pairs |= name_pairs or {tuple(words)}
    return pairs - {()}


def _words(string):
    """Return the words of a string, without case and accents."""
    return re.findall(r"\w+", text.folded(string))
