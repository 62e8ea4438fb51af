"""Letters joined of blocks: what rendering each alone gives, whatever papers and readers say."""

import re
import uuid
from datetime import UTC, date, datetime
from email import message_from_bytes, policy

import lxml.html
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digest import blocks, composing
from digest.composing import Material
from digest.models import Digest, Paper, Pick
from subscriptions import links, mail, plaintext
from subscriptions.models import Subscriber
from subscriptions.stencil import Stencil, hole, html_line, stand_in, text_line
from tests import make
from tests.letters_alone import alone
from tests.make import NOW

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
        url=draw(st.sampled_from(["", "https://example.org/a?b=%20&c='\"<>"])),
        github=draw(st.sampled_from(["", "https://github.com/a/b?x=1&y=2"])),
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
    pick.would_fold = [Paper(id=f"x{n}", title=draw(FULL)) for n in range(draw(st.integers(0, 5)))]
    return pick


@st.composite
def materials(draw):
    """Draw what a letter is made of; nothing of it is stored."""
    subscriber = Subscriber(
        pk=1,
        email="reader@example.org",
        public_id=draw(st.uuids()),
        confirmed_at=NOW,
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


def mime_of(content):
    moment = datetime(2026, 6, 1, 7, tzinfo=UTC)
    return mail.as_bytes(
        content, to="reader@example.org", message_id="<digest.x@paperboy.example>", date=moment
    )


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(materials())
def test_a_joined_letter_is_byte_for_byte_the_one_that_is_rendered_alone(material):
    assert mime_of(composing.content(material)) == mime_of(alone(material))


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
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
    for purpose, one in composing.tokens_of(first).items():
        assert one.encode() in letters[0], purpose
        assert one.encode() not in letters[1], purpose


def test_a_changed_paper_is_told_of_as_it_is_now():
    material = material_of(["Graphs"])
    assert "Graphs" in composing.content(material).html
    changed = material_of(["Graphs, second edition"])
    assert "second edition" in composing.content(changed).html


def test_fifty_papers_of_the_longest_kind_leave_the_foot_in_sight():
    material = material_of(["&" * 500 for _ in range(50)])
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


@pytest.mark.django_db
def test_gathering_asks_a_constant_number_of_queries(django_assert_num_queries):
    def digests(count):
        topic = make.topic()
        for _ in range(count):
            subscriber = make.subscriber(topics=[topic])
            letter = subscriber.letters.create(
                kind="digest", day=NOW.date(), created_at=NOW, closes_at=NOW
            )
            digest = Digest.objects.create(subscriber=subscriber, day=NOW.date(), letter=letter)
            for position in (1, 2):
                Pick.objects.create(
                    digest=digest,
                    subscriber=subscriber,
                    paper=make.paper(),
                    position=position,
                    score=1,
                    basis="topic",
                )
        return list(Digest.objects.select_related("subscriber"))

    some = digests(1)
    with django_assert_num_queries(7):
        composing.gather(some)
    more = digests(10)
    with django_assert_num_queries(7):
        materials = composing.gather(more)
    with django_assert_num_queries(0):
        assert all(composing.content(one).html for one in materials)


def test_blocks_are_rendered_once_for_many_readers(monkeypatch):
    monkeypatch.setattr(blocks, "_blocks", {})
    monkeypatch.setattr(blocks, "_entries", {})
    rendered = []
    monkeypatch.setattr(
        blocks,
        "markup",
        lambda name, context, real=blocks.markup: rendered.append(name) or real(name, context),
    )
    for pk in range(1, 20):
        composing.content(material_of(["Graphs", "Trees"], pk=pk))
    assert rendered == ["paper", "paper", "group"]
