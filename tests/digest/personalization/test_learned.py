"""What was learned of a subscriber: what they change of it, and the page that shows it."""

from operator import attrgetter

import lxml.html
import pytest

from digest.models import Feedback, ReaderModel
from digest.personalization import feedback
from digest.personalization.profiles import profiles_of
from tests.factories import make
from tests.factories.feedback import (
    address,
    picks_of,
    say,
    subscriber,
    taught,
    two_themes,
    words_of,
)
from tests.factories.make import DAY, NOW, SECOND
from tests.helpers.pages import text_of
from tests.helpers.tables import everything

pytestmark = pytest.mark.django_db

world = pytest.fixture(two_themes)


@pytest.fixture
def someone(world):
    """A subscriber who wants more papers on roads, and of whom that was learned."""
    return taught(subscriber(), "more", world["roads"][0])


# ---- What was learned, and how they change it


def test_removed_word_stays_removed(client, someone, clock, world):
    (heaviest, second, *_) = words_of(someone)
    clock.now = NOW + 5 * SECOND
    response = client.post(address("learned", someone), {"remove": heaviest}, follow=True)
    assert f'name="restore" value="{heaviest}"' in response.text
    assert heaviest not in profiles_of([someone])[0].learned.terms
    say(someone, "more", *world["roads"][:4], now=NOW + 6 * SECOND)
    feedback.learn(NOW + DAY)
    feedback.learn(NOW + DAY + ReaderModel.MAX_FIT_AGE + SECOND)
    assert second in words_of(someone)
    assert heaviest not in words_of(someone)
    someone.learns = False
    assert profiles_of([someone])[0].learned is None


def test_restored_word_counts_again(client, someone, clock):
    before = feedback.learned_words(someone)
    clock.now = NOW + 5 * SECOND
    client.post(address("learned", someone), {"remove": before[0]["term"]})
    feedback.learn(clock.now)
    clock.now = NOW + 6 * SECOND
    client.post(address("learned", someone), {"restore": before[0]["term"]})
    feedback.learn(clock.now)
    assert feedback.learned_words(someone) == before
    assert feedback.removed_words(someone) == []


def test_switching_off_forgets_and_stops_learning(client, someone, clock, world):
    quiet = subscriber()
    client.post(address("learned", someone), {"learning": "off"})
    learned = "terms", "words", "weights", "liked", "fitted_at", "fitted_count"
    assert ReaderModel.objects.values_list(*learned).get() == attrgetter(*learned)(ReaderModel())
    clock.now = NOW + 10 * SECOND
    sent = {"paper": world["roads"][1].pk, "value": "more"}
    response = client.post(address("feedback", someone), sent)
    assert "Personalization is off" in text_of(response)
    assert feedback.learn(NOW + ReaderModel.MAX_FIT_AGE + 2 * DAY) == 0
    assert picks_of(someone) == picks_of(quiet)
    assert Feedback.objects.count() == 2, "The feedback is kept."


def test_switching_on_learns_from_stored_feedback(client, someone, clock, world):
    feedback.set_learning(someone, False)
    say(make.fresh(someone), "more", world["roads"][1], now=NOW + 5 * SECOND)
    clock.now = NOW + 10 * SECOND
    response = client.post(address("learned", someone), {"learning": "on"}, follow=True)
    assert "Terms appear here in a few minutes" in text_of(response)
    assert feedback.learn(clock.now) == 1
    assert ReaderModel.objects.get().liked == 2


def test_reset_forgets_all_feedback(client, someone, world):
    say(someone, "save", world["roads"][1])
    feedback.remove_word(someone, words_of(someone)[0])
    page = lxml.html.fromstring(client.get(address("learned", someone)).content)
    (form,) = page.xpath("//form[.//button[text()='Delete my feedback']]")
    assert "your reading list" in form.text_content()
    response = client.post(form.get("action"), dict(form.fields), follow=True)
    assert "Deleted: your feedback" in text_of(response)
    assert not Feedback.objects.exists()
    assert not ReaderModel.objects.exists()
    assert feedback.learn(NOW + DAY) == 0


# ---- The page of what was learned


def test_each_feedback_has_an_undo_link(client):
    someone = subscriber()
    say(someone, "less", make.paper("Molecules of & at sea", id="bread:1/2"))
    page = lxml.html.fromstring(client.get(address("learned", someone)).content)
    (link,) = page.xpath("//a[@aria-label='Undo: Molecules of & at sea']/@href")
    page = lxml.html.fromstring(client.get(link).content)
    (button,) = page.xpath("//form[.//button[text()='Undo feedback']]")
    client.post(link, dict(button.fields))
    assert not someone.feedback.exists()


def test_unknown_action_or_term_changes_nothing(client, someone):
    url, before = address("learned", someone), everything()
    for sent in ({}, {"remove": ""}, {"learning": "ON"}, {"action": "erase"}):
        assert client.post(url, sent).status_code == 400
    for term in ("no such word", "ro\0ad", "x" * 100_000):
        for act in ("remove", "restore"):
            assert client.post(url, {act: term}).status_code in (302, 400)
    assert everything() == before
