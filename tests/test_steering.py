"""What readers say of papers, what is learned from it, and how it changes their digests."""

import json
import re
from contextlib import contextmanager
from datetime import timedelta

import lxml.html
import pytest
from django.core.management import call_command
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from config.celery import app
from digest import fitting, planning, steering, tasks
from digest.models import Digest, Feedback, Paper, Pick, ReaderModel
from digest.profiles import profiles_of
from subscriptions import links, signup
from subscriptions.models import Subscriber
from tests import make
from tests.make import NOW
from tests.pages import text_of, web_copy_of
from tests.tables import everything
from tests.themes import MOLECULES, ROADS, others, theme

pytestmark = pytest.mark.django_db

TODAY, DAY, SECOND = NOW.date(), timedelta(days=1), timedelta(seconds=1)
TOMORROW = NOW + DAY


@pytest.fixture
def world():
    """Papers of last month, and today's of two themes within one topic."""
    past = TODAY - 20 * DAY
    others(day=past)
    world = {
        "molecules": theme(MOLECULES, 0, 6, day=past),
        "roads": theme(ROADS, 0, 6, day=past),
        "new": theme(MOLECULES, 6, 7) + theme(ROADS, 6, 7),
    }
    fitting.fit(NOW)
    return world


def reader(**fields):
    return make.subscriber(interests="graph neural networks", **{"size": 5} | fields)


def say(subscriber, value, *papers, now=NOW):
    """Say it of each, a moment after the other."""
    for number, paper in enumerate(papers):
        steering.say(subscriber, paper, value, now + number * SECOND)


def taught(subscriber, value, *papers):
    """Say it of each, and have it learned."""
    say(subscriber, value, *papers)
    steering.learn(NOW + SECOND * len(papers))
    return subscriber


def themes(picks):
    """Return the theme of each paper, in order: m for molecules, r for roads, ? for others."""
    texts = [(title, sentences.lower()) for title, sentences in (("m", MOLECULES), ("r", ROADS))]
    found = []
    for pick in picks:
        subject = pick.paper.title.partition(": ")[2]
        found.append(next((name for name, text in texts if subject in text), "?"))
    return "".join(found)


def picks_of(subscriber):
    """Return what would come today, as rows."""
    _, picks = planning.preview(Subscriber.objects.get(pk=subscriber.pk), TODAY, NOW)
    return [(p.paper_id, p.position, p.score, p.basis, p.topic_name, p.terms) for p in picks]


def themes_of(subscriber):
    _, picks = planning.preview(Subscriber.objects.get(pk=subscriber.pk), TODAY, NOW)
    return themes(picks)


def address(page, subscriber, purpose=None):
    purpose = purpose or ("feedback" if page == "feedback" else "preferences")
    return reverse(page, args=[links.token(purpose, subscriber.public_id)])


def weights_of(subscriber):
    """Return all that is stored of her: term -> weight, the heaviest first."""
    row = ReaderModel.objects.filter(subscriber=subscriber).first()
    return dict(zip(row.terms, row.weights, strict=True)) if row else {}


def words_of(subscriber):
    return list(weights_of(subscriber))


# ---- Saying it


@pytest.mark.parametrize("value", ["more", "less", "save", "clear", ""])
@pytest.mark.parametrize("was", ["", "more", "less", "save"])
def test_a_get_asks_what_to_say_and_changes_nothing(client, value, was):
    paper, someone = make.paper("Graphs of roads"), reader()
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
def test_a_post_writes_down_what_she_says_and_says_so(client, value, heading):
    paper, someone = make.paper("Graphs of roads"), reader()
    response = client.post(address("feedback", someone), {"paper": paper.pk, "value": value})
    assert heading in re.search(r"<h1>(.*?)</h1>", response.content.decode())[1]
    assert "Graphs of roads" in text_of(response)
    said = Feedback.objects.get()
    assert (said.subscriber, said.paper, said.value, said.at) == (someone, paper, value, NOW)
    assert ReaderModel.objects.outdated(NOW).get().subscriber == someone


def test_who_comes_by_a_link_for_all_three_is_asked_for_any(client):
    paper, someone = make.paper(), reader()
    page = client.get(address("feedback", someone), {"paper": paper.pk}).content.decode()
    assert "<h1>More, less or save</h1>" in page
    assert re.findall(r'name="value" value="(\w+)"><button class="plain">', page) == [
        *("more", "less", "save")
    ]


def test_the_link_without_a_paper_says_what_it_is_for(client):
    page = client.get(address("feedback", reader()))
    assert "The links under each paper in your letters lead here" in text_of(page)
    assert "<button" not in page.content.decode().partition("<main")[2].partition("</main>")[0]


@pytest.mark.parametrize("value", ["more", "less", "save"])
@pytest.mark.parametrize("was", ["more", "less", "save"])
def test_who_comes_to_say_another_thing_is_asked_for_it(client, was, value):
    """Nobody who follows "Less like this" is told that more is noted."""
    paper, someone = make.paper(), reader()
    say(someone, was, paper)
    page = client.get(address("feedback", someone), {"paper": paper.pk, "value": value})
    heading = re.search(r"<h1>(.*?)</h1>", page.content.decode())[1]
    assert heading.endswith("?") == (value != was)
    assert ("So far, you said of it:" in text_of(page)) == (value != was)
    assert ("Noted." in text_of(page)) == (value == was != "save")
    # Less is not none, and who wants none is told how to have that.
    assert ("you can mute in your preferences" in text_of(page)) == (value == was == "less")


