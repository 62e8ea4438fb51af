"""Feeds of journals: what their items become, what Crossref adds, and which are of one work."""

import time
from datetime import date, timedelta
from itertools import count

import pytest

from digest.models import Paper, PaperEvent, SourceConfig
from digest.papers import harvest, identifiers, registry
from digest.sources.records import Record
from tests.factories import make
from tests.factories.harvests import found, harvesting, only, serving
from tests.factories.make import NOW
from tests.helpers.data_files import as_json, cases
from tests.servers.journals import ABSTRACT, FORMATS, JournalServer
from tests.servers.loopback import recorded

CASES = cases("journals")

server = serving(JournalServer)
run = harvesting(lambda server, **options: server.source(**options))

DOI, LATER = "10.1000/bread.1", NOW + timedelta(days=1)
WORK = {
    "author": [{"given": "Ada", "family": "Roe"}, {"name": "The Bakers"}],
    "abstract": f"<jats:title>Abstract</jats:title><jats:p>{ABSTRACT}</jats:p>",
    "container-title": ["The Journal of Bread"],
    "published": {"date-parts": [[2026, 6, 1]]},
}


# ---- Items


@pytest.mark.parametrize("kind", FORMATS)
def test_item_of_each_format_becomes_a_record(server, run, kind):
    server.kind = kind
    server.add(title="Of H<sub>2</sub>O & <i>bread</i>")
    assert only(run()) == Record(
        id=f"doi:{DOI}",
        title="Of H2O & bread",
        abstract=ABSTRACT,
        day=date(2026, 5, 30),
        authors=["Ada Roe", "Kay Doe"],
        url=f"https://doi.org/{DOI}",
        journal_ref="Journal of Bread",
        doi=DOI,
    )


@pytest.mark.parametrize(("fields", "becomes"), CASES["items"])
def test_item_fields_are_read(server, run, fields, becomes):
    server.add(**fields)
    record = only(run())
    assert as_json({name: getattr(record, name) for name in becomes}) == becomes


def test_front_matter_is_skipped(server, run):
    titles = CASES["front_matter"]
    for number, title in enumerate([*titles, "Editorial boards of bakers", "On bread"]):
        server.add(number, title=title)
    server.add(11, title="On bread, once more")  # The same paper again.
    (batch,) = run()
    assert [one.title for one in batch.records] == ["Editorial boards of bakers", "On bread"]
    assert batch.errors == ["item 9: it has no title", "item 10: it has no title"]


# ---- Answers


@pytest.mark.parametrize(("answer", "error"), CASES["broken_feeds"])
def test_invalid_feed_is_reported(server, run, answer, error):
    server.answers.append(recorded(answer))
    assert error in str(run.cut_off()[1])
    assert server.asked == ["/feed"]


def test_hostile_feed_is_read_in_linear_time(server, run):
    server.add(title="Bread" + "encoding='" * 2_000, doi="10.1000/" + "/" * 50_000 + "x")
    server.add(2, summary="<h4>" + " " * 50_000 + "x")
    server.answers.append((200, {}, b"<?xml version='1.0'?>" + server.feed().encode()))
    begun = time.process_time()
    assert len(found(run())) == 2
    assert time.process_time() - begun < 3


# ---- Crossref


def test_crossref_completes_items_once(server, run):
    server.add(authors=[], summary="", day="")
    server.add(2)
    server.works[DOI] = WORK
    for _ in range(2):
        record = found(run(completes=True))[0]
        assert (record.authors, record.abstract) == (["Ada Roe", "The Bakers"], ABSTRACT)
        assert (record.journal_ref, record.day) == ("The Journal of Bread", date(2026, 6, 1))
    assert server.asked == ["/feed", f"/works/{DOI}", "/feed"]


@pytest.mark.parametrize(("answer", "note", "requests"), CASES["crossref"])
def test_feed_is_read_despite_crossref_errors(server, run, answer, note, requests):
    for number in (1, 2):
        server.add(number, summary="")
    if isinstance(answer, list) and answer:
        answer = recorded(answer)
    server.works = {DOI: answer, "10.1000/bread.2": {}}
    batches = run(completes=True)
    assert [one.title for one in found(batches)] == ["Paper 1", "Paper 2"]
    assert note in batches[-1].note
    assert bool(batches[-1].note) == bool(note)
    assert (len(server.asked) - 1, run.slept) == (requests, [])


