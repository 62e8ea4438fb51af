"""What many letters share, with holes, and what fills them: escaped, and rendered once."""

import pytest
from django.utils.html import escape
from hypothesis import given, settings
from hypothesis import strategies as st

from digest.letters import compose, fragments
from subscriptions.mail import mime, plaintext, render
from subscriptions.mail.byte_templates import (
    GapTemplate,
    HoleTemplate,
    escaped,
    html_line,
    line_slot,
    text_line,
    text_slot,
)
from tests.factories.letter_data import TEXTS, material_of


def test_a_hole_takes_only_what_was_made_for_one():
    stencil = HoleTemplate.compile(f"<p>\n{line_slot('why')}\n</p>")
    assert b"".join(stencil.join({"why": html_line("<&>")})) == b"<p>\r\n&lt;&amp;&gt;\r\n</p>"
    for value in (b"<b>", "<b>", None):
        with pytest.raises(TypeError):
            stencil.join({"why": value})
    with pytest.raises(KeyError):
        stencil.join({})


def test_a_line_of_text_hangs_under_its_indent():
    stencil = HoleTemplate.compile(f"1. Title\n    {line_slot('reason')}\n")
    line = text_line("word " * 30, "    ")
    laid = b"".join(stencil.join({"reason": line})).decode()
    assert laid.count("\r\n    word") == 3


@settings(max_examples=20)
@given(st.from_regex(fragments.PLAIN, fullmatch=True))
def test_a_plain_address_stands_in_an_attribute_as_it_is_but_escaped(address):
    page = f'<html><body><p data-paper-id="{escape(address)}"><a href="{escape(address)}">x</a>'
    inlined = render.inline_css(page)
    assert f'<p data-paper-id="{escaped(address)}"><a href="{escaped(address)}">x</a>' in inlined


@given(TEXTS)
def test_words_stand_between_tags_as_lxml_writes_them(text):
    text = plaintext.one_line(text)
    inlined = render.inline_css(f"<html><body><p>x{escape(text)}x</p></body></html>")
    assert f"<p>x{escaped(text)}x</p>" in inlined


def test_gaps_are_filled_wherever_they_stand_in_a_line():
    skeleton = GapTemplate.of_html(
        f'<p title="100%">\n<a href="{text_slot("link")}?a">{text_slot("title")}</a>, 5%\n'
        f"{line_slot('why')}",
        {"link"},
    )
    stencil = skeleton.fill({"link": "http://x/%(title)s", "title": "100 %s" + "é" * 60})
    page = f'<p title="100%">\n<a href="http://x/%(title)s?a">100 %s{"é" * 60}</a>, 5%\nwhy'
    assert b"".join(stencil.join({"why": html_line("why")})) == mime.quoted(page)


def test_words_have_no_gap_inside_of_a_tag():
    for tag in ('<a title="{}">', "<a title='x {} y' href=''>", "<{}>"):
        with pytest.raises(ValueError, match=r"\['title'\]"):
            GapTemplate.of_html(f"<p>{tag.format(text_slot('title'))}</p>", {"link"})


def test_papers_of_one_shape_share_a_skeleton_and_those_with_odd_addresses_have_their_own():
    shapes = set()
    for title, url in (("Graphs", ""), ("Trees", "http://x/a"), ("", ""), ("Nets", 'http://x/"a"')):
        (pick,) = material_of([title]).picks
        pick.paper.url = url
        shape = fragments.PaperText.of(pick, compose.DENSITIES[0], {}).with_gaps()
        shapes.add(shape.key())
        assert title not in shape.words.values() or not title
    assert len(shapes) == 3


def test_blocks_are_rendered_once_for_many_subscribers(monkeypatch):
    for kept in ("_skeletons", "_fragments", "_entries"):
        monkeypatch.setattr(fragments, kept, {})
    rendered = []
    monkeypatch.setattr(
        fragments,
        "markup",
        lambda name, context, real=fragments.markup: rendered.append(name) or real(name, context),
    )
    for pk in range(1, 20):
        compose.render(material_of(["Graphs", "Trees"], pk=pk))
    assert rendered == ["paper", "group"]  # Both papers have one shape.
