"""The pages in a real browser: at both widths, light and dark, with scripts and without."""

import re

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from digest.indexing import index_store
from digest.models import Paper
from digest.planning import plan
from digest.topics import starter_topics
from subscriptions.models import Letter, Subscriber, Topic
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import MINUTE, NOW
from tests.helpers import data_files

pytestmark = [pytest.mark.services, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def site(chromium, live_server, settings):
    """The site with papers, topics and a subscriber, at the address that its links name."""
    settings.SITE_URL = live_server.url
    starter_topics.make_topics()
    for number in range(5):
        make.paper(f"Graph networks number {number} <script>alert(1)</script>", "On graphs. " * 60)
    make.paper("Sour bread")
    make.subscriber("reader@example.org", interests="graph networks")
    plan.plan(NOW)
    return live_server.url


@pytest.fixture
def open_page(chromium):
    """Return a function that opens an address, and tells what the browser complained of."""
    contexts, complaints = [], []

    def open_page(url, size=(1280, 900), scheme="light", **options):
        width, height = size
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else 0)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(url)
        return page

    open_page.complaints = complaints
    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def subscriber():
    return Subscriber.objects.get(email="reader@example.org")


@pytest.mark.parametrize("has_scripts", [True, False])
def test_visitor_previews_a_digest_and_signs_up(site, open_page, has_scripts):
    page = open_page(f"{site}/", java_script_enabled=has_scripts, timezone_id="America/New_York")
    page.get_by_label("What are you working on?").fill("sour bread\ngraphene")
    page.get_by_text("Or pick topics").click()
    page.get_by_label("Robotics", exact=True).check()
    if not has_scripts:  # With scripts, it needs no click.
        page.get_by_label("Email address").fill("not.yet@example.org")
        page.get_by_role("button", name="Preview").click()
    page.get_by_role("heading", name="Your first email: 1 paper").wait_for()
    assert page.locator("#digest").get_by_role("link").all_inner_texts()[0] == "Sour bread"
    assert page.locator("#digest .why mark").all_inner_texts() == ["sour bread"]
    assert "sour+bread" in page.url
    assert "not.yet" not in page.url
    assert not Subscriber.objects.filter(email__contains="not.yet").exists()

    page.get_by_label("Email address").fill("stranger@example.org")
    page.get_by_role("button", name="Sign up").click()
    page.get_by_text("stranger@example.org").wait_for()
    stranger = Subscriber.objects.get(email="stranger@example.org")
    followed = set(stranger.preferences.values_list("topic__name", flat=True))
    assert followed == {"sour bread", "graphene", "Robotics"}
    assert stranger.timezone == ("America/New_York" if has_scripts else "UTC")


def test_late_preview_answer_is_dropped_while_typing(site, open_page):
    page = open_page(site, size=(390, 844))
    held = []
    page.route(re.compile("preview/.*graph"), lambda route: held.append(route))
    words = page.get_by_label("What are you working on?")
    assert page.locator("#digest").bounding_box()["y"] < 600  # Below the field, in sight.
    with page.expect_request(re.compile("preview/.*graph")):
        words.fill("graph networks")
        page.get_by_text("Looking…").wait_for()
    assert page.locator("#digest").get_attribute("aria-busy") == "true"
    words.fill("sour bread")
    page.get_by_role("heading", name="Your first email: 1 paper").wait_for()
    for route in held:
        route.continue_()
    page.wait_for_timeout(300)
    assert page.locator("#digest .paper-title").all_inner_texts() == ["Sour bread"]
    assert page.locator("#digest").get_attribute("aria-busy") is None


PROSE = "I work on sour bread and graph networks. No surveys."


