"""Papers by how their titles begin, whatever the case: through an index, however many there are."""

from collections.abc import Iterable

from django.db.models import Func, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Upper

LENGTH = 60  # Characters that PostgreSQL's index knows: whole titles may be too long for it.


class Beginning(Func):
    """How a title begins, as its index has it. What it leaves open is asked of the title itself.

    PostgreSQL finds by a pattern where texts are sorted by their bytes, SQLite where its LIKE and
    the index mean the same by case.
    """

    arity = 1

    def as_postgresql(self, compiler, connection, **context):
        template = f'(UPPER(LEFT(%(expressions)s, {LENGTH})) COLLATE "C")'
        return self.as_sql(compiler, connection, template=template, **context)

    def as_sqlite(self, compiler, connection, **context):
        template = "%(expressions)s COLLATE NOCASE"
        return self.as_sql(compiler, connection, template=template, **context)


def called(papers: QuerySet, title: str) -> QuerySet:
    """Return those of the papers that have this title."""
    begun = papers.alias(beginning=Beginning("title"))
    return begun.filter(beginning=Beginning(Value(title)), title__iexact=title)


def beginning(papers: QuerySet, text: str) -> QuerySet:
    """Return those of the papers whose title begins so."""
    begun = papers.alias(beginning=Beginning("title"))
    as_indexed = Upper(Value(text[:LENGTH]))
    return begun.filter(beginning__startswith=as_indexed, title__istartswith=text)


def shared(papers: QuerySet) -> QuerySet:
    """Return those of the papers whose titles others have, too."""
    title = OuterRef("title")
    others = papers.model.objects.order_by().exclude(pk=OuterRef("pk"))
    begun = others.alias(beginning=Beginning("title"), upper=Upper("title"))
    namesakes = begun.filter(beginning=Beginning(title), upper=Upper(title)).values("pk")
    # Asked whether one EXISTS, PostgreSQL may read all papers there are.
    return papers.alias(namesake=Subquery(namesakes[:1])).filter(namesake__isnull=False)


def alike(papers: QuerySet, titles: Iterable[str]) -> QuerySet:
    """Return those of the papers whose titles are among these, or begin like them for long."""
    begun = papers.alias(beginning=Beginning("title"))
    return begun.filter(beginning__in=[Beginning(Value(title)) for title in titles])
