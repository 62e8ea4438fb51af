"""Europe PMC: its queries, its pages, and its rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.papers import topic_phrases
from digest.sources import europepmc
from digest.sources.europepmc import EuropePmc
from subscriptions.models import TopicPreference
from tests.factories import make
from tests.factories.harvests import FixedAnswer, found, harvesting, serving
from tests.helpers.data_files import cases
from tests.servers.daily_lists import DAY, TODAY
from tests.servers.europepmc import QUERY, EuropePmcServer, row
from tests.servers.loopback import DOWN, USUAL

CASES = cases("europepmc")

server = serving(EuropePmcServer)
run = harvesting(lambda server, phrases=("paper",): server.source(phrases))


def fill(server, count, day=TODAY):
    for number in range(count):
        server.add(day, number)


def ids(batches):
    return {record.id for record in found(batches)}


# ---- Queries


@pytest.mark.parametrize(("phrase", "clause"), CASES["clauses"])
def test_query_contains_only_words_of_phrase(phrase, clause):
    (query,) = EuropePmc([phrase]).queries
    assert query == f"({clause}) AND (SRC:MED OR SRC:PPR)"


@pytest.mark.slow
@given(st.lists(st.text(alphabet='ab1"|*\\()[]:-_ ORé', max_size=40), max_size=5))
def test_no_text_escapes_its_quotes(phrases):
    for query in EuropePmc(phrases).queries:
        assert QUERY.fullmatch(f"{query} AND CREATION_DATE:[2026-06-03 TO 2026-06-03]")


def test_many_phrases_are_few_queries(server, run):
    fill(server, 3)
    phrases = [f"paper {'x' * 30}{number}" for number in range(60)]
    batches = run(phrases=phrases, since=TODAY)
    count = len(server.source(phrases).queries)
    assert 2 < count < 6
    assert len(server.asked) == len(batches) == count
    assert {batch.category for batch in batches} == {f"{n + 1}/{count}" for n in range(count)}
    assert len(ids(batches)) == 3


def test_nothing_is_requested_without_phrases(server, run):
    (batch,) = run(phrases=["", '"-"'])
    assert "No topic" in batch.note
    assert not server.asked


@pytest.mark.django_db
def test_phrases_come_from_most_followed_topics():
    make.topic("Offered", query="bread, sourdough fermentation")
    make.topic("arXiv", query="rye", categories=["q-bio.BM"])
    make.topic("Withdrawn", query="salt", is_offered=False)
    ada, bo, unconfirmed = make.subscriber(), make.subscriber(), make.subscriber(confirmed_at=None)
    learning = "how do models of yeast learn?", "semi-supervised learning", "author: Ada Example"
    follows = [(bo, "T cells"), (unconfirmed, "oats")]
    follows += [
        (ada, query) for query in ("T cells", *learning, "salt water flour oven crust crumb butter")
    ]
    for person, query in [*follows, (ada, "sugar")]:
        topic = make.topic(query, query=query, owner=person, slug=None)
        stance = "mute" if query == "sugar" else "follow"
        TopicPreference.objects.create(subscriber=person, topic=topic, stance=stance)
    phrases = topic_phrases.phrases_in_use()
    assert phrases[0] == 'cells "T cells"'
    assert set(phrases[1:-2]) == {"models yeast learn", "semi supervised learning"}
    assert phrases[-2:] == ["bread", "sourdough fermentation"]


# ---- Pages


def test_three_days_are_read_with_late_additions(server, run):
    fill(server, 250)
    server.add(TODAY - DAY, 900)
    batches = run()
    assert len(ids(batches)) == 251
    assert [batch.day for batch in batches] == [TODAY - 2 * DAY, TODAY - DAY, *[TODAY] * 3]
    assert [(batch.offset, batch.missing) for batch in batches[2:]] == [
        (0, 150),
        (100, 50),
        (200, 0),
    ]
    server.add(TODAY - DAY, 901)
    server.asked.clear()
    assert "doi:10.1000/bread.901" not in ids(run())  # Earlier days are asked once a day.
    assert {query[-11:-1] for query, _ in server.asked} == {str(TODAY)}
    run.begin_web()
    assert "doi:10.1000/bread.901" in ids(run())


def test_too_long_list_is_cut_off(server, run, monkeypatch):
    monkeypatch.setattr(europepmc, "MAX_PAPERS", 300)
    fill(server, 210, TODAY - DAY)
    phrases = [f"paper {letter * 1000}" for letter in "xy"]
    _, second, *_, last = run(since=TODAY - DAY, phrases=phrases)
    assert (second.missing, last.day, last.state) == (0, TODAY, "empty")
    assert second.note == f"Of 210 papers of {TODAY - DAY}, 10 were not read: they are too many"


def test_interrupted_run_continues_at_its_query(server, run):
    fill(server, 150)
    options = {"phrases": [f"paper {letter * 1000}" for letter in "xy"], "since": TODAY}
    server.answers.extend([USUAL] * 3 + [DOWN] * 4)
    batches, _ = run.cut_off(**options)
    batches += run(cursor=batches[-1].cursor, **options)
    assert (len(server.asked), len(found(batches))) == (4 + 4, 300)


# ---- Rows


def read(*rows):
    web = FixedAnswer({"hitCount": len(rows), "resultList": {"result": list(rows)}})
    return list(EuropePmc(["paper"]).harvest(web, today=TODAY, since=TODAY, cursor=""))


@pytest.mark.parametrize(("kinds", "abstract", "outcome"), CASES["notices"])
def test_notices_are_skipped_and_retractions_marked(kinds, abstract, outcome):
    batches = read(row(abstractText=abstract, pubTypeList={"pubType": kinds}))
    assert [record.is_withdrawn for record in found(batches)] == outcome
    assert not batches[0].errors


# ---- Runs
