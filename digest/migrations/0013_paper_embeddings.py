import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("digest", "0012_digests_recovered"),
    ]

    operations = [
        migrations.CreateModel(
            name="PaperEmbedding",
            fields=[
                (
                    "paper",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.DB_CASCADE,
                        primary_key=True,
                        related_name="embedding",
                        serialize=False,
                        to="digest.paper",
                    ),
                ),
                ("model", models.CharField(help_text="The identity of the model.", max_length=16)),
                (
                    "changed_at",
                    models.DateTimeField(help_text="As the paper had it when it was read."),
                ),
                ("vector", models.BinaryField(help_text="Of unit length: float16, little endian.")),
            ],
        ),
    ]
