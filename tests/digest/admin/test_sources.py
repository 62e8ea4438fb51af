"""What the panel and /healthz/ tell of the sources: runs, coverage, alarms, a paper's life."""

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from digest.admin import sources
from digest.models import Coverage, Harvest
from digest.operations import heartbeats
from tests.factories import make
from tests.factories.make import DAY, MINUTE, NOW, TODAY
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
