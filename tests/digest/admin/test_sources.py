"""What the panel and /healthz/ tell of the sources: runs, coverage, alarms, a paper's life."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse

from digest.models import Coverage, Harvest
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.admin_pages import page as page_of
from tests.helpers.pages import text_of

pytestmark = pytest.mark.django_db

TODAY = NOW.date()
HARVESTS = "admin:digest_harvest_changelist"
COVERAGE = "admin:digest_coverage_changelist"
FIRST_PAGE = "admin:index"


@pytest.fixture(autouse=True)
def categories(settings):
    settings.ARXIV_CATEGORIES = ["cs", "math"]


def run(source="arxiv", state="done", *, ago=timedelta(0), **fields):
    """Make a run that ended so long ago."""
    at = NOW - ago
    times = {"today": at.date(), "started_at": at, "touched_at": at, "ended_at": at}
    return Harvest.objects.create(source=source, state=state, **times | fields)


def covered(category="cs", state="fresh", *, day=TODAY, source="arxiv", **fields):
    """Make what came of one category on one day."""
    return Coverage.objects.create(
        source=source, category=category, day=day, state=state, checked_at=NOW, **fields
    )


def listed(panel, name, **asked):
    return list(panel.get(reverse(name), asked).context["cl"].result_list)


def test_runs_are_found_by_source_state_and_day(panel):
    failed = run(state="failed", ago=timedelta(days=2))
    done = run()
    other = run("huggingface", ago=timedelta(hours=1))
    assert listed(panel, HARVESTS) == [done, other, failed]
    assert listed(panel, HARVESTS, source="arxiv") == [done, failed]
    assert listed(panel, HARVESTS, state__exact="failed") == [failed]
    day = {"started_at__month": 6, "started_at__day": 1, "started_at__year": 2026}
    assert listed(panel, HARVESTS, **day) == [done, other]


def test_a_run_says_how_it_went_in_short_in_the_list_and_in_full_on_its_page(panel):
    said = f"1 records seen. <b>{'a long story ' * 20}</b> It broke off."
    failed = run(state="failed", said=said, bad=3)
    run(state="running", ago=timedelta(minutes=11), ended_at=None)
    run("huggingface", state="running", ago=timedelta(minutes=9), ended_at=None)
    in_list = panel.get(reverse(HARVESTS))
    assert "&lt;b&gt;a long story" in in_list.text
    assert "It broke off." not in in_list.text
    assert "It broke off." in text_of(page_of(panel, failed))
    assert re.search(r"arxiv \S+ \S+ \S+ 11:49 cut off", text_of(in_list))
    assert re.search(r"huggingface \S+ \S+ \S+ 11:51 running", text_of(in_list))


def test_coverage_is_listed_by_day_and_found_by_source_state_and_day(panel):
    yesterday = covered(day=TODAY - timedelta(days=1), announced=1043, had=1043)
    stalled = covered("math", "stalled", note="The list is of <an> earlier day.")
    other = covered("all", source="huggingface")
    assert listed(panel, COVERAGE) == [stalled, other, yesterday]
    assert listed(panel, COVERAGE, source="huggingface") == [other]
    assert listed(panel, COVERAGE, state__exact="stalled") == [stalled]
    assert listed(panel, COVERAGE, day_from=TODAY, day_to=TODAY) == [stalled, other]
    html = panel.get(reverse(COVERAGE)).content.decode()
    assert "The list is of &lt;an&gt; earlier day." in html
    assert "an earlier day&#x27;s list is served" in html


def test_the_first_page_says_what_came_in_and_begins_with_what_did_not(panel, settings):
    def page():
        return text_of(panel.get(reverse(FIRST_PAGE)))

    assert "list of 1 Jun 2026 was not asked for yet not run yet arxiv" in page()
    sources, settings.SOURCES = settings.SOURCES, ["huggingface"]
    assert "arXiv is not among the sources" in page()
    settings.SOURCES = sources
    for category in ("cs", "math"):
        covered(category, "failed")
    assert "list of 1 Jun 2026 has not come in not whole yet" in page()
    assert "0 announced" not in page()
    Coverage.objects.update(state="quiet")
    assert "0 announced, 0 had: arXiv" in page()
    Coverage.objects.update(state="fresh", announced=1000, had=1000)
    assert "2,000 announced, 2,000 had: arXiv, 1 Jun 2026 whole" in page()
    assert "Something needs doing" not in page()
    covered(day=TODAY - timedelta(days=3))
    Coverage.objects.filter(category="math").update(state="stalled", announced=0, had=0)
    text = page()
    assert "1,000 announced, 1,000 had so far: arXiv, 1 Jun 2026 not whole yet" in text
    assert "of Monday, 1 June has not come in whole: math" in text
    assert text.index("Something needs doing") < text.index("announced")


def test_the_first_page_shows_the_last_run_of_each_source_backfills_apart(panel):
    run(ago=timedelta(days=1))
    failed = run(state="failed", ago=timedelta(hours=2), new=1043)
    run(ago=timedelta(hours=1), since=TODAY - timedelta(days=90))
    run("huggingface", ago=timedelta(hours=3))
    response = panel.get(reverse(FIRST_PAGE))
    text = text_of(response)
    assert "failed arxiv, 1 Jun 2026, 10:00 1,043 new" in text
    assert "done huggingface, 1 Jun 2026, 09:00 0 new" in text
    assert reverse("admin:digest_harvest_change", args=[failed.pk]) in response.content.decode()


def test_a_papers_page_shows_how_its_popularity_changed_from_day_to_day(panel):
    paper = make.paper()

    def observe(ago, upvotes, num_comments=None, github_stars=None, source="huggingface"):
        facts = {"num_comments": num_comments, "github_stars": github_stars, "source": source}
        day = TODAY - timedelta(days=ago)
        paper.observations.create(day=day, upvotes=upvotes, **facts)

    observe(0, 1043, 5, 7)
    observe(1, 43, 5, 9)
    observe(2, 9, source="elsewhere")
    observe(4, 40)
    make.paper().observations.create(source="huggingface", day=TODAY, upvotes=1)
    text = text_of(page_of(panel, paper))
    assert "1 Jun 2026 huggingface 1,043 +1,000 5 ±0 7 -2" in text
    assert "31 May 2026 huggingface 43 +3 in 3 days 5 9" in text
    assert "30 May 2026 elsewhere 9 - -" in text
    assert "28 May 2026 huggingface 40 - -" in text
    paper.observations.all().delete()
    for ago in range(12):  # The last day on a page is compared with the first of the next.
        observe(ago, 100 - ago)
    text = text_of(page_of(panel, paper))
    assert "23 May 2026 huggingface 91 +1" in text
    assert "22 May 2026" not in text


def test_a_papers_page_tells_what_became_of_it(panel):
    text = text_of(page_of(panel, make.paper()))  # One of which nothing was told.
    assert "Withdrawn no" in text
    assert "What happened" not in text
    assert "Observations" not in text
    paper = make.paper(
        version=3,
        is_withdrawn=True,
        github="https://code.example/attention",
        journal_ref="A Journal <12>, 34",
    )
    paper.events.create(kind="revised", note="version 3", at=NOW)
    html = page_of(panel, paper).content.decode()
    assert 'href="https://code.example/attention"' in html
    assert "A Journal &lt;12&gt;, 34" in html
    text = text_of(page_of(panel, paper))
    assert "Version 3 Withdrawn withdrawn Code" in text
    assert "has a new version version 3" in text


def test_healthz_is_degraded_but_ready_where_papers_did_not_come_in(client):
    covered(day=TODAY - timedelta(days=3))
    run(state="failed", ago=timedelta(hours=2), said="It broke off: a secret of the network.")
    response = client.get("/healthz/")
    assert response.status_code == 200
    told = response.json()
    assert (told["status"], told["reasons"]) == ("ready", [])
    missing, failed = told["degraded"]
    assert "list of Monday, 1 June has not come in whole" in missing
    assert failed == (
        "The last harvest of arxiv failed, on 1 June 2026 at 10:00 UTC: the panel says why."
    )
    Coverage.objects.all().delete()
    run(ago=timedelta(hours=1))
    run(state="failed", since=TODAY - timedelta(days=90))
    run("of-old", state="failed")
    assert client.get("/healthz/").json()["degraded"] == []
