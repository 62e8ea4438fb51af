"""Letters joined of blocks: what rendering each alone gives, whatever papers and readers say."""

import re
import uuid
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes, policy

import lxml.html
import pytest
from django.db import OperationalError, connection
from django.utils import translation
from django.utils.html import escape
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digest import blocks, composing, wording
from digest.materials import Material
from digest.models import Digest, Observation, Paper, Pick
from subscriptions import links, mail, plaintext, wire
from subscriptions.models import Letter, Subscriber, Topic
from subscriptions.registry import TOGETHER
from subscriptions.stencil import (
    Skeleton,
    Stencil,
    escaped,
    gap,
    hole,
    html_line,
    stand_in,
    text_line,
)
from tests import make, services
from tests.letters_alone import alone
from tests.make import NOW

DAY, TODAY = timedelta(days=1), NOW.date()
HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "Content-Language",
    "MIME-Version",
    "Content-Type",
]
#: What letters of other makers stumbled over.
TRAPS = [
    "<script>alert(1)</script>",
    "</td></tr></table>",
    "{{ unsubscribe_url }}{% load i18n %}",
    "\r\nBcc: all@example.org\r\n\r\n",
    "%(why)s %s %% %",
    "--=_digest.x--",
    "&amp;lt;b&amp;gt; &#60;",
    r"$\frac{a}{b}$ \input{x} \href{javascript:1}{y}",
    "<!-- cut here -->",
    "<!--[if mso]>",
    "1. Not a paper",
    "-- ",
    "From here",
    ".",
    "=\n=3D",
    "hole-0123456789abcdef0123456789abcdef-why",
    "/" + "A" * 22 + "." + "b" * 43 + "/",
    "\u202eright to left\u2066",
    "\u0000\u0007\u001b[31m\u0085\u2028",
    "שלום עולם ✓ مرحبا",
    "👩‍👩‍👧‍👦🏳️‍🌈",
    "x" * 300,
    "\ud800\udfff\ufffe",
    "\U0010ffff\ufdd0",
]
TEXTS = st.lists(
    st.one_of(st.sampled_from(TRAPS), st.text(max_size=40), st.characters()), max_size=6
).map(" ".join)
FULL = TEXTS.map(lambda text: f"{text} x")
#: None, plain ones, and ones that an attribute can't have as they are.
ADDRESSES = st.sampled_from(
    [
        "",
        "https://example.org/a?b=%20&c=1&lt;d&amp;=%(why)s",
        "https://example.org/(a)/[b]/~c;d,e+f*g$h!i@j#k",
        "https://example.org/a?b=%20&c='\"<>",
        "https://a\u2028b\u0085c.example/",
        "https://müller.example/a b\u00a0c/{d}|e^`f`\\g",
    ]
)


@st.composite
def picks(draw, digest, position):
    number = f"{draw(st.sampled_from(['2606.', 'math/0', 'biorxiv:']))}{position:05}"
    paper = Paper(
        id=number,
        title=draw(FULL),
        abstract=draw(TEXTS),
        authors=draw(st.lists(FULL, max_size=5)),
        categories=draw(st.lists(st.sampled_from(["cs.LG", "hep-th", "68T05"]), max_size=3)),
        upvotes=draw(st.sampled_from([None, 0, 1, 1234])),
        url=draw(ADDRESSES),
        github=draw(ADDRESSES),
    )
    paper.stars = draw(st.sampled_from([None, 1, 5000]))
    pick = Pick(
        digest=digest,
        subscriber=digest.subscriber,
        paper=paper,
        position=position,
        basis=draw(st.sampled_from(Pick.Basis.values)),
        topic_name=draw(FULL),
        terms=draw(st.lists(FULL, max_size=3)),
    )
    pick.would_fold = [
        Paper(id=f"{draw(st.sampled_from(['x', 'x:']))}{n}", title=draw(FULL), url=draw(ADDRESSES))
        for n in range(draw(st.integers(0, 5)))
    ]
    return pick


