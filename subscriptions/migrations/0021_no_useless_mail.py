from django.db import migrations


class Migration(migrations.Migration):
    """The table stays, because the version before this one writes to it."""

    dependencies = [("subscriptions", "0020_category_help")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[migrations.DeleteModel("UselessMail")],
        ),
    ]
