"""Dates, which no line end parts between a day's number and its month."""

from datetime import UTC, date, datetime

import pytest
from django.template import engines
from django.utils import translation

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
