"""Subscribers ask why a paper is, or is not, in their digest."""

import pytest
from django.urls import reverse

from digest.indexing import candidate_windows, model_store
from digest.models import Pick
from digest.personalization import feedback
from digest.planning import plan
from subscriptions.models import Letter, Subscriber
from tests.factories import make
from tests.factories.explanations import (
    ABSTRACT,
    answer,
    ask,
    background_papers,
    plan_and_send,
    token_of,
)
from tests.factories.make import DAY, NOW, TODAY
from tests.factories.planning import TOOK_OFF, crowd, older
from tests.helpers.tables import everything

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def others():
    """Papers about something else, so that the words of the tests weigh something."""
    background_papers()


@pytest.fixture
def alike():
    """Two papers on one idea, the better one first, and first of all papers."""
    return [
        make.paper("Contrastive graph networks of molecules", ABSTRACT, upvotes=9, id="2606.00000"),
        make.paper("Contrastive graph networks for molecules", ABSTRACT.replace("eleven", "nine")),
    ]


def subscriber(**fields):
    return make.subscriber(**{"interests": "graph networks"} | fields)


def explained(client, paper, **fields):
    """Fit the model. Return the explanation of a paper for a new subscriber."""
    someone = subscriber(**fields)
    model_store.fit(NOW)
    return answer(client, someone, paper)


# ---- The form


def test_unknown_paper_stays_in_field_and_links_to_search(client):
    explanation = answer(client, subscriber(), "2506.99999v2")
    assert explanation.startswith("No paper matches 2506.99999v2 .")
    page = ask(client, subscriber(), "soups & stews").text
    assert '<a href="/search/?q=soups%20%26%20stews">Search all papers</a>' in page
    assert 'name="paper" value="soups &amp; stews"' in page
    assert 'name="paper" value=""' in ask(client, subscriber(), make.paper().pk).text


# ---- Papers of the next digest


def test_second_chance_and_paper_it_displaces_are_explained(client):
    crowd()
    second = older("Graph networks of roads", TOOK_OFF)
    first, last = make.paper("Graph networks"), make.paper("Graph networks of cars")
    explanation = explained(client, second, size=2)
    assert explanation.startswith("Due in your next digest. It became popular")
    assert answer(client, Subscriber.objects.get(), last).startswith("Other papers rank higher.")
    plan.plan(NOW)
    assert {pick.paper for pick in Pick.objects.all()} == {first, second}


# ---- Papers that were in a digest


def test_sent_paper_is_explained_with_day_and_reason(client):
    paper = make.paper("Graph networks of roads")
    someone = subscriber()
    plan_and_send()
    for query in (paper.pk, f"https://arxiv.org/abs/{paper.pk}v2", "graph networks of roads"):
        explanation = answer(client, someone, query)
        assert explanation.startswith("You received it on 1 June 2026 (#1): graph networks .")
        assert "Papers are never sent twice." in explanation
    Subscriber.objects.update(unsubscribed_at=NOW, next_due_at=None)
    assert answer(client, someone, paper).startswith("You received it on")


def test_picked_paper_is_not_received_before_delivery(client):
    paper = make.paper("Graph networks of roads")
    someone = subscriber()
    plan.plan(NOW)
    explanation = "Picked. It’s in your digest of 1 June 2026, which is being sent."
    for state in Letter.OPEN:
        Letter.objects.update(state=state)
        assert answer(client, someone, paper).startswith(explanation)


def test_folded_paper_names_its_group_leader(client, alike):
    someone = subscriber()
    model_store.fit(NOW)
    leader, relative = alike
    assert candidate_windows.announced(model_store.in_use(), TODAY).papers.places[leader.pk] == 0
    assert answer(client, someone, leader).startswith("Due in your next digest")
    explanation = answer(client, someone, relative)
    assert explanation.startswith(f"Grouped with “{leader.title}”, which covers the same idea")
    plan_and_send()
    explanation = answer(client, someone, relative)
    assert explanation.startswith(f"You received it on 1 June 2026, grouped with “{leader.title}”")


