from django.db import migrations, models

from subscriptions.db import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("digest", "0011_what_a_restored_backup_lacks"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="digest",
            index=models.Index(
                condition=models.Q(("recovered__isnull", False)),
                fields=["subscriber"],
                name="digests_recovered",
            ),
        ),
    ]
