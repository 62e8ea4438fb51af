"""What people write about themselves is split into phrases."""

import time

import pytest

from digest.interests.sentences import Phrase, phrases

WISHES = {
    "I'm a marine biologist interested in coral bleaching and the acidity of oceans.": [
        "coral bleaching",
        "acidity of oceans",
    ],
    "Currently finishing a PhD on tea (black tea), also curious about coffee roasting": [
        "tea",
        "black tea",
        "coffee roasting",
    ],
    "My group studies how plants drink; root growth and leaf shape are our main topics": [
        "how plants drink",
        "root growth",
        "leaf shape",
    ],
    "Hi! I do cheese microbiome stuff, mostly in caves. Please keep me posted about rinds": [
        "cheese microbiome",
        "caves",
        "rinds",
    ],
    "We make kettles, so anything about heat transfer and lime scale, please": [
        "heat transfer",
        "lime scale",
    ],
    "I work on phase I trials of tea": ["phase I trials of tea"],
    "reading group on tea: recent advances in steeping, cups made of clay": [
        "steeping",
        "cups made of clay",
    ],
    "brewing tea from leaves and roots, I like": [
        "brewing tea from leaves",
        "brewing tea from roots",
    ],
    "I want fairness, warmth and transparency of cups": [
        "fairness of cups",
        "warmth of cups",
        "transparency of cups",
    ],
}
LISTS = {
    "tea, cups of old clay, kettles": ["tea", "cups of old clay", "kettles"],
    "tea; slow kettles and clay cups": ["tea", "slow kettles", "clay cups"],
    "Clay Cups, Slow Kettles, Tea, Lime Scale": ["Clay Cups", "Slow Kettles", "Tea", "Lime Scale"],
    "large tea machines (LTMs) for kitchens, cups": ["large tea machines for kitchens", "cups"],
    "1. tea of old trees 2. cups": ["tea of old trees", "cups"],
}
VERBS = {
    "I study how tea itself should be brewed": ["how tea itself should be brewed"],
    "We use fine clay and old cups to understand how leaves are dried": [
        "fine clay",
        "old cups to understand how leaves are dried",
    ],
    "I train small hands to lift and carry cups": ["small hands to lift and carry cups"],
    "Currently exploring how kettles sing; I care about lime scale": [
        "how kettles sing",
        "lime scale",
    ],
    "Anything that helps me brew tea from wild leaves": ["tea from wild leaves"],
}
WHOLE = [
    "Steep, Pour and Wait: A Survey of Slow Tea for Small Kitchens",
    "The leaf is a barrier, and the water has to pass it",
    "how do leaves release their taste, and why",
    "We present a kettle that boils water, milk, and tea. Its lid is made of clay.",
    "Kettles boil water in many ways that depend on the height of the place, the lid, and the cup",
    "heat and taste in the kitchens of the world",
    "I am a student",
]


@pytest.mark.parametrize(("text", "expected"), (WISHES | LISTS | VERBS).items())
def test_wishes_and_lists_are_split_into_phrases(text, expected):
    assert [phrase.text for phrase in phrases(text)] == expected


@pytest.mark.parametrize("text", WHOLE)
def test_titles_and_abstracts_stay_one_text(text):
    assert phrases(text) == [Phrase(text)]


@pytest.mark.parametrize(
    ("text", "unwanted"),
    [
        ("I like tea but not coffee, and cups. I'm not interested in milk.", ["coffee", "milk"]),
        ("Please send me everything on tea. No surveys.", ["surveys"]),
        ("I love tea, especially green tea, without sugar", ["sugar"]),
    ],
)
def test_what_is_not_wanted_is_negative(text, unwanted):
    assert [phrase.text for phrase in phrases(text) if phrase.is_negative] == unwanted


@pytest.mark.parametrize(
    ("text", "context"),
    [
        ("PhD student in tea science working on taste", "tea science"),
        ("Data scientist at a tea company: taste", "tea"),
        ("I am a geologist who likes taste", "geology"),
        ("I work in food design. Taste is my topic.", "food design"),
        ("I like taste", ""),
    ],
)
def test_the_field_of_a_role_is_the_context(text, context):
    (phrase,) = phrases(text)
    assert (phrase.text.lower(), phrase.context) == ("taste", context)


def test_the_field_is_the_interest_without_any_other():
    assert phrases("I'm a marine biologist.") == [Phrase("marine biology")]
    assert [p.text for p in phrases("postdoc in tea, cups, and lids")] == ["tea", "cups", "lids"]


def test_papers_decide_whether_and_joins_two_words():
    pairs = {("milk", "sugar"), ("soil", "water")}

    def read(text):
        return [phrase.text for phrase in phrases(text, lambda *pair: pair in pairs)]

    assert read("I like milk and sugar") == ["milk and sugar"]
    assert read("I like tea and cups") == ["tea", "cups"]
    assert read("tea, soil and water conservation") == ["tea", "soil and water conservation"]


@pytest.mark.parametrize(
    "part", ["I ", "a, ", "and ", "at A", "we're ", "is(", "x-", "ph.d ", "(a "]
)
def test_reading_takes_linear_time(part):
    start = time.process_time()
    phrases((part * 2_000)[:2_000])
    assert time.process_time() - start < 0.5


def test_single_word_gets_context_of_first_phrase():
    found = phrases("I teach small robots to brew with clay cups, leaves")
    assert [(phrase.text, phrase.context) for phrase in found][1:] == [
        ("leaves", "small robots to brew")
    ]
    assert {phrase.context for phrase in phrases("clay cups, leaves")} == {""}