def test_a_post_needs_no_cookie_and_no_csrf_token():
    paper, someone = make.paper(), reader()
    strict = Client(enforce_csrf_checks=True)
    sent = {"paper": paper.pk, "value": "more"}
    response = strict.post(address("feedback", someone), sent, headers={"Origin": "https://x.test"})
    assert response.status_code == 200
    assert not response.cookies
    response = strict.post(address("learned", someone), {"learning": "off"})
    assert response.status_code == 302
    assert not response.cookies


def test_what_is_said_twice_is_said_once(client, clock):
    paper, someone = make.paper(), reader()
    sent = {"paper": paper.pk, "value": "more"}
    client.post(address("feedback", someone), sent)
    steering.learn(NOW)
    before = everything()
    clock.now = NOW + SECOND
    assert client.post(address("feedback", someone), sent).status_code == 200
    assert everything() == before
    assert not ReaderModel.objects.outdated(NOW + 2 * SECOND).exists()


def test_another_word_of_the_same_paper_replaces_the_first(client, clock):
    paper, someone = make.paper(), reader()
    client.post(address("feedback", someone), {"paper": paper.pk, "value": "more"})
    steering.learn(NOW)
    clock.now = NOW + SECOND
    client.post(address("feedback", someone), {"paper": paper.pk, "value": "less"})
    assert Feedback.objects.get().value == "less"
    assert ReaderModel.objects.outdated(NOW + SECOND).exists()


def test_what_was_said_is_taken_back_and_forgotten(client, clock, world):
    someone = taught(reader(), "less", world["molecules"][0])
    assert words_of(someone)
    clock.now = NOW + 2 * SECOND
    sent = {"paper": world["molecules"][0].pk, "value": "clear"}
    response = client.post(address("feedback", someone), sent)
    assert "Taken back" in text_of(response)
    assert not Feedback.objects.exists()
    steering.learn(NOW + 2 * SECOND)
    assert words_of(someone) == []
    assert themes_of(someone) == themes_of(reader())


def test_what_one_says_is_hers_alone_and_of_that_paper():
    one, other = reader(), reader()
    paper, another = make.paper("Bread"), make.paper("Roads")
    say(one, "save", paper)
    said = [steering.said(*asked) for asked in ((one, paper), (other, paper), (one, another))]
    assert said == ["save", "", ""]
    assert list(steering.saved(other)) == []


def test_who_said_nothing_is_not_asked_to_take_it_back(client):
    paper, someone = make.paper(), reader()
    asked = {"paper": paper.pk, "value": "clear"}
    page = text_of(client.get(address("feedback", someone), asked))
    assert "Take it back" not in page
    assert "More, less or save" in page


def test_taking_back_what_was_never_said_is_no_news(client):
    paper, someone = make.paper(), reader()
    before = everything()
    sent = {"paper": paper.pk, "value": "clear"}
    assert client.post(address("feedback", someone), sent).status_code == 200
    assert everything() == before


@pytest.mark.parametrize(
    "sent",
    [
        {"paper": "2606.99999", "value": "more"},
        {"value": "more"},
        {"paper": "", "value": "more"},
        {"paper": "x" * 100_000, "value": "more"},
        {"paper": "%_", "value": "more"},
        {"value": "most", "known": True},
        {"value": "MORE", "known": True},
        {"value": "x" * 100_000, "known": True},
        {"value": "mo\0re", "known": True},
        {"paper": "2606\0.99999", "value": "more"},
    ],
)
def test_no_such_paper_or_value_is_a_400_and_nothing_is_written(client, sent):
    known, someone = make.paper(), reader()
    sent = {"paper": known.pk, "value": sent["value"]} if "known" in sent else sent
    before = everything()
    assert client.post(address("feedback", someone), sent).status_code == 400
    assert client.get(address("feedback", someone), sent).status_code == 400
    assert everything() == before


@pytest.mark.parametrize("token", ["x", "AAAA.BBBB", "..", "x" * 5000])
@pytest.mark.parametrize("page", ["feedback", "learned", "why"])
def test_a_wrong_link_is_a_404(client, page, token):
    paper = make.paper()
    sent = {"paper": paper.pk, "value": "more", "learning": "off"}
    before = everything()
    assert client.get(f"/{page}/{token}/", sent).status_code == 404
    # /why/ has nothing to act on: it refuses a POST before it reads the token.
    assert client.post(f"/{page}/{token}/", sent).status_code == (405 if page == "why" else 404)
    assert everything() == before


@pytest.mark.parametrize(
    ("page", "purpose"),
    [
        ("feedback", "preferences"),
        ("feedback", "digest"),
        ("feedback", "unsubscribe"),
        ("learned", "feedback"),
        ("why", "feedback"),
        ("preferences", "feedback"),
    ],
)
def test_a_token_opens_the_pages_of_its_purpose_alone(client, page, purpose):
    paper, someone = make.paper(), reader()
    url = address(page, someone, purpose)
    assert client.get(url, {"paper": paper.pk, "value": "more"}).status_code == 404
    if page != "why":
        sent = {"paper": paper.pk, "value": "more", "learning": "off", "action": "erase"}
        assert client.post(url, sent).status_code == 404
    assert not Feedback.objects.exists()
    assert Subscriber.objects.get().learns


