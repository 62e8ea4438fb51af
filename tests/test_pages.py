"""What holds for every page: each has a sample in pages.py, and all of these are looked at."""

import re
import subprocess
from collections import Counter
from importlib.resources import files
from urllib.parse import urlsplit

import lxml.html
import pytest
from django.test import Client
from django.test.signals import template_rendered

from tests.helpers import atom_validator, pages, services
from tests.helpers.tables import everything

pytestmark = pytest.mark.django_db

#: Templates of the panel, and of letters.
ELSEWHERE = ("admin/", "email/")
MOST_QUERIES = 15
SMALL, LARGE = {"width": 360, "height": 800}, {"width": 1280, "height": 900}
#: What depends on width and colours; all else is the same in every corner.
VISIBLE = ["color-contrast", "target-size", "scrollable-region-focusable", "link-in-text-block"]
JUDGE = """async rules => {
    document.querySelectorAll("details").forEach(one => one.open = true);
    const options = {rules: {"target-size": {enabled: true}}};
    if (rules.length) options.runOnly = rules;
    const {violations} = await axe.run(document, options);
    const found = violations.flatMap(one => one.nodes.map(
        node => [one.id, `${node.target.join(" ")} ${node.html}`, node.failureSummary]
    ));
    const {scrollWidth, clientWidth} = document.documentElement;
    return scrollWidth > clientWidth ? [...found, ["sideways", `${scrollWidth}`, ""]] : found;
}"""


def in_corners(some):
    """Have `some` pages looked at in two corners; by night all of them in all."""
    return pytest.mark.parametrize(
        ("which", "corners"),
        [
            (some, [(SMALL, "dark", []), (LARGE, "light", VISIBLE)]),
            pytest.param(
                iter,
                [(size, scheme, []) for size in (SMALL, LARGE) for scheme in ("light", "dark")],
                marks=pytest.mark.nightly,
            ),
        ],
        ids=["two", "all"],
    )


@pytest.fixture
def furnished(settings):
    """Give every page something to show."""
    settings.OPERATOR_NAME = "Example Library"
    settings.POSTAL_ADDRESS = "1 Shelf Street\n12345 Booktown"
    settings.CONTACT_EMAIL = "hello@papers.example.org"
    settings.SOURCE_URL = "https://git.example.org/paperboy"
    settings.IMPRINT_NOTE = settings.PRIVACY_NOTE = "First.\n\nSecond."
    pages.furnish()
    return Client(raise_request_exception=False)


def shown(client):
    """Yield each sample that is a page for people, with the answer."""
    for sample in pages.samples():
        answer = sample.answer(client)
        if answer["Content-Type"].startswith("text/html"):
            yield sample, answer


def novel(found):
    """Yield those that have an element of a kind, or in an element of a kind, not seen before."""
    seen = set()
    for sample, answer in found:
        kinds = {
            (*kind(one), *kind(one.getparent()))
            for one in lxml.html.fromstring(answer.content).iter("*")
        }
        if not kinds <= seen:
            yield sample, answer
        seen |= kinds


def kind(element):
    """Return what style sheets and screen readers go by."""
    told = ("class", "type", "role")
    return () if element is None else (element.tag, *(element.get(name) for name in told))


def test_every_address_has_a_sample(furnished):
    assert set(pages.routes()) == {sample.route for sample in pages.samples()}


def test_every_template_of_a_page_is_in_a_sample(furnished, settings):
    folder = settings.BASE_DIR / "templates"
    pages_of = {str(path.relative_to(folder)) for path in folder.rglob("[!_]*.html")}
    pages_of = {name for name in pages_of if not name.startswith(ELSEWHERE)}
    shown = set()

    def note(template, **kwargs):
        shown.add(template.name)

    template_rendered.connect(note)
    for sample in pages.samples():
        sample.answer(furnished)
    template_rendered.disconnect(note)
    assert pages_of <= shown


