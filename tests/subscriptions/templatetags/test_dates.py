"""Dates, which no line end parts between a day's number and its month."""

from datetime import UTC, date, datetime

import lxml.html
import pytest
from django.template import engines
from django.utils import translation

from digest import wording
from digest.indexing import model_store
from digest.planning import plan
from subscriptions.delivery.worker import rounds
from subscriptions.mail import plaintext
from subscriptions.templatetags import dates
from tests.factories import make
from tests.factories.make import NOW

DAY = date(2026, 11, 27)


@pytest.mark.parametrize(
    ("language", "form", "said"),
    [
        ("en", "l, j F", "Friday, 27\u00a0November"),
        ("en", "j F Y", "27\u00a0November 2026"),
        ("de", "l, j. F", "Freitag, 27.\u00a0November"),
        ("de", "l, j. F, H:i \\U\\h\\r", "Freitag, 27.\u00a0November, 07:00\u00a0Uhr"),
        ("de", "D j.", "Fr 27."),
        ("en", "Y-m-d", "2026-11-27"),
    ],
)
def test_no_line_ends_between_a_number_and_what_it_counts(language, form, said):
    moment = datetime(2026, 11, 27, 7, tzinfo=UTC)
    page = engines["html"].from_string("{{ moment|date:form }}")
    with translation.override(language):
        assert dates.format_date(moment, form) == said
        assert page.render({"moment": moment, "form": form}) == said
        assert page.render({"moment": None, "form": form}) == ""


def test_pages_say_a_moment_in_the_time_zone_that_is_active_and_sign_by_sign():
    moment = datetime(2026, 11, 27, 7, tzinfo=UTC)
    page = engines["html"].from_string(
        "{% load tz %}{{ moment|timezone:'Asia/Tokyo'|date:'H:i' }} {{ moment|date:'\\<\\b\\>' }}"
    )
    assert page.render({"moment": moment}) == "16:00 &lt;b&gt;"


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_plain_text_has_spaces_alone(language):
    with translation.override(language):
        line = f"{wording.weekday(DAY)}: {wording.footer_reason('Paperboy', DAY)}"
    assert plaintext.NO_BREAK in line
    assert plaintext.NO_BREAK not in plaintext.wrapped(line)
    assert plaintext.one_line(line) == line.replace(plaintext.NO_BREAK, " ")


@pytest.mark.django_db
@pytest.mark.parametrize(("language", "said"), [("en", "1_June"), ("de", "1._Juni")])
def test_a_letter_and_its_page_keep_a_date_on_one_line(client, outbox, language, said):
    paper = make.paper("Graph networks")
    model_store.fit(NOW)
    make.subscriber("ada@example.org", interests="graph networks", language=language)
    plan.plan(NOW)
    rounds.deliver_due(lambda: NOW)
    (letter,) = outbox()
    html, text = (letter.get_body((kind,)).get_content() for kind in ("html", "plain"))
    assert said.replace("_", plaintext.NO_BREAK) in lxml.html.fromstring(html).text_content()
    assert said.replace("_", " ") in text
    assert plaintext.NO_BREAK not in text + letter["Subject"]
    page = client.get(f"/papers/{paper.pk}/", headers={"Accept-Language": language})
    assert said.replace("_", plaintext.NO_BREAK) in page.content.decode()