def test_the_link_of_one_who_was_erased_answers(client):
    paper, someone = make.paper(), reader()
    say(someone, "more", paper)
    urls = [address(page, someone) for page in ("feedback", "learned", "why")]
    signup.erase(someone, now=NOW)
    for url in urls:
        assert client.get(url, {"paper": paper.pk, "value": "more"}).status_code == 404
    for url in urls[:2]:
        sent = {"paper": paper.pk, "value": "more", "learning": "off"}
        assert client.post(url, sent).status_code == 404
    assert not Feedback.objects.exists()


@contextmanager
def once_before(statement, act):
    """Act once, as another process might, right before the first statement that holds this."""
    done = []

    def look(execute, sql, params, many, context):
        if statement in sql and not done:
            done.append(sql)
            act()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(look):
        yield
    assert done


@pytest.mark.django_db(transaction=True)
def test_who_is_erased_by_another_click_in_this_very_moment_gets_an_answer(client):
    paper, someone = make.paper(), reader()
    url = address("feedback", someone)
    with once_before('FROM "digest_paper"', lambda: signup.erase(someone, now=NOW)):
        response = client.post(url, {"paper": paper.pk, "value": "more"})
    assert response.status_code in (200, 404)


@pytest.mark.django_db(transaction=True)
def test_a_word_of_which_half_was_written_as_the_process_died_is_learned_when_said_again():
    def die():
        raise SystemExit

    paper, someone = make.paper("Graphs of roads"), reader()
    with pytest.raises(SystemExit), once_before('"digest_readermodel"', die):
        steering.say(someone, paper, "more", NOW)
    steering.say(someone, paper, "more", NOW + SECOND)
    assert steering.learn(NOW + SECOND) == 1


def test_a_papers_markup_is_text_on_the_pages_that_ask_and_tell(client):
    hostile = "<script>alert(1)</script> & graphs"
    paper, someone = make.paper(hostile), reader()
    sent = {"paper": paper.pk, "value": "more"}
    pages = [
        client.get(address("feedback", someone), sent),
        client.post(address("feedback", someone), sent),
        client.get(address("learned", someone)),
    ]
    for page in pages:
        assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; graphs" in page.content.decode()
        assert "<script>alert" not in page.content.decode()


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
            assert steering.said(someone, paper) == ""


# ---- Learning


def test_tomorrows_digest_has_more_of_what_she_wants_more_of(world):
    twin, someone = reader(), reader()
    planning.plan(NOW)
    first = Digest.objects.get(subscriber=someone)
    liked = [pick.paper for pick in first.picks.whole() if themes([pick]) == "r"]
    assert 0 < len(liked) < 5, "The corpus is to have both themes in today's digest."
    say(someone, "more", liked[0])
    assert steering.learn(NOW + SECOND) == 1
    theme(MOLECULES, 0, 6, day=TODAY + DAY)
    theme(ROADS, 0, 6, day=TODAY + DAY)
    planning.plan(TOMORROW)

    hers, twins = (
        themes(Digest.objects.get(subscriber=one, day=TODAY + DAY).picks.whole())
        for one in (someone, twin)
    )
    assert hers == "rrrrr"
    assert "m" in twins


def test_tomorrows_digest_has_less_of_what_she_wants_less_of(world):
    someone = reader()
    before = themes_of(someone)
    assert "m" in before
    taught(someone, "less", world["molecules"][0])
    assert "m" not in themes_of(someone)
    assert "r" in themes_of(someone)


def test_what_is_saved_teaches_like_more(world):
    saving = taught(reader(), "save", world["roads"][0])
    asking = taught(reader(), "more", world["roads"][0])
    assert words_of(saving) == words_of(asking) != []
    assert themes_of(saving) == themes_of(asking) == "rrrrr"


def test_what_she_wants_less_of_counts_against_and_the_rest_for_a_paper(world):
    someone = reader()
    say(someone, "more", *world["roads"][:3])
    say(someone, "less", *world["molecules"][:3], now=NOW + 3 * SECOND)
    steering.learn(NOW + 6 * SECOND)
    weights = weights_of(someone)
    assert weights["congest"] > 0 > weights["atom"]
    # What both have in common is no reason to dislike it.
    assert weights["neural"] > 0


def test_from_three_papers_on_what_is_like_them_comes_without_a_topic(world):
    two = make.subscriber(interests="medieval monasteries")
    three = make.subscriber(interests="medieval monasteries")
    taught(two, "more", *world["molecules"][:2])
    taught(three, "more", *world["molecules"][:3])
    assert picks_of(two) == []
    _, picks = planning.preview(three, TODAY, NOW)
    assert picks
    assert {pick.basis for pick in picks} == {"learned"}
    assert picks[0].why.startswith("Like what you chose: ")
    assert set(themes(picks)) == {"m"}


def test_who_likes_papers_of_three_fields_gets_no_filler_from_others():
    past = TODAY - 20 * DAY
    others(day=past)
    others()
    fitting.fit(NOW)
    someone = make.subscriber(interests="medieval monasteries", size=50)
    liked = [
        Paper.objects.filter(day=past, title__startswith=f"On {subject}").first()
        for subject in ("bread", "galaxies", "geometry")
    ]
    taught(someone, "more", *liked)
    _, picks = planning.preview(someone, TODAY, NOW)
    subjects = {pick.paper.title.split()[1] for pick in picks}
    assert subjects <= {"bread:", "galaxies:", "geometry:"}


