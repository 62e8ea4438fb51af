"""That every reader gets the same letter: by ear, as plain text, light or dark, on a small screen.

A screen reader goes by the accessibility tree of the HTML part, as a real browser makes it.
"""

import re
from datetime import timedelta
from importlib.resources import files
from itertools import pairwise
from typing import NamedTuple

import pytest

from digest.models import Digest, Feedback, Observation, PaperEvent, Pick
from subscriptions.delivery import queue
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers import services
from tests.test_pages import JUDGE

pytestmark = [pytest.mark.services, pytest.mark.django_db]

DAY = timedelta(days=1)
URL = re.compile(r"https?://\S+")
STEERING = re.compile(r"[?&]value=(more|less|save)$")


# ---- The letters, one of each kind and of what is hard on a kind


def write(kind, **fields):
    fields = {"topics": [make.topic()]} | fields
    return queue.write(make.subscriber(**fields), kind, now=NOW, closes_at=NOW + DAY)


def write_digest(*picks, kind="digest", **fields):
    """Write a digest of these papers, each with what its pick says, and the papers folded in."""
    letter = write(kind, **fields)
    common = {"subscriber": letter.subscriber, "score": 0.5}
    common["digest"] = Digest.objects.create(
        subscriber=letter.subscriber, day=NOW.date(), letter=letter, considered=1400
    )
    for position, (paper, said, *relatives) in enumerate(picks, start=1):
        leader = Pick.objects.create(paper=paper, position=position, **said, **common)
        for relative in relatives:
            Pick.objects.create(paper=relative, leader=leader, **said, **common)
    return letter


def in_each_group():
    """Write a digest with a paper in each group, and with all that can be said of papers."""
    plain = make.paper("Graphs", "We tell.", authors=["Ada Example"], categories=["cs.LG"])
    rich = make.paper(
        "Nodes & <edges>",
        "Nodes are counted, and edges are not. " * 30,
        authors=[f"Bo Example the {n}th" for n in range(9)],
        categories=["cs.LG", "math.CO"],
        github="https://github.example/nodes",
        upvotes=1200,
    )
    Observation.objects.create(paper=rich, day=NOW.date(), github_stars=77)
    bare = make.paper("Known by its title", id="title:0123456789")
    hebrew = make.paper("גרפים שוכחים 2.0", "图神经网络。" * 20, upvotes=40, is_sample=True)
    idea = [make.paper(f"The same idea, told {n} times") for n in range(3, 6)]
    idea.insert(1, make.paper("An idea without a link", id="title:9876543210"))
    topic = {"basis": "topic", "topic_name": "Graph learning", "terms": ["node", "edge"]}
    letter = write_digest(
        (make.paper("A second look", "It rose.", upvotes=99), {"basis": "second"}),
        (plain, topic),
        (rich, topic, *idea),
        (bare, {"basis": "learned", "terms": ["title"]}),
        (hebrew, {"basis": "trend"}),
        (make.paper("Genes", "A very long word: " + "x" * 300), {"basis": "new"}),
    )
    Feedback.objects.create(subscriber=letter.subscriber, paper=bare, value="save", at=NOW - DAY)
    PaperEvent.objects.create(paper=bare, kind="withdrawn", at=NOW)
    return letter


def of_fifty_long_papers():
    """Write a digest for which there is no room but in the tightest form."""
    papers = [make.paper("A long & winding title " * 20, "Words of it. " * 99) for _ in range(50)]
    (first, said), *others = ((paper, {"basis": "trend"}) for paper in papers)
    return write_digest((first, said, make.paper("The same idea")), *others, size=50)


def of_endless_words():
    """Write a digest of what has no place to break a line."""
    word = "Donaudampfschifffahrt" * 14
    paper = make.paper(word, word, authors=[word], github=f"https://github.example/{word}")
    topic = make.topic(word[:190])
    said = {"basis": "topic", "topic_name": topic.name}
    return write_digest((paper, said, make.paper(word)), topics=[topic])


