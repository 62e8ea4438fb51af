"""When something that should happen again and again last did, so that its silence is heard."""

from datetime import datetime

from digest.models import Pulse

TICK = "tick"  # The minute's pass, by beat through a worker, or by cron.


def beat(name: str, now: datetime) -> None:
    """Write down that it has just happened. A later moment that is there already stays."""
    if Pulse.objects.filter(pk=name, at__lte=now).update(at=now):
        return
    Pulse.objects.get_or_create(name=name, defaults={"at": now})


def last(name: str) -> datetime | None:
    """Return when it last happened, None where it never did."""
    return Pulse.objects.filter(pk=name).values_list("at", flat=True).first()