def test_liked_papers_without_a_known_word_let_nothing_in():
    past = TODAY - 20 * DAY
    others(day=past)
    others()
    fitting.fit(NOW)
    someone = make.subscriber(interests="medieval monasteries", size=50)
    unknown = [make.paper(f"Zzyx{letter}", day=past) for letter in "abc"]
    taught(someone, "more", Paper.objects.filter(title__startswith="On bread").last(), *unknown)
    _, picks = planning.preview(someone, TODAY, NOW)
    assert {pick.paper.title.split()[1] for pick in picks} <= {"bread:"}


def test_a_word_of_two_terms_is_said_once():
    seasons = ("spring", "summer", "autumn", "winter")
    *liked, _ = [make.paper(f"GPT4 in {season}", "GPT4 writes verses.") for season in seasons]
    others(2)
    someone = make.subscriber(interests="medieval monasteries")
    taught(someone, "more", *liked)
    _, picks = planning.preview(someone, TODAY, NOW)
    said = [one["word"] for one in steering.learned_words(someone)]
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
    planning.plan(NOW)
    digest = Digest.objects.get(subscriber=quiet)
    assert [
        (p.paper_id, p.position, p.score, p.basis, p.topic_name, p.terms)
        for p in digest.picks.whole()
    ] == before


def test_what_one_taught_is_hers_alone_in_a_shard(world):
    roads, molecules = reader(), reader()
    taught(roads, "more", world["roads"][0])
    taught(molecules, "more", world["molecules"][0])
    planning.plan(NOW)
    found = [themes(Digest.objects.get(subscriber=one).picks.whole()) for one in (roads, molecules)]
    assert found == ["rrrrr", "mmmmm"]


def test_learning_is_done_once_and_again_when_it_is_old(world):
    someone = taught(reader(), "more", world["roads"][0])
    assert steering.learn(NOW + DAY) == 0
    assert steering.learn(NOW + ReaderModel.FRESH + DAY) == 1
    assert ReaderModel.objects.get().fitted_at == NOW + ReaderModel.FRESH + DAY
    assert themes_of(someone) == "rrrrr"


def test_more_readers_than_a_batch_are_all_learned_of(world, monkeypatch):
    monkeypatch.setattr(steering, "BATCH", 2)
    for _ in range(5):
        say(reader(), "more", world["roads"][0])
    assert steering.learn(NOW) == 5
    assert not ReaderModel.objects.filter(terms=[]).exists()
    assert not ReaderModel.objects.outdated(NOW).exists()


def test_learning_asks_a_constant_number_of_queries_a_reader(world):
    counts = []
    for papers in (1, 6):
        for _ in range(3):
            say(reader(), "more", *world["roads"][:papers])
        with CaptureQueriesContext(connection) as queries:
            assert steering.learn(NOW + DAY) == 3
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_the_latest_papers_are_remembered(world, monkeypatch):
    monkeypatch.setattr(steering, "REMEMBERED", 2)
    someone = reader()
    say(someone, "more", *world["molecules"][:2])
    say(someone, "more", *world["roads"][:2], now=NOW + 5 * SECOND)
    steering.learn(NOW + 8 * SECOND)
    assert ReaderModel.objects.get().liked == 2
    assert "congest" in words_of(someone)
    assert "atom" not in words_of(someone)


def test_a_word_said_while_fitting_is_learned_in_the_next_pass(world):
    someone = reader()
    say(someone, "more", world["roads"][0])

    def interrupt():
        steering.say(someone, world["molecules"][0], "less", NOW + SECOND)

    with once_before('UPDATE "digest_readermodel"', interrupt):
        steering.learn(NOW)
    assert ReaderModel.objects.outdated(NOW + SECOND).exists()
    assert steering.learn(NOW + SECOND) == 1
    assert weights_of(someone)["atom"] < 0
    assert not ReaderModel.objects.outdated(NOW + SECOND).exists()


def test_a_word_whose_moment_is_before_the_fit_that_missed_it_is_learned(world):
    """Its request waited for the lock, or the worker's clock is ahead of the web server's."""
    someone = reader()
    say(someone, "more", world["roads"][0])
    steering.learn(NOW + 10 * SECOND)
    say(someone, "less", world["molecules"][0], now=NOW + 9 * SECOND)
    steering.learn(NOW + DAY)
    assert "atom" in words_of(someone)


def test_a_word_said_after_a_tick_that_was_run_as_if_it_were_tomorrow_is_learned(world):
    """So does who follows README's "A letter in five minutes"."""
    someone = reader()
    say(someone, "more", world["roads"][0])
    call_command("tick", now=TOMORROW)
    say(someone, "less", world["molecules"][0], now=NOW + 60 * SECOND)
    call_command("tick", now=TOMORROW + DAY)
    assert "atom" in words_of(someone)


def test_a_ranking_fitted_anew_meanwhile_breaks_nothing(world):
    someone = taught(reader(), "more", *world["roads"][:3])
    Paper.objects.exclude(day=TODAY).exclude(feedback__isnull=False).delete()
    say(someone, "less", world["roads"][0], now=NOW + 5 * SECOND)
    with once_before('UPDATE "digest_readermodel"', lambda: fitting.fit(NOW)):
        assert steering.learn(NOW + 5 * SECOND) == 1
    assert "r" in themes_of(someone)
    planning.plan(NOW)
    assert Pick.objects.exists()


