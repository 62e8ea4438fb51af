"""What subscribers say of papers: by which links, and what is written down."""

import re
from datetime import timedelta

import lxml.html
import pytest
from django.core.management import call_command
from django.test import Client

from digest.models import Digest, Feedback, ReaderModel
from digest.personalization import feedback
from digest.planning import plan
from digest.wording import reason_of
from subscriptions.models import Letter
from tests.factories import make
from tests.factories.feedback import (
    address,
    picks_of,
    say,
    subscriber,
    taught,
    themes,
    themes_of,
    two_themes,
    weights_of,
    words_of,
)
from tests.factories.make import NOW, SECOND, TODAY
from tests.helpers.pages import text_of, web_copy_of
from tests.helpers.tables import everything
from tests.helpers.threads import once_before

pytestmark = pytest.mark.django_db

world = pytest.fixture(two_themes)


@pytest.fixture
def paper():
    return make.paper("Graphs of roads")


@pytest.fixture
def someone():
    return subscriber()


@pytest.fixture
def post(client, paper, someone):
    """Return a function that gives feedback on the paper."""
    return lambda value: client.post(
        address("feedback", someone), {"paper": paper.pk, "value": value}
    )


HEADINGS = [("more", "More like this"), ("less", "Less like this"), ("save", "Saved")]


@pytest.mark.parametrize(("value", "heading"), HEADINGS)
def test_post_stores_and_confirms_feedback(post, paper, someone, value, heading):
    response = post(value)
    assert heading in re.search(r"<h1>(.*?)</h1>", response.content.decode())[1]
    assert "Graphs of roads" in text_of(response)
    row = Feedback.objects.get()
    assert (row.subscriber, row.paper, row.value, row.at) == (someone, paper, value, NOW)
    assert ReaderModel.objects.outdated(NOW).get().subscriber == someone


def buttons(page):
    return lxml.html.fromstring(page.content).xpath("//main//button/@value")


def test_link_without_value_or_paper_explains_itself(client, paper, someone):
    page = client.get(address("feedback", someone), {"paper": paper.pk})
    assert "<h1>Your feedback</h1>" in page.content.decode()
    assert buttons(page) == ["more", "less", "save"]
    page = client.get(address("feedback", someone))
    assert "Use the More, Less and Save links below each paper" in text_of(page)
    assert buttons(page) == []


@pytest.mark.parametrize("value", ["more", "less", "save", "clear"])
@pytest.mark.parametrize("was", ["less", "save"])
def test_link_with_another_value_only_asks(client, paper, someone, was, value):
    say(someone, was, paper)
    before = everything()
    page = client.get(address("feedback", someone), {"paper": paper.pk, "value": value})
    assert everything() == before
    heading = re.search(r"<h1>(.*?)</h1>", page.text)[1]
    assert heading.endswith("?") == (value != was)
    assert ("future digests will reflect this" in text_of(page)) == (value == was != "save")
    # Less is not none, and who wants none sees how to get that.
    assert ("mute it in your preferences" in text_of(page)) == (value == was == "less")


def test_saving_and_opinion_are_independent(post, paper, someone):
    steps = "save less unsave save more neutral unsave".split()  # noqa: SIM905
    states = []
    for value in steps:
        post(value)
        row = feedback.feedback_on(someone, paper)
        states.append(row and row.opinion + " saved" * bool(row.saved_at))
    assert states == [" saved", "less saved", "less", "less saved", "more saved", " saved", None]
    say(someone, "save", paper)
    say(someone, "more", paper)
    say(someone, "clear", paper)
    assert feedback.feedback_on(someone, paper) is None


@pytest.mark.parametrize(("was", "value"), [("less", "more"), ("more", "save"), ("save", "unsave")])
def test_undo_restores_previous_feedback(client, post, paper, someone, was, value):
    say(someone, was, paper)
    before = feedback.feedback_on(someone, paper)
    (form,) = lxml.html.fromstring(post(value).content).xpath("//form[.//button[text()='Undo']]")
    client.post(address("feedback", someone), dict(form.fields))
    after = feedback.feedback_on(someone, paper)
    assert (after.opinion, after.saved_at) == (before.opinion, before.saved_at)


@pytest.fixture
def emailed(someone):
    """A digest of two papers that the mail server accepted six minutes ago."""
    papers = [make.paper(f"Graph neural networks {number}") for number in range(2)]
    plan.plan(NOW)
    Letter.objects.update(state="accepted", ended_at=NOW - timedelta(minutes=6))
    return papers


def test_link_submits_itself_only_when_email_is_old(client, emailed, paper, someone):
    url = address("feedback", someone)

    def posts_by_itself(paper, value):
        return b"data-post-now" in client.get(url, {"paper": paper.pk, "value": value}).content

    one, _ = emailed
    assert all(posts_by_itself(one, value) for value in ("more", "less", "save"))
    assert not posts_by_itself(paper, "more"), "It was in no email."
    say(someone, "save", one)
    for value in ("save", "unsave", "clear", "neutral", ""):
        assert not posts_by_itself(one, value)
    Letter.objects.update(ended_at=NOW - timedelta(minutes=4))
    assert not posts_by_itself(one, "more")
    Letter.objects.update(state="uncertain", ended_at=None)
    assert not posts_by_itself(one, "more")


def test_feedback_page_lists_other_papers_of_digest(client, emailed, someone):
    one, other = emailed
    say(someone, "less", other)
    page = client.post(address("feedback", someone), {"paper": one.pk, "value": "save"})
    first, second = lxml.html.fromstring(page.content).xpath("//ol[@class='papers']/li")
    assert "saved" in str(first.keys())
    assert second.get("data-opinion") == "less"
    assert other.title in second.text_content()


