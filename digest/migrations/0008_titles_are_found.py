from django.db import migrations, models

from digest.models.title_lookup import Beginning
from subscriptions.db import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("digest", "0007_figures_may_be_viewed"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="paper",
            index=models.Index(Beginning("title"), name="papers_by_title"),
        ),
    ]
