"""What a digest says of itself: where papers are from, what is lacking, and for whom it is."""

from digest import wording
from digest.letters import compose
from digest.models import Paper
from digest.papers import venues
from tests.factories.letter_data import material_of
from tests.helpers.data_files import cases

CASES = cases("wording")


def test_paper_origin_is_named():
    for identity, url, origin in CASES["origins"]:
        assert wording.origin(Paper(id=identity, url=url)) == origin


def test_venue_is_named_only_when_accepted():
    """In the table, the venue is in braces."""
    for comments in CASES["accepted"] + CASES["in_doubt"]:
        venue = comments.partition("{")[2].partition("}")[0]
        phrase = venues.venue(Paper(comments=comments.replace("{", "").replace("}", "")))
        assert phrase == (f"accepted at {venue}" if venue else ""), comments


def test_preheader_shows_overview_and_next_titles():
    for titles, preheader in [(["A"], "1 pick · We graph."), (["A", "B", "C"], "3 picks · B · C")]:
        assert compose.lines_of(material_of(titles))["preheader"] == preheader


def test_digest_is_in_sections():
    material = material_of(["A", "B", "C"])
    assert [heading for heading, _ in wording.sections(material.picks)] == ["Graphs"]
    assert wording.overview([("Graphs", 2), ("Trees", 1), ("", 4)]) == "Graphs (2), Trees (1)"
    material.picks[1].topic_name, material.picks[2].group = "Trees", "near"
    sorted_picks = [heading for heading, _ in wording.sections(material.picks)]
    assert sorted_picks == ["Graphs", "Trees", "Close to your interests"]
