from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("digest", "0010_library_upload"),
    ]

    operations = [
        migrations.AddField(
            model_name="digest",
            name="recovered",
            field=models.JSONField(
                blank=True,
                help_text="After a restored backup, which papers it had besides its picks: "
                "`papers`, the ids of those that were not here, or `until`, the last day of those "
                "that it may have had.",
                null=True,
            ),
        ),
    ]
