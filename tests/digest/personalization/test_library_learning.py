"""What a library teaches: which new papers come, and which stay away."""

from datetime import timedelta

import pytest

from digest.indexing import model_store
from digest.models import LibraryUpload, Pick, ReaderModel
from digest.personalization import feedback, library
from digest.planning import plan
from subscriptions.delivery.worker import rounds
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.libraries import taught, words_of
from tests.factories.make import NOW
from tests.factories.themes import MOLECULES, ROADS, others, theme

pytestmark = pytest.mark.django_db


def test_a_library_brings_its_like_without_any_topic():
    reader = taught()
    (new,) = theme(MOLECULES, 12, 1)
    theme(ROADS, 6, 7)
    plan.plan(NOW)
    (pick,) = Pick.objects.filter(subscriber=reader)
    assert pick.paper == new
    assert pick.why.startswith("Like what you chose: ")


def test_who_has_told_by_papers_what_she_reads_gets_nothing_that_trends(outbox):
    reader = taught(12)
    theme(MOLECULES, 12, 1)
    make.paper("Roads that trend", "Cars and roads.", upvotes=900)
    plan.plan(NOW)
    assert {pick.basis for pick in Pick.objects.filter(subscriber=reader)} == {"learned"}
    rounds.deliver_due(lambda: NOW)
    text = outbox()[0].get_body(("plain",)).get_content()
    assert "You follow no topic yet" not in text


def test_three_papers_alone_are_not_enough_to_keep_out_what_trends():
    reader = taught(3)
    trending = make.paper("Roads that trend", "Cars and roads.", upvotes=900)
    plan.plan(NOW)
    assert Pick.objects.filter(subscriber=reader, paper=trending).exists()


def test_who_took_out_all_words_of_her_library_gets_what_trends():
    reader = taught()
    for term in ReaderModel.objects.get(subscriber=reader).terms:
        feedback.remove_word(reader, term)
    trending = make.paper("Roads that trend", "Cars and roads.", upvotes=900)
    plan.plan(NOW)
    assert Pick.objects.filter(subscriber=reader, paper=trending).exists()


def test_who_said_more_ten_times_and_brought_no_library_gets_what_trends_as_before():
    reader = make.subscriber()
    others(day=NOW.date() - timedelta(days=20))
    for paper in theme(MOLECULES, 0, 12, day=NOW.date() - timedelta(days=20)):
        feedback.record(reader, paper, "more", NOW)
    trending = make.paper("Roads that trend", "Cars and roads.", upvotes=900)
    model_store.fit(NOW)
    feedback.learn(NOW)
    plan.plan(NOW)
    assert Pick.objects.filter(subscriber=reader, paper=trending).exists()


def test_what_an_upload_taught_is_gone_when_it_is_undone():
    reader = taught()
    before = ReaderModel.objects.values("words", "weights", "liked", "floor").get()
    roads = theme(ROADS, 6, 6, day=NOW.date() - timedelta(days=20))
    library.add(reader, "\n".join(paper.title for paper in roads), NOW)
    feedback.learn(NOW)
    assert ReaderModel.objects.values("words", "weights", "liked", "floor").get() != before
    library.undo(reader, LibraryUpload.objects.get().pk)
    feedback.learn(NOW)
    assert ReaderModel.objects.values("words", "weights", "liked", "floor").get() == before


def test_her_preferences_say_what_was_learned_from_and_lead_to_her_library(client):
    reader = taught(12)
    page = words_of(client.get(tokens.preferences_url(reader)))
    assert "Learned from your library and from what you said of papers:" in page
    assert "Your library: 12 papers" in page
    newcomer = words_of(client.get(tokens.preferences_url(make.subscriber())))
    assert "Bring your library" in newcomer