@st.composite
def materials(draw):
    """Draw what a letter is made of; nothing of it is stored."""
    subscriber = Subscriber(
        pk=1,
        email="reader@example.org",
        public_id=draw(st.uuids()),
        confirmed_at=NOW,
        moved_at=draw(st.sampled_from([None, NOW])),
        language=draw(st.sampled_from(["en", "de", "xx"])),
        timezone=draw(st.sampled_from(["UTC", "America/New_York", "Mars/Base"])),
    )
    digest = Digest(
        pk=1,
        subscriber=subscriber,
        day=date(2026, 6, 1),
        public_id=draw(st.uuids()),
        considered=draw(st.sampled_from([0, 1, 1043])),
        receipt=draw(st.sampled_from([{}, receipt(True), receipt(False)])),
    )
    count = draw(st.sampled_from([0, 1, 2, 11]))
    return Material(
        digest=digest,
        picks=[draw(picks(digest, position)) for position in range(1, count + 1)],
        topics=draw(st.lists(FULL, max_size=3)),
        is_first=draw(st.booleans()),
        news=draw(st.lists(st.fixed_dictionaries(NEWS), max_size=2)),
    )


def receipt(verified):
    return {"day": "2026-06-01", "announced": 1043, "had": 1040, "is_verified": verified}


NEWS = {"title": FULL.map(plaintext.one_line), "link": st.just("http://x/"), "said": st.just("y.")}


@pytest.mark.parametrize(
    ("identity", "url", "said"),
    [
        ("2606.00001", "", "arXiv:2606.00001"),
        ("biorxiv:10.1101/1", "https://doi.org/10.1101/1", "bioRxiv"),
        ("medrxiv:10.1101/1", "", "medRxiv"),
        ("biorxiv:10.1101/1", "https://www.biorxiv.org/content/1", "www.biorxiv.org"),
        ("other:1", "https://doi.org/10.1000/1", "doi.org"),
        ("other:1", "", "other"),
    ],
)
def test_a_letter_says_where_a_paper_is_from_in_a_word(identity, url, said):
    assert wording.origin(Paper(id=identity, url=url)) == said


@pytest.mark.parametrize(
    ("had", "said"),
    [
        (0, "arXiv’s list of Monday, 1 June had not come in"),
        (1, "Of arXiv’s list of Monday, 1 June, only 1 paper had come in"),
        (2, "Of arXiv’s list of Monday, 1 June, only 2 papers had come in"),
    ],
)
def test_a_letter_says_how_much_of_the_days_list_is_lacking(had, said):
    assert wording.receipt("2026-06-01", 0, had, is_verified=False).startswith(said)


def mime_of(content):
    moment = datetime(2026, 6, 1, 7, tzinfo=UTC)
    return mail.as_bytes(
        content, to="reader@example.org", message_id="<digest.x@paperboy.example>", date=moment
    )


@services.once
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(materials())
def test_a_joined_letter_is_byte_for_byte_the_one_that_is_rendered_alone(material):
    assert mime_of(composing.content(material)) == mime_of(alone(material))


@services.once
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(materials())
def test_whatever_papers_and_readers_say_the_letter_is_valid_and_hers_alone(material):
    mime = mime_of(composing.content(material))
    assert re.fullmatch(rb"(?:[\t -~]{0,998}\r\n)*", mime)
    message = message_from_bytes(mime, policy=policy.default)
    parts = list(message.walk())
    assert not [part.defects for part in parts if part.defects]
    assert message.keys() == HEADERS
    assert message["To"] == "reader@example.org"
    assert [part.get_content_type() for part in parts] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]
    text, html = (part.get_content().replace("\r\n", "\n") for part in parts[1:])
    unseen = plaintext.UNSEEN.search(f"{message['Subject']}{text}{html}")
    assert unseen is None, unseen
    assert hole("") not in text + html
    assert stand_in("x")[22:] not in text + html
    page = lxml.html.fromstring(html.encode())
    assert not page.xpath("//script|//form|//iframe|//img|//@onclick")
    shown = page.xpath("//@data-paper-id")
    assert shown == [pick.paper_id for pick in material.picks]
    numbered = re.findall(r"^(\d+)\. ", text, re.MULTILINE)
    assert numbered == [str(pick.position) for pick in material.picks]
    unsubscribe = links.unsubscribe_url(material.subscriber)
    assert unsubscribe in text
    assert unsubscribe in page.xpath("//@href")


