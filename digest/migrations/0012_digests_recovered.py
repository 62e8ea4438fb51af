from django.db import migrations, models

from subscriptions.indexing import AddIndexBeside


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("digest", "0011_what_a_restored_backup_lacks"),
    ]

    operations = [
        AddIndexBeside(
            model_name="digest",
            index=models.Index(
                condition=models.Q(("recovered__isnull", False)),
                fields=["subscriber"],
                name="digests_recovered",
            ),
        ),
    ]
