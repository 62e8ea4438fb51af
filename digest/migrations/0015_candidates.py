from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # Each day of papers is written by itself.

    dependencies = [
        ("digest", "0014_from_hugging_face"),
    ]

    operations = [
        migrations.AddField(
            model_name="paper",
            name="came_in_at",
            field=models.DateTimeField(
                null=True,
                blank=True,
                help_text="When planning first saw it. Until then it is new to all.",
            ),
        ),
        migrations.AddField(
            model_name="pick",
            name="group",
            field=models.CharField(
                max_length=6,
                choices=[
                    ("new", "new"),
                    ("missed", "you may have missed"),
                    ("near", "close to your interests"),
                ],
                blank=True,
                db_default="",
                help_text="New where none is given.",
            ),
        ),
    ]