def test_one_readers_letter_leaves_nothing_in_anothers():
    first, second = (material_of(["Graphs"], pk=pk) for pk in (1, 2))
    letters = [mime_of(composing.content(one)) for one in (first, second, first)]
    assert letters[0] == letters[2]
    for purpose, one in composing.tokens_of([first])[0].items():
        assert one.encode() in letters[0], purpose
        assert one.encode() not in letters[1], purpose


def test_a_changed_paper_is_told_of_as_it_is_now():
    material = material_of(["Graphs"])
    assert "Graphs" in composing.content(material).html
    changed = material_of(["Graphs, second edition"])
    assert "second edition" in composing.content(changed).html


@pytest.mark.parametrize("moved_at", [None, NOW])  # Who moved has longer links.
def test_fifty_papers_of_the_longest_kind_leave_the_foot_in_sight(moved_at):
    material = material_of(["&" * 500 for _ in range(50)])
    material.subscriber.moved_at = moved_at
    for pick in material.picks:
        pick.paper.url = "https://example.org/" + "&" * 480
        pick.paper.github = "https://github.com/" + "&" * 480
        pick.topic_name = "&" * 200
    content = composing.content(material)
    assert len(content.html.encode()) < 80_000
    shown = content.html.count("data-paper-id")
    assert 0 < shown < 50
    for part in (content.text, content.html):
        assert f"{50 - shown} more papers are on the web" in " ".join(part.split())
        assert links.unsubscribe_url(material.subscriber) in part
    numbered = re.findall(r"^(\d+)\. ", content.text, re.MULTILINE)
    assert numbered == [str(number) for number in range(1, shown + 1)]


@pytest.mark.parametrize("form", composing.FORMS)
def test_each_form_of_a_letter_is_the_one_that_is_rendered_alone(form, monkeypatch):
    monkeypatch.setattr(composing, "FORMS", [form])
    material = material_of(["Graphs & <b>", "Long " * 100])
    material.picks[0].would_fold = [Paper(id=f"x{n}", title="Also") for n in range(4)]
    assert mime_of(composing.content(material)) == mime_of(alone(material, form))


def material_of(titles, pk=1):
    subscriber = Subscriber(
        pk=pk, email="reader@example.org", public_id=uuid.UUID(int=pk), confirmed_at=NOW
    )
    digest = Digest(
        pk=pk, subscriber=subscriber, day=date(2026, 6, 1), public_id=uuid.UUID(int=pk + 100)
    )
    material = Material(digest=digest, topics=["Graphs"])
    for position, title in enumerate(titles, start=1):
        paper = Paper(id=f"2606.{position:05}", title=title, abstract="We graph.")
        pick = Pick(paper=paper, position=position, basis="topic", topic_name="Graphs")
        pick.would_fold = []
        material.picks.append(pick)
    return material


@pytest.mark.parametrize(
    ("titles", "said"), [(["A"], "We graph."), (["A", "B", "C", "D", "E"], "B · C · D")]
)
def test_an_inbox_shows_the_next_titles_or_what_the_only_paper_is_about(titles, said):
    shown = composing.lines_of(material_of(titles))["preheader"]
    assert shown.split(" · New research")[0] == said


def test_the_foot_says_in_her_language_on_which_of_her_days_she_confirmed():
    for language, zone, said in (
        ("en", "Asia/Tokyo", "confirmed this address on 2 June 2026"),
        ("de", "America/New_York", "am 1. Juni 2026"),
    ):
        material = material_of(["Graphs"])
        reader = material.subscriber
        reader.language, reader.timezone = language, zone
        reader.confirmed_at = datetime(2026, 6, 1, 23, tzinfo=UTC)
        assert said in " ".join(composing.content(material).text.split())


@pytest.mark.parametrize(
    ("topics", "said"), [([], "that you have not had"), (["Graphs"], "none is about what you")]
)
def test_a_letter_without_papers_says_what_was_looked_for(topics, said):
    material = material_of([])
    material.digest.considered, material.topics = 5, topics
    assert said in composing.lines_of(material)["quiet"]


