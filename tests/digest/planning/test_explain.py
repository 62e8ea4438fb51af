"""Readers ask of one paper why it is, or isn't, in their digest."""

import re
from datetime import timedelta

import pytest
from django.template.loader import render_to_string
from django.urls import reverse

from digest.indexing import candidates, index_store, model_store
from digest.models import Digest, FittedModel, Paper, Pick
from digest.personalization import feedback
from digest.planning import explain, plan
from subscriptions.models import Letter, Subscriber
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.explanations import ABSTRACT, answer, ask, kitchen, plan_and_send, token_of
from tests.factories.make import NOW
from tests.helpers.tables import everything

pytestmark = pytest.mark.django_db

DAY, TODAY = timedelta(days=1), NOW.date()


# ---- The answers


@pytest.mark.parametrize(("asked", "kept"), [("2606.04235", ""), ("2606.99999", "2606.99999")])
def test_what_was_asked_stays_in_the_field_only_where_it_has_to_be_corrected(client, asked, kept):
    make.paper(id="2606.04235")
    answer = client.get(reverse("why", args=[token_of(make.subscriber())]), {"paper": asked})
    assert f'name="paper" value="{kept}"' in answer.content.decode()


def test_the_page_without_a_question_asks_for_one(client):
    response = client.get(reverse("why", args=[token_of(make.subscriber())]))
    assert response.status_code == 200
    assert 'name="paper" value=""' in response.content.decode()
    assert 'role="status"' not in response.content.decode()
    assert "no-store" in response["Cache-Control"]


def test_a_chosen_paper_will_be_there_and_then_is(client):
    kitchen()
    paper = make.paper("Graph networks of roads")
    make.paper("Graph networks of cars and of roads and of towns and of lorries")
    someone = make.subscriber(interests="graph networks")
    model_store.fit(NOW)
    said = answer(client, someone, paper)
    assert said.startswith(
        "It will be there: place 1 of 2 that you could get now, with a score of "
    )
    assert "for your topic “graph networks”" in said
    plan.plan(NOW)
    assert paper in [pick.paper for pick in Pick.objects.all()]


def test_a_paper_that_she_had_is_told_with_its_day_place_and_reason(client):
    kitchen()
    paper = make.paper("Graph networks of roads")
    someone = make.subscriber(interests="graph networks")
    plan_and_send()
    for asked in (paper.pk, f"https://arxiv.org/abs/{paper.pk}v2", "graph networks of roads"):
        said = answer(client, someone, asked)
        assert said.startswith("You had it on 1 June 2026, in place 1 with a score of 0.")
        assert ": graph networks ." in said
        assert said.endswith("No paper comes twice.")


def test_a_paper_whose_letter_is_on_its_way_is_not_said_to_be_had(client):
    kitchen()
    paper = make.paper("Graph networks of roads")
    someone = make.subscriber(interests="graph networks")
    plan.plan(NOW)
    said = "It is in your digest of 1 June 2026, which is still on its way to you."
    for state in Letter.OPEN:
        Letter.objects.update(state=state)
        assert answer(client, someone, paper) == said


@pytest.fixture
def alike():
    """Two papers on one idea, the better one first."""
    kitchen()
    return [
        make.paper("Contrastive graph networks of molecules", ABSTRACT, upvotes=9),
        make.paper("Contrastive graph networks for molecules", ABSTRACT.replace("eleven", "nine")),
    ]


def test_a_paper_that_would_be_folded_names_the_one_that_stands_for_it(client, alike):
    someone = make.subscriber(interests="graph networks")
    model_store.fit(NOW)
    leader, relative = alike
    assert answer(client, someone, leader).startswith("It will be there: place 1 of 2")
    said = answer(client, someone, relative)
    assert said.startswith(f"It is folded into “{leader.title}”, which is on the same idea")


def test_the_first_paper_of_all_stands_for_others_as_well(client):
    leader = make.paper("Contrastive graph networks of molecules", ABSTRACT, upvotes=9)
    relative = make.paper(
        "Contrastive graph networks for molecules", ABSTRACT.replace("eleven", "nine")
    )
    kitchen()
    someone = make.subscriber(interests="graph networks")
    model_store.fit(NOW)
    assert candidates.announced(model_store.in_use(), TODAY).places[leader.pk] == 0
    said = answer(client, someone, relative)
    assert said.startswith(f"It is folded into “{leader.title}”, which is on the same idea")


def test_a_paper_that_was_folded_was_had(client, alike):
    someone = make.subscriber(interests="graph networks")
    plan_and_send()
    leader, relative = alike
    said = answer(client, someone, relative)
    assert said.startswith(f"You had it on 1 June 2026, folded into “{leader.title}”")


