"""All that can be in the interests box is read as entries."""

import pytest

from digest.interests.entries import Entry, NoVocabulary, lines_of, paragraphs, read, written


class Papers(NoVocabulary):
    def is_author(self, name):
        return name in ("Lei Li", "Noether, Emmy", "Emmy Noether")

    def is_general(self, phrase):
        return phrase == "taste"

    def topic(self, name):
        return {"computer vision": "vision"}.get(name.lower(), "")

    def paper(self, reference):
        return "2606.00001" if "2606.00001" in reference else ""


TITLE = "Steep, Pour and Wait: A Long Survey of Slow Green Tea for Small Kitchens in Old Houses"
READINGS = [
    ('"green tea" leaves, cups', [("words", '"green tea" leaves'), ("words", "cups")]),
    ("author: Lei Li, Ada Po", [("author", "author: Lei Li"), ("author", "author: Ada Po")]),
    ("Noether, Emmy", [("author", "author: Noether, Emmy")]),
    ("I like Lei Li and tea", [("author", "author: Lei Li"), ("words", "tea")]),
    ("cs.LG, Robotics (cs.RO)", [("category", "cs.LG"), ("category", "cs.RO")]),
    ("Computer vision", [("topic", "Computer vision")]),
    ("words: computer vision", [("words", "computer vision")]),
    ("text: tea", [("text", "tea")]),
    (TITLE, [("text", TITLE)]),
    ("tea AND (cups OR lids)", [("words", "tea cups"), ("words", "tea lids")]),
    ("green tea and cups", [("words", "green tea"), ("words", "cups")]),
    ("how slowly old farmers brew strong green tea leaves; lids", [
        ("words", "how slowly old farmers brew strong green tea leaves"), ("words", "lids")]),
    ("by Lei Li", [("author", "author: Lei Li")]),
    ("PhD student in tea science working on taste", [("words", "taste in tea science")]),
    ("tea: cups, taste", [("words", "tea"), ("words", "cups"), ("words", "taste in tea")]),
    ("https://example.org/42", [("unread", "https://example.org/42")]),
    ("red, tea: mit.edu/~me", [("words", "red"), ("words", "tea"), ("unread", "mit.edu/~me")]),
    ("q-fin.EC", [("category", "q-fin.EC")]),
    ("https://arxiv.org/abs/2606.00001v2", [("paper", "2606.00001")]),
    ("tea, like arXiv:2606.00001", [("words", "tea"), ("paper", "2606.00001")]),
    ("paper: 2606.00001", [("paper", "2606.00001")]),
    ("paper: origami", [("words", "origami")]),
    ("author:", [("unread", "author:")]),
    ('I like "cups that are hot" and tea', [("words", '"cups that are hot"'), ("words", "tea")]),
    ("Quote0Quote, tea", [("words", "Quote0Quote"), ("words", "tea")]),
    ("tea - cups", [("words", "tea - cups")]),
    ("What I am interested in:\nmy topics:\ntea:", [("words", "tea:")]),
    ("42 !", [("unread", "42 !")]),
    ("- green tea\n- cups", [("words", "green tea"), ("words", "cups")]),
    ("no free lunch theorems", [("words", "no free lunch theorems")]),
]  # fmt: skip
UNWANTED = [
    ("no surveys", ("words", "surveys")),
    ("not: author: Lei Li", ("author", "author: Lei Li")),
    ("tea NOT milk", ("words", "milk")),
    ("keine Milch", ("words", "Milch")),
    ("I like tea, but not Lei Li", ("author", "author: Lei Li")),
    ("tea, but not milk", ("words", "milk")),
    ("green tea, no surveys", ("words", "surveys")),
    ("not computer vision", ("topic", "computer vision")),
    ("avoid: surveys", ("words", "surveys")),
]
LINKS = [
    "10.1000/182",
    "doi.org/10.1000/182",
    "PMID: 42",
    "PMC1234567",
    "2506.04235v2",
    "ORCID: 0000-0002-1825-0097",
    "example.org/tea",
]
#: As researchers write: entries are separated by "|", those that are muted begin with "-".
PEOPLE = {
    "nurse researcher, pressure ulcers in nursing homes and staffing ratios": (
        "pressure ulcers in nursing homes | staffing ratios"
    ),
    "labour economics: minimum wages, monopsony, and job search": (
        "labour economics | minimum wages | monopsony | job search"
    ),
    "Law professor interested in competition law and platform regulation, but no patent law": (
        "competition law | platform regulation | -patent law"
    ),
    "a posteriori error estimators for finite elements, hp-FEM, domain decomposition": (
        "a posteriori error estimators for finite elements | hp-FEM | domain decomposition"
    ),
    "machine learning for climate, weather and oceans": (
        "machine learning for climate | machine learning for weather | machine learning for oceans"
    ),
    "deep learning for proteins, deep learning for RNA": (
        "deep learning for proteins | deep learning for RNA"
    ),
    "object detection with little data and few labels, active learning": (
        "object detection with little data | object detection with few labels | active learning"
    ),
    "two dimensional materials, in vitro fertilization, off target effects": (
        "two dimensional materials | in vitro fertilization | off target effects"
    ),
    "short- and long-term memory, pre- and postnatal care": (
        "short- and long-term memory | pre- and postnatal care"
    ),
    "protein folding and drug design": "protein folding | drug design",
    "legged robots | whole-body control": "legged robots | whole-body control",
    "soft matter - colloids - glasses": "soft matter | colloids | glasses",
    "Urban ecology. How do birds adapt to cities? Light pollution.": (
        "Urban ecology | How do birds adapt to cities | Light pollution"
    ),
    "graph networks. No surveys.": "graph networks | -surveys",
    "deep learning; not robotics": "deep learning | -robotics",
    "batteries excluding lead acid": "batteries | -lead acid",
    "anything except LLMs": "-LLMs",
    "LLM agents (not chatbots), tool use": "LLM agents | tool use | -chatbots",
    "turbulence modelling, but please no LES": "turbulence modelling | -LES",
    "I don't want robotics, vision or speech. NLP please": "NLP | -robotics | -vision | -speech",
    "I don't want to miss anything on tidal disruption events": "tidal disruption events",
    "I am not only interested in syntax but also in prosody": "syntax | prosody",
    "We study butterflies and want to keep up with speciation genomics": (
        "butterflies | speciation genomics"
    ),
    "I like statistics, in particular causal inference": "statistics | causal inference",
    "I lead the machine learning team at a bank and like trade policy in the US": (
        "trade policy in the US"
    ),
    "My research interests include labor migration, remittances": "labor migration | remittances",
    "Could you please send papers on teacher burnout or inclusive education": (
        "teacher burnout | inclusive education"
    ),
    "I would like to be informed about progress in carbon capture and hydrogen storage": (
        "carbon capture | hydrogen storage"
    ),
    "earthquakes + tsunamis + landslides": "earthquakes | tsunamis | landslides",
    "PhD candidate @ TU Delft | wind energy | wake modelling": "wind energy | wake modelling",
    "protein design; please skip reviews": "protein design | -reviews",
    "robotics but no reinforcement learning": "robotics | -reinforcement learning",
    "gene therapy for hemophilia and sickle cell disease": (
        "gene therapy for hemophilia and sickle cell disease"
    ),
    "tokamaks vs. stellarators": "tokamaks vs. stellarators",
    "Interests: Bayesian statistics, MCMC": "Bayesian statistics | MCMC",
    "PhD in literature (Univ. of Warsaw): postcolonial novels": "postcolonial novels",
    "PhD student, Columbia University. Working on urban heat islands.": "urban heat islands",
    "Political scientist studying populism, and voter turnout": "populism | voter turnout",
    "working at the intersection of logic and law": "logic | law",
    "Ich arbeite an Quantencomputern und interessiere mich für Fehlerkorrektur.": (
        "Quantencomputern | Fehlerkorrektur"
    ),
    "Maschinelles Lernen, aber keine Robotik": "Maschinelles Lernen | -Robotik",
    "Je m'intéresse aux ondes gravitationnelles et aux trous noirs": (
        "ondes gravitationnelles | trous noirs"
    ),
}


