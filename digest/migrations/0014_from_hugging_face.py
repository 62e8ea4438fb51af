from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("digest", "0013_paper_embeddings"),
    ]

    operations = [
        migrations.AddField(
            model_name="paper",
            name="hugging_face",
            field=models.JSONField(blank=True, null=True, verbose_name="from Hugging Face"),
        ),
    ]
