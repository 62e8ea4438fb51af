"""Papers to plan with, and what was planned."""

from digest.models import Digest, Observation
from digest.planning import plan
from digest.planning.due import due_of
from subscriptions.delivery import worker
from tests.factories import make
from tests.factories.make import DAY, NOW, TODAY
from tests.factories.simulation import at


def papers_about(subject, count, **fields):
    """Make papers about a subject among others that are not."""
    for number in range(count):
        abstract = f"We study {subject} on benchmark {number}."
        make.paper(f"{subject} number {number}", abstract, **fields)
        make.paper(f"Cooking rice {number}", f"Rice and water in pot {number}.", **fields)


def observed(paper, votes):
    """Note how many upvotes a paper had, by days from today."""
    Observation.objects.bulk_create(
        Observation(paper=paper, source="huggingface", day=TODAY + days * DAY, upvotes=count)
        for days, count in votes.items()
    )


def older(title, votes, age=20, **fields):
    """Make a paper of so many days ago, with its upvotes by days from today."""
    fields = {"day": TODAY - age * DAY, "upvotes": max(votes.values(), default=None)} | fields
    fields.setdefault("came_in_at", NOW - age * DAY)
    paper = make.paper(title, **fields)
    observed(paper, votes)
    return paper


#: So many upvotes on days before today: it took off.
TOOK_OFF = {-9: 5, -1: 300}


def crowd():
    """Papers as old as those of the tests, which gained some upvotes lately, as papers do."""
    for number in range(8):
        votes = {-8: 1, -1: 11 + number % 3, 6: 25 + number % 3, 13: 60 + number % 3}
        older(f"Cooking rice {number}", votes, age=9 + number % 3)


def past_digest(subscriber, day, state="accepted", reason="", **fields):
    """Write down that the subscriber's digest of a day was sent at 7, or how else it ended."""
    moments = dict.fromkeys(("created_at", "ended_at", "left_at"), at(day, 7))
    ended = {"state": state, "reason": reason, "closes_at": at(day, 7) + DAY} | moments
    letter = subscriber.letters.create(kind="digest", day=day, **ended)
    return Digest.objects.create(subscriber=subscriber, day=day, letter=letter, **fields)


def plan_and_send(now):
    plan.plan(now)
    worker.deliver_due(lambda: now)


def ranked(*subscribers, now=NOW):
    """Return what is due to these subscribers, ranked and not written."""
    dues = [due_of(one, now) for one in subscribers]
    plan.rank_due(dues, now)
    return dues


def digests():
    return list(Digest.objects.order_by("pk").select_related("letter"))


def titles(digest):
    return [pick.paper.title for pick in digest.picks.select_related("paper")]
