from django.db import migrations, models

from subscriptions.db import AddIndexConcurrently

#: A page is filled to this part, so that the steps of its letters find room on it.
FILLED = 40


def make_room(apps, schema_editor):
    """Leave room on the pages of letters, and don't compress bytes that are compressed."""
    if schema_editor.connection.vendor == "postgresql":
        letters, volleys = (
            schema_editor.quote_name(apps.get_model("subscriptions", name)._meta.db_table)
            for name in ("Letter", "Volley")
        )
        schema_editor.execute(f"ALTER TABLE {letters} SET (fillfactor = {FILLED})")
        schema_editor.execute(f"ALTER TABLE {volleys} ALTER COLUMN mime SET STORAGE EXTERNAL")


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("subscriptions", "0011_lists_of_the_panel"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="letter",
            index=models.Index(
                condition=models.Q(("reason", ""), _negated=True),
                fields=["id"],
                name="letters_with_reason",
            ),
        ),
        AddIndexConcurrently(
            model_name="letter",
            index=models.Index(
                condition=models.Q(("ended_at", None)),
                fields=["next_try_at", "id"],
                name="letters_under_way",
            ),
        ),
        AddIndexConcurrently(
            model_name="letter",
            index=models.Index(
                condition=models.Q(("day__isnull", True), ("ended_at", None)),
                fields=["next_try_at", "id"],
                name="letters_waited_for",
            ),
        ),
        migrations.RemoveIndex(model_name="letter", name="open_letters"),
        migrations.RemoveIndex(model_name="letter", name="letters_awaited"),
        migrations.RemoveIndex(model_name="letter", name="letters_unsent"),
        migrations.RunPython(make_room, migrations.RunPython.noop),
    ]
