"""A work that is stored under two ids is sent once."""

import pytest
from django.core.management import call_command

from digest.models import Paper, Pick
from digest.papers import duplicates
from digest.papers.duplicates import aliases_of
from digest.personalization import library
from digest.planning import plan
from digest.ranking.profile import Interest, Profile
from subscriptions.delivery import worker
from tests.factories import make
from tests.factories.make import DAY, NOW, TODAY
from tests.factories.planning import TOOK_OFF, crowd, observed
from tests.helpers.data_files import cases

CASES = cases("aliases")

pytestmark = pytest.mark.django_db

TITLE = "Graph networks of roads"
EARLIER, ON_ARXIV = "biorxiv:2026.04.01.1", "2605.00001"
GRAPHS = Profile(follows=(Interest("graph networks", "graph networks"),))
ABSTRACT = "Roads are drawn as graphs, and networks say where they lead."


def earlier(days=20, **fields):
    """Make the work as another source listed it so many days ago."""
    said = {"id": EARLIER, "authors": ["Lovelace, A.", "Hopper, G. M."], "abstract": ABSTRACT}
    return make.paper(**{"title": TITLE, "day": TODAY - days * DAY} | said | fields)


def on_arxiv(**fields):
    """Make the work as arXiv lists it today."""
    said = {"id": ON_ARXIV, "authors": ["Ada Lovelace"], "abstract": f"{ABSTRACT} Much later."}
    return make.paper(**{"title": TITLE.title()} | said | fields)


def subscriber():
    return make.subscriber(interests="graph networks")


def had(someone, paper, days=20):
    """Send them this paper so many days ago, and since then only what is new of each day."""
    for moment in sorted({NOW - days * DAY, NOW - DAY}):
        plan.plan(moment)
        worker.deliver_due(lambda moment=moment: moment)
    assert Pick.objects.filter(subscriber=someone, paper=paper).exists()


def came(days=0):
    """Return the papers that are picked for so many days after today."""
    plan.plan(NOW + days * DAY)
    return {pick.paper_id for pick in Pick.objects.filter(digest__day=TODAY + days * DAY)}


def early_subscriber(days=20):
    """Make a subscriber whose first digest was due so many days ago."""
    return make.subscriber(interests="graph networks", now=NOW - days * DAY)


def same():
    """Return the works that are found under two ids, by each of these."""
    return aliases_of(Paper.objects.all())


# ---- Which are one work


@pytest.mark.parametrize(("one", "other", "are_same"), CASES["works"])
def test_same_work_under_two_ids_is_found(one, other, are_same):
    first, second = earlier(**one).pk, on_arxiv(**other).pk
    assert same() == ({first: [second], second: [first]} if are_same else {})
    aliases = aliases_of(Paper.objects.filter(pk=second))
    assert aliases == ({first: [second]} if are_same else {})


def test_same_doi_makes_aliases_across_sources(monkeypatch):
    monkeypatch.setattr(duplicates, "BATCH", 1)
    make.paper("Another", id="doi:10.1/b", doi="10.1/b")
    for number, identity in enumerate(["2605.00001", "2605.00002", "doi:10.1/a", "biorxiv:1"]):
        make.paper(f"On {number}", id=identity, doi="10.1/A" if number % 2 else "10.1/a")
    make.paper("On bread", id="biorxiv:2")
    aliases = {other: set(papers) for other, papers in same().items()}
    assert aliases["doi:10.1/a"] == {"2605.00001", "2605.00002", "biorxiv:1"}
    assert aliases["2605.00001"] == {"doi:10.1/a", "biorxiv:1"}
    assert len(aliases) == 4


# ---- What a subscriber gets


OTHER_IDS = [(earlier, on_arxiv, 1), (on_arxiv, earlier, 20)]


@pytest.mark.parametrize(("first", "then", "days"), OTHER_IDS)
def test_sent_work_is_not_resent_under_alias(days, first, then):
    someone, paper = early_subscriber(days), first(day=TODAY - days * DAY)
    had(someone, paper, days)
    then(day=TODAY)
    make.paper("Graph networks of rivers", id="2606.1")
    assert came() == {"2606.1"}


def test_library_work_is_not_sent_under_alias():
    someone, paper = early_subscriber(1), earlier()
    bibliography = f"@misc{{a, title = {{{paper.title}}}}}\n@misc{{b, title = {{On bread}}}}"
    library.add(someone, bibliography, NOW - DAY)
    assert someone.library.filter(identity=EARLIER).exists()
    on_arxiv()
    make.paper("Graph networks of rivers", id="2606.1")
    assert came() == {"2606.1"}


@pytest.mark.parametrize("third", [[], ["title:0123"]])
def test_aliases_arriving_together_are_one_entry(third):
    """Also where one has next to no text, so that nothing but this shows that it is the same."""
    earlier(0, abstract="", upvotes=9)
    on_arxiv(upvotes=5)
    for one in third:
        make.paper(TITLE, id=one, authors=["A. Lovelace"])
    subscriber()
    assert came() == {EARLIER, ON_ARXIV, *third}
    assert Pick.objects.leading().count() == 1


def test_letter_lists_alias_without_repeating_title(outbox):
    earlier(0, url="https://doi.org/10.1101/2026.04.01.1")
    on_arxiv(abstract="")
    subscriber()
    call_command("tick", now=NOW)
    text = outbox()[0].get_body(["plain"]).get_content().replace("\r\n", "\n")
    assert f"1. {TITLE}\n" in text
    also = f"arXiv:{ON_ARXIV}\n    https://arxiv.org/abs/{ON_ARXIV}\n"
    assert f"    And 1 on the same idea:\n    {also}" in text


crowd = pytest.fixture(crowd)


def test_sent_alias_gets_no_second_chance(crowd):
    someone, paper = early_subscriber(), earlier()
    had(someone, paper)
    observed(on_arxiv(day=TODAY - 15 * DAY), TOOK_OFF)
    assert came() == set()


def test_alias_new_today_gets_no_second_chance(crowd):
    observed(earlier(), TOOK_OFF)
    on_arxiv()
    subscriber()
    assert came() == {ON_ARXIV}


# ---- What pages say
