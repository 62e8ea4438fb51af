"""The tables as they are, to be compared before and after what must not change them."""

from django.apps import apps
from django.db import connection


def everything():
    """Return all rows of all tables."""
    return {
        model: list(model._base_manager.order_by("pk").values())
        for model in apps.get_models(include_auto_created=True)
    }


def uses_index(sql, name):
    """Return whether the database finds this paper, or papers, by an index."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        plan = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
        cursor.execute(f"{plan} {sql}")
        said = str(cursor.fetchall())
    return name in said and "SCAN digest_paper" not in said
