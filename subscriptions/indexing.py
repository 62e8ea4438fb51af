"""An index on a table that grows, built while letters leave: for migrations of both rooms.

A migration that uses it has `atomic = False`.
"""

from django.db.migrations.operations import AddIndex


class AddIndexBeside(AddIndex):
    """Builds the index beside those who write, on PostgreSQL; on SQLite only one writes anyway.

    It may be run again: what is built stays, and what a build left that was given up is built anew.
    """

    atomic = False

    def describe(self):
        return f"{super().describe()}, beside those who write"

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor != "postgresql":
            return super().database_forwards(app_label, schema_editor, from_state, to_state)
        model = to_state.apps.get_model(app_label, self.model_name)
        if self._is_valid(schema_editor) is False:
            schema_editor.remove_index(model, self.index, concurrently=True)
        if self._is_valid(schema_editor) is None:
            schema_editor.add_index(model, self.index, concurrently=True)

    def database_backwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor != "postgresql":
            return super().database_backwards(app_label, schema_editor, from_state, to_state)
        model = from_state.apps.get_model(app_label, self.model_name)
        schema_editor.remove_index(model, self.index, concurrently=True)

    def _is_valid(self, schema_editor):
        """Return whether the index is there and whole; None where there is none."""
        with schema_editor.connection.cursor() as cursor:
            sql = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
            cursor.execute(sql, [schema_editor.quote_name(self.index.name)])
            row = cursor.fetchone()
        return row and row[0]
