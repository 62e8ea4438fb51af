"""The panel's page of sources: switches, trials, and feeds of journals."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from digest import tasks
from digest.admin import source_configs, topics
from digest.models import Harvest, Paper, SourceConfig
from digest.papers import registry
from digest.papers.registry import BuiltIn
from digest.ranking.query import lines
from digest.sources.journals import Journal
from digest.topics import starter_topics
from subscriptions.models import Topic
from tests.digest.admin.test_roles import make_user
from tests.factories import make
from tests.factories.harvests import serving
from tests.factories.make import DAY, NOW, TODAY
from tests.helpers.admin_pages import form_of, page
from tests.helpers.data_files import cases
from tests.helpers.pages import text_of
from tests.servers.crossref import CrossrefServer, use
from tests.servers.daily_lists import BioRxivServer
from tests.servers.journals import JournalServer

CASES = cases("feed_urls")

pytestmark = pytest.mark.django_db

LIST, ADD = reverse("admin:digest_sourceconfig_changelist"), "admin:digest_sourceconfig_add"
server = serving(lambda: BioRxivServer(today=TODAY))


def source(name="biorxiv"):
    return SourceConfig.objects.get(pk=name)


def save(panel, row, **fields):
    """Save a source's page with these fields. Return the errors."""
    sent = form_of(page(panel, row)) | fields
    response = panel.post(reverse("admin:digest_sourceconfig_change", args=[row.pk]), sent)
    return response.context["adminform"].form.errors if response.context else {}


def add(panel, url="https://journal.example/rss", title="A Journal"):
    sent = {"title": title, "feed_url": url, "completes": "on", "is_on": "on"}
    response = panel.post(reverse(ADD), sent)
    return response.context["adminform"].form.errors if response.context else {}


def try_now(panel, name="biorxiv"):
    return text_of(panel.post(reverse("admin:digest_sourceconfig_try", args=[name])))


def test_source_list_shows_state_and_last_run(panel):
    times = {"today": TODAY, "touched_at": NOW, "ended_at": NOW}
    Harvest.objects.create(source="arxiv", state="done", new=700, started_at=NOW - DAY, **times)
    note = "0 records read: 0 new papers. Failed: huggingface.co answered 503."
    Harvest.objects.create(
        source="huggingface", state="failed", started_at=NOW, result=note, **times
    )
    text = text_of(panel.get(LIST))
    assert "arXiv On Done 1 June 2026, 12:00 100" in text
    assert "Hugging Face On Failed 1 June 2026, 12:00 0 Huggingface.co answered 503. It is" in text
    assert "bioRxiv Off None yet 0" in text


def test_switching_a_source_offers_its_categories(panel):
    assert not save(panel, source(), is_on="on")
    cells = Topic.objects.offered().get(slug="biorxiv-cell-biology")
    assert (cells.name, cells.categories) == ("bioRxiv: Cell biology", ["cell biology"])
    assert "biorxiv" in registry.enabled()
    subscriber = make.subscriber(topics=[cells])
    save(panel, source(), is_on="")
    assert "biorxiv" not in registry.enabled()
    assert not Topic.objects.offered().of_categories("biorxiv").exists()
    assert cells in Topic.objects.offered_to(subscriber)
    save(panel, source(), is_on="on")
    assert Topic.objects.offered().of_categories("biorxiv").count() == 27


def test_enabled_source_is_fetched_at_once(panel, monkeypatch, django_capture_on_commit_callbacks):
    started = []
    for module in (source_configs, topics):
        monkeypatch.setattr(module, "enqueue", started.append)
    steps = [
        lambda: add(panel),
        lambda: save(panel, source(), is_on="on"),
        lambda: save(panel, source(), is_on=""),
        lambda: panel.post(FIELDS, {"_form_submitted": "on", "chosen": ["biology"]}),
    ]
    for count, step in zip((1, 2, 2, 3), steps, strict=True):
        with django_capture_on_commit_callbacks(execute=True):
            step()
        assert started == [tasks.harvest_due_sources] * count


def test_settings_from_environment_cannot_be_changed(panel, settings):
    assert save(panel, source("arxiv"), categories="cs.lg") == {
        "categories": ["cs.lg is not an arXiv category: did you mean cs.LG?"]
    }
    assert not save(panel, source("arxiv"), categories="cs, math.GT")
    assert registry.arxiv_categories() == ("cs", "math.GT")
    settings.SOURCES, settings.ARXIV_CATEGORIES = ["huggingface"], ["stat"]
    text = text_of(page(panel, source("arxiv")))
    assert "Off Fixed by SOURCES in the environment." in text
    assert "stat. Fixed by ARXIV_CATEGORIES in the environment." in text
    save(panel, source("arxiv"), is_on="", categories="cs")
    assert (source("arxiv").is_on, source("arxiv").categories) == (True, ["cs", "math.GT"])


