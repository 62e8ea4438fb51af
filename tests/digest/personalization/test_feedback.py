"""What readers say of papers: by which links, and what is written down."""

import re

import pytest
from django.core.management import call_command
from django.test import Client

from digest.models import Digest, Feedback, ReaderModel
from digest.personalization import feedback
from digest.views import reader as views
from subscriptions.actions import erase
from subscriptions.models import Subscriber
from tests.factories import make
from tests.factories.feedback import (
    SECOND,
    address,
    reader,
    say,
    taught,
    themes_of,
    two_themes,
    words_of,
)
from tests.factories.make import NOW
from tests.helpers.pages import text_of, web_copy_of
from tests.helpers.subscriber_pages import STATES
from tests.helpers.tables import everything
from tests.helpers.threads import once_before

pytestmark = pytest.mark.django_db

world = pytest.fixture(two_themes)


@pytest.fixture
def paper():
    return make.paper("Graphs of roads")


@pytest.fixture
def someone():
    return reader()


@pytest.mark.parametrize("value", ["more", "clear", ""])
@pytest.mark.parametrize("was", ["", "less"])
def test_a_get_asks_what_to_say_and_changes_nothing(client, paper, someone, value, was):
    if was:
        say(someone, was, paper)
    before = everything()
    for method in (client.get, client.head):
        response = method(address("feedback", someone), {"paper": paper.pk, "value": value})
        assert response.status_code == 200
    page = client.get(address("feedback", someone), {"paper": paper.pk, "value": value})
    assert "Graphs of roads" in text_of(page)
    assert everything() == before


@pytest.mark.parametrize(
    ("value", "heading"),
    [("more", "More like this"), ("less", "Less like this"), ("save", "Saved")],
)
def test_a_post_writes_down_what_she_says_and_says_so(client, paper, someone, value, heading):
    response = client.post(address("feedback", someone), {"paper": paper.pk, "value": value})
    assert heading in re.search(r"<h1>(.*?)</h1>", response.content.decode())[1]
    assert "Graphs of roads" in text_of(response)
    said = Feedback.objects.get()
    assert (said.subscriber, said.paper, said.value, said.at) == (someone, paper, value, NOW)
    assert ReaderModel.objects.outdated(NOW).get().subscriber == someone


def test_a_link_without_a_value_or_a_paper_says_what_it_is_for(client, paper, someone):
    page = client.get(address("feedback", someone), {"paper": paper.pk}).content.decode()
    assert "<h1>More, less or save</h1>" in page
    values = re.findall(r'name="value" value="(\w+)"><button class="plain">', page)
    assert values == ["more", "less", "save"]
    page = client.get(address("feedback", someone))
    assert "The links under each paper in your letters lead here" in text_of(page)
    assert "<button" not in page.content.decode().partition("<main")[2].partition("</main>")[0]


@pytest.mark.parametrize("value", ["more", "less", "save"])
@pytest.mark.parametrize("was", ["more", "less", "save"])
def test_who_comes_to_say_another_thing_is_asked_for_it(client, paper, someone, was, value):
    """Nobody who follows "Less like this" is told that more is noted."""
    say(someone, was, paper)
    page = client.get(address("feedback", someone), {"paper": paper.pk, "value": value})
    heading = re.search(r"<h1>(.*?)</h1>", page.content.decode())[1]
    assert heading.endswith("?") == (value != was)
    assert ("So far, you said of it:" in text_of(page)) == (value != was)
    assert ("Noted." in text_of(page)) == (value == was != "save")
    # Less is not none, and who wants none is told how to have that.
    assert ("you can mute in your preferences" in text_of(page)) == (value == was == "less")


def test_a_post_needs_no_cookie_and_no_csrf_token(paper, someone):
    strict = Client(enforce_csrf_checks=True)
    sent = {"paper": paper.pk, "value": "more"}
    response = strict.post(address("feedback", someone), sent, headers={"Origin": "https://x.test"})
    assert response.status_code == 200
    assert not response.cookies
    response = strict.post(address("learned", someone), {"learning": "off"})
    assert response.status_code == 302
    assert not response.cookies


def test_a_word_counts_once_and_another_replaces_it(client, paper, someone, clock):
    sent = {"paper": paper.pk, "value": "more"}
    client.post(address("feedback", someone), sent)
    feedback.learn(NOW)
    before = everything()
    clock.now = NOW + SECOND
    assert client.post(address("feedback", someone), sent).status_code == 200
    assert everything() == before
    assert not ReaderModel.objects.outdated(NOW + 2 * SECOND).exists()
    client.post(address("feedback", someone), sent | {"value": "less"})
    assert Feedback.objects.get().value == "less"
    assert ReaderModel.objects.outdated(NOW + SECOND).exists()


def test_who_gets_no_digests_is_not_told_of_the_next_one(client):
    paper = make.paper()
    takes_account = "Your next digests take it into account."
    said = {"more": takes_account, "less": takes_account, "save": "your next digest says so."}
    for state in ("active", "paused", "unsubscribed", "suppressed"):
        url, comes = (
            address("feedback", make.subscriber(**STATES[state])),
            state in ("active", "paused"),
        )
        for value, next_one in said.items():
            page = text_of(client.post(url, {"paper": paper.pk, "value": value}))
            assert (next_one in page) is comes
            assert ("You get no digests now" in page) is not comes