@pytest.mark.parametrize("has_scripts", [True, False])
def test_visitor_edits_interests_by_buttons(site, open_page, has_scripts):
    index_store.renew(NOW)
    page = open_page(site, size=(390, 844), java_script_enabled=has_scripts)
    words, press = page.get_by_label("What are you working on?"), page.get_by_role("button")

    def fill(text):
        words.fill(text)
        if not has_scripts:
            press.and_(page.get_by_text("Preview")).click()

    def wait_for(text, *selectors):
        for selector in selectors:
            page.locator(f"#entries_interests {selector}").wait_for()
        assert words.input_value() == text

    fill(PROSE)
    prose = page.locator("#entries_interests .text p")
    prose.wait_for()
    assert prose.text_content().replace("×", "") == PROSE
    assert prose.bounding_box()["y"] < 844
    press.and_(page.get_by_label("Leave out: graph networks")).click()
    struck = PROSE.replace("graph networks", "~~graph networks~~")
    wait_for(struck, "del:text('graph networks')")
    page.wait_for_load_state("networkidle")
    if has_scripts:
        use_again = page.get_by_label("Use again: graph networks")
        assert use_again.evaluate("button => button === document.activeElement")
    press.and_(page.get_by_label("Use again: graph networks")).click()
    wait_for(PROSE, "mark:text('graph networks')")
    page.get_by_role("button", name="Hide such papers").click()
    wait_for(f"{PROSE}\nnot: surveys", ".line:text('muted: surveys')")

    fill("sour bread\ngraph netwroks\nno surveys")
    page.get_by_role("button", name="graph networks?").click()
    wait_for("sour bread\ngraph networks\nnot: surveys", ".line:text('graph networks')")
    page.get_by_role("button", name="Remove: muted: surveys").click()
    wait_for("sour bread\ngraph networks", "ul.chips:not(:has-text('surveys'))")
    page.get_by_role("button", name="Undo").click()
    wait_for("sour bread\ngraph networks\nnot: surveys", ".line:text('muted: surveys')")


def test_presses_and_typing_on_a_slow_line_are_all_kept(site, open_page):
    page = open_page(site)
    words, press = page.get_by_label("What are you working on?"), page.get_by_role("button")
    words.fill("sour bread\ngraph networks\ncs.LG\ncs.CV")
    page.get_by_role("button", name="Remove: papers of cs.CV").wait_for()
    page.route("**/preview/", lambda route: route.abort())
    press.and_(page.get_by_label("Remove: sour bread")).click()
    page.get_by_text("This didn’t work: nothing was changed.").wait_for()
    open_page.complaints.clear()
    held = []
    page.route("**/preview/", lambda route: route.continue_() if held else held.append(route))
    press.and_(page.get_by_label("Remove: sour bread")).click()
    press.and_(page.get_by_label("Remove: papers of cs.CV")).click()
    words.press("ControlOrMeta+Home")
    words.press_sequentially("rye\n")
    page.get_by_label("Email address").fill("hasty@example.org")
    page.get_by_role("button", name="Sign up").click()
    held[0].continue_()
    page.get_by_text("hasty@example.org").wait_for()
    hasty = Subscriber.objects.get(email="hasty@example.org")
    followed = set(hasty.preferences.values_list("topic__query", flat=True))
    assert followed == {"rye", "graph networks", "cs.LG"}


def test_confirmed_subscriber_sees_the_planned_digest(site, open_page, clock):
    stranger = make.subscriber("new@example.org", confirmed=False, interests="sour bread")
    page = open_page(tokens.answer_url(stranger, "confirm", stranger.asked_at))
    page.get_by_role("button", name="Confirm").click()
    page.get_by_text("Preparing your first digest").wait_for()
    plan.plan(NOW)
    page.get_by_role("heading", name="Your first digest").wait_for()
    assert page.locator("#first .paper-title").all_inner_texts() == ["1. Sour bread"]
    assert page.locator("#first").get_by_role("link", name="Open this digest").is_visible()


