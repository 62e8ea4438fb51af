"""Who follows an author gets that author's papers, and who mutes one gets none of them."""

import pytest

from digest.indexing import index_store
from digest.models import Pick
from digest.personalization import interests
from digest.planning import plan
from digest.ranking.authors import is_called, queried_authors
from digest.views import chips
from digest.wording import reason_of
from tests.factories import make
from tests.factories.explanations import background_papers
from tests.factories.make import NOW
from tests.helpers.data_files import cases, pairs

CASES = cases("author_lines")

pytestmark = pytest.mark.django_db


SUBJECTS = "rings fields ideals modules proteins galaxies robots batteries".split()  # noqa: SIM905


def papers():
    """Make papers about graph networks and something else, two by Emmy Noether. Fit the model."""
    for number, subject in enumerate(SUBJECTS):
        make.paper(
            f"Graph networks and {subject}",
            f"We learn {subject} by graph networks.",
            authors=["Kurt Gödel", "Noether, E."] if number in (3, 6) else ["Fritz Noether"],
            categories=["cs.LG" if number == 3 else "math.RA"],
            upvotes=number,
        )
    index_store.renew(NOW)


def planned(subscriber):
    plan.plan(NOW)
    return list(Pick.objects.filter(subscriber=subscriber).leading().order_by("position"))


@pytest.mark.parametrize(("table", "are_same"), [("same_names", True), ("different_names", False)])
def test_names_match_by_words_and_initials(table, are_same):
    """A double name is one word (Wei-Lin), and initials alone match nobody."""
    for author, name in pairs(table):
        assert is_called(author, name) is are_same, (author, name)


@pytest.mark.parametrize(("line", "names"), CASES["lines"])
def test_author_line_names_people(line, names):
    assert list(queried_authors(line)) == names


def test_followed_institution_is_the_reason():
    papers()
    found = [
        make.paper("Soups", affiliations=["Department of Physics, ETH Zürich, Switzerland"]),
        make.paper("Stews", hugging_face={"organization": "eth zurich"}),
    ]
    make.paper("Pies", affiliations=["Beth Zurich", "Zurich", "ETH"])
    muted = make.topic("institution: ETH")
    assert not planned(make.subscriber(interests="institution: ETH Zurich", muted=[muted]))
    picks = planned(make.subscriber(interests="institution: ETH Zurich"))
    assert {pick.paper for pick in picks} == {*found}
    assert {reason_of(pick) for pick in picks} == {"Institution: ETH Zurich"}
    index_store.renew(NOW)
    for name, hint in (("ETH Zurich", ""), ("Mill", "Only bioRxiv, medRxiv")):
        (entry,) = interests.read(f"institution: {name}")
        html = chips.render("interests", [entry], chips.count_matches([entry], NOW))
        assert f"institution: {name}" in html
        assert ("No recent paper names it." in html) is bool(hint)
        assert hint in html


def test_reason_names_author_among_other_interests():
    papers()
    topic = make.topic("Our group", query="author: Emil Artin; Kurt Gödel", categories=["cs.LG"])
    group = make.subscriber(topics=[topic], interests="author: Emmy Noether; Emil Artin")
    names = "; ".join(f"Ada Lovelace {letter}ite" for letter in "abcdefghijklm")
    many = make.subscriber(interests=f"author: {names}; Emmy Noether")
    reasons = [sorted(map(reason_of, planned(group)))]
    reasons.append([reason_of(pick) for pick in Pick.objects.filter(subscriber=many)])
    assert reasons == [["By Emmy Noether", "Our group: Kurt Gödel"], ["By Emmy Noether"] * 2]
    dots = planned(make.subscriber(interests=f"au:Emmy Noether{184 * '.'}"))
    assert {len(pick.topic_name) for pick in dots} == {200}  # As many characters as have room.


def test_muted_author_wins_over_follows():
    background_papers()
    papers()
    muted = make.topic("author: Noether, Emmy")
    picks = planned(make.subscriber(interests="graph networks\nau: Kurt Gödel", muted=[muted]))
    assert len(picks) == len(SUBJECTS) - 2
    assert not any("Noether, E." in pick.paper.authors for pick in picks)
