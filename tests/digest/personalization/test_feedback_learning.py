"""What is learned from what readers say of papers, and how it changes their digests."""

import lxml.html
import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from config.celery import app
from digest import tasks
from digest.indexing import model_store
from digest.models import Digest, Paper, Pick, ReaderModel
from digest.personalization import feedback
from digest.planning import plan
from tests.factories import make
from tests.factories.feedback import (
    DAY,
    SECOND,
    TODAY,
    TOMORROW,
    address,
    picks_of,
    reader,
    say,
    taught,
    themes,
    themes_of,
    two_themes,
    weights_of,
    words_of,
)
from tests.factories.make import NOW
from tests.factories.themes import MOLECULES, ROADS, others, theme
from tests.helpers.tables import everything
from tests.helpers.threads import once_before

pytestmark = pytest.mark.django_db

world = pytest.fixture(two_themes)


def test_tomorrows_digest_has_more_of_what_she_wants_more_of(world):
    twin, someone = reader(size=10), reader(size=10)
    plan.plan(NOW)
    first = Digest.objects.get(subscriber=someone)
    liked = [pick.paper for pick in first.picks.whole() if themes([pick]) == "r"]
    assert 0 < len(liked) < 10, "The corpus is to have both themes in today's digest."
    say(someone, "more", liked[0])
    assert feedback.learn(NOW + SECOND) == 1
    theme(MOLECULES, 0, 6, day=TODAY + DAY)
    theme(ROADS, 0, 6, day=TODAY + DAY)
    plan.plan(TOMORROW)

    hers, twins = (
        themes(Digest.objects.get(subscriber=one, day=TODAY + DAY).picks.whole())
        for one in (someone, twin)
    )
    assert hers[:5] == "rrrrr"
    assert "m" in twins[:5]


def test_tomorrows_digest_has_less_of_what_she_wants_less_of(world):
    someone = reader()
    before = themes_of(someone)
    taught(someone, "less", world["molecules"][0])
    assert themes_of(someone).count("m") < before.count("m")
    taught(someone, "less", *world["molecules"][1:4])
    assert themes_of(someone) == "rrrrr"


def test_what_is_saved_teaches_like_more(world):
    saving = taught(reader(), "save", world["roads"][0])
    asking = taught(reader(), "more", world["roads"][0])
    assert words_of(saving) == words_of(asking) != []
    assert themes_of(saving) == themes_of(asking) == "rrrrr"


def test_from_three_papers_on_what_is_like_them_comes_without_a_topic(world):
    two = make.subscriber(interests="medieval monasteries")
    three = make.subscriber(interests="medieval monasteries")
    taught(two, "more", *world["molecules"][:2])
    taught(three, "more", *world["molecules"][:3])
    assert picks_of(two) == []
    _, picks = plan.preview(three, TODAY, NOW)
    assert picks
    assert {pick.basis for pick in picks} == {"learned"}
    liked = [f"Like “{paper.title[:40]}" for paper in world["molecules"][:3]]
    assert picks[0].why.startswith(tuple(liked))
    assert set(themes(picks)) == {"m"}


def test_a_word_of_two_terms_is_said_once():
    seasons = ("spring", "summer", "autumn", "winter")
    *liked, _ = [make.paper(f"GPT4 in {season}", "GPT4 writes verses.") for season in seasons]
    others(2)
    someone = make.subscriber(interests="medieval monasteries")
    taught(someone, "more", *liked)
    _, picks = plan.preview(someone, TODAY, NOW)
    said = [one["word"] for one in feedback.learned_words(someone)]
    for words in (said, *(pick.terms for pick in picks)):
        assert len(set(words)) == len(words)


def test_who_said_nothing_gets_exactly_what_she_got_before(world):
    quiet, unlearned = reader(), reader()
    before = picks_of(quiet)
    assert before
    taught(reader(), "more", *world["molecules"])
    taught(reader(), "less", *world["roads"])
    say(unlearned, "more", world["roads"][0])  # Said, and not learned yet.
    assert picks_of(quiet) == before
    assert picks_of(unlearned) == before
    plan.plan(NOW)
    digest = Digest.objects.get(subscriber=quiet)
    assert [
        (p.paper_id, p.position, p.score, p.basis, p.topic_name, p.terms)
        for p in digest.picks.whole()
    ] == before


def test_what_one_taught_is_hers_alone_in_a_shard(world):
    roads, molecules = reader(), reader()
    taught(roads, "more", world["roads"][0])
    taught(molecules, "more", world["molecules"][0])
    plan.plan(NOW)
    found = [themes(Digest.objects.get(subscriber=one).picks.whole()) for one in (roads, molecules)]
    assert found == ["rrrrr", "mmmmm"]


