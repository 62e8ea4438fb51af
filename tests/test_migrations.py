"""A migration runs while the old version still serves: it may add, and neither break nor block it.

What the old version doesn't know it leaves out when it writes a row, so a new column is nullable
or has a default in the database (`db_default`). What it knows must still be there. And what reads
or rewrites a whole table under a lock keeps subscribers and letters waiting all the while.

Taking something away needs two versions: the first no longer uses it, the second drops it.
"""

from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

#: The migrations of 0.1.0, from which installations upgrade.
INSTALLED = {"digest": "0001_initial", "subscriptions": "0001_initial"}

#: Later migrations that break a rule, and why they may.
EXEMPT: dict[tuple[str, str], str] = {}

#: What a field may change without the database noticing, or with no work for it. (A column that
#: changes its name is found by `columns`.)
WORDS = {
    *("auto_created", "blank", "choices", "db_column", "default", "editable", "error_messages"),
    "help_text",
    *("limit_choices_to", "related_name", "validators", "verbose_name"),
}

RENAMING = (
    *(migrations.AlterField, migrations.RenameField),
    *(migrations.RenameModel, migrations.AlterModelTable),
)
FAULTS = {
    **dict.fromkeys(RENAMING),
    **dict.fromkeys(
        [migrations.RemoveField, migrations.DeleteModel],
        "the old version still reads it: drop it a version later",
    ),
    migrations.AddConstraint: "all wait until each row was read: see CONTRIBUTING.md",
    **dict.fromkeys(
        [migrations.RunPython, migrations.RunSQL],
        "it may hold locks for long: say in EXEMPT why it doesn't",
    ),
    **dict.fromkeys([migrations.AddIndex, migrations.RemoveIndex]),
    **dict.fromkeys([migrations.RemoveConstraint, migrations.AlterModelOptions]),
    migrations.AlterConstraint: None,  # It changes nothing in the database.
}


def faults_in(app: str, operations, before: ProjectState) -> list[str]:
    """Return what is wrong with a migration that finds these tables.

    On a table that it makes itself, it may do what it likes.
    """
    found, made = [], set()
    for operation in operations:
        table = getattr(operation, "model_name", getattr(operation, "name", "")).lower()
        if isinstance(operation, migrations.CreateModel):
            made.add(table)
        elif table not in made and (fault := _fault_of(operation, app, table, before)):
            found.append(f"{operation.describe()}: {fault}")
        columns_before = columns(before) if isinstance(operation, RENAMING) else None
        operation.state_forwards(app, before)
        if columns_before is not None and columns(before) != columns_before:
            found.append(f"{operation.describe()}: the old version knows the old name")
    return found


def columns(state: ProjectState) -> dict[str, set[str]]:
    """Return the columns of each table."""
    models = state.clone().apps.get_models()
    return {one._meta.db_table: {f.column for f in one._meta.local_fields} for one in models}


def _fault_of(operation, app, table, before):
    if isinstance(operation, migrations.AddField):
        return _of_new(operation.field)
    if isinstance(operation, migrations.AlterField):
        return _of_changed(before.models[app, table].fields[operation.name], operation.field)
    if isinstance(operation, migrations.SeparateDatabaseAndState):
        return "look at each operation" if operation.database_operations else None
    return FAULTS.get(type(operation), "nobody has said here that this is safe")


def _of_new(field):
    if field.many_to_many or field.null or field.has_db_default():
        return None
    return "the old version leaves it out of new rows: give it null=True or a db_default"


def _of_changed(old, new):
    (_, _, _, was), (_, _, _, is_now) = old.deconstruct(), new.deconstruct()
    changed = {name for name in was | is_now if was.get(name) != is_now.get(name)} - WORDS
    if new.null or not old.null:
        changed.discard("null")
    if new.has_db_default():
        changed.discard("db_default")
    if isinstance(new, models.CharField) and (old.max_length or 0) <= (new.max_length or 0):
        changed.discard("max_length")
    if type(old) is not type(new):
        changed.add("its type")
    names = ", ".join(sorted(changed))
    return f"{names} changes, so all rows are read or rewritten" if changed else None


def later(loader):
    """Return the names of our migrations that came after the first installations."""
    return sorted(key for key in loader.disk_migrations if key[1] > INSTALLED.get(key[0], "9"))


def test_migration_keeps_the_previous_version_running():
    loader = MigrationLoader(None)
    for app, name in later(loader):
        before = loader.project_state((app, name), at_end=False)
        faults = faults_in(app, loader.disk_migrations[app, name].operations, before)
        assert bool(faults) == ((app, name) in EXEMPT), (app, name, faults)
