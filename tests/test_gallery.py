"""Letters to look at: a subscriber's in the panel, and all of them in the developers' gallery."""

import re
from contextlib import suppress

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from digest import fitting, invented, planning, specimens
from digest.models import Digest, PaperEvent
from subscriptions import links, mail, registry, signup
from subscriptions.models import Letter, Subscriber
from subscriptions.post import office
from subscriptions.wishes import Wishes
from tests import make, services
from tests.make import NOW
from tests.tables import everything

pytestmark = [services.once, pytest.mark.django_db]  # What is shown is what templates make.

DOOR = signup.Door("a test")
TOKEN = re.compile(rb"[\w-]{22}(~[0-9a-f]+)?\.[\w-]{43}")
MESSAGE_ID = re.compile(rb"(?<=\.)[0-9a-f]{32}")
STATES = {
    "pending": {"confirmed": False},
    "active": {},
    "paused": {"paused_until": NOW.date().replace(day=20)},
    "unsubscribed": {"unsubscribed_at": NOW},
    "suppressed": {"suppressed_at": NOW, "suppressed_by": "complained"},
}
LANGUAGES = ["en", "de"]
HOSTILE = "<script>alert(1)</script>\r\nBcc: you@example.org \u202eשלום 🧪 {{ x }} {% x %} %s"


def all_for(subscriber):
    """Return every letter that she could get now: the digest only where today brings her papers."""
    found = []
    for name in specimens.TITLES:
        with suppress(mail.NothingToSay):
            found.append(specimens.written(name, subscriber, NOW))
    return found


def reader(interests="sparse attention", **fields):
    """Make a subscriber for whom there is a paper today, and a model to rank it."""
    make.paper("Sparse attention for <long> documents", upvotes=3)
    made = make.subscriber(interests=interests, **fields)
    fitting.fit(NOW)
    return made


def nameless(message):
    """Return the bytes of a letter without what no two letters share."""
    return MESSAGE_ID.sub(b"ID", TOKEN.sub(b"TOKEN", message.replace(b"=\r\n", b"")))


# ---- Whose letters they are


@pytest.mark.parametrize("fields", STATES.values(), ids=STATES)
def test_all_letters_can_be_written_for_one_in_any_state_and_nothing_is_stored(fields):
    subscriber = reader(**fields)
    before, row = everything(), dict(subscriber.__dict__)
    written = {one.name: one.content for one in all_for(subscriber)}
    assert list(written) == list(specimens.TITLES)
    assert written["confirm"].subject.startswith("Please confirm")
    assert written["already"].subject == "You already get Paperboy"
    assert written["digest"].subject == "Sparse attention for <long> documents"
    assert "since 1 Jun" in " ".join(written["bounced"].text.split())
    assert everything() == before
    assert dict(subscriber.__dict__) == row


def test_letters_are_written_with_as_many_queries_for_many_papers_as_for_few():
    counts = []
    for _ in range(2):
        subscriber = reader(size=20)
        all_for(subscriber)  # The model is loaded once.
        with CaptureQueriesContext(
            connection,
        ) as queries:
            all_for(subscriber)
        counts.append(len(queries))
        for number in range(15):
            make.paper(f"Sparse attention {number}")
            make.subscriber(topics=[make.topic()])
    assert counts[0] == counts[1] < 60


def test_there_is_no_digest_where_today_brings_none_or_no_model_is_fitted():
    eater, thinker = make.subscriber(interests="bread"), make.subscriber(interests="attention")
    make.paper("Bread and butter")
    assert "digest" not in [one.name for one in all_for(eater)]
    fitting.fit(NOW)
    assert "digest" in [one.name for one in all_for(eater)]
    assert "digest" not in [one.name for one in all_for(thinker)]


def test_a_specimen_of_a_digest_is_the_letter_that_is_sent(outbox, data_dir):
    make.paper("Bread and butter")
    subscriber = reader(language="de")
    digest = specimens.written("digest", subscriber, NOW)
    planning.plan(NOW)
    office.deliver(Digest.objects.get().letter_id, NOW)
    (sent,) = (data_dir / "outbox").glob("digest-*.eml")
    assert nameless(digest.wire) == nameless(sent.read_bytes())
    assert digest.size == len(sent.read_bytes())


def test_specimens_of_the_other_letters_are_those_that_are_sent(data_dir):
    subscriber = make.subscriber(confirmed=False)
    confirm = specimens.written("confirm", subscriber, NOW)
    hour = {"timezone": "UTC", "hour": 7}
    letter = signup.subscribe(subscriber.email, Wishes(), **hour, door=DOOR, now=NOW)
    office.deliver(letter.pk, NOW)
    Subscriber.objects.update(confirmed_at=NOW)
    subscriber.refresh_from_db()
    goodbye = specimens.written("goodbye", subscriber, NOW)
    signup.unsubscribe(subscriber.public_id, door=DOOR, now=NOW)
    office.deliver(subscriber.letters.get(kind="goodbye").pk, NOW)
    for specimen in (confirm, goodbye):
        (sent,) = (data_dir / "outbox").glob(f"{specimen.kind}-*.eml")
        assert nameless(specimen.wire) == nameless(sent.read_bytes())