@services.once
def test_no_answer_sets_a_cookie(furnished):
    for sample in pages.samples():
        assert not sample.answer(furnished).cookies, sample


@services.once
def test_looking_at_a_page_changes_nothing(furnished):
    before = everything()
    for sample in pages.samples():
        if sample.sent is None and sample.made is None:
            for look in (furnished.get, furnished.head):
                look(sample.path)
    assert everything() == before


def test_no_page_asks_many_queries(furnished, django_assert_max_num_queries):
    for sample in pages.samples():
        if sample.sent is None and sample.route not in ("healthz/", "metrics"):  # For programs.
            with django_assert_max_num_queries(MOST_QUERIES, info=str(sample)):
                sample.answer(furnished)


@services.once
def test_no_page_loads_from_elsewhere_or_names_what_is_not_there(furnished):
    for sample, answer in shown(furnished):
        page = lxml.html.fromstring(answer.content)
        loaded = page.xpath("//@src | //@srcset | //link[not(@rel='canonical')]/@href")
        assert [one for one in loaded if not re.match(r"/[^/]", one)] == [], sample
        ids = Counter(page.xpath("//@id"))
        assert [one for one, count in ids.items() if count > 1] == [], sample
        named = " ".join(page.xpath("//label/@for | //@aria-labelledby | //@aria-describedby"))
        assert set(named.split()) <= set(ids), sample
        assert len(page.xpath("//h1")) == len(page.xpath("//main")) == 1, sample
        assert page.xpath("string(//title)").count(" · ") == 1, sample


@services.once
def test_every_feed_is_valid(furnished):
    for sample in pages.samples():
        answer = sample.answer(furnished)
        if answer["Content-Type"].startswith("application/atom+xml"):
            assert atom_validator.faults(answer.content) == [], sample


@services.once
@pytest.mark.services
@in_corners(novel)
def test_everyone_can_use_every_page(furnished, chromium, which, corners):
    """axe-core finds nothing, nothing scrolls sideways, and no page breaks its own policy."""
    services.require("axe")
    page, complaints = open_browser(chromium, furnished)
    for sample, answer in which(shown(furnished)):
        page.answer = answer
        for corner, found in judged(page, f"/{sample.path.lstrip('/')}", corners):
            assert complaints + found == [], (sample, corner)
    page.context.close()


@pytest.mark.services
@pytest.mark.nightly
def test_the_nu_html_checker_finds_no_error(furnished, settings, tmp_path):
    services.require("vnu")
    for number, (_, answer) in enumerate(shown(furnished)):
        (tmp_path / f"{number}.html").write_bytes(answer.content)
    sheet = settings.BASE_DIR / "static" / "paperboy.css"
    command = ["java", "-jar", services.vnu(), "--errors-only", "--also-check-css"]
    checked = subprocess.run(
        [*command, *tmp_path.glob("*.html"), sheet], capture_output=True, text=True, check=False
    )
    assert checked.stderr == ""
    assert checked.returncode == 0


def judged(page, address, corners):
    """Yield each corner with what axe-core finds of the page in it: by which rule, and where."""
    for size, scheme, rules in corners:
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        if rules == []:
            page.goto(f"http://127.0.0.1:8000{address}")
        yield (size["width"], scheme), page.evaluate(JUDGE, rules)


def open_browser(chromium, client):
    """Return a page that gets `page.answer` for each address it goes to, whatever the status, and
    all else from the client; and the list of what it complains of.
    """
    page, complaints = chromium.new_context().new_page(), []
    page.context.add_init_script(path=files("axe_playwright_python") / "axe.min.js")

    def fulfill(route):
        is_page = route.request.is_navigation_request()
        answer = page.answer if is_page else client.get(urlsplit(route.request.url).path)
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        status = 200 if is_page else answer.status_code
        route.fulfill(status=status, headers=dict(answer.headers), body=body)

    page.route("**/*", fulfill)
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else 0)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    return page, complaints
