"""What holds for every page: each has a sample in pages.py, and all of these are looked at."""

import re
from collections import Counter
from dataclasses import dataclass, field
from importlib.resources import files
from urllib.parse import urlsplit

import lxml.html
import pytest
from django.db import connection
from django.test import Client
from django.test.signals import template_rendered
from django.test.utils import CaptureQueriesContext

from tests.helpers import atom_validator, data_files, pages, services

pytestmark = pytest.mark.django_db

#: Templates of the panel, and of emails.
ELSEWHERE = ("admin/", "email/", "unfold/")
MOST_QUERIES = 22
SMALL, LARGE = {"width": 360, "height": 800}, {"width": 1280, "height": 900}
#: What depends on width and colours; all else is the same in every corner.
VISIBLE = ["color-contrast", "target-size", "scrollable-region-focusable", "link-in-text-block"]
JUDGE = data_files.text("judge_page.js")


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
    """Give every page something to show. Return a visitor who gets a page for every error."""
    settings.OPERATOR_NAME = "Example Library"
    settings.POSTAL_ADDRESS = "1 Shelf Street\n12345 Booktown"
    settings.CONTACT_EMAIL = "hello@papers.example.org"
    settings.SOURCE_URL = "https://git.example.org/paperboy"
    settings.IMPRINT_NOTE = settings.PRIVACY_NOTE = "First.\n\nSecond."
    settings.LIMITS = dict.fromkeys(settings.LIMITS, 1_000)
    settings.SECURE_HSTS_SECONDS = 31_536_000
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    pages.furnish()
    return Client(raise_request_exception=False, headers={"x-forwarded-proto": "https"})


@dataclass
class Visit:
    """What one visit to each sample brought."""

    answers: list = field(default_factory=list)
    queries: list[int] = field(default_factory=list)
    templates: set[str] = field(default_factory=set)

    def make(self, client):
        def note(template, **kwargs):
            self.templates.add(template.name)

        template_rendered.connect(note)
        for sample in pages.samples():
            with CaptureQueriesContext(connection) as queries:
                self.answers.append((sample, sample.answer(client)))
            self.queries.append(len(queries))
        template_rendered.disconnect(note)

    def shown(self):
        """Return each sample that is a page for people, with the answer."""
        return [
            (sample, answer)
            for sample, answer in self.answers
            if answer["Content-Type"].startswith("text/html")
        ]


VISIT = Visit()


@pytest.fixture
def visit(request):
    """Return the one visit that the tests of this file share."""
    if not VISIT.answers:
        VISIT.make(request.getfixturevalue("furnished"))
    return VISIT


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
    attributes = ("class", "type", "role")
    return () if element is None else (element.tag, *(element.get(name) for name in attributes))


def test_every_address_has_a_sample(visit):
    assert set(pages.routes()) == {sample.route for sample, _ in visit.answers}


def test_every_page_template_is_in_a_sample(visit, settings):
    folder = settings.BASE_DIR / "templates"
    pages_of = {str(path.relative_to(folder)) for path in folder.rglob("[!_]*.html")}
    assert {name for name in pages_of if not name.startswith(ELSEWHERE)} <= visit.templates


def test_no_answer_sets_a_cookie(visit):
    for sample, answer in visit.answers:
        assert not answer.cookies, sample


def test_every_answer_has_every_header(visit):
    for sample, answer in visit.answers:
        if sample.made is None:  # Else it is without a request, and what every answer bears.
            is_framed = sample.path == "/trending/embed/"
            assert pages.is_guarded(answer, pages.FRAMED if is_framed else pages.STRICT), sample
            assert "unsafe" not in answer["Content-Security-Policy"], sample
        if "token" in sample.route:
            assert pages.is_secret(answer), sample


def test_unsupported_method_is_405_without_a_cookie(visit):
    visitor = Client(enforce_csrf_checks=True)
    for path in {sample.path for sample, _ in visit.answers if sample.made is None}:
        refused = visitor.put(path)
        assert refused.status_code == 405, path
        if "POST" not in refused["Allow"]:
            assert visitor.post(path).status_code == 405, path


def test_page_has_few_queries(visit):
    for (sample, _), queries in zip(visit.answers, visit.queries, strict=True):
        if sample.sent is None and sample.route not in ("healthz/", "metrics"):  # For programs.
            assert queries <= MOST_QUERIES, sample


def test_page_loads_no_foreign_or_inline_code(visit):
    """The policy would refuse it, and nobody would see why."""
    for sample, answer in visit.shown():
        page = lxml.html.fromstring(answer.content)
        loaded = page.xpath("//@src | //@srcset | //link[not(@rel='canonical')]/@href")
        assert [one for one in loaded if not re.match(r"/[^/]", one)] == [], sample
        own = page.xpath("//style | //*[@style] | //@*[starts-with(name(), 'on')]")
        own += page.xpath("//script[not(@src) and not(@type='application/ld+json')]")
        assert own + page.xpath("//@href[starts-with(., 'javascript:')]") == [], sample


def test_references_within_a_page_exist(visit):
    for sample, answer in visit.shown():
        page = lxml.html.fromstring(answer.content)
        ids = Counter(page.xpath("//@id"))
        assert [one for one, count in ids.items() if count > 1] == [], sample
        named = " ".join(page.xpath("//label/@for | //@aria-labelledby | //@aria-describedby"))
        assert set(named.split()) <= set(ids), sample
        assert len(page.xpath("//h1")) == len(page.xpath("//main")) == 1, sample
        assert page.xpath("string(//title)").count(" · ") == 1, sample


def test_every_feed_is_valid(visit):
    for sample, answer in visit.answers:
        if answer["Content-Type"].startswith("application/atom+xml"):
            assert atom_validator.faults(answer.content) == [], sample


@services.once
@pytest.mark.services
@pytest.mark.slow
@in_corners(novel)
def test_every_page_is_accessible(visit, client, chromium, which, corners):
    """axe-core finds nothing, nothing scrolls sideways, and no page breaks its own policy."""
    services.require("axe")
    page, complaints = open_browser(chromium, client)
    for sample, answer in which(visit.shown()):
        page.answer = answer
        for corner, found in judged(page, f"/{sample.path.lstrip('/')}", corners):
            assert complaints + found == [], (sample, corner)
    page.context.close()


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
        if route.request.resource_type == "fetch":  # The subscriber may be erased by now.
            return route.fulfill(json={})
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