def test_a_ranking_that_knows_none_of_her_words_leaves_her_topics(world):
    someone = taught(reader(), "more", world["roads"][0])
    Paper.objects.all().delete()
    make.paper("Graph neural networks")
    fitting.fit(NOW)
    assert len(picks_of(someone)) == 1


@pytest.mark.parametrize(
    ("language", "said"), [("en", ["+0.50", "−0.25"]), ("de", ["+0,50", "−0,25"])]
)
def test_weights_are_told_with_a_minus_as_wide_as_a_plus(client, language, said):
    reader = make.subscriber()
    learned = {"terms": ["graph", "node"], "words": ["graphs", "nodes"], "weights": [0.5, -0.25]}
    ReaderModel.objects.create(subscriber=reader, **learned)
    path = f"/learned/{links.token('preferences', reader.public_id)}/"
    page = lxml.html.fromstring(client.get(path, headers={"accept-language": language}).content)
    assert [one.text for one in page.find_class("weight")] == said


def test_papers_without_words_teach_nothing_and_break_nothing():
    papers = [make.paper(text, text) for text in ("?", "the of and to", "")]
    someone = reader()
    for number, value in enumerate(("more", "less", "save")):
        say(someone, value, *papers, now=NOW + number * DAY)
        assert steering.learn(NOW + number * DAY + 3 * SECOND) == 1
        assert words_of(someone) == []
    assert planning.plan(NOW).letters == 1


def test_the_task_learns_and_beat_asks_for_it(world):
    someone = reader()
    say(someone, "more", world["roads"][0])
    tasks.learn_from_feedback()
    assert words_of(someone)
    name = tasks.learn_from_feedback.name
    app.loader.import_default_modules()
    assert name in app.tasks
    assert name in [entry["task"] for entry in app.conf.beat_schedule.values()]


def test_a_tick_learns_before_it_plans(world, outbox):
    someone = reader()
    say(someone, "more", world["roads"][0])
    call_command("tick")
    assert len(outbox()) == 1
    assert themes(Digest.objects.get(subscriber=someone).picks.whole()) == "rrrrr"


def test_a_dry_tick_and_a_preview_learn_nothing(world):
    someone = reader()
    say(someone, "more", world["roads"][0])
    before = everything()
    call_command("tick", dry_run=True)
    call_command("digest", someone.email)
    assert everything() == before


# ---- What was learned, and how she changes it


def test_a_word_taken_out_is_out_at_once_and_stays_out(client, clock, world):
    someone = taught(reader(), "more", world["roads"][0])
    (heaviest, second, *_) = words_of(someone)
    clock.now = NOW + 5 * SECOND
    response = client.post(address("learned", someone), {"remove": heaviest}, follow=True)
    assert response.redirect_chain
    assert f'name="restore" value="{heaviest}"' in response.content.decode()
    assert words_of(someone)[0] == second
    assert heaviest not in profiles_of([someone])[0].learned.terms

    steering.learn(NOW + 5 * SECOND)
    assert heaviest not in words_of(someone)
    say(someone, "more", *world["roads"][:4], now=NOW + 6 * SECOND)
    steering.learn(NOW + DAY)
    steering.learn(NOW + DAY + ReaderModel.FRESH + SECOND)
    assert second in words_of(someone)
    assert heaviest not in words_of(someone)


def test_a_word_taken_out_while_fitting_stays_out(world):
    someone = reader()
    say(someone, "more", world["roads"][0])
    steering.learn(NOW)
    say(someone, "more", world["roads"][1], now=NOW + SECOND)
    word = words_of(someone)[0]

    def interrupt():
        steering.remove_word(someone, word)

    with once_before('UPDATE "digest_readermodel"', interrupt):
        steering.learn(NOW + SECOND)
    assert word not in words_of(someone)
    steering.learn(NOW + 3 * SECOND)
    assert words_of(someone)
    assert word not in words_of(someone)


def test_a_word_that_is_let_in_again_counts_again(client, clock, world):
    someone = taught(reader(), "more", world["roads"][0])
    before = steering.learned_words(someone)
    clock.now = NOW + 5 * SECOND
    client.post(address("learned", someone), {"remove": before[0]["term"]})
    steering.learn(clock.now)
    clock.now = NOW + 6 * SECOND
    client.post(address("learned", someone), {"restore": before[0]["term"]})
    steering.learn(clock.now)
    assert steering.learned_words(someone) == before
    assert steering.removed_words(someone) == []


def test_with_all_words_taken_out_her_topics_alone_count(world):
    someone, quiet = reader(), reader()
    taught(someone, "more", world["roads"][0])
    while words := words_of(someone):
        steering.remove_word(someone, words[0])
    assert picks_of(someone) == picks_of(quiet)
    steering.learn(NOW + 5 * SECOND)
    assert picks_of(someone) == picks_of(quiet)


def test_taking_out_twice_or_where_nothing_was_learned_changes_nothing(client, world):
    quiet, someone = reader(), taught(reader(), "more", world["roads"][0])
    word = words_of(someone)[0]
    steering.remove_word(someone, word)
    before = everything()
    steering.remove_word(someone, word)
    steering.restore_word(someone, "never taken out")
    for act in ("remove", "restore"):
        assert client.post(address("learned", quiet), {act: "road"}).status_code == 302
    assert everything() == before


