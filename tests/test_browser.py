"""The pages in a real browser: at both widths, light and dark, with scripts and without."""

import pytest

from digest import planning, starter
from subscriptions import links
from subscriptions.models import Subscriber
from tests import make
from tests.make import NOW

pytestmark = [pytest.mark.services, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def site(chromium, live_server, settings):
    """The site with papers, topics and a reader, at the address that its links name."""
    settings.SITE_URL = live_server.url
    starter.make_topics()
    for number in range(5):
        make.paper(f"Graph networks number {number} <script>alert(1)</script>", "On graphs. " * 60)
    make.paper("Sour bread")
    make.subscriber("reader@example.org", interests="graph networks")
    planning.plan(NOW)
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

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def reader():
    return Subscriber.objects.get(email="reader@example.org")


@pytest.mark.parametrize("has_scripts", [True, False])
def test_a_stranger_signs_up_with_an_address_alone(site, open_page, has_scripts):
    page = open_page(f"{site}/", java_script_enabled=has_scripts, timezone_id="America/New_York")
    page.get_by_label("Your email address").fill("stranger@example.org")
    page.get_by_role("button", name="Sign up").click()
    assert page.get_by_text("stranger@example.org").is_visible()
    stranger = Subscriber.objects.get(email="stranger@example.org")
    assert stranger.timezone == ("America/New_York" if has_scripts else "UTC")
    assert stranger.letters.get().kind == "confirm"


@pytest.mark.parametrize("has_scripts", [True, False])
def test_a_stranger_sees_her_digest_before_she_signs_up(site, open_page, has_scripts):
    page = open_page(f"{site}/", java_script_enabled=has_scripts)
    page.get_by_label("Your own words").fill("sour bread\ngraphene")
    page.get_by_label("Robotics", exact=True).check()
    if not has_scripts:  # With scripts, it needs no click.
        page.get_by_label("Your email address").fill("not.yet@example.org")
        page.get_by_role("button", name="Show me").click()
    page.get_by_role("heading", name="Your digest of today").wait_for()
    assert page.locator("#digest").get_by_role("link").all_inner_texts()[0] == "Sour bread"
    assert page.locator("#digest .why mark").all_inner_texts() == ["sour bread"]
    assert "sour+bread" in page.url
    assert "not.yet" not in page.url
    assert not Subscriber.objects.filter(email__contains="not.yet").exists()

    page.get_by_label("Your email address").fill("stranger@example.org")
    page.get_by_role("button", name="Sign up").click()
    page.get_by_text("stranger@example.org").wait_for()
    stranger = Subscriber.objects.get(email="stranger@example.org")
    followed = set(stranger.preferences.values_list("topic__name", flat=True))
    assert followed == {"sour bread", "graphene", "Robotics"}


def test_a_preview_that_is_passed_on_opens_as_it_was(site, open_page):
    page = open_page(f"{site}/?topics=robotics&topics=gone&interests=sour+bread")
    assert page.locator("#digest").get_by_role("link", name="Sour bread").is_visible()
    assert page.get_by_text("There is no topic called “gone” any more.").is_visible()
    page.get_by_label("Your own words").fill("")
    page.get_by_label("Robotics", exact=True).uncheck()
    page.wait_for_url(f"{site}/")
    assert page.get_by_role("heading", name="Today’s papers").is_visible()


def test_a_reader_changes_what_she_gets_and_leaves(site, open_page):
    page = open_page(links.preferences_url(reader()))
    page.get_by_label("Papers at most").fill("3")
    page.get_by_label("Words that never appear").fill("bread")
    page.get_by_role("button", name="Save").click()
    assert page.get_by_text("Saved.").is_visible()
    assert reader().size == 3
    assert reader().preferences.filter(stance="mute", topic__query="bread").exists()

    page.goto(links.unsubscribe_url(reader()))
    page.get_by_role("button", name="Unsubscribe").click()
    assert reader().unsubscribed_at == NOW