@pytest.mark.parametrize(("url", "error"), CASES["wrong"])
def test_feed_needs_an_allowed_unique_url(panel, url, error):
    add(panel, "https://journal.example/first")
    assert error in str(add(panel, url))
    assert SourceConfig.objects.exclude(feed_url="").count() == 1


def test_feed_url_is_shown_only_to_editors(panel, client):
    add(panel, "https://journal.example/rss?token=secret")
    row = SourceConfig.objects.exclude(feed_url="").get()
    assert "secret" in page(panel, row).text
    client.force_login(make_user("v"))
    assert "secret" not in page(client, row).text


def test_deleted_feed_keeps_its_papers(panel, settings):
    settings.ALLOWED_PRIVATE_HOSTS = frozenset({"127.0.0.1"})
    for number, title in enumerate(("medRxiv", "Journal of Long Names", "Journal of Long", "化学")):
        assert not add(panel, f"http://127.0.0.1/{number}", title)
    feeds = SourceConfig.objects.exclude(feed_url="")
    names = ["feed", "journal-of-l", "journal-of-l2", "medrxiv2"]
    assert [row.name for row in feeds] == names
    paper = make.paper("Bread", id="feed:1")
    for name in ("feed", "arxiv"):
        panel.post(reverse("admin:digest_sourceconfig_delete", args=[name]), {"post": "yes"})
    assert not feeds.filter(name="feed").exists()
    assert source("arxiv")
    assert Paper.objects.filter(pk=paper.pk).exists()


def test_trial_shows_papers_and_stores_none(panel, server, monkeypatch):
    local = BuiltIn("bioRxiv", server.source)
    monkeypatch.setitem(registry.SOURCES, "biorxiv", local)
    assert "its list has no papers today" in try_now(panel)
    for number in range(11, 23):
        server.add(TODAY - 2 * DAY, number)
    text = try_now(panel)
    assert [f"Paper {number}" in text for number in range(11, 23)] == [True] * 10 + [False] * 2
    assert not Paper.objects.exists()
    assert not Harvest.objects.exists()


@pytest.mark.parametrize(("answer", "error"), CASES["failed_trials"])
def test_failed_trial_is_explained(panel, server, monkeypatch, answer, error):
    monkeypatch.setitem(registry.SOURCES, "biorxiv", BuiltIn("bioRxiv", server.source))
    if answer:
        status, headers, body = answer
        server.answers.extend([(status, headers, body.encode())] * 9)
    else:
        server.close()
    assert error in try_now(panel)


# ---- Lists of journals


ADD_JOURNALS = reverse("admin:digest_sourceconfig_add_journals")


@pytest.fixture
def crossref(monkeypatch):
    with CrossrefServer(TODAY) as crossref:
        use(monkeypatch, crossref)
        crossref.journals = {"Annals of Bread": ["0317-8471"], "Bread Letters": ["1234-5679"]}
        yield crossref


def find(panel, text="", **sent):
    """Return the journals that a list is understood as, and whether they are chosen or why not."""
    rows = panel.post(ADD_JOURNALS, {"text": text} | sent).context["rows"]
    return {f"{row.journal.title} {row.journal.ids}": row.problem or row.is_chosen for row in rows}


def test_journals_are_found_by_name_issn_or_prefix(panel, crossref):
    text = "Physical Review B\n0317-8471\nbread\nBread Letters\n10.5555\n2469-9951\nzzyzx"
    assert find(panel, text, listed=["10.2139"]) == {
        "Physical Review B 2469-9950, 2469-9969": True,
        "Annals of Bread 0317-8471": False,  # Of two that are called "bread".
        "Bread Letters 1234-5679": True,
        "10.5555 10.5555": True,
        " 2469-9951": "2469-9951 is no ISSN: its last digit does not fit. ",
        "zzyzx ": "Crossref has no such journal. Check the name, ISSN or prefix.",
        "SSRN 10.2139": True,
    }
    crossref.close()
    assert "firewall and DNS" in find(panel, "Rye")["Rye "]


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        ({"text": ""}, "Enter journals, choose some, or choose a file."),
        ({"text": "Nature\n" * 2 + "\n".join(map(str, range(200)))}, "These are 201 journals."),
        ({"file": SimpleUploadedFile("a.opml", b"<opml><body>")}, "the XML is broken"),
        ({"file": SimpleUploadedFile("a.csv", b"\xff")}, "The file is not UTF-8."),
    ],
)
def test_unusable_list_is_refused(panel, sent, error):
    assert error in text_of(panel.post(ADD_JOURNALS, sent))


