"""What the indexed papers and the topics say of the words in the interests box."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial, reduce
from itertools import chain, compress

import numpy as np
from django.conf import settings

from digest.indexing import search
from digest.indexing.index import Index
from digest.interests.entries import Vocabulary
from digest.models import Paper, title_lookup
from digest.papers import identifiers
from digest.ranking import text
from digest.ranking.authors import full_words, name_words
from digest.ranking.model import TfidfModel, word_column
from digest.ranking.query import SHORT_TEXT, queries_of
from digest.ranking.retrieval import is_telling
from digest.sources.records import MAX_TITLE
from subscriptions.models.topics import Topic

#: A name has the words of so many papers at most, relative to the papers by this author.
MAX_NAMESAKES = 0.25
#: "Noether, Emmy": if papers have not both words, it is no list of subjects.
LAST_FIRST = re.compile(r"[A-Z][\w'’-]+, [A-Z][\w.-]*(?: [A-Z]\.?)*")
MIN_TITLE_WORDS = 4  # Fewer may be a subject.
MOSTLY_UNKNOWN = 0.5  # The share of unknown terms from which on those of a pasted text are named.


def unknown_words(
    is_known: Callable[[Sequence[str]], np.ndarray], text_lines: Iterable[str]
) -> list[str]:
    """Return the words of lines whose terms are in no paper, as the lines spell them.

    `is_known` returns which terms are in papers. A pasted text may contain new names, so its
    unknown words are only returned if most of its words are unknown.
    """
    unknown: dict[str, list[str]] = {}  # Of each line, by its spelling with the fewest.
    for query in queries_of(text_lines):
        is_absent = ~is_known(query.distinct)
        if len(query.text) <= SHORT_TEXT or is_absent.mean() >= MOSTLY_UNKNOWN:
            word_by_term = text.as_written(query.text)
            words = [word_by_term.get(term, term) for term in compress(query.distinct, is_absent)]
            unknown[query.text] = min(unknown.get(query.text, words), words, key=len)
    return list(dict.fromkeys(chain.from_iterable(unknown.values())))


def current() -> Vocabulary:
    """Return the vocabulary of the index and the model in use."""
    index, model = search.in_use()
    return StoredPapers() if index is None else PaperVocabulary(index, model)


class StoredPapers(Vocabulary):
    """The vocabulary while there is no index. See `Vocabulary`."""

    def paper(self, reference: str) -> str:
        if stored := identifiers.paper_by_id(reference):
            return stored.pk
        return identifiers.find_reference(reference) if settings.LOOK_UPS else ""

    def titled(self, title: str) -> str:
        title = title.rstrip(".")
        if len(title.split()) < MIN_TITLE_WORDS or len(title) > MAX_TITLE:
            return ""
        papers = title_lookup.with_title(Paper.objects.order_by("pk"), title)
        return papers.values_list("pk", flat=True).first() or ""


class PaperVocabulary(StoredPapers):
    """The vocabulary of the indexed papers and the topics. See `Vocabulary`."""

    def __init__(self, index: Index, model: TfidfModel) -> None:
        self.index, self.model = index, model

    def is_author(self, name: str) -> bool:
        if LAST_FIRST.fullmatch(name) and self.unknown_words(name):
            return True
        if len(name_words(name)) == 1:
            is_name = bool(full_words(name)) and self.index.has_name(name)
            return is_name and not self.count_papers(name)
        author_count = len(self.index.named(name))
        has_author = author_count or len(self.index.named(name, or_initials=True))
        return has_author and self.count_papers(name) <= MAX_NAMESAKES * author_count

    def topic(self, name: str) -> str:
        slug, length = self._topics.get(tuple(text.terms(name)), ("", 0))
        # "No computer vision" and "robotics 2" have words that are no terms.
        return slug if len(name.split()) <= length else ""

    def count_papers(self, phrase: str) -> int:
        """Return how many papers have all words of a phrase."""
        columns = [word_column(term) for term in dict.fromkeys(text.terms(phrase))]
        papers = [self.index.with_column(column)[0] for column in columns]
        return len(reduce(partial(np.intersect1d, assume_unique=True), papers)) if papers else 0

    def is_telling(self, phrase: str) -> bool:
        """Return whether prose is ranked by a phrase. See `retrieval.is_telling`."""
        return any(is_telling(self.model, query) for query in queries_of([phrase]))

    def unknown_words(self, phrase: str) -> list[str]:
        return unknown_words(self.index.has_words, [phrase])

    def suggestion(self, phrase: str) -> str:
        """Return a phrase with corrected spelling, or an empty string."""
        unknown = self.unknown_words(phrase)
        return search.suggestion(self.model, phrase, unknown) if unknown else ""

    @cached_property
    def _topics(self) -> dict[tuple[str, ...], tuple[str, int]]:
        topics = Topic.objects.offered().by_subject().values_list("name", "slug")
        return {tuple(text.terms(name)): (slug, len(name.split())) for name, slug in topics}