def test_learning_is_done_once_and_again_when_it_is_old(world):
    someone = taught(reader(), "more", world["roads"][0])
    assert feedback.learn(NOW + DAY) == 0
    assert feedback.learn(NOW + ReaderModel.FRESH + DAY) == 1
    assert ReaderModel.objects.get().fitted_at == NOW + ReaderModel.FRESH + DAY
    assert themes_of(someone) == "rrrrr"


def test_learning_asks_a_constant_number_of_queries_a_reader(world):
    counts = []
    for papers in (1, 6):
        for _ in range(3):
            say(reader(), "more", *world["roads"][:papers])
        with CaptureQueriesContext(connection) as queries:
            assert feedback.learn(NOW + DAY) == 3
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_latest_papers_are_remembered(world, monkeypatch):
    monkeypatch.setattr(feedback, "MAX_LEARNED", 2)
    someone = reader()
    say(someone, "more", *world["molecules"][:2])
    say(someone, "more", *world["roads"][:2], now=NOW + 5 * SECOND)
    feedback.learn(NOW + 8 * SECOND)
    assert ReaderModel.objects.get().liked == 2
    assert "congest" in words_of(someone)
    assert "atom" not in words_of(someone)


def test_a_paper_that_is_deleted_in_this_very_moment_keeps_nobody_from_learning(world):
    gone, kept = world["roads"][:2]
    someone = reader()
    say(someone, "more", gone, kept)
    with once_before('FROM "digest_paper" WHERE "digest_paper"."id" IN', gone.delete):
        assert feedback.learn(NOW + DAY) == 1
    assert words_of(someone)


def test_a_word_said_while_fitting_is_learned_in_the_next_pass(world):
    someone = reader()
    say(someone, "more", world["roads"][0])

    def interrupt():
        feedback.record(someone, world["molecules"][0], "less", NOW + SECOND)

    with once_before('UPDATE "digest_readermodel"', interrupt):
        feedback.learn(NOW)
    assert ReaderModel.objects.outdated(NOW + SECOND).exists()
    assert feedback.learn(NOW + SECOND) == 1
    assert weights_of(someone)["atom"] < 0
    assert not ReaderModel.objects.outdated(NOW + SECOND).exists()


def test_a_word_whose_moment_is_before_the_fit_that_missed_it_is_learned(world):
    """Its request waited for the lock, or the worker's clock is ahead of the web server's."""
    someone = reader()
    say(someone, "more", world["roads"][0])
    feedback.learn(NOW + 10 * SECOND)
    say(someone, "less", world["molecules"][0], now=NOW + 9 * SECOND)
    feedback.learn(NOW + DAY)
    assert "atom" in words_of(someone)


def test_a_ranking_fitted_anew_meanwhile_breaks_nothing(world):
    someone = taught(reader(), "more", *world["roads"][:3])
    Paper.objects.exclude(day=TODAY).exclude(feedback__isnull=False).delete()
    say(someone, "less", world["roads"][0], now=NOW + 5 * SECOND)
    with once_before('UPDATE "digest_readermodel"', lambda: model_store.fit(NOW)):
        assert feedback.learn(NOW + 5 * SECOND) == 1
    assert "r" in themes_of(someone)
    plan.plan(NOW)
    assert Pick.objects.exists()


def test_weights_are_told_with_a_minus_as_wide_as_a_plus_in_the_language_of_the_page(client):
    someone = make.subscriber()
    learned = {"terms": ["graph", "node"], "words": ["graphs", "nodes"], "weights": [0.5, -0.25]}
    ReaderModel.objects.create(subscriber=someone, **learned)
    page = client.get(address("learned", someone), headers={"accept-language": "de"})
    weights = lxml.html.fromstring(page.content).find_class("weight")
    assert [one.text for one in weights] == ["+0,50", "−0,25"]


def test_papers_without_words_teach_nothing_and_break_nothing():
    papers = [make.paper(text, text) for text in ("?", "the of and to", "")]
    someone = reader()
    for number, value in enumerate(("more", "less", "save")):
        say(someone, value, *papers, now=NOW + number * DAY)
        assert feedback.learn(NOW + number * DAY + 3 * SECOND) == 1
        assert words_of(someone) == []
    assert plan.plan(NOW).letters == 1


def test_the_task_learns_and_beat_asks_for_it(world):
    someone = reader()
    say(someone, "more", world["roads"][0])
    tasks.learn_from_feedback()
    assert words_of(someone)
    app.loader.import_default_modules()
    asked_for = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert tasks.learn_from_feedback.name in app.tasks.keys() & asked_for


def test_a_tick_learns_before_it_plans_and_a_dry_tick_or_a_preview_learn_nothing(world, outbox):
    someone = reader()
    say(someone, "more", world["roads"][0])
    before = everything()
    call_command("tick", dry_run=True)
    call_command("digest", someone.email)
    assert everything() == before
    call_command("tick")
    assert len(outbox()) == 1
    assert themes(Digest.objects.get(subscriber=someone).picks.whole()) == "rrrrr"