@pytest.mark.parametrize("has_scripts", [True, False])
def test_subscriber_previews_a_change_and_saves_it(site, open_page, has_scripts):
    page = open_page(tokens.preferences_url(subscriber()), java_script_enabled=has_scripts)
    words = page.get_by_label("Keywords", exact=True)
    ask = page.get_by_role("button", name="Preview changes").first
    if has_scripts:  # It needs no click.
        page.get_by_text("5 last week").wait_for()
        page.get_by_role("button", name="Remove: graph networks").click()
        page.get_by_role("button", name="Undo").click()
        page.get_by_role("button", name="Remove: graph networks").click()
        words.fill("sour bread")
        page.get_by_text("1 last week").wait_for()
        assert not ask.is_visible()
    else:
        words.fill("sour bread")
        ask.click()
    page.get_by_text("Unsaved. Past week: 1 added, 5 removed.").click()
    page.get_by_role("link", name="Sour bread", exact=True).wait_for()
    assert page.get_by_role("link", name="Graph networks number").count() == 5
    assert own_words() == {"graph networks"}

    page.get_by_label("Muted keywords").fill("cryptocurrency")  # Without Enter.
    save = page.locator(".is-open").get_by_role("button", name="Save", exact=True)
    save.click()
    page.get_by_text("Saved.", exact=True).wait_for()
    assert own_words() == {"sour bread"}
    assert own_words("mute") == {"cryptocurrency"}

    if has_scripts:  # Unsaved changes outlive a look at another tab.
        words.fill("sour bread\ngraph networks")
    page.get_by_role("link", name="Delivery").click()
    page.get_by_label("Papers per digest (max)").fill("3")
    if has_scripts:
        page.locator(".is-open").get_by_text("Unsaved.").wait_for()
        assert not page.get_by_text("Saved.", exact=True).is_visible()
        page.get_by_role("link", name="Interests").click()
        page.get_by_role("button", name="Remove: graph networks").click()
        page.get_by_text("Removed: graph networks").wait_for()
        page.get_by_role("link", name="Delivery").click()
    save.click()
    page.get_by_text("Saved.", exact=True).wait_for()
    assert subscriber().size == 3
    assert own_words() == {"sour bread"}


def own_words(stance="follow"):
    preferences = subscriber().preferences.filter(stance=stance, topic__owner=subscriber())
    return set(preferences.values_list("topic__query", flat=True))


def own_path(page, purpose="preferences"):
    return f"/{page}/{tokens.token(purpose, subscriber().public_id)}/"


def opinions():
    rows = subscriber().feedback.order_by("paper__title")
    return [(row.opinion, bool(row.saved_at)) for row in rows]


HIDDEN_PAGE = "Object.defineProperty(document, 'visibilityState', { value: 'hidden' })"


def test_email_link_acts_at_once_except_for_scanners(site, open_page):
    paper = Paper.objects.filter(title__startswith="Graph").first()
    link = f"{site}{own_path('feedback', 'feedback')}?paper={paper.pk}&value="
    Letter.objects.update(state="accepted", ended_at=NOW - 4 * MINUTE)
    page = open_page(f"{link}save")
    page.get_by_role("heading", name="Save this paper?").wait_for()
    Letter.objects.update(ended_at=NOW - 6 * MINUTE)
    page = open_page(f"{link}save", java_script_enabled=False)
    page.get_by_role("heading", name="Save this paper?").wait_for()
    page = open_page(site)
    page.add_init_script(HIDDEN_PAGE)
    page.goto(f"{link}save")
    page.wait_for_load_state("networkidle")
    page.get_by_role("heading", name="Save this paper?").wait_for()
    assert opinions() == []

    page = open_page(site)
    page.goto(f"{link}save")
    page.get_by_role("heading", name="Saved", exact=True).wait_for()
    assert opinions() == [("", True)]
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("heading", name="Removed from your reading list").wait_for()
    for _ in range(2):  # Coming back to the link posts nothing again.
        page.go_back()
        page.wait_for_load_state("networkidle")
        assert paper.title in page.locator("main").inner_text()
    assert opinions() == []


def test_papers_are_saved_by_button_and_key(site, open_page):
    Letter.objects.update(state="accepted", ended_at=NOW)
    page = open_page(site + own_path("me"))
    first, second = page.locator("article.paper").all()[:2]
    more = first.get_by_role("button", name="More like this")
    more.click()
    page.wait_for_selector('[aria-pressed="true"]')
    page.keyboard.press("j")
    page.keyboard.press("Control+s")
    page.keyboard.press("s")
    second.locator('[value="save"][aria-pressed="true"]').wait_for()
    assert sorted(opinions()) == [("", True), ("more", False)]
    more.click()
    first.locator('[value="more"][aria-pressed="false"]').wait_for()
    assert opinions() == [("", True)]

    page.evaluate("() => { window.fetch = () => Promise.reject(new Error()); }")
    more.click()
    first.get_by_text("Could not be saved.").wait_for()
    assert more.get_attribute("aria-pressed") == "false"

    page.goto(site + own_path("saved"))
    page.keyboard.press("/")
    page.keyboard.type("jks?/")
    assert page.get_by_label("Search your list").input_value() == "jks?/"
    page.locator("h1").click()
    page.keyboard.press("?")
    page.get_by_label("Use keyboard shortcuts").uncheck()
    page.get_by_role("button", name="Close").click()
    page.reload()
    page.keyboard.press("?")
    assert not page.locator("#shortcuts").is_visible()
    page.get_by_role("button", name="Keyboard shortcuts").click()
    assert page.locator("#shortcuts").is_visible()