def test_what_was_said_is_taken_back_and_forgotten(client, clock, world):
    someone = taught(reader(), "less", world["molecules"][0])
    assert words_of(someone)
    clock.now = NOW + 2 * SECOND
    sent = {"paper": world["molecules"][0].pk, "value": "clear"}
    response = client.post(address("feedback", someone), sent)
    assert "Taken back" in text_of(response)
    assert not Feedback.objects.exists()
    feedback.learn(NOW + 2 * SECOND)
    assert words_of(someone) == []
    assert themes_of(someone) == themes_of(reader())


def test_all_that_she_said_can_be_taken_back_on_one_page_or_the_next(client, monkeypatch):
    monkeypatch.setattr(views, "FEEDBACK_PAGE", 2)
    someone = reader()
    for number in range(3):
        say(someone, "less", make.paper(f"Bread {number}"))
    first = client.get(address("learned", someone))
    second = client.get(address("learned", someone), {"page": "2"})
    told = [re.findall(r"Less like this: Bread \d", text_of(page)) for page in (first, second)]
    assert sorted(map(len, told)) == [1, 2]
    assert len({*told[0], *told[1]}) == 3
    assert 'rel="next" href="?page=2"' in first.content.decode()


def test_what_was_never_said_can_not_be_taken_back(client, paper, someone):
    before, sent = everything(), {"paper": paper.pk, "value": "clear"}
    page = text_of(client.get(address("feedback", someone), sent))
    assert "Take it back" not in page
    assert "More, less or save" in page
    assert client.post(address("feedback", someone), sent).status_code == 200
    assert everything() == before


def test_no_such_paper_or_value_is_a_400_and_nothing_is_written(client):
    known, someone = make.paper().pk, reader()
    papers = ("2606.99999", "", "x" * 100_000, "%_", "2606\0.99999")
    values = ("most", "MORE", "x" * 100_000, "mo\0re")
    wrong = [{"value": "more"}, *({"paper": one, "value": "more"} for one in papers)]
    before = everything()
    for sent in [*wrong, *({"paper": known, "value": one} for one in values)]:
        assert client.post(address("feedback", someone), sent).status_code == 400
        assert client.get(address("feedback", someone), sent).status_code == 400
    assert everything() == before


@pytest.mark.parametrize("token", ["AAAA.BBBB", "x" * 5000])
@pytest.mark.parametrize("page", ["feedback", "learned", "why"])
def test_a_wrong_link_is_a_404(client, page, token):
    paper = make.paper()
    sent = {"paper": paper.pk, "value": "more", "learning": "off"}
    before = everything()
    assert client.get(f"/{page}/{token}/", sent).status_code == 404
    # /why/ has nothing to act on: it refuses a POST before it reads the token.
    assert client.post(f"/{page}/{token}/", sent).status_code == (405 if page == "why" else 404)
    assert everything() == before


def test_a_token_opens_the_pages_of_its_purpose_alone(client, paper, someone):
    sent = {"paper": paper.pk, "value": "more", "learning": "off", "action": "erase"}
    for page, *purposes in (
        ("feedback", "preferences", "digest", "unsubscribe"),
        ("learned", "feedback"),
        ("why", "feedback"),
        ("preferences", "feedback"),
    ):
        for purpose in purposes:
            url = address(page, someone, purpose)
            assert client.get(url, sent).status_code == 404
            assert client.post(url, sent).status_code == (405 if page == "why" else 404)
    assert not Feedback.objects.exists()
    assert Subscriber.objects.get().learns


def test_the_link_of_one_who_was_erased_answers(client, paper, someone):
    say(someone, "more", paper)
    urls = [address(page, someone) for page in ("feedback", "learned", "why")]
    erase.erase(someone, now=NOW)
    for url in urls:
        assert client.get(url, {"paper": paper.pk, "value": "more"}).status_code == 404
    for url in urls[:2]:
        sent = {"paper": paper.pk, "value": "more", "learning": "off"}
        assert client.post(url, sent).status_code == 404
    assert not Feedback.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_who_is_erased_by_another_click_at_once_gets_an_answer(client, paper, someone):
    url = address("feedback", someone)
    with once_before('FROM "digest_paper"', lambda: erase.erase(someone, now=NOW)):
        response = client.post(url, {"paper": paper.pk, "value": "more"})
    assert response.status_code in (200, 404)


@pytest.mark.django_db(transaction=True)
def test_a_word_that_was_half_written_is_learned_when_said_again(paper, someone):
    def die():
        raise SystemExit

    with pytest.raises(SystemExit), once_before('"digest_readermodel"', die):
        feedback.record(someone, paper, "more", NOW)
    feedback.record(someone, paper, "more", NOW + SECOND)
    assert feedback.learn(NOW + SECOND) == 1


def test_the_links_of_a_letter_and_of_its_web_copy_say_it(client, outbox):
    someone = reader()
    paper = make.paper("Graph neural networks of roads")
    call_command("tick")
    (letter,) = outbox()
    web_copy = client.get(web_copy_of(Digest.objects.get())).content.decode()
    for html in (letter.get_body(["html"]).get_content(), web_copy):
        found = [
            url.replace("&amp;", "&") for url in re.findall(r'href="([^"]*/feedback/[^"]+)', html)
        ]
        assert [url.partition("?")[2] for url in found] == [
            f"paper={paper.pk}&value={value}" for value in ("more", "less", "save")
        ]
        for url in found:
            assert client.get(url.removeprefix("http://127.0.0.1:8000")).status_code == 200
            assert feedback.value_of(someone, paper) == ""