def test_no_link_in_them_is_hers(client):
    subscriber = reader()
    before = everything()
    for letter in all_for(subscriber):
        for found in re.findall(r"http://127.0.0.1:8000(/[\w/~.-]+)", letter.content.text):
            client.post(found, {"action": "erase", "List-Unsubscribe": "One-Click"})
        for purpose in ("preferences", "unsubscribe", "feedback"):
            assert links.token(purpose, subscriber.public_id).encode() not in letter.wire
    assert everything() == before


def test_hostile_names_break_no_letter():
    subscriber = reader(email="o'hara+&co@example.org", interests=HOSTILE, timezone="Asia")
    make.topic(HOSTILE[:200], slug="hostile")
    for letter in all_for(subscriber):
        assert "<script" not in letter.content.html
        assert "Bcc" not in dict(letter.headers)
        assert dict(letter.headers)["To"] == subscriber.email


def test_what_an_inbox_shows_is_told_as_people_read_it():
    make.paper("A & B")
    make.paper("Bücher & <b>")
    subscriber = make.subscriber()
    fitting.fit(NOW)
    digest = specimens.written("digest", subscriber, NOW)
    assert digest.preheader.startswith("Bücher & <b> · New research papers")
    assert dict(digest.headers)["Subject"] == "A & B + 1 more"


# ---- In the panel


@pytest.fixture
def operator(client):
    """Return a function that logs one in who has these rights."""

    def operator(*rights):
        user = User.objects.create(username="you", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=rights))
        client.force_login(user)
        return client

    return operator


def page_of(subscriber, query=""):
    return reverse("admin:subscriptions_subscriber_letters", args=[subscriber.pk]) + query


def frame_of(subscriber, name):
    return reverse("admin:subscriptions_subscriber_letter", args=[subscriber.pk, name])


@pytest.mark.parametrize("fields", STATES.values(), ids=STATES)
def test_who_may_view_subscribers_sees_her_letters_and_writes_nothing(operator, fields):
    panel, subscriber = operator("view_subscriber"), reader(**fields)
    before = everything()
    assert (
        page_of(subscriber)
        in panel.get(
            reverse("admin:subscriptions_subscriber_change", args=[subscriber.pk])
        ).content.decode()
    )
    for name, title in specimens.TITLES.items():
        shown = panel.get(page_of(subscriber, f"?letter={name}"))
        html = shown.content.decode()
        assert title in html
        assert frame_of(subscriber, name) in html
        assert "List-Unsubscribe" in html or name not in ("digest", "welcome", "quiet")
        framed = panel.get(frame_of(subscriber, name))
        assert framed.status_code == 200
        assert "Paperboy" in framed.content.decode()
    assert everything() == before


@pytest.mark.parametrize("address", [page_of, lambda one: frame_of(one, "confirm")])
def test_nobody_else_sees_them(client, operator, address):
    subscriber = reader()
    assert client.get(address(subscriber)).status_code == 302
    assert operator("view_digest").get(address(subscriber)).status_code == 403


@pytest.mark.parametrize("address", [page_of, lambda one: frame_of(one, "confirm")])
def test_they_are_looked_at_only(operator, address):
    panel, subscriber = operator("view_subscriber", "change_subscriber"), reader()
    assert panel.post(address(subscriber)).status_code == 405


def test_a_letter_in_the_panel_is_shut_in(operator):
    panel, subscriber = operator("view_subscriber"), reader()
    framed = panel.get(frame_of(subscriber, "digest"))
    assert framed["X-Frame-Options"] == "SAMEORIGIN"
    policy = framed["Content-Security-Policy"].split("; ")
    assert {"sandbox", "default-src 'none'", "style-src 'unsafe-inline'"} <= set(policy)
    assert '<base target="_blank">' in framed.content.decode()
    assert " sandbox " in panel.get(page_of(subscriber)).content.decode()


def test_the_panel_says_why_there_is_no_digest_and_that_todays_is_written(operator):
    panel, subscriber = operator("view_subscriber"), reader()
    planning.plan(NOW)
    html = panel.get(page_of(subscriber)).content.decode()
    assert "today brings no papers for her" in html
    assert reverse("admin:digest_digest_change", args=[Digest.objects.get().pk]) in html
    assert panel.get(frame_of(subscriber, "digest")).status_code == 404


def test_a_letter_or_a_subscriber_that_is_not_there_is_not_found(operator):
    panel, subscriber = operator("view_subscriber"), reader()
    assert panel.get(page_of(subscriber, "?letter=love")).status_code == 404
    assert panel.get(frame_of(subscriber, "love")).status_code == 404
    for pk in ("999", "x"):
        url = reverse("admin:subscriptions_subscriber_letters", args=[pk])
        assert panel.get(url).status_code == 404


