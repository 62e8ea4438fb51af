"""What is done by the hour: alarms are sounded, and old rows thrown away."""

import logging

import httpx
from django.conf import settings

from digest import coverage
from digest.models import Harvest, Observation, Response

logger = logging.getLogger(__name__)


def sound_alarms(now) -> list[str]:
    """Log what should have come in and did not, and tell the webhook where there is one."""
    alarms = coverage.alarms(now)
    for alarm in alarms:
        logger.error("%s", alarm)
    if alarms and settings.ALARM_WEBHOOK:
        text = f"{settings.SITE_NAME}: {' '.join(alarms)}"
        try:
            httpx.post(settings.ALARM_WEBHOOK, json={"text": text}, timeout=10).raise_for_status()
        except httpx.HTTPError as error:
            logger.error("The alarm's webhook does not take it: %s", type(error).__name__)
    return alarms


def purge(now) -> None:
    """Throw away observations, runs and answers that are older than the operator keeps them."""
    Observation.objects.filter(day__lt=(now - settings.KEEP_OBSERVATIONS).date()).delete()
    Harvest.objects.filter(touched_at__lt=now - settings.KEEP_HARVESTS).delete()
    Response.objects.filter(fetched_at__lt=now - settings.KEEP_RESPONSES).delete()
