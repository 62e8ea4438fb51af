"""What is done by the clock: old rows are thrown away."""

from django.conf import settings

from digest.models import Harvest, Observation, Response
from subscriptions import limits, seals
from subscriptions.post import retention


def purge(now) -> None:
    """Throw away what is older than the operator keeps it: what sources said, what the post
    office wrote down, who knocked too often."""
    Observation.objects.filter(day__lt=(now - settings.KEEP_OBSERVATIONS).date()).delete()
    Harvest.objects.filter(touched_at__lt=now - settings.KEEP_HARVESTS).delete()
    Response.objects.filter(fetched_at__lt=now - settings.KEEP_RESPONSES).delete()
    retention.purge(now)
    limits.purge(now)
    seals.purge(now)
