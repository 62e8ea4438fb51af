"""What a topic's text asks for, read by who knows what acronyms stand for.

A paper that says "GNN" says what it stands for, to the model. Many papers on graph neural networks
never say "GNN", and who asks for it means these as well.
"""

from dataclasses import replace

from digest.ranking.model import TfidfModel
from digest.ranking.query import MAX_PARTS, SHORT, Query, queries


def meant(model: TfidfModel, topic: str, limit: int = MAX_PARTS) -> tuple[Query, ...]:
    """Return what a topic's text asks for and, of the parts with an acronym, the same in full."""
    found = queries(topic, limit)
    return found + tuple(full for one in found if (full := _in_full(model, one)) is not None)


def _in_full(model: TfidfModel, query: Query) -> Query | None:
    """Return a query with what its acronyms stand for, which must stand together.

    None where it has none, says how words are written, or where not all of its words are meant.
    """
    long = {term: model.acronyms_[term] for term in query.terms if term in model.acronyms_}
    terms = tuple(said for term in query.terms for said in long.get(term, (term,)))
    is_alone = len(long) == len(query.terms) == 1
    if not long or query.is_literal or not (is_alone or len(set(terms)) <= SHORT):
        return None
    return replace(query, terms=terms, phrases=tuple(sorted(set(long.values()))))
