"""The charts on the panel's first page: what they show, and that everyone can read them."""

import json

import lxml.html
import pytest
from django.urls import reverse

from digest.admin import charts
from digest.models import DailyCount
from tests.factories import make
from tests.factories.make import DAY, NOW, TODAY
from tests.helpers.data_files import cases
from tests.helpers.pages import text_of

CASES = cases("plots")

pytestmark = pytest.mark.django_db

INDEX = "admin:index"
TEST_EMAIL = {"_form_submitted": "on", "email": "you@example.org"}


def tally(measure, counts, day=TODAY):
    return DailyCount.objects.create(day=day, measure=measure, counts=counts, counted_at=NOW)


def plot(title, days=30):
    return next(one for one in charts.charts_of(days, TODAY) if one["title"] == title)


def figures(response):
    """Return the tables of the plots, each a list of rows, by title."""
    tree = lxml.html.fromstring(response.content.decode())
    return {
        figure.find(".//h3").text_content(): [
            [cell.text_content().strip() for cell in row] for row in figure.iter("tr")
        ]
        for figure in tree.iter("figure")
    }


def test_first_steps_end_when_all_are_done(panel, settings):
    def waiting():
        steps = panel.get(reverse(INDEX)).context["steps"]
        return [name for name, is_done in steps.items() if not is_done]

    settings.EMAIL_URL, settings.SITE_URL = "file:", "http://127.0.0.1:8000"
    assert waiting() == ["fields", "papers", "mail", "site", "people"]
    assert "All is well" not in text_of(panel.get(reverse(INDEX)))
    make.paper()
    settings.SITE_URL = "https://papers.example.org"
    assert waiting() == ["fields", "mail", "people"]
    make.subscriber(confirmed=False)
    panel.post(reverse("admin:subscriptions_sending_test"), TEST_EMAIL)
    assert waiting() == ["mail"]
    settings.EMAIL_URL = "smtp://mail.example.org"
    assert waiting() == []
    assert "First steps" not in text_of(panel.get(reverse(INDEX)))


def test_each_plot_has_a_table_and_description(panel):
    tally("harvests", {"arxiv new": 1200, "biorxiv new": 3, "arxiv bad": 2})
    tally("harvests", {"arxiv new": 7}, TODAY - DAY)
    response = panel.get(reverse(INDEX))
    rows = figures(response)["Imports"]
    assert rows[0] == ["Day", "New", "Changed", "Unreadable"]
    assert rows[1:4] == [
        ["1 Jun 2026", "1,203", "0", "2"],
        ["31 May 2026", "7", "0", "0"],
        ["30 May 2026", "–", "–", "–"],
    ]
    assert len(rows) == 31
    assert (
        'role="img" aria-label="Imports from 3 May 2026 to 1 Jun 2026, papers per day; '
        "today so far: new 1,203, changed 0, unreadable 2. The table below has all figures."
    ) in response.text.replace("\xa0", " ")


def test_year_is_aggregated_by_week():
    for back in range(8):
        tally("feedback", {"more": 1, "less": 2}, TODAY - back * DAY)
        tally("subscribers", {"active": 100 - back}, TODAY - back * DAY)
    rows = plot("Feedback", 364)["table"]["rows"]
    assert rows[:3] == [
        ["26 May – 1 Jun 2026", "7", "0", "14"],
        ["19 May – 25 May 2026", "1", "0", "2"],
        ["12 May – 18 May 2026", "–", "–", "–"],
    ]
    assert [row[1] for row in plot("Subscribers", 364)["table"]["rows"][:3]] == ["100", "93", "–"]


@pytest.mark.parametrize(("measure", "counts", "title", "values"), CASES["drawn"])
def test_plot_draws_counts_of_its_measure(measure, counts, title, values):
    tally(measure, counts)
    drawn = json.loads(plot(title)["data"])["datasets"]
    assert [one["data"][-2:] for one in drawn] == [[None, value] for value in values]
    assert len({one["stack"] for one in drawn}) == 1