def test_a_muted_paper_names_what_mutes_it(client):
    kitchen()
    paper = make.paper("Graph networks of molecules", categories=["q-bio.BM", "cs.LG"])
    model_store.fit(NOW)
    topic = make.topic("Chemistry", query="molecule")
    someone = make.subscriber(interests="graph networks", muted=[topic])
    assert answer(client, someone, paper).startswith("You muted it: it matches “Chemistry”")
    category = make.topic("cs.lg", query="cs.lg")
    someone = make.subscriber(interests="graph networks", muted=[category])
    assert answer(client, someone, paper).startswith("You muted it: it matches “cs.lg”")
    muted_at = reverse("preferences", args=[token_of(someone)]) + "#never"
    assert f'<a href="{muted_at}">' in ask(client, someone, paper.pk).content.decode()
    assert 'id="never"' in client.get(muted_at).content.decode()


def test_a_paper_that_is_crowded_out_says_its_place(client):
    kitchen()
    for number in range(4):
        make.paper(f"Graph networks {number}")
    paper = make.paper("Graph networks of roads and lorries and towns and harbours and rivers")
    someone = make.subscriber(interests="graph networks", size=2)
    model_store.fit(NOW)
    said = answer(client, someone, paper)
    assert said.startswith("Others come first. It has place 5 of 5 that you could get now")
    assert "your digest holds 2" in said


def test_a_paper_that_is_too_weak_is_below_the_cut_and_says_what_it_lacks(client):
    kitchen()
    for number in range(40):
        make.paper(f"Graph networks {number}", "We study graph networks.")
    paper = make.paper("Harbours of the north", "A graph is used in the harbours.")
    someone = make.subscriber(interests="graph networks")
    model_store.fit(NOW)
    said = answer(client, someone, paper)
    assert said.startswith(
        "It is close, but not close enough. It is nearest to “graph networks”, with"
    )
    score, cut = map(float, re.findall(r"\d\.\d\d", said))
    assert score < cut
    assert said.endswith("It says nothing of networks .")


@pytest.mark.parametrize("interests", ["medieval monasteries", "hep-th", "the of"])
def test_a_paper_that_has_nothing_of_her_topics_is_told_so(client, interests):
    kitchen()
    paper = make.paper("Graph networks of roads", categories=["cs.LG"])
    someone = make.subscriber(interests=interests)
    model_store.fit(NOW)
    assert answer(client, someone, paper).startswith("It has nothing of your topics")


def test_who_follows_nothing_is_told_where_a_paper_trends(client):
    kitchen(3, upvotes=1)
    hot = make.paper("Graph networks of roads", upvotes=90)
    cold = make.paper("Graph networks of cars")
    someone = make.subscriber(size=2)
    model_store.fit(NOW)
    assert answer(client, someone, hot).startswith("It will be there: place 1 of 4")
    assert answer(client, someone, cold).startswith("It has nothing of your topics")


def test_a_paper_that_is_not_new_is_told_with_its_day(client):
    kitchen()
    paper = make.paper("Graph networks", day=TODAY - 8 * DAY)
    someone = make.subscriber(interests="graph networks")
    model_store.fit(NOW)
    said = answer(client, someone, paper)
    assert said.startswith("It isn’t new. It was announced on 24 May 2026, and a digest holds")
    assert "the last 7 days" in said


def test_without_a_model_the_ranking_is_not_ready_and_none_is_made(client):
    paper = make.paper("Graph networks")
    someone = make.subscriber(interests="graph networks")
    assert answer(client, someone, paper).startswith("The ranking isn’t ready yet")
    assert not FittedModel.objects.exists()


def test_asking_reads_no_texts_where_there_is_an_archive(client, monkeypatch):
    kitchen()
    paper = make.paper("Graph networks")
    index_store.renew(NOW)
    read, stems_of = [], candidates.stems_of
    monkeypatch.setattr(candidates, "stems_of", lambda text: read.append(text) or stems_of(text))
    someone = make.subscriber(interests="graph networks")
    for days in (1, 12):
        new = NOW - days * DAY
        monkeypatch.setattr(plan, "new_to", lambda *_, new=new: (TODAY, new, None))
        assert answer(client, someone, paper).startswith("It will be there: place 1 of 1")
    assert read == []


def test_a_paper_that_the_index_does_not_have_yet_is_judged_by_its_text(client):
    kitchen()
    index_store.renew(NOW)
    paper = make.paper("Graph networks")
    old = Paper.objects.filter(pk=Paper.objects.get(title="Cooking rice 1").pk)
    old.update(title="Graph networks of rice", changed_at=NOW + DAY)
    someone = make.subscriber(interests="graph networks")
    for one in (paper, old.get()):
        assert answer(client, someone, one).startswith("It will be there")


