"""Rows as their reader takes them with her: whole, but for the numbers that link tables."""

from django.db.models import QuerySet


def rows(queryset: QuerySet, *more: str, without: tuple[str, ...] = (), **named) -> list[dict]:
    """Return all that is kept in these rows, in their order of writing, ready for JSON.

    What belongs to another row is left to `more` and `named`, as for QuerySet.values.
    """
    own = [
        field.name
        for field in queryset.model._meta.concrete_fields
        if not field.is_relation and not field.primary_key and field.name not in without
    ]
    return list(queryset.order_by("pk").values(*own, *more, **named))