def test_a_hole_takes_only_what_was_made_for_one():
    stencil = Stencil.cut(f"<p>\n{hole('why')}\n</p>")
    assert b"".join(stencil.lay({"why": html_line("<&>")})) == b"<p>\r\n&lt;&amp;&gt;\r\n</p>"
    for value in (b"<b>", "<b>", None):
        with pytest.raises(TypeError):
            stencil.lay({"why": value})
    with pytest.raises(KeyError):
        stencil.lay({})


def test_a_line_of_text_hangs_under_its_indent():
    stencil = Stencil.cut(f"1. Title\n    {hole('reason')}\n")
    line = text_line("word " * 30, "    ")
    laid = b"".join(stencil.lay({"reason": line})).decode()
    assert laid.count("\r\n    word") == 3


@given(st.from_regex(blocks.PLAIN, fullmatch=True))
def test_a_plain_address_stands_in_an_attribute_as_it_is_but_escaped(address):
    page = f'<html><body><p data-paper-id="{escape(address)}"><a href="{escape(address)}">x</a>'
    inlined = mail.inline_css(page)
    assert f'<p data-paper-id="{escaped(address)}"><a href="{escaped(address)}">x</a>' in inlined


@given(TEXTS)
def test_words_stand_between_tags_as_lxml_writes_them(text):
    text = plaintext.one_line(text)
    inlined = mail.inline_css(f"<html><body><p>x{escape(text)}x</p></body></html>")
    assert f"<p>x{escaped(text)}x</p>" in inlined


def test_gaps_are_filled_wherever_they_stand_in_a_line():
    skeleton = Skeleton.of_html(
        f'<p title="100%">\n<a href="{gap("link")}?a">{gap("title")}</a>, 5%\n{hole("why")}',
        {"link"},
    )
    stencil = skeleton.filled({"link": "http://x/%(title)s", "title": "100 %s" + "é" * 60})
    page = f'<p title="100%">\n<a href="http://x/%(title)s?a">100 %s{"é" * 60}</a>, 5%\nwhy'
    assert b"".join(stencil.lay({"why": html_line("why")})) == wire.quoted(page)


def test_words_have_no_gap_inside_of_a_tag():
    for tag in ('<a title="{}">', "<a title='x {} y' href=''>", "<{}>"):
        with pytest.raises(ValueError, match=r"\['title'\]"):
            Skeleton.of_html(f"<p>{tag.format(gap('title'))}</p>", {"link"})


def test_papers_of_one_shape_share_a_skeleton_and_those_with_odd_addresses_have_their_own():
    shapes = set()
    for title, url in (("Graphs", ""), ("Trees", "http://x/a"), ("", ""), ("Nets", 'http://x/"a"')):
        (pick,) = material_of([title]).picks
        pick.paper.url = url
        shape = blocks.Told.of(pick, composing.FORMS[0], "http://x/say").with_gaps()
        shapes.add(shape.key())
        assert title not in shape.words.values() or not title
    assert len(shapes) == 3


# ---- Many letters at once


def stored(papers=(), kind="digest", subscriber=None, day=TODAY, **fields):
    """Store a digest of these papers. Return its letter, as the post office loads it."""
    subscriber = subscriber or make.subscriber(topics=[make.topic()])
    letter = subscriber.letters.create(kind=kind, day=day, created_at=NOW, closes_at=NOW, **fields)
    digest = Digest.objects.create(subscriber=subscriber, day=day, letter=letter)
    for position, paper in enumerate(papers, start=1):
        pick(digest, paper, position=position)
    return Letter.objects.select_related("subscriber").get(pk=letter.pk)


def pick(digest, paper, **fields):
    defaults = {"score": 1, "basis": "topic", "topic_name": "Graphs", "terms": ["graph"]}
    return Pick.objects.create(
        digest=digest, subscriber=digest.subscriber, paper=paper, **defaults | fields
    )


def composed(*letters):
    return list(composing.compose(letters, NOW))


@pytest.mark.django_db
def test_composing_asks_as_many_queries_for_many_letters_as_for_one(django_assert_num_queries):
    letters = [stored([make.paper(), make.paper()]) for _ in range(11)]
    for some in (letters[:1], letters):
        with django_assert_num_queries(5):
            assert all(content.html for content in composed(*some))


