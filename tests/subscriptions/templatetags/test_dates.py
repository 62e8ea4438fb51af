"""Dates, which no line end parts between a day's number and its month."""

from datetime import UTC, date, datetime

import pytest
from django.template import engines
from django.utils import translation

from digest import wording
from subscriptions.mail import plaintext
from subscriptions.templatetags import dates

DAY = date(2026, 11, 27)


UNBROKEN = [
    ("en", "l, j F", "Friday, 27\u00a0November"),
    ("de", "l, j. F", "Freitag, 27.\u00a0November"),
    ("de", "l, j. F, H:i \\U\\h\\r", "Freitag, 27.\u00a0November, 07:00\u00a0Uhr"),
    ("en", "Y-m-d", "2026-11-27"),
]


@pytest.mark.parametrize(("language", "form", "said"), UNBROKEN)
def test_number_and_unit_have_a_no_break_space(language, form, said):
    moment = datetime(2026, 11, 27, 7, tzinfo=UTC)
    page = engines["html"].from_string("{{ moment|date:form }}")
    with translation.override(language):
        assert dates.format_date(moment, form) == said
        assert page.render({"moment": moment, "form": form}) == said
        assert page.render({"moment": None, "form": form}) == ""


def test_date_filter_respects_zone_and_escaping():
    moment = datetime(2026, 11, 27, 7, tzinfo=UTC)
    page = engines["html"].from_string(
        "{% load tz %}{{ moment|timezone:'Asia/Tokyo'|date:'H:i' }} {{ moment|date:'\\<\\b\\>' }}"
    )
    assert page.render({"moment": moment}) == "16:00 &lt;b&gt;"


@pytest.mark.parametrize("language", ["en", "de"])
def test_plain_text_has_ordinary_spaces(language):
    with translation.override(language):
        line = wording.footer_reason("Paperboy", DAY)
    assert plaintext.NO_BREAK in line
    assert plaintext.NO_BREAK not in plaintext.wrapped(line)
    assert plaintext.one_line(line) == line.replace(plaintext.NO_BREAK, " ")
