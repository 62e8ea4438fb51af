"""Find papers by the beginning of their titles, ignoring case, with an index."""

from collections.abc import Iterable

from django.db.models import Func, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Upper

INDEXED_LENGTH = 60  # Characters in PostgreSQL's index, for which whole titles may be too long.


class Beginning(Func):
    """The beginning of a title as the index has it.

    PostgreSQL needs the collation "C", and SQLite NOCASE, to use an index for LIKE.
    """

    arity = 1

    def as_postgresql(self, compiler, connection, **context):
        template = f'(UPPER(LEFT(%(expressions)s, {INDEXED_LENGTH})) COLLATE "C")'
        return self.as_sql(compiler, connection, template=template, **context)

    def as_sqlite(self, compiler, connection, **context):
        template = "%(expressions)s COLLATE NOCASE"
        return self.as_sql(compiler, connection, template=template, **context)


def with_title(papers: QuerySet, title: str) -> QuerySet:
    """Filter the papers with this title."""
    papers = papers.alias(beginning=Beginning("title"))
    return papers.filter(beginning=Beginning(Value(title)), title__iexact=title)


def with_title_start(papers: QuerySet, text: str) -> QuerySet:
    """Filter the papers whose title begins with the text."""
    papers = papers.alias(beginning=Beginning("title"))
    as_indexed = Upper(Value(text[:INDEXED_LENGTH]))
    return papers.filter(beginning__startswith=as_indexed, title__istartswith=text)


def with_shared_title(papers: QuerySet) -> QuerySet:
    """Filter the papers whose titles other papers have as well."""
    title = OuterRef("title")
    other_papers = papers.model.objects.order_by().exclude(pk=OuterRef("pk"))
    other_papers = other_papers.alias(beginning=Beginning("title"), upper=Upper("title"))
    namesakes = other_papers.filter(beginning=Beginning(title), upper=Upper(title)).values("pk")
    # With EXISTS, PostgreSQL may read all papers.
    return papers.alias(namesake=Subquery(namesakes[:1])).filter(namesake__isnull=False)


def with_similar_titles(papers: QuerySet, titles: Iterable[str]) -> QuerySet:
    """Filter the papers with these titles, or with titles that have the same beginning."""
    papers = papers.alias(beginning=Beginning("title"))
    return papers.filter(beginning__in=[Beginning(Value(title)) for title in titles])