def test_switched_off_all_that_was_learned_is_forgotten_and_nothing_more_is(client, clock, world):
    someone, quiet = taught(reader(), "more", world["roads"][0]), reader()
    response = client.post(address("learned", someone), {"learning": "off"}, follow=True)
    assert "Nothing is learned from what you say of papers" in text_of(response)
    assert words_of(someone) == []
    assert picks_of(someone) == picks_of(quiet)

    clock.now = NOW + 10 * SECOND
    sent = {"paper": world["roads"][1].pk, "value": "more"}
    response = client.post(address("feedback", someone), sent)
    assert "You switched off learning" in text_of(response)
    assert steering.learn(NOW + DAY) == 0
    assert steering.learn(NOW + ReaderModel.FRESH + 2 * DAY) == 0
    assert words_of(someone) == []
    assert picks_of(someone) == picks_of(quiet)
    assert Feedback.objects.count() == 2, "What she said stays hers."


def test_switched_off_while_fitting_nothing_is_learned(world):
    someone = reader()
    say(someone, "more", world["roads"][0])
    with once_before('UPDATE "digest_readermodel"', lambda: steering.set_learning(someone, False)):
        steering.learn(NOW)
    assert words_of(someone) == []


def test_switched_on_again_it_learns_from_all_that_is_kept(client, clock, world):
    someone = taught(reader(), "more", world["roads"][0])
    client.post(address("learned", someone), {"learning": "off"})
    someone.refresh_from_db()
    say(someone, "more", world["roads"][1], now=NOW + 5 * SECOND)
    clock.now = NOW + 10 * SECOND
    response = client.post(address("learned", someone), {"learning": "on"}, follow=True)
    assert "the words stand here in a few minutes" in text_of(response)
    someone.refresh_from_db()
    assert steering.learn(clock.now) == 1
    assert ReaderModel.objects.get().liked == 2
    assert themes_of(someone) == "rrrrr"


def test_a_word_taken_out_stays_out_when_learning_was_off_meanwhile(world):
    someone = taught(reader(), "more", world["roads"][0])
    word = words_of(someone)[0]
    steering.remove_word(someone, word)
    steering.set_learning(someone, False)
    steering.set_learning(someone, True)
    steering.learn(NOW + 7 * SECOND)
    assert words_of(someone)
    assert word not in words_of(someone)


def test_what_one_says_and_switches_off_is_nothing_to_another():
    one, other, paper = make.subscriber(), make.subscriber(), make.paper("Roads")
    steering.say(other, paper, "more", NOW)
    model = ReaderModel.objects.filter(subscriber=other)
    model.update(terms=["road"], words=["roads"], weights=[1.0], removed={"sea": "seas"})
    assert steering.said(one, paper) == ""
    assert steering.learned_words(one) == steering.removed_words(one) == []
    for term in ("road", "sea"):
        steering.remove_word(one, term)
        steering.restore_word(one, term)
    steering.set_learning(one, False)
    steering.set_learning(one, True)
    assert not ReaderModel.objects.filter(subscriber=one).exists()
    assert [word["word"] for word in steering.learned_words(other)] == ["roads"]
    assert [word["word"] for word in steering.removed_words(other)] == ["seas"]
    signup.reset(one)
    assert steering.said(other, paper) == "more"
    assert steering.removed_words(other)


def test_what_is_said_in_the_moment_she_switches_off_is_not_learned(world):
    someone = reader()
    as_read_before = Subscriber.objects.get(pk=someone.pk)
    steering.set_learning(someone, False)
    say(as_read_before, "more", world["roads"][0])
    steering.learn(NOW)
    assert not ReaderModel.objects.exclude(terms=[]).exists()


def test_a_reset_forgets_all_and_the_digest_is_as_without(client, world):
    someone, quiet = reader(), reader()
    taught(someone, "more", *world["roads"][:3])
    steering.remove_word(someone, words_of(someone)[0])
    assert picks_of(someone) != picks_of(quiet)
    url = address("preferences", someone)
    response = client.post(url, {"action": "reset"}, follow=True)
    assert "forgotten" in text_of(response)
    assert not Feedback.objects.exists()
    assert not ReaderModel.objects.exists()
    assert steering.learn(NOW + DAY) == 0
    assert picks_of(someone) == picks_of(quiet)


@pytest.mark.parametrize("learns", [True, False])
def test_before_all_is_forgotten_the_page_says_that_saved_papers_are_too(client, learns):
    someone = reader(learns=learns)
    say(someone, "save", make.paper("Graphs of roads"))
    page = lxml.html.fromstring(client.get(address("learned", someone)).content)
    (form,) = page.xpath("//form[.//button[text()='Forget all that I said']]")
    assert "Papers that you saved are saved no more." in form.text_content()
    client.post(form.get("action"), dict(form.fields))
    assert not Feedback.objects.exists()


def test_what_was_learned_is_in_her_export(world):
    someone = taught(reader(), "more", world["roads"][0])
    taught(reader(), "more", world["molecules"][0])
    exported = json.loads(json.dumps(signup.export(someone), cls=DjangoJSONEncoder))
    learned = dict(exported["learned"])
    assert list(learned.values()) == list(weights_of(someone).values())
    assert "vehicles" in learned
    assert "drug" not in learned
    assert exported["feedback"] == [
        {"paper": world["roads"][0].pk, "value": "more", "at": "2026-06-01T12:00:00Z"}
    ]