def test_feedback_by_script_gets_empty_response(client, paper, someone):
    headers = {"Accept": "application/json"}
    sent = {"paper": paper.pk, "value": "more"}
    assert client.post(address("feedback", someone), sent, headers=headers).status_code == 204
    assert feedback.feedback_on(someone, paper).opinion == "more"


def test_feedback_post_needs_no_cookie_or_csrf_token(paper, someone):
    strict = Client(enforce_csrf_checks=True, headers={"Origin": "https://x.test"})
    for page in ("feedback", "learned"):
        sent = {"paper": paper.pk, "value": "more", "learning": "off"}
        response = strict.post(address(page, someone), sent)
        assert response.status_code in (200, 302)
        assert not response.cookies


def test_new_feedback_replaces_old_and_repeats_are_ignored(paper, someone):
    feedback.record(someone, paper, "more", NOW)
    feedback.learn(NOW)
    before = everything()
    feedback.record(someone, paper, "more", NOW + SECOND)
    assert everything() == before
    feedback.record(someone, paper, "less", NOW + SECOND)
    assert Feedback.objects.get().value == "less"
    assert ReaderModel.objects.outdated(NOW + SECOND).exists()
    feedback.record(someone, paper, "clear", NOW + SECOND)
    before = everything()
    feedback.record(someone, paper, "clear", NOW + 2 * SECOND)
    assert everything() == before


def test_cleared_feedback_is_unlearned(client, clock, world):
    someone = taught(subscriber(), "less", world["molecules"][0])
    assert words_of(someone)
    clock.now = NOW + 2 * SECOND
    sent = {"paper": world["molecules"][0].pk, "value": "clear"}
    response = client.post(address("feedback", someone), sent)
    assert "Feedback removed" in text_of(response)
    assert not Feedback.objects.exists()
    feedback.learn(NOW + 2 * SECOND)
    assert words_of(someone) == []
    assert themes_of(someone) == themes_of(subscriber())


WRONG = [{"paper": "2606.99999"}, {"paper": ""}, {"paper": "2606\0"}, {"value": "MORE"}]


@pytest.mark.parametrize("sent", WRONG)
def test_unknown_paper_or_value_is_rejected(client, paper, someone, sent):
    before = everything()
    sent = {"paper": paper.pk, "value": "more"} | sent
    for ask in (client.post, client.get):
        assert ask(address("feedback", someone), sent).status_code == 400
    assert everything() == before


def test_email_and_web_copy_offer_feedback(client, outbox, someone):
    paper = make.paper("Graph neural networks of roads")
    call_command("tick")
    html = outbox()[0].get_body(["html"]).get_content()
    links = re.findall(r'href="([^"]*)/feedback/[^"]+\?([^"]+)"', html)
    assert [query for _, query in links] == [
        f"paper={paper.pk}&amp;value={value}" for value in ("more", "less", "save")
    ]
    web_copy = client.get(web_copy_of(Digest.objects.get())).content
    (form,) = lxml.html.fromstring(web_copy).xpath("//form[@class='say']")
    assert form.get("action") == address("feedback", someone)
    assert form.xpath(".//button/@value") == ["more", "less", "save"]


# ---- What is learned from what subscribers say of papers, and how it changes their digests


def test_disliked_theme_is_rarer_in_digest(world):
    someone = subscriber()
    before = themes_of(someone)
    taught(someone, "less", world["molecules"][0])
    assert themes_of(someone).count("m") < before.count("m")
    taught(someone, "less", *world["molecules"][1:4])
    assert themes_of(someone) == "rrrrr"


def test_paper_like_three_liked_ones_needs_no_topic(world):
    three = make.subscriber(interests="medieval monasteries")
    taught(three, "more", *world["molecules"][:3])
    _, picks = plan.preview(three, TODAY, NOW)
    assert picks
    assert {pick.basis for pick in picks} == {"learned"}
    liked = [f"Like “{paper.title[:40]}" for paper in world["molecules"][:3]]
    assert reason_of(picks[0]).startswith(tuple(liked))
    assert set(themes(picks)) == {"m"}


def test_learned_feedback_shapes_only_its_subscribers_digest(world):
    quiet, unlearned, roads, molecules = (subscriber() for _ in range(4))
    before = picks_of(quiet)
    for someone, theme in ((roads, "roads"), (molecules, "molecules")):
        taught(someone, "more", world[theme][0])
    say(unlearned, "more", world["roads"][0])  # Said, and not learned yet.
    assert picks_of(quiet) == picks_of(unlearned) == before
    assert [themes_of(roads), themes_of(molecules)] == ["rrrrr", "mmmmm"]


def test_feedback_during_fit_is_learned_next_time(world):
    someone = subscriber()
    say(someone, "more", world["roads"][0])

    def interrupt():
        feedback.record(someone, world["molecules"][0], "less", NOW + SECOND)

    with once_before('UPDATE "digest_readermodel"', interrupt):
        feedback.learn(NOW)
    assert ReaderModel.objects.outdated(NOW + SECOND).exists()
    assert feedback.learn(NOW + SECOND) == 1
    assert weights_of(someone)["atom"] < 0
    assert not ReaderModel.objects.outdated(NOW + SECOND).exists()


def test_tick_learns_before_planning_unless_dry(world, outbox):
    someone = subscriber()
    say(someone, "more", world["roads"][0])
    before = everything()
    call_command("tick", dry_run=True)
    call_command("digest", someone.email)
    assert everything() == before
    call_command("tick")
    assert len(outbox()) == 1
    assert themes(Digest.objects.get(subscriber=someone).picks.with_papers()) == "rrrrr"


# ---- The profile of a subscriber: what they follow and mute, and what was learned