@pytest.mark.parametrize(("text", "expected"), READINGS)
def test_a_line_is_read_as_its_entries(text, expected):
    entries = read(text, Papers())
    assert [(entry.kind, entry.text) for entry in entries] == expected
    assert not any(entry.is_muted for entry in entries)


@pytest.mark.parametrize(("text", "expected"), UNWANTED)
def test_what_is_not_wanted_is_muted(text, expected):
    (entry,) = [entry for entry in read(text, Papers()) if entry.is_muted]
    assert (entry.kind, entry.text) == expected


@pytest.mark.parametrize("link", LINKS)
def test_links_and_numbers_are_unread_beside_words_too(link):
    unread = Entry("unread", link)
    assert read(link) == [unread]
    assert read(f"green tea ({link}).") == [Entry("words", "green tea"), unread]
    abstract = f"{TITLE}. {TITLE}: {link}"
    assert [entry.kind for entry in read(abstract)] == ["text"]


@pytest.mark.parametrize(("text", "expected"), PEOPLE.items())
def test_researchers_of_all_fields_are_understood(text, expected):
    assert " | ".join("-" * entry.is_muted + entry.text for entry in read(text)) == expected


@pytest.mark.parametrize(
    "text", [text for text, _ in READINGS + UNWANTED] + ["words: Lei Li", "words: no tea"]
)
def test_a_written_entry_is_read_as_itself(text):
    for entry in read(text, Papers()):
        assert read(written(entry, Papers()), Papers()) == [entry]


