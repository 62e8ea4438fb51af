import django.db.models.deletion
from django.db import migrations, models

from subscriptions.db import AddIndexConcurrently

#: Each is the beginning of a unique constraint's index, or asked by nobody, or follows as partial.
NEEDLESS = (
    "digest_digest_subscriber_id_4b589b07",
    "digest_pick_subscriber_id_950fbaa0",
    "digest_pick_digest_id_05ed6d72",
    "digest_pick_leader_id_837b9610",
    "digest_pick_paper_id_ec391b08_like",  # PostgreSQL's, for LIKE.
)


def unindexed(model, name, to, related_name, **options):
    """Return what tells Django of a foreign key that has no index of its own."""
    field = models.ForeignKey(
        to,
        db_index=False,
        on_delete=django.db.models.deletion.CASCADE,
        related_name=related_name,
        **options,
    )
    return migrations.AlterField(model, name, field)


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("digest", "0016_arrivals_of_papers"),
        ("subscriptions", "0017_near_misses"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="pick",
            index=models.Index(
                fields=["leader"],
                condition=models.Q(("leader__isnull", False)),
                name="picks_folded",
            ),
        ),
        # In a transaction of its own: it locks the table for an instant.
        *(migrations.RunSQL(f"DROP INDEX IF EXISTS {name}", "") for name in NEEDLESS),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                unindexed("digest", "subscriber", "subscriptions.subscriber", "digests"),
                unindexed("pick", "subscriber", "subscriptions.subscriber", "picks"),
                unindexed("pick", "digest", "digest.digest", "picks"),
                unindexed("pick", "leader", "digest.pick", "relatives", null=True, blank=True),
            ],
        ),
    ]