def test_crossref_requests_are_limited_per_run(server, run):
    clock = count()
    run.web.now = lambda: NOW + timedelta(seconds=next(clock))
    for number in range(50):
        server.add(number, summary="")
        server.works[f"10.1000/bread.{number}"] = WORK
    for works in (40, 50, 50):
        run(completes=True)
        assert sum(path.startswith("/works") for path in server.asked) == works


PII = "S0000000026001234"
SCIENCEDIRECT = {"doi": "", "link": f"https://www.sciencedirect.com/science/article/pii/{PII}?a=b"}


def test_elsevier_id_yields_doi_and_abstract(server, run):
    server.add(
        summary="<p>Publication date: June 2026</p><p>Author(s): A. Roe</p>", **SCIENCEDIRECT
    )
    server.works[PII] = WORK | {"DOI": DOI.upper(), "alternative-id": [PII], "abstract": None}
    server.abstracts[DOI] = f"<h4>Aims</h4>{ABSTRACT}"
    for _ in range(2):
        record = only(run(completes=True))
        assert (record.id, record.doi, record.url) == (f"doi:{DOI}", DOI, f"https://doi.org/{DOI}")
        assert (record.journal_ref, record.abstract) == (
            "The Journal of Bread",
            f"Aims: {ABSTRACT}",
        )
    assert server.asked == ["/feed", "/works", "/feed"]
    assert server.searched == [f'DOI:"{DOI}"']


def test_elsevier_ids_are_looked_up_in_batches(server, run):
    for number in range(45):
        server.add(number, **SCIENCEDIRECT | {"link": f"http://a.b/S0000-0000(26){number:05}-X"})
    server.works["S000000002600044X"] = {"DOI": DOI, "alternative-id": ["S000000002600044X"]}
    assert [one.title for one in found(run(completes=True)) if one.doi] == ["Paper 44"]
    assert server.asked == ["/feed", *["/works"] * 3]


# ---- Runs, and works that are stored already


@pytest.fixture
def journal(server, settings, monkeypatch, db):
    """Return a function that harvests the journal of the panel on a day."""
    settings.ALLOWED_PRIVATE_HOSTS = frozenset(["127.0.0.1"])
    SourceConfig.objects.create(
        name="bread", title="Journal of Bread", is_on=True, feed_url=f"{server.base}/feed"
    )
    source = registry.source_named("bread")
    source.crossref = source.abstracts_from = server.base
    monkeypatch.setattr("digest.papers.harvest.time.sleep", lambda seconds: None)
    monkeypatch.setattr(source, "seconds_between", 0)

    def harvested(now=NOW):
        row = harvest.run(source, harvest.web_for(source), clock=lambda: now)
        assert row.state == "done", row.result
        return row

    return harvested


def test_journal_is_due_every_six_hours(journal, server, settings):
    settings.SOURCES = []
    server.add()
    assert harvest.due_sources(NOW) == ["bread"]
    assert journal().new == 1
    assert harvest.due_sources(NOW + timedelta(minutes=359)) == []
    assert harvest.due_sources(NOW + timedelta(minutes=361)) == ["bread"]
    with pytest.raises(SourceConfig.DoesNotExist):
        registry.source_named("butter")


def test_repeated_issue_keeps_first_dates(journal, server):
    server.add(1)
    server.add(2, day="")
    journal()
    days = dict(Paper.objects.values_list("pk", "day"))
    server.items[0]["day"] = str(LATER.date())
    row = journal(LATER)
    assert (row.new, row.changed) == (0, 0)
    assert dict(Paper.objects.values_list("pk", "day")) == days


@pytest.mark.parametrize(("identity", "doi", "relation"), CASES["preprints"])
def test_article_updates_its_preprint(journal, server, identity, doi, relation):
    make.paper("Before the referees", id=identity, doi=doi, authors=["Ada Roe"])
    server.add(summary="")
    rows = {kind: [{"id-type": t, "id": i} for t, i in ids] for kind, ids in relation.items()}
    server.works[DOI] = WORK | {"relation": rows}
    for _ in range(2):
        journal()
    paper = Paper.objects.get()
    assert (paper.pk, paper.title, paper.doi) == (identity, "Before the referees", DOI)
    assert paper.journal_ref == "The Journal of Bread"
    assert PaperEvent.objects.get().note == "The Journal of Bread"
    assert identifiers.find_paper(f"https://doi.org/{DOI}") == paper