LETTERS = {
    "digest": in_each_group,
    "digest of fifty": of_fifty_long_papers,
    "digest of endless words": of_endless_words,
    "digest without topics": lambda: write_digest((make.paper(), {"basis": "new"}), topics=[]),
    "digest of a quiet day": lambda: write_digest(wants_quiet_days=True),
    "welcome": lambda: write_digest(kind="welcome"),
    "welcome without topics": lambda: write_digest(kind="welcome", topics=[]),
    "confirm": lambda: write("confirm", confirmed=False),
    "confirm again": lambda: write("confirm"),
    "bounced": lambda: write("bounced", suppressed_at=NOW - DAY),
    "goodbye": lambda: write("goodbye", unsubscribed_at=NOW),
}
DIGESTS = [name for name in LETTERS if name.startswith("digest")]


@pytest.fixture(scope="module")
def kept():
    return {}


@pytest.fixture
def composed(kept, settings):
    """Return a function that composes the letter of a name, once for all tests."""
    settings.POSTAL_ADDRESS = "1 Example Street, Example Town"

    def compose(name):
        if name not in kept:
            letter = LETTERS[name]()
            kept[name] = make.composed(letter, NOW)
        return kept[name]

    return compose


# ---- A browser


@pytest.fixture(scope="module")
def chromium_page(chromium):
    return chromium.new_page()


@pytest.fixture
def show(chromium_page):
    """Return a function that shows an HTML part in the browser, as wide and dark as asked."""

    def show(html, width=1280, scheme="light"):
        chromium_page.set_viewport_size({"width": width, "height": 900})
        chromium_page.emulate_media(color_scheme=scheme)
        chromium_page.set_content(html)
        return chromium_page

    return show


class Heard(NamedTuple):
    """A node of the accessibility tree: what is said, and what one can jump to."""

    role: str
    name: str
    level: int
    url: str


def heard(page):
    """Return what a screen reader says of the page, in its order."""
    found = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    nodes = {node["nodeId"]: node for node in found}
    return [_heard(node) for node in _in_order(found[0], nodes) if not node["ignored"]]


def _in_order(node, nodes):
    yield node
    for child in node.get("childIds", ()):
        yield from _in_order(nodes[child], nodes)


def _heard(node):
    told = {one["name"]: one["value"].get("value") for one in node.get("properties", ())}
    name = node.get("name", {}).get("value", "")
    return Heard(node["role"]["value"], name, told.get("level", 0), told.get("url", ""))


def words_heard(nodes):
    return "".join(node.name for node in nodes if node.role == "StaticText")


def links_of(nodes):
    return [node for node in nodes if node.role == "link"]


# ---- By ear, and as plain text


def squeezed(said):
    """Return what is said without spaces, addresses, and the marks that part one from another.

    The HTML part asks for more, less or save with three links, for which the other has one.
    """
    said = re.sub(r"[\s·:;]", "", URL.sub("", said).replace("\n-- \n", "\n"))
    return said.replace("MorelikethisLesslikethisSave", "More,lessorsave")


def led_to(urls, site):
    """Return where the links lead, each once: the page that steers is one, whatever is said."""
    urls = [STEERING.sub("", url) for url in urls if url.rstrip("/") != site]
    return list(dict.fromkeys(urls))


@pytest.mark.parametrize("name", DIGESTS)
def test_a_digest_says_the_same_by_ear_and_as_plain_text(composed, show, name):
    letter = composed(name)
    assert squeezed(words_heard(heard(show(letter.html)))) == squeezed(letter.text)


@pytest.mark.parametrize("name", LETTERS)
def test_the_links_of_both_parts_lead_to_the_same_places(composed, show, name, settings):
    letter = composed(name)
    links = [link.url for link in links_of(heard(show(letter.html)))]
    assert len(links) > 1
    assert led_to(links, settings.SITE_URL) == led_to(URL.findall(letter.text), settings.SITE_URL)


def test_more_less_and_save_are_three_links_for_each_paper(composed, show):
    nodes = heard(show(composed("digest").html))
    said = {"More like this": "more", "Less like this": "less", "Save": "save"}
    steering = [link for link in links_of(nodes) if STEERING.search(link.url)]
    assert [STEERING.search(link.url)[1] for link in steering] == [*said.values()] * 6
    assert all(link.url.endswith(f"value={said[link.name]}") for link in steering)


