"""Which sources are asked, and how each one is built.

Operators switch sources in the panel (SourceConfig). SOURCES and ARXIV_CATEGORIES win where they
are set.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from django.conf import settings

from digest.models import SourceConfig
from digest.papers import topic_phrases
from digest.sources import crossref
from digest.sources.arxiv import taxonomy
from digest.sources.arxiv.source import ArXiv
from digest.sources.base import Source
from digest.sources.biorxiv.source import SERVERS, TOPICS, BioRxiv
from digest.sources.crossref import Crossref
from digest.sources.europepmc import EuropePmc
from digest.sources.huggingface import HuggingFace
from digest.sources.journals import Journal


@dataclass(frozen=True)
class BuiltIn:
    """A source that is part of Paperboy.

    Attributes:
        is_on: in a new installation.
        is_tried: with the real service.
        topics: its categories that are topics, each with the topic's name and group.
    """

    title: str
    make: Callable[[], Source]
    is_on: bool = False
    is_tried: bool = False
    topics: dict[str, tuple[str, str]] = field(default_factory=dict)


SOURCES = {
    "arxiv": BuiltIn(
        "arXiv",
        lambda: ArXiv(arxiv_categories()),
        is_on=True,
        is_tried=True,
        topics=taxonomy.TOPICS,
    ),
    "huggingface": BuiltIn("Hugging Face", HuggingFace, is_on=True, is_tried=True),
    **{
        name: BuiltIn(title, partial(BioRxiv, name), topics=TOPICS[name])
        for name, title in SERVERS.items()
    },
    "europepmc": BuiltIn("Europe PMC", lambda: EuropePmc(topic_phrases.phrases_in_use())),
}
#: The categories of all sources, in lower case -> as their source writes them.
CATEGORIES = taxonomy.NAMES | {name: name for topics in TOPICS.values() for name in topics}


def source_named(name: str) -> Source:
    """Return the source with this name. Raises SourceConfig.DoesNotExist."""
    if name in SOURCES:
        return SOURCES[name].make()
    return journal(SourceConfig.objects.get(pk=name))


def journal(row: SourceConfig) -> Source:
    """Return the source of a journal, which may be unsaved."""
    if row.crossref_ids:
        return Crossref(row.name, row.title, crossref.parse_ids(row.crossref_ids))
    return Journal(row.name, row.title, row.feed_url, completes=row.completes)


def enabled() -> list[str]:
    """Return the names of the sources to harvest."""
    rows = SourceConfig.objects.filter(is_on=True)
    if settings.SOURCES is None:
        return [row.name for row in rows]
    return [*settings.SOURCES, *(row.name for row in rows if row.is_journal)]


def titles(names: Iterable[str]) -> dict[str, str]:
    """Return the titles of sources by name."""
    stored_titles = dict(SourceConfig.objects.values_list("name", "title"))
    return {name: stored_titles.get(name, name) for name in names}


def arxiv_categories() -> tuple[str, ...]:
    """Return the archives and categories that are read from arXiv: all archives by default."""
    row = SourceConfig.objects.filter(name="arxiv").first()
    return tuple(settings.ARXIV_CATEGORIES or (row and row.categories) or taxonomy.ARCHIVES)


def canonical_categories(names: list) -> list[str]:
    """Return categories as their sources write them, each once. Raises ValueError for unknown ones.

    >>> canonical_categories(["CS.lg", " Cell Biology", "cs.LG"])
    ['cs.LG', 'cell biology']
    """
    names = [name for name in (str(name).strip() for name in names) if name]
    if unknown_names := [name for name in names if name.lower() not in CATEGORIES]:
        text = ", ".join(unknown_names)[:100]
        raise ValueError(f"There is no category called {text}. They are like cs.LG, stat.ML.")
    return list(dict.fromkeys(CATEGORIES[name.lower()] for name in names))