def test_a_stored_line_is_not_read_again():
    before = Entry("", "tea, cups")
    assert read("tea, cups\nlids", stored={"tea, cups": before}) == [before, Entry("words", "lids")]


def test_pasted_paragraph_is_one_line():
    wrapped = [
        "Kettles of old clay keep the heat of the water for a long time, and",
        "so the tea tastes of earth. We fill forty cups with water of many",
        "kinds and let them stand.",
    ]
    text = "tea\n" + "\n".join(wrapped) + "\n\ncups"
    assert list(paragraphs(text)) == ["tea", " ".join(wrapped), "cups"]
    lines = ["kettles of old clay that keep the heat of the water for a very long time", "tea"] * 2
    assert list(paragraphs("\n".join(lines))) == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("I like tea and slow kettles. No cups.", ("tea and slow kettles",)),
        ("I like green tea and slow kettles. Lei Li.", ("green tea", "slow kettles", "Lei Li")),
        ('"green tea", cups', ('"green tea"', "cups")),
        ("tea, cups", ("tea", "cups")),
        ("how leaves release taste", ("how leaves release taste",)),
    ],
)  # fmt: skip
def test_entries_of_before_are_read_by_phrases_alone(text, lines):
    assert lines_of("", text) == lines


def test_not_before_a_group_mutes_all_of_it():
    found = [(entry.text, entry.is_muted) for entry in read("tea NOT (salt OR milk)")]
    assert found == [("tea", False), ("salt", True), ("milk", True)]


def test_lines_with_a_prefix_are_no_paragraph():
    titles = [
        "Motility of bacteria in shallow microfluidic channels doi:10.1000/1",
        "Chemotaxis of E. coli under confinement in porous media doi:10.1000/2",
        "swimming of algae near surfaces and in crowded suspensions doi:10.1000/3",
    ]
    entries = read("\n".join(f"paper: {title}" for title in titles))
    assert [entry.text for entry in entries] == titles
