"""What was learned of a subscriber: what they change of it, and the page that shows it."""

import json
import re
from operator import attrgetter

import lxml.html
import pytest
from django.core.serializers.json import DjangoJSONEncoder

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
    themes_of,
    two_themes,
    weights_of,
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
    displayed = feedback.learned_words(someone)[0]["word"]
    clock.now = NOW + 5 * SECOND
    response = client.post(address("learned", someone), {"remove": heaviest}, follow=True)
    assert response.redirect_chain
    assert f'name="restore" value="{heaviest}"' in response.content.decode()
    taken_out = text_of(response).partition("Removed terms")[2].partition("Your feedback")[0]
    assert displayed in taken_out
    assert words_of(someone)[0] == second
    assert heaviest not in profiles_of([someone])[0].learned.terms

    feedback.learn(NOW + 5 * SECOND)
    assert heaviest not in words_of(someone)
    say(someone, "more", *world["roads"][:4], now=NOW + 6 * SECOND)
    feedback.learn(NOW + DAY)
    feedback.learn(NOW + DAY + ReaderModel.MAX_FIT_AGE + SECOND)
    assert second in words_of(someone)
    assert heaviest not in words_of(someone)


def test_learned_page_announces_each_change(client, someone):
    url = address("learned", someone)
    for sent, message in (
        ({"remove": "road"}, "Removed. You can restore it below."),
        ({"restore": "road"}, "Restored."),
        ({"learning": "off"}, "Personalization is off."),
        ({"learning": "on"}, "Personalization is on."),
    ):
        page = lxml.html.fromstring(client.post(url, sent, follow=True).content)
        assert [one.text for one in page.xpath("//main//*[@role='status']")] == [message]
        assert page.findtext(".//title").startswith(message)
    assert not client.get(f"{url}?done=x").content.count(b'role="status"')


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


def test_switching_off_forgets_and_stops_learning(client, clock, world):
    someone, quiet = taught(subscriber(), "more", world["roads"][0]), subscriber()
    client.post(address("learned", someone), {"learning": "on"})
    assert words_of(someone)
    response = client.post(address("learned", someone), {"learning": "off"}, follow=True)
    assert "Personalization is off." in text_of(response)
    learned = "terms", "words", "weights", "liked", "fitted_at", "fitted_count"
    assert ReaderModel.objects.values_list(*learned).get() == attrgetter(*learned)(ReaderModel())
    assert picks_of(someone) == picks_of(quiet)

    clock.now = NOW + 10 * SECOND
    sent = {"paper": world["roads"][1].pk, "value": "more"}
    response = client.post(address("feedback", someone), sent)
    assert "Personalization is off" in text_of(response)
    assert feedback.learn(NOW + DAY) == 0
    assert feedback.learn(NOW + ReaderModel.MAX_FIT_AGE + 2 * DAY) == 0
    assert words_of(someone) == []
    assert picks_of(someone) == picks_of(quiet)
    assert Feedback.objects.count() == 2, "The feedback is kept."


def test_nothing_is_learned_when_switched_off_during_fit(world):
    someone = subscriber()
    say(someone, "more", world["roads"][0])
    with once_before('UPDATE "digest_readermodel"', lambda: feedback.set_learning(someone, False)):
        feedback.learn(NOW)
    assert words_of(someone) == []


def test_switching_on_learns_from_stored_feedback(client, someone, clock, world):
    client.post(address("learned", someone), {"learning": "off"})
    say(make.fresh(someone), "more", world["roads"][1], now=NOW + 5 * SECOND)
    clock.now = NOW + 10 * SECOND
    response = client.post(address("learned", someone), {"learning": "on"}, follow=True)
    assert "Terms appear here in a few minutes" in text_of(response)
    someone.refresh_from_db()
    assert feedback.learn(clock.now) == 1
    assert ReaderModel.objects.get().liked == 2
    assert themes_of(someone) == "rrrrr"


def test_feedback_and_switches_affect_only_their_subscriber():
    one, other, paper = make.subscriber(), make.subscriber(), make.paper("Roads")
    feedback.record(other, paper, "more", NOW)
    model = ReaderModel.objects.filter(subscriber=other)
    model.update(terms=["road"], words=["roads"], weights=[1.0], removed={"sea": "seas"})
    assert feedback.feedback_on(one, paper) is None
    assert feedback.learned_words(one) == feedback.removed_words(one) == []
    for term in ("road", "sea"):
        feedback.remove_word(one, term)
        feedback.restore_word(one, term)
    feedback.set_learning(one, False)
    feedback.set_learning(one, True)
    assert not ReaderModel.objects.filter(subscriber=one).exists()
    assert [word["word"] for word in feedback.learned_words(other)] == ["roads"]
    assert [word["word"] for word in feedback.removed_words(other)] == ["seas"]
    feedback.reset(one)
    assert feedback.feedback_on(other, paper).value == "more"
    assert feedback.removed_words(other)


def test_feedback_during_switching_off_is_not_learned(world):
    someone = subscriber()
    as_read_before = Subscriber.objects.get(pk=someone.pk)
    feedback.set_learning(someone, False)
    say(as_read_before, "more", world["roads"][0])
    feedback.learn(NOW)
    assert not ReaderModel.objects.exclude(terms=[]).exists()