def test_all_that_is_kept_of_her_steering_is_in_her_export(world):
    someone = taught(reader(), "more", world["roads"][0])
    steering.remove_word(someone, "vehicl")
    exported = json.dumps(signup.export(someone), cls=DjangoJSONEncoder)
    assert "vehicles" not in dict(signup.export(someone)["learned"])
    assert "vehicles" in exported
    steering.set_learning(someone, False)
    off = signup.export(someone)
    steering.set_learning(someone, True)
    assert signup.export(someone) != off


def test_erased_nothing_of_it_is_left(world):
    someone = taught(reader(), "more", *world["roads"][:3])
    planning.plan(NOW)
    signup.erase(someone, now=NOW)
    for model in (Feedback, ReaderModel, Pick, Digest, Subscriber):
        assert not model.objects.exists()
    assert steering.learn(NOW + DAY) == 0


# ---- The page of what was learned


def test_the_page_says_that_nothing_was_learned_yet(client):
    page = text_of(client.get(address("learned", reader())))
    assert "Nothing yet. Say more, less or save under a paper" in page
    assert "Learn nothing from me" in page
    assert "Forget all that I said" not in page


def test_the_page_says_that_what_was_said_is_being_learned_from(client):
    someone = reader()
    say(someone, "save", make.paper("Graphs of roads"))
    page = text_of(client.get(address("learned", someone)))
    assert "the words stand here in a few minutes" in page
    assert "Saved: Graphs of roads" in page
    assert "Forget all that I said" in page


def test_each_thing_that_was_said_can_be_taken_back_by_the_page(client):
    someone = reader()
    say(someone, "more", make.paper("Graphs of roads"))
    say(someone, "less", make.paper("Molecules of & at sea", id="bread:1/2"), now=NOW + SECOND)
    page = lxml.html.fromstring(client.get(address("learned", someone)).content)
    (link,) = page.xpath("//a[@aria-label='Take it back: Molecules of & at sea']/@href")
    asked = lxml.html.fromstring(client.get(link).content)
    assert "Take it back?" in asked.text_content()
    button = asked.xpath("//form[.//button[text()='Take it back']]")[0]
    client.post(link, dict(button.fields))
    assert list(someone.feedback.values_list("value", flat=True)) == ["more"]


def test_the_page_shows_the_words_with_their_weights_for_and_against(client, world):
    someone = reader()
    say(someone, "more", world["roads"][0])
    say(someone, "less", world["molecules"][0], now=NOW + SECOND)
    steering.learn(NOW + SECOND)
    response = client.get(address("learned", someone))
    shown = re.findall(
        r'class="word" dir="auto">([^<]*)</span>\s*<span class="weight(?: against)?">([^<]*)<',
        response.content.decode(),
    )
    words = steering.learned_words(someone)
    assert [word for word, _ in shown] == [one["word"] for one in words]
    weights = [weight.replace("\N{MINUS SIGN}", "-") for _, weight in shown]
    assert list(map(float, weights)) == [round(one["weight"], 2) for one in words]
    assert {weight[0] for _, weight in shown} == {"+", "\N{MINUS SIGN}"}
    assert "More like this: Graph neural networks: sensors" in text_of(response)
    assert "Less like this: Graph neural networks: message" in text_of(response)


def test_however_much_she_likes_some_words_are_shown_that_count_against(world, monkeypatch):
    monkeypatch.setattr(steering, "SHOWN", 5)
    monkeypatch.setattr(steering, "AGAINST", 2)
    someone = reader()
    say(someone, "less", world["molecules"][0])
    steering.learn(NOW)
    assert len(steering.learned_words(someone)) == 5
    say(someone, "more", *world["roads"][:3], now=NOW + SECOND)
    steering.learn(NOW + SECOND)
    signs = [word["weight"] > 0 for word in steering.learned_words(someone)]
    assert signs == [True, True, True, False, False]


def test_the_page_says_that_learning_is_off_and_how_it_is_switched_on(client):
    someone = reader(learns=False)
    page = text_of(client.get(address("learned", someone)))
    assert "Nothing is learned from what you say of papers" in page
    assert "Learn from what I say" in page


def test_the_panel_among_her_preferences_tells_each_state(client, world):
    someone = reader()
    url = address("preferences", someone)
    assert "Nothing is learned yet" in text_of(client.get(url))
    taught(someone, "more", world["roads"][0])
    word = steering.learned_words(someone)[0]["word"]
    assert f"Learned from what you said of papers: {word}, " in text_of(client.get(url))
    steering.set_learning(someone, False)
    assert "Nothing is learned from what you say of papers." in text_of(client.get(url))


def test_the_panel_marks_the_words_that_count_against(client, world):
    someone = reader()
    say(someone, "less", world["roads"][0])
    steering.learn(NOW)
    word = steering.learned_words(someone)[0]
    assert word["weight"] < 0
    said = text_of(client.get(address("preferences", someone)))
    assert f"Learned from what you said of papers: −{word['word']}," in said


