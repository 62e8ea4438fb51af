"""What the panel and /healthz/ tell of the sources: runs, coverage, alarms, a paper's life."""

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from digest.admin import sources
from digest.models import Coverage, Harvest
from digest.operations import heartbeats
from tests.factories import make
from tests.factories.make import DAY, HOUR, MINUTE, NOW, TODAY
from tests.helpers.admin_pages import page as page_of
from tests.helpers.pages import text_of

pytestmark = pytest.mark.django_db

HARVESTS = "admin:digest_harvest_changelist"
COVERAGE = "admin:digest_coverage_changelist"
FIRST_PAGE = "admin:index"


@pytest.fixture(autouse=True)
def categories(settings):
    settings.ARXIV_CATEGORIES = ["cs", "math"]


def run(source="arxiv", state="done", *, ago=0 * DAY, **fields):
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
    failed = run(state="failed", ago=2 * DAY)
    done = run()
    other = run("huggingface", ago=HOUR)
    assert listed(panel, HARVESTS) == [done, other, failed]
    assert listed(panel, HARVESTS, source="arxiv") == [done, failed]
    assert listed(panel, HARVESTS, state__exact="failed") == [failed]
    day = {"started_at__month": 6, "started_at__day": 1, "started_at__year": 2026}
    assert listed(panel, HARVESTS, **day) == [done, other]


def test_run_is_summarized_in_list(panel):
    summary = f"1 records seen. <b>{'a long story ' * 20}</b> It broke off."
    failed = run(state="failed", result=summary, unreadable=3)
    run(state="running", ago=11 * MINUTE, ended_at=None)
    run("huggingface", state="running", ago=9 * MINUTE, ended_at=None)
    in_list = panel.get(reverse(HARVESTS))
    assert "&lt;b&gt;a long story" in in_list.text
    assert "It broke off." not in in_list.text
    assert "It broke off." in text_of(page_of(panel, failed))
    assert re.search(r"arxiv (\S+ \S+ \S+ 11:49 ){2}Cut off", text_of(in_list))
    assert re.search(r"huggingface (\S+ \S+ \S+ 11:51 ){2}Running", text_of(in_list))


def test_coverage_is_listed_and_filtered(panel):
    yesterday = covered(day=TODAY - DAY, announced=1043, stored=1043)
    stalled = covered("math", "stalled", note="The list is of <an> earlier day.")
    other = covered("all", source="huggingface")
    assert listed(panel, COVERAGE) == [stalled, other, yesterday]
    assert listed(panel, COVERAGE, source="huggingface") == [other]
    assert listed(panel, COVERAGE, state__exact="stalled") == [stalled]
    assert listed(panel, COVERAGE, day_from=TODAY, day_to=TODAY) == [stalled, other]
    html = panel.get(reverse(COVERAGE)).content.decode()
    assert "The list is of &lt;an&gt; earlier day." in html
    assert "Outdated list" in html


def test_dashboard_shows_coverage_and_problems(panel, settings):
    def page():
        return text_of(panel.get(reverse(FIRST_PAGE)))

    heartbeats.beat(heartbeats.TICK, NOW)
    assert "list of 1 Jun 2026 was not fetched yet Never run arXiv" in page()
    sources, settings.SOURCES = settings.SOURCES, ["huggingface"]
    assert "Last run of each source" in page()
    settings.SOURCES = sources
    for category in ("cs", "math"):
        covered(category, "failed")
    assert "list of 1 Jun 2026 has not arrived Incomplete" in page()
    assert "0 papers announced" not in page()
    Coverage.objects.update(state="quiet")
    assert "0 papers announced, 0 stored" in page()
    Coverage.objects.update(state="fresh", announced=1000, stored=1000)
    assert "arXiv, 1 Jun 2026: 2,000 papers announced, 2,000 stored Complete" in page()
    assert "to fix" not in page()
    covered(day=TODAY - 3 * DAY)
    Coverage.objects.filter(category="math").update(state="stalled", announced=0, stored=0)
    text = page()
    assert "arXiv, 1 Jun 2026: 1,000 papers announced, 1,000 stored so far Incomplete" in text
    assert "of Monday, 1 June is incomplete: math" in text
    assert "1 problem to fix" in text
    assert text.index("Fetch new papers") < text.index("announced")


