"""What many letters share, with holes, and what fills them: escaped, and rendered once."""

import pytest

from subscriptions.mail.byte_templates import HoleTemplate, html_line, line_slot, text_line


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