def test_reset_forgets_all_feedback(client, world):
    someone, quiet = subscriber(), subscriber()
    taught(someone, "more", *world["roads"][:3])
    feedback.remove_word(someone, words_of(someone)[0])
    assert picks_of(someone) != picks_of(quiet)
    url = address("preferences", someone)
    response = client.post(url, {"action": "reset"}, follow=True)
    assert "Deleted: your feedback" in text_of(response)
    assert not Feedback.objects.exists()
    assert not ReaderModel.objects.exists()
    assert feedback.learn(NOW + DAY) == 0
    assert picks_of(someone) == picks_of(quiet)


@pytest.mark.parametrize("learns", [True, False])
def test_deleting_feedback_warns_about_reading_list(client, learns):
    someone = subscriber(learns=learns)
    say(someone, "save", make.paper("Graphs of roads"))
    page = lxml.html.fromstring(client.get(address("learned", someone)).content)
    (form,) = page.xpath("//form[.//button[text()='Delete my feedback']]")
    assert "your reading list" in form.text_content()
    client.post(form.get("action"), dict(form.fields))
    assert not Feedback.objects.exists()


def test_export_contains_learned_words_and_feedback(someone, world):
    taught(subscriber(), "more", world["molecules"][0])
    exported = json.loads(json.dumps(export.export(someone), cls=DjangoJSONEncoder))
    learned, weights = map(list, zip(*exported["learned"], strict=True))
    assert weights == list(weights_of(someone).values())
    assert "vehicles" in learned
    assert "drug" not in learned
    expected = {"paper": world["roads"][0].pk, "value": "more", "at": "2026-06-01T12:00:00Z"}
    expected |= {"saved_at": None, "read_at": None, "note": "", "labels": ""}
    assert exported["feedback"] == [expected]


# ---- The page of what was learned


def test_learned_page_explains_itself_when_empty(client):
    page = text_of(client.get(address("learned", subscriber())))
    assert "Nothing yet. Use More, Less and Save below papers" in page
    assert "Turn off personalization" in page
    assert "Delete my feedback" not in page


def test_each_feedback_has_an_undo_link(client):
    someone = subscriber()
    say(someone, "more", make.paper("Graphs of roads"))
    say(someone, "less", make.paper("Molecules of & at sea", id="bread:1/2"), now=NOW + SECOND)
    page = lxml.html.fromstring(client.get(address("learned", someone)).content)
    (link,) = page.xpath("//a[@aria-label='Undo: Molecules of & at sea']/@href")
    page_of_link = lxml.html.fromstring(client.get(link).content)
    assert "Undo your feedback?" in page_of_link.text_content()
    button = page_of_link.xpath("//form[.//button[text()='Undo feedback']]")[0]
    client.post(link, dict(button.fields))
    assert list(someone.feedback.values_list("value", flat=True)) == ["more"]


def test_learned_page_sorts_words_by_weight(client, world):
    someone = subscriber()
    taught(someone, "more", world["roads"][0])
    taught(someone, "less", world["molecules"][0])
    response = client.get(address("learned", someone))
    rows = re.findall(
        r'class="word" dir="auto">([^<]*)</span>\s*<span class="weight(?: against)?">([^<]*)<',
        response.content.decode(),
    )
    words = {one["word"]: round(one["weight"], 2) for one in feedback.learned_words(someone)}
    weights = [float(weight.replace("\N{MINUS SIGN}", "-")) for _, weight in rows]
    assert dict(zip([word for word, _ in rows], weights, strict=True)) == words
    assert weights == sorted(weights, key=lambda weight: (weight < 0, -abs(weight)))
    assert {weight[0] for _, weight in rows} == {"+", "\N{MINUS SIGN}"}
    assert "More like this: Graph neural networks: sensors" in text_of(response)
    assert "Less like this: Graph neural networks: message" in text_of(response)


def test_some_negative_words_are_always_shown(world, monkeypatch):
    monkeypatch.setattr(feedback, "MAX_WORDS", 5)
    monkeypatch.setattr(feedback, "MIN_NEGATIVE_WORDS", 2)
    someone = taught(subscriber(), "less", world["molecules"][0])
    assert len(feedback.learned_words(someone)) == 5
    say(someone, "more", *world["roads"][:3], now=NOW + SECOND)
    feedback.learn(NOW + SECOND)
    signs = [word["weight"] > 0 for word in feedback.learned_words(someone)]
    assert signs == [True, True, True, False, False]


def test_preferences_summarize_what_was_learned(client, world):
    someone = subscriber()
    url = address("preferences", someone)
    assert "Nothing learned yet" in text_of(client.get(url))
    for value, sign in (("more", ""), ("less", "−")):
        taught(someone, value, world["roads"][0])
        word = feedback.learned_words(someone)[0]["word"]
        start = f"These terms raise or lower a paper: {sign}{' ' if sign else ''}{word}"
        assert start in text_of(client.get(url))
    feedback.set_learning(someone, False)
    assert "Personalization is off" in text_of(client.get(url))
    assert "Turn on personalization" in text_of(client.get(address("learned", someone)))


def test_unknown_action_or_term_changes_nothing(client, someone):
    url, before = address("learned", someone), everything()
    wrong = ({}, {"remove": ""}, {"learning": "ON"}, {"action": "erase"}, {"delete": "road"})
    for sent in wrong:
        assert client.post(url, sent).status_code == 400
    terms = ("no such word", "<script>", "ro\0ad", "x" * 100_000, "%", "\ud7ff", "é")
    for term in terms:
        for act in ("remove", "restore"):
            assert client.post(url, {act: term}).status_code in (302, 400)
    assert everything() == before