@pytest.mark.parametrize("page", ["learned", "preferences", "why"])
def test_looking_at_a_page_changes_nothing(client, world, page):
    someone = taught(reader(), "more", world["roads"][0])
    steering.remove_word(someone, words_of(someone)[0])
    before = everything()
    for sent in ({}, {"remove": "road"}, {"learning": "off"}, {"paper": world["new"][0].pk}):
        assert client.get(address(page, someone), sent).status_code == 200
        assert client.head(address(page, someone), sent).status_code == 200
    assert everything() == before


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"remove": ""},
        {"restore": ""},
        {"learning": ""},
        {"learning": "maybe"},
        {"learning": "ON"},
        {"action": "erase"},
        {"delete": "road"},
    ],
)
def test_an_action_that_is_none_is_a_400(client, world, sent):
    someone = taught(reader(), "more", world["roads"][0])
    before = everything()
    response = client.post(address("learned", someone), sent)
    assert response.status_code == 400
    assert everything() == before


@pytest.mark.parametrize(
    "term",
    ["no word of hers", "<script>alert(1)</script>", "ro\0ad", "x" * 100_000, "%", "\ud7ff", "é"],
)
def test_a_term_that_was_never_learned_is_neither_taken_out_nor_kept(client, world, term):
    someone = taught(reader(), "more", world["roads"][0])
    before = everything()
    for act in ("remove", "restore"):
        assert client.post(address("learned", someone), {act: term}).status_code in (302, 400)
    assert everything() == before


def test_a_word_taken_out_is_shown_as_people_write_it(client, world):
    someone = taught(reader(), "more", world["roads"][0])
    client.post(address("learned", someone), {"remove": "vehicl"})
    page = text_of(client.get(address("learned", someone)))
    assert "vehicles" in page.partition("Taken out")[2].partition("What you said")[0]


def test_words_that_are_markup_stay_text(client):
    """The model makes none, and a page shouldn't have to know."""
    someone = reader()
    hostile = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7|add:7 }}"]
    ReaderModel.objects.create(
        subscriber=someone,
        terms=hostile,
        words=hostile,
        weights=[0.5, -0.4, 0.3],
        removed={"<b>": "<b>"},
    )
    for page in ("learned", "preferences"):
        html = client.get(address(page, someone)).content.decode()
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
        assert "{{ 7|add:7 }}" in html
        assert "<script>alert" not in html
        assert "<img src=x" not in html
        assert "<b>" not in html


# ---- Profiles


@pytest.mark.parametrize("said", ["cs.LG", "cs.lg", "CS.LG", "  Cs.Lg "])
def test_a_line_that_names_a_category_follows_it(said):
    inside = make.paper("Bread", categories=["cs.AI", "cs.LG"])
    make.paper("Cake", categories=["math.GT"])
    make.paper("On the words cs and LG", categories=["math.GT"])
    someone = make.subscriber()
    signup.change(someone, signup.Wishes(interests=[said]), {}, now=NOW)
    planning.plan(NOW)
    assert [pick.paper for pick in Pick.objects.all()] == [inside]
    assert profiles_of([someone])[0].follows[0].categories == ("cs.LG",)


@pytest.mark.parametrize("said", ["cs.LG", "cs.lg"])
def test_a_muted_line_that_names_a_category_mutes_it(said):
    make.paper("Graphs of roads", categories=["cs.AI", "cs.LG"])
    outside = make.paper("Graphs of cars", categories=["cs.AI"])
    someone = make.subscriber()
    wishes = signup.Wishes(interests=["graphs"], muted_interests=[said])
    signup.change(someone, wishes, {}, now=NOW)
    planning.plan(NOW)
    assert [pick.paper for pick in Pick.objects.all()] == [outside]


def test_the_other_name_of_a_category_and_a_closed_archive_mean_the_one_that_counts():
    systems = make.paper("Control", categories=["eess.SY", "cs.SY"])
    language = make.paper("Verbs", categories=["cs.CL"])
    make.subscriber(interests="cs.sy\ncmp-lg")
    planning.plan(NOW)
    assert {pick.paper for pick in Pick.objects.all()} == {systems, language}


def test_words_that_only_hold_a_category_are_words():
    make.paper("Bread", categories=["cs.LG"])
    said = make.paper("Why cs.LG papers grow", categories=["cs.DL"])
    make.subscriber(interests='"cs.LG papers"')
    planning.plan(NOW)
    assert [pick.paper for pick in Pick.objects.all()] == [said]


def test_profiles_ask_the_same_number_of_queries_however_many_they_are(world):
    muted = make.topic("bread")
    counts = []
    for size in (1, 10, 100):
        subscribers = [reader(muted=[muted]) for _ in range(size)]
        for number, one in enumerate(subscribers[:10]):
            say(one, "more", world["roads"][number % 6])
        steering.learn(NOW + DAY)
        with CaptureQueriesContext(connection) as queries:
            profiles = profiles_of(subscribers)
        counts.append(len(queries))
        assert [len(one.follows) + len(one.mutes) for one in profiles] == [2] * size
        assert [one.learned is not None for one in profiles] == [n < 10 for n in range(size)]
    assert counts == [2, 2, 2]


def test_a_profile_leaves_out_what_was_learned_of_one_who_switched_it_off(world):
    on, off = (taught(reader(), "more", world["roads"][0]) for _ in range(2))
    Subscriber.objects.filter(pk=off.pk).update(learns=False)
    off.refresh_from_db()
    assert words_of(off)
    assert [one.learned is not None for one in profiles_of([on, off])] == [True, False]
    assert profiles_of([off])[0].learned is None
