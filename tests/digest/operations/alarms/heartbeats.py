"""Looks for what is wrong, and ticks that were so long ago."""

from collections import namedtuple
from datetime import timedelta

from digest.models import Harvest
from digest.operations import heartbeats
from tests.factories.make import NOW

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
Usage = namedtuple("Usage", "total used free")


def beaten(ago):
    """Let the last tick be so long ago."""
    heartbeats.beat(heartbeats.TICK, NOW - ago)


def ran(state, ago, source="huggingface"):
    moment = NOW - ago
    Harvest.objects.create(
        source=source, state=state, today=moment.date(), started_at=moment, touched_at=moment
    )
