from django.db import migrations, models
from django.db.models.functions import Lower

from subscriptions.db import AddIndexConcurrently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("digest", "0021_affiliations"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="paper",
            index=models.Index(Lower("doi"), condition=models.Q(doi__gt=""), name="papers_by_doi"),
        ),
    ]