# ---- Papers that stay out


def test_muted_paper_names_the_mute(client):
    paper = make.paper("Graph networks of molecules", categories=["q-bio.BM", "cs.LG"])
    model_store.fit(NOW)
    for muted in (make.topic("Chemistry", query="molecule"), make.topic("cs.lg")):
        someone = subscriber(muted=[make.topic("rice", slug=muted.slug[1:]), muted])
        assert answer(client, someone, paper).startswith(f"Muted. It matches “{muted.name}”")
    muted_at = reverse("preferences", args=[token_of(someone)]) + "#never"
    assert f'<a href="{muted_at}">' in ask(client, someone, paper.pk).text
    assert 'id="never"' in client.get(muted_at).text


def test_crowded_out_paper_shows_its_rank(client):
    for number in range(4):
        make.paper(f"Graph networks {number}")
    paper = make.paper("Graph networks of roads and lorries and towns and harbours and rivers")
    explanation = explained(client, paper, size=2)
    assert explanation.startswith("Other papers rank higher. It is #5 of 5 candidates.")
    assert "up to 2 papers" in explanation


OUTCOMES = [
    ("qqq\ngraph Networks", "Weak match. Your closest interest is “graph Networks”"),
    ("medieval monasteries", "Not a match."),
    ("the of", "Not a match."),
    ('"graphs of networks"', "The exact phrase is missing."),
]


@pytest.mark.parametrize(("interests", "outcome"), OUTCOMES)
def test_paper_that_stays_out_is_explained(client, interests, outcome):
    for number in range(3):
        make.paper(f"Graph networks {number}", "We study graph networks.")
    explanation = explained(client, make.paper("Harbour graphs"), interests=interests)
    assert explanation.startswith(outcome)
    assert ("It doesn’t mention Networks ." in explanation) == outcome.startswith("Weak")


def test_disliked_paper_is_explained(client):
    text = "Trout spawn in rivers of graph networks."
    old = make.paper("Trout", text, day=TODAY - 9 * DAY)
    paper, someone = make.paper("Trout again", text), subscriber()
    model_store.fit(NOW)
    feedback.record(someone, old, "less", NOW)
    feedback.learn(NOW)
    assert plan.preview(someone, TODAY, NOW)[1] == []
    assert answer(client, someone, paper).startswith("Lowered by your feedback.")


def test_old_paper_is_explained_with_its_day(client):
    explanation = explained(client, make.paper("Graph networks", day=TODAY - 8 * DAY))
    assert explanation.startswith("Not new. It was announced on 24 May 2026.")
    assert "the last 7 days" in explanation


# ---- The cost of a question


def test_explaining_writes_nothing(client, alike):
    old = make.paper("Graph networks of old", day=TODAY - 30 * DAY)
    someone = subscriber(muted=[make.topic("rice")])
    for is_ready in (False, True):
        before = everything()
        for one in (old.pk, alike[0].pk, alike[1].pk, "Cooking rice 1", "unknown", ""):
            assert ask(client, someone, one).status_code == 200
        assert everything() == before
        unready = "The ranking isn’t ready yet"
        assert answer(client, someone, alike[0]).startswith(unready) != is_ready
        model_store.fit(NOW)


def test_button_adds_similar_papers_as_interest(client):
    paper = make.paper("Rye bread", "Bread of rye is baked.")
    someone = subscriber()
    path = reverse("why", args=[token_of(someone)])
    for _ in range(2):
        page = client.post(path, {"paper": paper.pk}, follow=True)
        assert "Papers like this are one of your interests." in page.text
    assert "Add papers like this to my interests" not in page.text
    (added,) = someone.preferences.filter(topic__kind="paper")
    assert (added.topic.query, added.stance) == (paper.pk, "follow")