def test_dashboard_shows_last_run_without_backfills(panel):
    run(ago=DAY)
    failed = run(state="failed", ago=2 * HOUR, new=1043)
    run(ago=HOUR, since=TODAY - 90 * DAY)
    run("huggingface", ago=3 * HOUR)
    response = panel.get(reverse(FIRST_PAGE))
    text = text_of(response)
    assert "Failed arXiv, 1 Jun 2026, 10:00 1,043 new" in text
    assert "Done Hugging Face, 1 Jun 2026, 09:00 0 new" in text
    assert reverse("admin:digest_harvest_change", args=[failed.pk]) in response.content.decode()


def test_paper_page_shows_daily_popularity(panel):
    paper = make.paper()

    def observe(ago, upvotes, num_comments=None, github_stars=None, source="huggingface"):
        facts = {"num_comments": num_comments, "github_stars": github_stars, "source": source}
        day = TODAY - ago * DAY
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


def test_paper_page_shows_its_events(panel):
    text = text_of(page_of(panel, make.paper()))  # One without any fact.
    assert "Withdrawn no" in text
    assert "Updates At" not in text
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
    assert "Version 3 Withdrawn Withdrawn Code" in text
    assert "has a new version version 3" in text


def test_health_is_degraded_when_papers_are_missing(client):
    covered(day=TODAY - 3 * DAY)
    run(state="failed", ago=2 * HOUR, result="It broke off: a secret of the network.")
    response = client.get("/healthz/")
    assert response.status_code == 200
    health = response.json()
    assert (health["status"], health["reasons"]) == ("ready", [])
    assert health["degraded"] == [
        "arXiv's list of Monday, 1 June is incomplete.",
        "The last import from arXiv failed at 10:00 UTC on 1 June 2026.",
    ]
    Coverage.objects.all().delete()
    run(ago=HOUR)
    run(state="failed", since=TODAY - 90 * DAY)
    run("of-old", state="failed")
    assert client.get("/healthz/").json()["degraded"] == []


def fetch(panel, **data):
    url = reverse("admin:digest_harvest_fetch")
    assert panel.post(url, {"_form_submitted": "on"} | data).status_code == 302
    return text_of(panel.get(reverse(HARVESTS)))


def test_manual_fetch_is_logged_and_rate_limited(panel, settings, monkeypatch):
    settings.SOURCES = ["arxiv", "huggingface", "biorxiv"]
    started = []
    monkeypatch.setattr(sources, "enqueue", lambda task, name: started.append((task.name, name)))
    run(ago=19 * MINUTE)
    run("biorxiv", state="failed", ago=MINUTE)
    assert "Not started: arXiv was fetched at 11:41 UTC; again from 12:01 UTC." in fetch(panel)
    assert started == [("digest.tasks.harvest_source", name) for name in settings.SOURCES[1:]]
    (entry,) = LogEntry.objects.all()
    assert entry.change_message == "Started to fetch Hugging Face, bioRxiv."
    first_page = text_of(panel.get(reverse(FIRST_PAGE)))
    assert "you: Started to fetch Hugging Face, bioRxiv." in first_page
    assert "Retry" in first_page
    assert "bioRxiv was requested in the last 5 minutes" in fetch(panel, source="biorxiv")
    run("huggingface", state="running")
    assert "Hugging Face is being fetched" in fetch(panel, source="huggingface")
    assert len(started) == 2
    assert panel.get(reverse("admin:admin_logentry_changelist")).status_code == 200