@pytest.mark.django_db
def test_stored_letters_are_byte_for_byte_those_of_their_rows_rendered_alone():
    shared = make.paper("Graphs & <b>", "We graph.", upvotes=12, github="https://github.com/a/b")
    for day, stars in ((NOW.date() - DAY, 99), (NOW.date(), 1234), (NOW.date() + DAY, None)):
        Observation.objects.create(paper=shared, source="hf", day=day, github_stars=stars)
    letters = [stored([shared, make.paper()]), stored([make.paper(), shared])]
    for digest in Digest.objects.all():
        leader = digest.picks.get(position=1)
        pick(digest, make.paper("On the same idea"), leader=leader, basis="trend")
    Subscriber.objects.filter(pk=letters[1].subscriber_id).update(language="de")
    letters = list(Letter.objects.select_related("subscriber").order_by("pk"))
    for letter, content in zip(letters, composed(*letters), strict=True):
        whole = list(letter.digest.picks.whole())
        (material,) = composing.gather([letter.digest], picks={letter.subscriber_id: whole})
        assert mime_of(content) == mime_of(alone(material))
        assert "1,234 stars" in content.html or "1.234 Sterne" in content.html
    assert [dict(one.headers)["Content-Language"] for one in composed(*letters)] == ["en", "de"]


@pytest.mark.django_db
def test_each_letter_says_what_the_rows_say_at_that_moment():
    paper, topic = make.paper("Graphs"), make.topic("Trees")
    letter = stored([paper], subscriber=make.subscriber(topics=[topic]))
    composed(letter)
    # Whatever writes a row, and although `changed_at` stays.
    Paper.objects.update(title="Graphs, second edition", upvotes=7)
    Observation.objects.create(paper=paper, source="hf", day=NOW.date(), github_stars=77)
    Pick.objects.update(terms=["edge"])
    Topic.objects.update(name="Forests")
    Digest.objects.update(considered=4321)
    (content,) = composed(letter)
    for said in ("Graphs, second edition", "7 upvotes", "77 stars", "edge", "Forests", "4,321"):
        assert said in " ".join(content.text.split()), said


@pytest.mark.django_db
def test_the_first_digest_welcomes_and_no_later_one_does():
    reader = make.subscriber()
    assert (
        "This is your first digest" in composed(stored([make.paper()], subscriber=reader))[0].html
    )
    before = reader.letters.create(
        kind="digest", day=NOW.date() - DAY, created_at=NOW, closes_at=NOW, state="missed"
    )
    Digest.objects.create(subscriber=reader, day=NOW.date() - DAY, letter=before)
    letter = Letter.objects.select_related("subscriber").get(subscriber=reader, day=NOW.date())
    assert "This is your first digest" in composed(letter)[0].html
    Letter.objects.filter(pk=before.pk).update(state="accepted")
    assert "This is your first digest" not in composed(letter)[0].html


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["digest", "welcome"])
@pytest.mark.parametrize("weekdays", [0b0000011, 0b1111111])
def test_a_first_letter_promises_none_on_days_that_she_did_not_choose(kind, weekdays):
    reader = make.subscriber(weekdays=weekdays)
    papers = [make.paper()] if kind == "digest" else []
    (content,) = composed(stored(papers, subscriber=reader, kind=kind))
    for part in (content.html, content.text):
        words = " ".join(part.split())
        assert ("on every day that brings new papers" in words) == (weekdays == 0b1111111)
        assert ("on the days you chose that bring new papers" in words) == (weekdays != 0b1111111)


@pytest.mark.django_db
def test_no_later_digest_welcomes_where_the_database_writes_days_another_way():
    if connection.vendor != "postgresql":
        pytest.skip("SQLite writes days in one way")
    reader = make.subscriber()
    for days in (1, 0):
        day = NOW.date() - days * DAY
        letter = reader.letters.create(
            kind="digest", day=day, created_at=NOW, closes_at=NOW, state="accepted"
        )
        Digest.objects.create(subscriber=reader, day=day, letter=letter)
    pick(letter.digest, make.paper(), position=1)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL datestyle TO German")
    assert "This is your first digest" not in composed(letter)[0].html