def test_a_paper_that_came_in_before_the_last_digest_is_told_so(client, settings):
    kitchen()
    someone = make.subscriber(interests="graph networks")
    plan_and_send()
    clock = NOW + 3 * DAY
    paper = make.paper("Graph networks", day=TODAY, came_in_at=NOW + DAY)
    model_store.fit(clock)
    Digest.objects.update(day=TODAY + 2 * DAY)
    Letter.objects.update(created_at=NOW + 2 * DAY)
    verdict = explain.explain(someone, paper.pk, clock.date(), clock).verdict
    assert verdict.what == "passed"
    page = render_to_string(
        "digest/why.html",
        {"token": "x", "answer": {"paper": paper, "is_new": True, "verdict": verdict}},
    )
    assert "It came in before your last digest." in page


def test_a_paper_that_is_gone_meanwhile_stands_for_no_other(client, alike):
    index_store.renew(NOW)
    leader, relative = alike
    leader.delete()
    someone = make.subscriber(interests="graph networks")
    assert answer(client, someone, relative).startswith("It will be there")


def test_an_unknown_paper_is_told_so_in_the_words_that_were_asked(client):
    said = answer(client, make.subscriber(), "2506.99999v2")
    assert said.startswith("No paper here has the id or the title 2506.99999v2 .")


def test_of_a_title_that_is_not_here_the_way_leads_to_the_search(client):
    token = tokens.own_token("preferences", make.subscriber())
    page = client.get(f"/why/{token}/", {"paper": "soups & stews"}).content.decode()
    assert '<a href="/search/?q=soups%20%26%20stews">Search all papers for it</a>' in page


def test_what_she_taught_speaks_in_the_answer(client):
    kitchen()
    old = [
        make.paper(f"Trout in {season}", "Trout spawn.", day=TODAY - 9 * DAY)
        for season in ("spring", "summer", "autumn")
    ]
    paper = make.paper("Trout in winter", "Trout spawn.")
    model_store.fit(NOW)
    someone = make.subscriber(interests="medieval monasteries")
    assert answer(client, someone, paper).startswith("It has nothing of your topics")
    for one in old:
        feedback.record(someone, one, "more", NOW)
    feedback.learn(NOW)
    assert answer(client, someone, paper).startswith("It will be there: place 1 of 1")


# ---- Whoever asks


def test_asking_writes_nothing_whatever_the_answer(client, alike):
    paper = make.paper("Graph networks")
    old = make.paper("Graph networks of old", day=TODAY - 30 * DAY)
    someone = make.subscriber(interests="graph networks", muted=[make.topic("rice")])
    asked = [paper.pk, old.pk, alike[0].pk, alike[1].pk, "Cooking rice 1", "unknown", ""]

    def ask_all():
        before = everything()
        for one in asked:
            assert ask(client, someone, one).status_code == 200
            url = reverse("why", args=[token_of(someone)])
            assert client.head(url, {"paper": one}).status_code == 200
        assert everything() == before

    ask_all()
    assert not FittedModel.objects.exists()
    model_store.fit(NOW)
    ask_all()
    plan.plan(NOW)
    ask_all()


def test_asking_asks_few_queries_however_much_she_had(client, django_assert_max_num_queries):
    kitchen(30)
    someone = make.subscriber(interests="rice", size=20)
    plan.plan(NOW)
    paper = make.paper("More rice")
    ask(client, someone, paper.pk)
    with django_assert_max_num_queries(20):
        assert answer(client, someone, paper).startswith("It will be there")


def test_the_answer_is_that_of_the_reader_whose_link_it_is(client):
    kitchen()
    paper = make.paper("Graph networks")
    model_store.fit(NOW)
    follows, mutes = (
        make.subscriber(interests="graph networks"),
        make.subscriber(muted=[make.topic("graph")]),
    )
    assert answer(client, follows, paper).startswith("It will be there")
    assert answer(client, mutes, paper).startswith("You muted it")


def test_one_who_left_may_still_ask(client):
    kitchen()
    paper = make.paper("Graph networks")
    someone = make.subscriber(interests="graph networks")
    plan_and_send()
    Subscriber.objects.update(unsubscribed_at=NOW, next_due_at=None)
    assert answer(client, someone, paper).startswith("You had it on")
    assert Digest.objects.count() == Letter.objects.count() == 1


@pytest.mark.parametrize(
    "why_none",
    [
        {"unsubscribed_at": NOW, "next_due_at": None},
        {"suppressed_at": NOW, "suppressed_by": "bounced"},
        {"paused_until": TODAY + 9 * DAY},
        {"confirmed": False},
    ],
)
def test_who_gets_no_digest_is_promised_no_paper(client, why_none):
    kitchen()
    paper = make.paper("Graph networks of roads")
    someone, other = (make.subscriber(interests="graph networks", **one) for one in (why_none, {}))
    model_store.fit(NOW)
    told = "You get no digest at present. If one came today: It will be there"
    assert answer(client, someone, paper).startswith(told)
    assert answer(client, other, paper).startswith("It will be there")
