"""How the service is: what keeps it from working, in sentences that say what to do."""

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor
from django.db.utils import Error as DatabaseError


def reasons_not_ready() -> list[str]:
    """Return what keeps this process from serving readers; nothing where all is well."""
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        return [f"The database does not answer ({type(error).__name__})."]
    if waiting:
        return [f"{len(waiting)} migrations wait: run `manage.py migrate`."]
    return []