# ---- In the gallery


@pytest.fixture
def gallery(client, settings):
    """The test client of a developer."""
    settings.DEBUG = True
    return client


def parts_of(name, language):
    return [
        reverse("letter", args=[name, language]),
        *(reverse("letter-part", args=[name, language, part]) for part in PARTS),
    ]


PARTS = ["html", "text", "source"]


def test_every_kind_of_letter_has_a_composer_and_can_be_looked_at():
    kinds = set(Letter.Kind.values)
    assert registry.composers.keys() == kinds
    assert {kind for kind, _ in specimens._WRITERS.values()} == kinds
    assert kinds <= {sample.kind for sample in invented.SAMPLES.values()}


def test_nobody_finds_the_gallery_where_debug_is_off(client, settings):
    for address in (reverse("letters"), *parts_of("confirm", "en")):
        settings.DEBUG = False
        refused = client.get(address)
        assert refused.status_code == 404
        assert "unsafe-inline" not in refused["Content-Security-Policy"]
        settings.DEBUG = True
        assert client.get(address).status_code == 200


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", invented.SAMPLES)
def test_each_letter_is_shown_in_each_language(gallery, name, language):
    make.paper("A paper of this database")
    before = everything()
    page, html, text, source = [gallery.get(one) for one in parts_of(name, language)]
    assert f'<html lang="{language}">' in html.content.decode()
    assert f"Content-Language: {language}\r\n" in source.content.decode()
    assert source["Content-Type"] == text["Content-Type"] == "text/plain; charset=utf-8"
    assert "<html" not in text.content.decode()
    assert "<script>" not in html.content.decode()
    assert invented.SAMPLES[name].title in page.content.decode()
    assert everything() == before


def test_the_list_asks_the_database_nothing_but_once_whether_it_has_papers(
    gallery, django_assert_num_queries
):
    with django_assert_num_queries(1):
        listed = gallery.get(reverse("letters")).content.decode()
    assert listed.count(">Quiet day</h2>") == 1
    assert "Heute keine" in listed
    assert "of the papers here" not in listed
    make.paper("A paper of this database")
    assert "A paper of this database" in gallery.get(reverse("letters")).content.decode()


def test_a_page_of_the_gallery_is_as_strict_as_others_but_for_its_frame(gallery):
    strict = gallery.get("/")["Content-Security-Policy"].split("; ")
    framing = gallery.get(reverse("letter", args=["digest", "en"]))["Content-Security-Policy"]
    assert set(framing.split("; ")) == {*strict, "frame-src 'self'"}
    assert gallery.get(reverse("letters"))["Content-Security-Policy"].split("; ") == strict


def test_a_letter_in_the_gallery_is_shut_in(gallery):
    for part in PARTS:
        shown = gallery.get(reverse("letter-part", args=["digest", "en", part]))
        policy = shown["Content-Security-Policy"].split("; ")
        assert {"sandbox", "default-src 'none'", "frame-ancestors 'self'"} <= set(policy)


@pytest.mark.parametrize(("scheme", "media"), [("dark", "all"), ("light", "not all"), ("x", None)])
def test_a_letter_is_shown_dark_or_light_whatever_the_browser_prefers(gallery, scheme, media):
    address = reverse("letter-part", args=["digest", "en", "html"])
    html = gallery.get(address, {"scheme": scheme}).content.decode()
    assert f"@media {media or '(prefers-color-scheme: dark)'} {{" in html
    page = gallery.get(reverse("letter", args=["digest", "en"]), {"scheme": scheme})
    assert (f"{address}?scheme={scheme}" in page.content.decode()) == bool(media)


def test_the_gallery_is_english_whatever_the_browser_asks(gallery):
    page = gallery.get(reverse("letters"), headers={"accept-language": "de"})
    assert '<html lang="en">' in page.content.decode()


@pytest.mark.parametrize("args", [("love", "en"), ("digest", "xx"), ("digest", "en", "love")])
def test_what_is_not_in_the_gallery_is_not_found(gallery, args):
    name = "letter-part" if len(args) > 2 else "letter"
    assert gallery.get(reverse(name, args=args)).status_code == 404


def test_in_the_text_part_too_each_news_of_a_saved_paper_stands_apart():
    text = invented.written("news", "en", NOW).content.text
    said = [str(kind.label) for kind in PaperEvent.Kind]
    paragraphs = text.partition("Papers you saved")[2].split("\n\n")
    told = [sum(one in " ".join(part.split()) for one in said) for part in paragraphs]
    assert sorted(told, reverse=True)[:5] == [1, 1, 1, 1, 0]


def test_the_gallery_shows_all_that_happens_to_papers_and_the_tightest_form():
    with_news = invented.written("news", "en", NOW).content.text
    for kind in PaperEvent.Kind:
        assert str(kind.label) in " ".join(with_news.split())
    full = invented.written("full", "en", NOW)
    assert full.content.text.count("More, less or save") == invented.MOST
    assert full.html_size < 102_000
