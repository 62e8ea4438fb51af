"""What is done by the clock: alarms are sounded, promises watched, and old rows thrown away."""

import logging
from datetime import timedelta

import httpx
from django.conf import settings
from django.core.cache import cache

from digest import coverage, promises
from digest.models import Harvest, Observation, Response
from subscriptions import limits
from subscriptions.post import retention

logger = logging.getLogger(__name__)

ALARM_AGAIN = timedelta(hours=1)  # A promise that stays broken is told of so often.


def sound_alarms(now) -> list[str]:
    """Log what should have come in and did not, and tell the webhook where there is one."""
    alarms = coverage.alarms(now)
    for alarm in alarms:
        logger.error("%s", alarm)
    _tell(alarms)
    return alarms


def watch_promises(now) -> list[str]:
    """Log which promises the last days' letters break, and tell the webhook. Return the alarms.

    Each is told once in ALARM_AGAIN by those who share a cache.
    """
    alarms = []
    for finding in promises.examine(now, since=now - promises.RECENT):
        again = int(ALARM_AGAIN.total_seconds())
        if finding.count and cache.add(f"broken-promise-{finding.promise.name}", 1, timeout=again):
            alarms.append(
                f"A promise is broken ({finding.promise.name}): {finding.promise.sentence}: "
                f"{finding.said}."
            )
    for alarm in alarms:
        logger.error("%s", alarm)
    _tell(alarms)
    return alarms


def _tell(alarms):
    """Tell the webhook, where there is one."""
    if not alarms or not settings.ALARM_WEBHOOK:
        return
    text = f"{settings.SITE_NAME}: {' '.join(alarms)}"
    try:
        httpx.post(settings.ALARM_WEBHOOK, json={"text": text}, timeout=10).raise_for_status()
    except httpx.HTTPError as error:
        logger.error("The alarm's webhook does not take it: %s", type(error).__name__)


def purge(now) -> None:
    """Throw away what is older than the operator keeps it: what sources said, what the post
    office wrote down, who knocked too often."""
    Observation.objects.filter(day__lt=(now - settings.KEEP_OBSERVATIONS).date()).delete()
    Harvest.objects.filter(touched_at__lt=now - settings.KEEP_HARVESTS).delete()
    Response.objects.filter(fetched_at__lt=now - settings.KEEP_RESPONSES).delete()
    retention.purge(now)
    limits.purge(now)
