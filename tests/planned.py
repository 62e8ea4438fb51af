"""Papers to plan with, and what was planned."""

from datetime import timedelta

from digest import planning
from digest.models import Digest
from subscriptions.post import delivery
from tests import make
from tests.make import NOW

TODAY = NOW.date()
DAY = timedelta(days=1)


def papers_about(subject, count, **fields):
    """Make papers about a subject among others that are not."""
    for number in range(count):
        make.paper(
            f"{subject} number {number}", f"We study {subject} on benchmark {number}.", **fields
        )
        make.paper(f"Cooking rice {number}", f"Rice and water in pot {number}.", **fields)


def plan_and_send(now):
    planning.plan(now)
    delivery.deliver_due(lambda: now)


def digests():
    return list(Digest.objects.order_by("pk").select_related("letter"))


def titles(digest):
    return [pick.paper.title for pick in digest.picks.select_related("paper")]
