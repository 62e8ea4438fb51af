"""Every subscriber gets the same letter: by ear, as plain text, light or dark, on a small screen.

A screen reader goes by the accessibility tree of the HTML part, as a real browser makes it.
"""

import re
from collections import defaultdict
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
from tests.helpers.data_files import cases, text
from tests.test_pages import JUDGE

CASES = cases("letter_outline")

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.django_db]

DAY = timedelta(days=1)
URL = re.compile(r"https?://\S+")
STEERING = re.compile(r"[?&]value=(more|less|save)$")


# ---- The letters, one of each kind and of what is hard on a kind


def write(*picks, kind="digest", **fields):
    """Write a letter: a digest of these papers, each with what its pick says, and those folded in
    with it.
    """
    fields = {"topics": [make.topic()]} | fields
    subscriber = make.subscriber(**fields)
    letter = queue.create(subscriber, kind, now=NOW, closes_at=NOW + DAY)
    if kind in ("digest", "welcome"):
        digest = Digest.objects.create(
            subscriber=subscriber, day=NOW.date(), letter=letter, considered=1400
        )
        common = {"subscriber": subscriber, "score": 0.5, "digest": digest}
        for position, (paper, said, *relatives) in enumerate(picks, start=1):
            leader = Pick.objects.create(paper=paper, position=position, **said, **common)
            for relative in relatives:
                Pick.objects.create(paper=relative, leader=leader, **said, **common)
    return letter


def in_each_group():
    """Write a digest with a paper in each group, and with all that can be said of papers."""
    papers = CASES["papers"]
    authors = [f"Bo Example the {n}th" for n in range(9)]
    abstract = "Nodes are counted, and edges are not. " * 30
    rich = make.paper(**papers["rich"], abstract=abstract, authors=authors)
    Observation.objects.create(paper=rich, day=NOW.date(), github_stars=77)
    bare = make.paper("Known by its title", id="title:0123456789")
    idea = [make.paper(f"The same idea, written {n} times") for n in range(3, 6)]
    idea.insert(1, make.paper(**papers["without a link"]))
    topic = {"basis": "topic", "topic_name": "Graph learning", "terms": ["node", "edge"]}
    letter = write(
        (make.paper(**papers["second"]), {"basis": "second"}),
        (make.paper(**papers["plain"]), topic),
        (rich, topic, *idea),
        (bare, {"basis": "learned", "terms": ["title"]}),
        (make.paper(**papers["hebrew"], abstract="图神经网络。" * 20), {"basis": "trend"}),
        (make.paper("Genes", "A very long word: " + "x" * 300), {"basis": "new"}),
    )
    saved = {"value": "save", "at": NOW - DAY, "saved_at": NOW - DAY}
    Feedback.objects.create(subscriber=letter.subscriber, paper=bare, **saved)
    PaperEvent.objects.create(paper=bare, kind="withdrawn", at=NOW)
    return letter


def of_fifty_long_papers():
    """Write a digest for which there is no room but in the tightest form."""
    papers = [make.paper("A long & winding title " * 20, "Words of it. " * 99) for _ in range(50)]
    (first, said), *others = ((paper, {"basis": "trend"}) for paper in papers)
    return write((first, said, make.paper("The same idea")), *others, size=50)


def of_endless_words():
    """Write a digest of what has no place to break a line."""
    word = "Donaudampfschifffahrt" * 14
    paper = make.paper(word, word, authors=[word], github=f"https://github.example/{word}")
    topic = make.topic(word[:190])
    reason = {"basis": "topic", "topic_name": topic.name}
    return write((paper, reason, make.paper(word)), topics=[topic])


LETTERS = {
    "digest": in_each_group,
    "digest of fifty": of_fifty_long_papers,
    "digest of endless words": of_endless_words,
    "digest without topics": lambda: write((make.paper(), {"basis": "new"}), topics=[]),
    "digest of a quiet day": lambda: write(wants_quiet_days=True),
    "welcome": lambda: write(kind="welcome"),
    "welcome without topics": lambda: write(kind="welcome", topics=[]),
    "confirm": lambda: write(kind="confirm", confirmed=False),
    "confirm again": lambda: write(kind="confirm"),
    "bounced": lambda: write(kind="bounced", suppressed_at=NOW - DAY),
    "goodbye": lambda: write(kind="goodbye", unsubscribed_at=NOW),
}


# ---- A browser


@pytest.fixture(scope="module")
def browser(chromium):
    return chromium.new_page()


@pytest.fixture(params=LETTERS)
def letter(request, settings):
    settings.POSTAL_ADDRESS = "1 Example Street, Example Town"
    letter = make.composed(LETTERS[request.param](), NOW)
    return letter