@pytest.mark.parametrize("name", LETTERS)
def test_one_can_jump_from_heading_to_heading(composed, show, name):
    headings = [node for node in heard(show(composed(name).html)) if node.role == "heading"]
    levels = [heading.level for heading in headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(heading.name for heading in headings)


def test_groups_and_papers_are_headings(composed, show):
    nodes = heard(show(composed("digest").html))
    headings = [(node.level, node.name) for node in nodes if node.role == "heading"]
    assert headings == [
        (1, "Monday, 1\u00a0June"),
        (2, "You may have missed"),
        (3, "1. A second look"),
        (2, "For you"),
        (3, "2. Graphs"),
        (3, "3. Nodes & <edges>"),
        (3, "4. Known by its title"),
        (2, "Trending"),
        (3, "5. גרפים שוכחים 2.0"),
        (2, "New"),
        (3, "6. Genes"),
        (2, "Papers you saved"),
    ]


@pytest.mark.parametrize("name", LETTERS)
def test_nothing_is_there_but_words_and_links_with_names(composed, show, name):
    page = show(composed(name).html)
    nodes = heard(page)
    assert {node.role for node in nodes} <= {
        *("RootWebArea", "article", "heading", "paragraph", "generic", "strong", "link"),
        *("StaticText", "InlineTextBox", "LineBreak"),
    }
    assert all(link.name.strip() for link in links_of(nodes))
    assert page.locator("img, svg, form, script, iframe, object, link, [onclick]").count() == 0


@pytest.mark.parametrize("name", LETTERS)
def test_the_page_says_in_which_language_it_is_and_what_it_is(composed, show, name):
    letter = composed(name)
    page = show(letter.html)
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.title() == letter.subject
    assert [node.name for node in heard(page) if node.role == "article"] == ["Paperboy"]


# ---- To the eye


@pytest.mark.parametrize("name", LETTERS)
def test_all_words_stand_out_from_what_is_behind_them_light_and_dark(composed, show, name):
    """As WCAG 2.2 has it in 1.4.6: more than 1.4.3 asks for."""
    services.require("axe")
    html = composed(name).html
    for scheme, ground in [("light", "rgb(251, 251, 249)"), ("dark", "rgb(21, 23, 26)")]:
        page = show(html, scheme=scheme)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
        page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
        assert page.evaluate(JUDGE, ["color-contrast-enhanced"]) == []


@pytest.mark.parametrize("name", LETTERS)
def test_no_letter_scrolls_sideways(composed, show, name):
    html = composed(name).html
    for width in (320, 360, 1280):
        page = show(html, width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


TAP = 44  # Pixels, as WCAG 2.2 has it in 2.5.5.
MADE_TO_BE_TAPPED = {"press", "say", "tap"}
PLACES_OF_LINKS = """() => [...document.links].map(link => {
  const {left, right, top, bottom} = link.getBoundingClientRect();
  const told = {url: link.href, name: link.textContent, is: [...link.classList]};
  return {...told, left, right, top, bottom};
})"""


def is_easy_to_hit(link, links):
    """Return whether a link is high enough, or, where it stands among words, has room enough."""
    if round(link["bottom"] - link["top"]) >= TAP:
        return True
    return MADE_TO_BE_TAPPED.isdisjoint(link["is"]) and has_room(link, links)


def has_room(link, links):
    """Return whether a thumb may err up and down from the link and hit no other."""
    middle = (link["top"] + link["bottom"]) / 2
    top, bottom = min(link["top"], middle - TAP / 2), max(link["bottom"], middle + TAP / 2)
    return not any(
        other["top"] < bottom
        and other["bottom"] > top
        and other["left"] < link["right"]
        and other["right"] > link["left"]
        for other in links
        if other is not link
    )


@pytest.mark.parametrize("name", LETTERS)
def test_links_that_act_are_easy_to_hit_on_a_phone(composed, show, name, settings):
    links = show(composed(name).html, 360).evaluate(PLACES_OF_LINKS)
    acting = [link for link in links if re.match(f"{settings.SITE_URL}/.", link["url"])]
    assert acting
    assert [link["name"] for link in acting if not is_easy_to_hit(link, links)] == []