#: What is wider than what it stands in, or breaks words of the interface.
BURST = data_files.text("overflow.js")


def test_page_at_twice_the_size_does_not_scroll_sideways(site, open_page):
    Paper.objects.update(upvotes=81)
    index_store.renew(NOW)  # A paper's page has others like it.
    paper = Paper.objects.filter(title__startswith="Graph").first().get_absolute_url()
    for path in ("/", "/topics/", own_path("preferences"), paper, "/search/?q=graph"):
        for language in ("en", "de"):
            page = open_page(site + path, size=(1280, 640), locale=language)
            page.evaluate("document.documentElement.style.fontSize = '200%'")
            for width in (1280, 360):
                page.set_viewport_size({"width": width, "height": 640})
                assert page.evaluate("document.documentElement.scrollWidth") == width, path
                assert page.evaluate(BURST) == [], path


# ---- In the panel


def test_curator_previews_matches_while_editing_a_topic(site, open_page):
    page = open_page(f"{site}/admin/login/?next=/admin/subscriptions/topic/add/")
    # As who writes before the script is there.
    page.add_init_script(data_files.text("early_typing.js"))
    User.objects.create_superuser("curator", password="a long secret")
    page.get_by_label("Username").fill("curator")
    page.get_by_label("Password").fill("a long secret")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/topic/add/")  # Loaded: Django's own script takes the focus to the name.
    matches = page.locator("#matches")
    matches.get_by_role("link", name="Sour bread").first.wait_for()
    page.get_by_label("Query").fill("graph networks")
    matches.get_by_role("link", name="Graph networks").first.wait_for()
    page.get_by_label("Categories").fill("cs.XX")
    matches.get_by_text("There is no category called cs.XX.").wait_for()
    assert page.get_by_label("Query").input_value() == "graph networks"
    assert not Topic.objects.filter(query__in=["sour bread", "graph networks"], owner=None).exists()


ENTRIES = data_files.load("bibliography_entries.toml")
BIBTEX = ENTRIES["bibtex"]


@pytest.mark.parametrize("kind", ENTRIES)
def test_bibliography_file_is_uploaded_in_parts(site, open_page, tmp_path, kind):
    entry, encoding = ENTRIES[kind], "cp1252" if kind == "bibtex" else "utf-8"
    abstract = "Noodles, as in Zürich. " * 250
    entries = [entry % (n, n, abstract) for n in range(200)]
    file = tmp_path / "library.txt"
    file.write_bytes(("Exported.\n" + "".join(entries)).encode(encoding))
    assert file.stat().st_size > settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    page = open_page(site + own_path("library"))
    page.locator("[type=file]").set_input_files(file)
    page.get_by_role("heading", name="200 papers found").wait_for()
    assert not subscriber().library.exists()
    page.get_by_role("button", name="Add 200 papers").click()
    page.get_by_text("200 papers added.").wait_for()
    assert subscriber().library.filter(title__startswith="Spätzle number ").count() == 200


def test_file_without_bibliography_is_refused(site, open_page, tmp_path):
    file = tmp_path / "picture.bib"
    for content, said in [
        (bytes(range(256)) * 3_000, "This is not a text file."),
        ("On all the soups\n".encode("utf-16"), "This is not a text file."),
        (b"<mods>On all the soups</mods>\n", "This looks like MODS XML."),
        (b"On all the soups\n", "This file has no BibTeX or RIS entries."),
        (b"On all the soups\n" * 600_000, "The file is too large: at most 10 MB."),
    ]:
        file.write_bytes(content)
        page = open_page(site + own_path("library"))
        page.locator("[type=file]").set_input_files(file)
        page.get_by_text(said).wait_for()
    assert not subscriber().library.exists()