@pytest.mark.django_db
def test_a_letter_that_cannot_be_read_costs_itself_alone():
    bad, good, empty, gone = (
        stored([make.paper()]),
        stored([make.paper()]),
        stored(),
        stored([make.paper()]),
    )
    Pick.objects.filter(digest__letter=bad).update(terms=5)  # No list of words.
    gone.digest.delete()
    contents = composed(bad, good, empty, gone)
    assert [type(one) for one in contents] == [
        TypeError,
        mail.Content,
        mail.NothingToSay,
        Digest.DoesNotExist,
    ]


@pytest.mark.django_db
def test_a_letter_that_cannot_be_filled_costs_itself_alone(monkeypatch):
    def because(site, day, real=composing.wording.because):
        if day != NOW.date():
            raise RuntimeError("no such day")
        return real(site, day)

    monkeypatch.setattr(composing.wording, "because", because)
    bad = stored([make.paper()], subscriber=make.subscriber(confirmed_at=NOW - DAY))
    contents = composed(bad, stored([make.paper()]))
    assert [type(one) for one in contents] == [RuntimeError, mail.Content]


@pytest.mark.django_db
def test_where_the_database_is_away_no_letter_is_tried_alone(monkeypatch):
    tried = []

    def gather(digests, kind):
        tried.append(len(digests))
        raise OperationalError("the server closed the connection")

    letters = [stored([make.paper()]) for _ in range(3)]
    monkeypatch.setattr(composing, "gather", gather)
    assert [type(one) for one in composed(*letters)] == [OperationalError] * 3
    assert tried == [3]


@pytest.mark.django_db
def test_letters_that_are_composed_together_are_those_that_each_would_be_alone(monkeypatch):
    papers = [make.paper(f"Paper {number}") for number in range(3)]
    letters = [
        stored(papers[number % 3 :], day=TODAY - number % 2 * DAY) for number in range(TOGETHER + 3)
    ]
    together = composed(*letters)
    assert together == [one for letter in letters for one in composed(letter)]
    bad = letters[TOGETHER // 2].subscriber.public_id
    lines_of = composing.lines_of
    monkeypatch.setattr(
        composing,
        "lines_of",
        lambda one: 1 / 0 if one.subscriber.public_id == bad else lines_of(one),
    )
    found = composed(*letters)
    assert type(found.pop(TOGETHER // 2)) is ZeroDivisionError
    del together[TOGETHER // 2]
    assert found == together


@pytest.mark.django_db
def test_each_link_of_a_letter_is_for_one_thing_and_its_readers_own():
    paper, unread = make.paper(), make.subscriber(topics=[make.topic()], wants_quiet_days=True)
    letters = [stored([paper]), stored(subscriber=unread), stored([paper])]
    for letter, content in zip(letters, composed(*letters), strict=True):
        reader, digest = letter.subscriber.public_id, letter.digest.public_id
        own = {("preferences", reader), ("unsubscribe", reader)}
        if letter.subscriber != unread:
            own |= {("feedback", reader), ("digest", digest)}
        header = dict(content.headers)["List-Unsubscribe"]
        for part in (content.text, content.html, header):
            found = set(re.findall(r"/(preferences|unsubscribe|feedback|digest)s?/([^/]+)/", part))
            read = {(purpose, links.read(purpose, token)[0]) for purpose, token in found}
            assert read == ({("unsubscribe", reader)} if part is header else own)


@pytest.mark.django_db
def test_readers_of_the_same_papers_get_them_each_in_her_language():
    paper, topic = make.paper(), make.topic()
    letters = [
        stored([paper], subscriber=make.subscriber(topics=[topic], language=language))
        for language in ("en", "de", "en")
    ]
    with translation.override("fr"):
        contents = [content.text for content in composing.compose(letters, NOW)]
        assert translation.get_language() == "fr"
    assert ["chosen for your topics" in text for text in contents] == [True, False, True]
    assert ["More, less or save" in text for text in contents] == [True, False, True]


def test_blocks_are_rendered_once_for_many_readers(monkeypatch):
    for kept in ("_skeletons", "_blocks", "_entries"):
        monkeypatch.setattr(blocks, kept, {})
    rendered = []
    monkeypatch.setattr(
        blocks,
        "markup",
        lambda name, context, real=blocks.markup: rendered.append(name) or real(name, context),
    )
    for pk in range(1, 20):
        composing.content(material_of(["Graphs", "Trees"], pk=pk))
    assert rendered == ["paper", "group"]  # Both papers have one shape.