def show(page, html, width=1280, scheme="light"):
    """Show an HTML part in the browser, as wide and dark as asked."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.set_content(html)
    return page


class Heard(NamedTuple):
    """A node of the accessibility tree: what is said, and what one can jump to."""

    role: str
    name: str
    level: int
    url: str

    @classmethod
    def all_of(cls, page):
        """Return what a screen reader says of the page, in its order."""
        found = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
        nodes = {node["nodeId"]: node for node in found}
        heard = []
        for node in _in_order(found[0], nodes):
            extra = {one["name"]: one["value"].get("value") for one in node.get("properties", ())}
            name = node.get("name", {}).get("value", "")
            if not node["ignored"]:
                role = node["role"]["value"]
                heard.append(cls(role, name, extra.get("level", 0), extra.get("url", "")))
        return heard


def _in_order(node, nodes):
    yield node
    for child in node.get("childIds", ()):
        yield from _in_order(nodes[child], nodes)


# ---- By ear, and as plain text


def squeezed(said):
    """Return what is said without spaces, addresses, and the marks that part one from another.

    Of some links, the HTML part has several where the other has one, or has it elsewhere.
    """
    said = re.sub(r"[\s·:;]|Read on the web", "", URL.sub("", said).replace("\n-- \n", "\n"))
    said = said.replace("WhythisMoreLessSave", "More,lessorsave")
    return said.replace("PreferencesPause", "Preferencesandpause")


ROLES = {
    *("RootWebArea", "article", "heading", "paragraph", "generic", "strong", "link"),
    *("StaticText", "InlineTextBox", "LineBreak"),
}


def test_screen_reader_text_equals_plain_text(browser, letter, settings, client):
    page = show(browser, letter.html)
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.title() == letter.subject
    assert page.locator("img, svg, form, script, iframe, object, link, [onclick]").count() == 0
    nodes, by_role = Heard.all_of(page), defaultdict(list)
    for node in nodes:
        by_role[node.role].append(node)
    assert by_role.keys() <= ROLES
    assert [node.name for node in by_role["article"]] == ["Paperboy"]
    if "data-paper-id" in letter.html:
        words = "".join(node.name for node in by_role["StaticText"])
        assert squeezed(words) == squeezed(letter.text)
    # The page that steers is one, whatever is said, and short links lead to the same pages.
    heard, read = (
        dict.fromkeys(
            settings.SITE_URL + client.get(url)["Location"] if "/e/" in url else url
            for url in (STEERING.sub("", url).removesuffix("#pause") for url in urls)
            if url.rstrip("/") != settings.SITE_URL and "/why/" not in url
        )
        for urls in ([node.url for node in by_role["link"]], URL.findall(letter.text))
    )
    assert list(heard) == list(read)
    assert heard
    assert all(link.name.strip() for link in by_role["link"])
    levels = [heading.level for heading in by_role["heading"]]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(heading.name for heading in by_role["heading"])


# ---- To the eye


def test_contrast_is_sufficient_in_light_and_dark(browser, letter):
    """As WCAG 2.2 has it in 1.4.6: more than 1.4.3 asks for."""
    services.require("axe")
    for scheme, ground in [("light", "rgb(251, 251, 249)"), ("dark", "rgb(21, 23, 26)")]:
        page = show(browser, letter.html, scheme=scheme)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
        page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
        assert page.evaluate(JUDGE, ["color-contrast-enhanced"]) == []


def test_no_letter_scrolls_sideways(browser, letter):
    for width in (320, 360, 1280):
        page = show(browser, letter.html, width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


TAP = 44  # Pixels, as WCAG 2.2 has it in 2.5.5.
MADE_TO_BE_TAPPED = {"press", "say", "tap"}
PLACES_OF_LINKS = text("places_of_links.js")


def is_easy_to_hit(link, links):
    """Return whether a link is high enough, or, where it stands among words, has room enough for a
    thumb that errs up and down to hit no other.
    """
    if round(link["bottom"] - link["top"]) >= TAP:
        return True
    middle = (link["top"] + link["bottom"]) / 2
    top, bottom = min(link["top"], middle - TAP / 2), max(link["bottom"], middle + TAP / 2)
    return MADE_TO_BE_TAPPED.isdisjoint(link["is"]) and not any(
        other["top"] < bottom
        and other["bottom"] > top
        and other["left"] < link["right"]
        and other["right"] > link["left"]
        for other in links
        if other is not link
    )


def test_action_links_are_large_enough_to_tap(browser, letter, settings):
    links = show(browser, letter.html, 360).evaluate(PLACES_OF_LINKS)
    acting = [link for link in links if re.match(f"{settings.SITE_URL}/.", link["url"])]
    assert acting
    assert [link["name"] for link in acting if not is_easy_to_hit(link, links)] == []