def test_broken_feeds_of_opml_are_told_and_others_added(panel, settings, monkeypatch):
    settings.ALLOWED_PRIVATE_HOSTS = frozenset({"127.0.0.1"})
    monkeypatch.setattr(Journal, "seconds_between", 0.0)
    with JournalServer("rss2") as feeds, JournalServer() as empty:
        for number in range(12):
            feeds.add(number)
        urls = [f"{feeds.base}/{number}" for number in range(4)]
        urls += [f"{empty.base}/", "http://127.0.0.1:9/", "/feed.xml"]
        outlines = "".join(f"<outline text='Bread {url}' xmlUrl='{url}'/>" for url in urls)
        opml = SimpleUploadedFile("a.opml", f"<opml><body>{outlines}</body></opml>".encode())
        rows = panel.post(ADD_JOURNALS, {"file": opml}).context["rows"]
        url = reverse("admin:digest_sourceconfig_try_journal")
        trials = [
            panel.post(url, {"journal": row.value, "is_chosen": "on"}).context for row in rows
        ]
    assert [len(trial["papers"]) for trial in trials] == [10] * 4 + [0] * 3
    problems = ["the feed has no items", "cannot reach 127.0.0.1", "enter a valid url"]
    for trial, problem in zip(trials[4:], problems, strict=True):
        assert problem in trial["row"].problem.lower()
    chosen = [trial["row"].value for trial in trials if trial["row"].is_chosen]
    page = panel.post(ADD_JOURNALS, {"chosen": [*chosen, chosen[0], "{"]}, follow=True)
    assert "Added: 4." in text_of(page)
    assert "Another source has this feed." in text_of(page)
    added = SourceConfig.objects.exclude(feed_url="")
    assert set(added.values_list("feed_url", "is_on")) == {(url, True) for url in urls[:4]}


def test_feed_can_be_replaced_by_issns(panel, crossref):
    add(panel)
    row = SourceConfig.objects.exclude(feed_url="").get()
    assert "10.26434a is neither" in str(save(panel, row, crossref_ids="10.26434a"))
    assert not save(panel, row, crossref_ids="03178471")
    crossref.add(day=TODAY)
    assert "Paper 1 Ada Roe" in try_now(panel, row.name)
    assert source(row.name).crossref_ids == "0317-8471"
    assert "A Journal has this already." in str(
        panel.post(reverse(ADD), {"title": "B", "crossref_ids": "0317-8471"}).context["errors"]
    )


# ---- Fields of research


FIELDS = reverse("admin:subscriptions_topic_use_fields")


def test_fields_add_topics_and_keep_used_ones(panel):
    starter_topics.make_topics()
    followed, muted, edited = Topic.objects.by_subject()[:3]
    make.subscriber(topics=[followed], muted=[muted])
    Topic.objects.filter(pk=edited.pk).update(query="bread")
    sent = {"_form_submitted": "on", "chosen": ["biology", "chemistry"]}
    topics = panel.post(FIELDS, sent)["Location"]
    text = text_of(panel.get(topics))
    assert "Created 24 topics, removed 13. Sources: bioRxiv, Europe PMC." in text
    left = Topic.objects.by_subject().exclude(slug__in=starter_slugs("biology", "chemistry"))
    assert set(left) == {followed, muted, edited}
    assert not Topic.objects.offered().of_categories("arxiv").exists()
    assert Topic.objects.offered().of_categories("biorxiv").count() == 27
    assert starter_topics.use_fields(["computer-science", "biology"]) == (13, 12)
    assert set(registry.enabled()) == {"arxiv", "biorxiv", "europepmc", "huggingface"}
    assert "Choose at least one field." in panel.post(FIELDS, {"_form_submitted": "on"}).text


def starter_slugs(*fields):
    return [topic.slug for field in fields for topic in starter_topics.topics_of(field)]


def test_each_starter_topic_can_be_saved_in_the_panel():
    slugs = starter_slugs(*starter_topics.FIELDS)
    assert len(slugs) == len(set(slugs))
    starter_topics.use_fields(starter_topics.FIELDS)
    for topic in Topic.objects.by_subject():
        topic.full_clean()
        assert lines(topic.query) == topic.query.split(", "), "A phrase is too long."
    names = [name.lower() for name in Topic.objects.offered().values_list("name", flat=True)]
    assert len(names) == len(set(names))
