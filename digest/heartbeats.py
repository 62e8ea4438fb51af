"""When something that should happen again and again last did, so that its silence is heard."""

from datetime import datetime, timedelta

from django.db.models import Q

from digest.models import Pulse

TICK = "tick"  # The minute's pass, by beat through a worker, or by cron.
INVARIANTS = "invariants"  # The check of the newest letters, by a worker.
OVERTAKEN = timedelta(hours=1)  # So late a pulse may be behind a later one; no task takes longer.


def beat(name: str, now: datetime) -> None:
    """Write down that it has just happened. A later moment that is there already stays, unless it
    is of a clock that had gone ahead: nothing would be heard of a silence until then.
    """
    is_wrong = Q(at__gt=now + OVERTAKEN)
    if Pulse.objects.filter(Q(at__lte=now) | is_wrong, pk=name).update(at=now):
        return
    Pulse.objects.get_or_create(name=name, defaults={"at": now})


def last(name: str) -> datetime | None:
    """Return when it last happened, None where it never did."""
    return Pulse.objects.filter(pk=name).values_list("at", flat=True).first()
