"""What many letters share, with holes, and what fills them: escaped, and rendered once."""

import pytest

from digest.letters import compose, fragments
from subscriptions.mail.byte_templates import HoleTemplate, html_line, line_slot, text_line
from tests.factories.letter_data import material_of


def test_hole_takes_only_prepared_values():
    stencil = HoleTemplate.compile(f"<p>\n{line_slot('why')}\n</p>")
    assert b"".join(stencil.join({"why": html_line("<&>")})) == b"<p>\r\n&lt;&amp;&gt;\r\n</p>"
    for value in (b"<b>", "<b>", None):
        with pytest.raises(TypeError):
            stencil.join({"why": value})
    with pytest.raises(KeyError):
        stencil.join({})


def test_text_line_wraps_under_its_indent():
    stencil = HoleTemplate.compile(f"1. Title\n    {line_slot('reason')}\n")
    line = text_line("word " * 30, "    ")
    laid = b"".join(stencil.join({"reason": line})).decode()
    assert laid.count("\r\n    word") == 3


def test_blocks_are_rendered_once_for_many_subscribers(monkeypatch):
    monkeypatch.setattr(fragments, "_cache", {})
    rendered = []
    monkeypatch.setattr(
        fragments,
        "markup",
        lambda name, context, real=fragments.markup: rendered.append(name) or real(name, context),
    )
    for pk in range(1, 20):
        material = material_of(["Graphs", "Trees"], pk=pk)
        material.picks[0].terms = [f"graph {pk}"]  # The reason alone differs.
        compose.render(material)
    assert rendered == ["paper", "paper", "group"]
