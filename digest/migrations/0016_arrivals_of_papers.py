from datetime import UTC, datetime, time, timedelta

from django.db import migrations
from django.utils import timezone

DAYS = 40  # Older papers are no candidates.


def note_arrivals(apps, schema_editor):
    """Let what is here have come in on its day: otherwise all of it would be new to everybody."""
    papers = apps.get_model("digest", "Paper").objects
    today = timezone.now().date()
    for ago in range(-2, DAYS):
        day = today - timedelta(days=ago)
        papers.filter(day=day).update(came_in_at=datetime.combine(day, time(), UTC))


class Migration(migrations.Migration):
    atomic = False  # Each day of papers is written by itself.

    dependencies = [
        ("digest", "0015_candidates"),
    ]

    operations = [
        migrations.RunPython(note_arrivals, migrations.RunPython.noop, elidable=True),
    ]
