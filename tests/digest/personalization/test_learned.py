"""What was learned of a subscriber: what they change of it, and the page that shows it."""

from operator import attrgetter

import lxml.html
import pytest

from digest.models import Feedback, ReaderModel
from digest.personalization import feedback
from digest.personalization.profiles import profiles_of
from subscriptions.actions import export
from subscriptions.models import Subscriber
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
from tests.helpers.threads import once_before

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


def test_learned_page_announces_each_change(client, someone):
    url = address("learned", someone)
    assert client.get(f"{url}?done=x").text.count('role="status"') == 0
    for sent in ({"remove": "road"}, {"restore": "road"}, {"learning": "off"}, {"learning": "on"}):
        page = lxml.html.fromstring(client.post(url, sent, follow=True).content)
        (status,) = page.xpath("//main//*[@role='status']")
        assert page.findtext(".//title").startswith(status.text)


def test_word_removed_during_fit_stays_removed(world):
    someone = subscriber()
    say(someone, "more", world["roads"][0])
    feedback.learn(NOW)
    say(someone, "more", world["roads"][1], now=NOW + SECOND)
    word = words_of(someone)[0]

    def interrupt():
        feedback.remove_word(someone, word)

    with once_before('UPDATE "digest_readermodel"', interrupt):
        feedback.learn(NOW + SECOND)
    assert word not in words_of(someone)
    feedback.learn(NOW + 3 * SECOND)
    assert words_of(someone)
    assert word not in words_of(someone)


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


def test_feedback_and_switches_affect_only_their_subscriber(someone):
    one, before = make.subscriber(), everything()
    assert feedback.learned_words(one) == feedback.removed_words(one) == []
    for act in (feedback.remove_word, feedback.restore_word):
        act(one, words_of(someone)[0])
    for learns in (False, True):
        feedback.set_learning(one, learns)
    feedback.reset(one)
    assert everything() == before


def test_feedback_during_switching_off_is_not_learned(world):
    someone = subscriber()
    as_read_before = Subscriber.objects.get(pk=someone.pk)
    feedback.set_learning(someone, False)
    say(as_read_before, "more", world["roads"][0])
    feedback.learn(NOW)
    assert not ReaderModel.objects.exclude(terms=[]).exists()


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


def test_export_contains_learned_words_and_feedback(someone, world):
    exported = export.export(someone)
    assert dict(exported["learned"]).keys() >= {"vehicles"}
    assert [(one["paper"], one["value"]) for one in exported["feedback"]] == [
        (world["roads"][0].pk, "more")
    ]


# ---- The page of what was learned


def test_learned_page_explains_itself_when_empty(client):
    page = text_of(client.get(address("learned", subscriber())))
    assert "Nothing yet. Use More, Less and Save below papers" in page
    assert "Turn off personalization" in page
    assert "Delete my feedback" not in page


def test_each_feedback_has_an_undo_link(client):
    someone = subscriber()
    say(someone, "less", make.paper("Molecules of & at sea", id="bread:1/2"))
    page = lxml.html.fromstring(client.get(address("learned", someone)).content)
    (link,) = page.xpath("//a[@aria-label='Undo: Molecules of & at sea']/@href")
    page = lxml.html.fromstring(client.get(link).content)
    (button,) = page.xpath("//form[.//button[text()='Undo feedback']]")
    client.post(link, dict(button.fields))
    assert not someone.feedback.exists()


def test_learned_words_are_sorted_and_localized(client):
    someone = make.subscriber()
    learned = {"terms": ["a", "b", "c"], "words": ["as", "bs", "cs"], "weights": [-0.25, 0.5, 0.75]}
    ReaderModel.objects.create(subscriber=someone, **learned)
    page = client.get(address("learned", someone), headers={"accept-language": "de"})
    page = lxml.html.fromstring(page.content)
    assert [one.text for one in page.find_class("weight")] == ["+0,75", "+0,50", "−0,25"]
    assert [one.text for one in page.find_class("word")][:3] == ["cs", "bs", "as"]


def test_some_negative_words_are_always_shown(monkeypatch):
    monkeypatch.setattr(feedback, "MAX_WORDS", 5)
    monkeypatch.setattr(feedback, "MIN_NEGATIVE_WORDS", 2)
    someone, words = make.subscriber(), [*"abcdefgh"]
    for weights, shown in (([1] * 4 + [-1] * 4, "abcef"), ([-1] * 8, "abcde")):
        fields = {"terms": words, "words": words, "weights": weights}
        ReaderModel.objects.update_or_create(fields, subscriber=someone)
        assert [word["word"] for word in feedback.learned_words(someone)] == [*shown]


def test_preferences_summarize_what_was_learned(client, someone):
    url = address("preferences", someone)
    word = feedback.learned_words(someone)[0]["word"]
    assert f"These terms raise or lower a paper: {word}" in text_of(client.get(url))
    feedback.set_learning(someone, False)
    assert "Personalization is off" in text_of(client.get(url))
    assert "Nothing learned yet" in text_of(client.get(address("preferences", subscriber())))


def test_unknown_action_or_term_changes_nothing(client, someone):
    url, before = address("learned", someone), everything()
    for sent in ({}, {"remove": ""}, {"learning": "ON"}, {"action": "erase"}):
        assert client.post(url, sent).status_code == 400
    for term in ("no such word", "ro\0ad", "x" * 100_000):
        for act in ("remove", "restore"):
            assert client.post(url, {act: term}).status_code in (302, 400)
    assert everything() == before
