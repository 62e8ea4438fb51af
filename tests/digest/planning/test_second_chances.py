"""Papers that took off after they were new come once more, to who would have wanted them."""

import lxml.html
import pytest

from digest.indexing import candidate_windows
from digest.models import Digest, Observation, Paper, Pick
from digest.planning import plan as planning
from digest.wording import reason_of
from subscriptions.delivery import worker
from tests.factories import make
from tests.factories.make import DAY, NOW, TODAY
from tests.factories.planning import (
    TOOK_OFF,
    crowd,
    observed,
    older,
    past_digest,
)
from tests.helpers.data_files import cases
from tests.helpers.invariants import broken

pytestmark = pytest.mark.django_db


crowd = pytest.fixture(autouse=True)(crowd)


AUTHOR = "author: Emmy Noether"  # One paper a day: without a new one, no digest is sent.


def subscriber(**fields):
    return make.subscriber(interests=f"graph networks\n{AUTHOR}", **fields)


def plan(days=0):
    """Plan and send the digests of so many days after today."""
    make.paper(f"Notes of day {days}", authors=["Emmy Noether"], day=TODAY + days * DAY)
    plan = planning.plan(NOW + days * DAY)
    worker.deliver_due(lambda: NOW + days * DAY)
    return plan


def digest_of(subscriber, days=0):
    """Return the titles of a digest and what it says of each."""
    digest = Digest.objects.get(subscriber=subscriber, day=TODAY + days * DAY)
    picks = [(pick.paper.title, reason_of(pick)) for pick in digest.picks.with_papers()]
    return [pick for pick in picks if not pick[0].startswith("Notes")]


def bases_of(subscriber):
    """Return why each paper but the notes would come today."""
    candidate_windows._windows.clear()
    _, picks = planning.preview(subscriber, TODAY, NOW)
    return [pick.basis for pick in picks if pick.paper.title != "Notes"]


SECOND = ("Graph networks of roads", "Taken off since: 300 upvotes (graph networks)")


def test_paper_that_took_off_comes_last_with_reason(outbox):
    older("Graph networks of roads", TOOK_OFF)
    make.paper("Graph networks of cars")
    someone = subscriber()
    plan()
    assert digest_of(someone) == [("Graph networks of cars", "graph networks"), SECOND]
    pick = Pick.objects.get(basis="second")
    assert (pick.group, pick.topic_name, pick.leader) == ("missed", "graph networks", None)
    for kind in ("plain", "html"):
        text = lxml.html.fromstring(outbox()[0].get_body([kind]).get_content()).text_content()
        before, _, after = " ".join(text.split()).rpartition("You may have missed")
        assert ("Graph networks of cars" in before, SECOND[1] in after) == (True, True)
    assert broken(NOW) == {}


TAKEN_OFF = "Taken off since: 300 upvotes"
REASONS = [("cs.lg", [f"{TAKEN_OFF} (cs.lg)"]), ("", [TAKEN_OFF]), ("medieval monasteries", [])]


@pytest.mark.parametrize(("interests", "why"), REASONS)
def test_second_chance_needs_matching_category_or_no_topics(interests, why):
    older("Bread", TOOK_OFF, categories=["cs.LG"])
    someone = make.subscriber(interests=interests and f"{interests}\n{AUTHOR}")
    plan()
    assert [why for title, why in digest_of(someone) if title == "Bread"] == why


def test_sent_paper_gets_no_second_chance():
    paper, someone = older("Graph networks of roads", TOOK_OFF), subscriber()
    make.paper("Notes", authors=["Emmy Noether"])
    assert bases_of(someone) == ["second"]
    digest = past_digest(someone, TODAY - 19 * DAY)
    digest.picks.create(subscriber=someone, paper=paper, position=1, score=1, basis="topic")
    assert bases_of(someone) == []


def test_muted_paper_gets_no_second_chance():
    older("Graph networks of roads", TOOK_OFF, categories=["cs.LG"])
    make.paper("Notes", authors=["Emmy Noether"])
    assert bases_of(subscriber()) == ["second"]
    for muted in ("roads", "graph networks", "cs.LG"):
        assert bases_of(subscriber(muted=[make.topic(muted)])) == []


def test_second_chances_are_limited_to_one_a_week():
    older("Graph networks of roads", {-9: 5, -1: 300})
    older("Graph networks of cars", {-9: 5, -1: 250, 6: 900, 13: 3000})
    someone = subscriber()
    for day in (0, 1, 6, 7, 8):
        plan(day)
    came = {day: digest_of(someone, day) for day in (0, 1, 6, 7, 8) if digest_of(someone, day)}
    assert list(came) == [0, 7]
    assert came[0] == [SECOND]
    assert [title for title, _ in came[7]] == ["Graph networks of cars"]


def test_paper_that_did_not_take_off_is_omitted():
    paper, someone = older("Graph networks of roads", {}), subscriber()
    make.paper("Notes", authors=["Emmy Noether"])
    for name, votes in cases("second_chances").items():
        paper.observations.all().delete()
        observed(paper, {int(days): upvotes for days, upvotes in votes.items()})
        assert bases_of(someone) == [], name
    Observation.objects.filter(day=TODAY - DAY).update(upvotes=2)
    for votes, comes in ((10, False), (11, True)):  # Few are nothing even beside fewer.
        paper.observations.all().delete()
        observed(paper, {-9: 1, -1: votes})
        assert bases_of(someone) == ["second"] * comes, votes


def test_second_chance_has_an_age_window():
    paper, someone = older("Graph networks of roads", TOOK_OFF), subscriber()
    make.paper("Notes", authors=["Emmy Noether"])
    for age, bases in ((7, ["topic"]), (8, ["second"]), (60, ["second"]), (61, [])):
        day, came_in_at = TODAY - age * DAY, NOW - age * DAY
        Paper.objects.filter(pk=paper.pk).update(day=day, came_in_at=came_in_at)
        assert bases_of(someone) == bases, age


def test_second_chance_waits_for_new_papers():
    someone = subscriber()
    older("Graph networks of roads", TOOK_OFF)
    past_digest(someone, TODAY - DAY)
    planning.plan(NOW)
    assert someone.letters.get(day=TODAY).reason == "nothing to say"
