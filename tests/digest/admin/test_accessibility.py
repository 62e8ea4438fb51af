"""The panel's pages in a browser: everyone can use what is ours, and Unfold's faults are known."""

from importlib.resources import files

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from subscriptions.models import Subscriber
from tests.digest.admin.test_roles import furnished, routes, subscriber_id, url_kwargs  # noqa: F401
from tests.helpers import data_files, services
from tests.test_pages import JUDGE, LARGE, SMALL, in_corners, judged, open_browser

pytestmark = [
    *(pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("furnished")),
    *(pytest.mark.services, pytest.mark.slow),
]

PAGES = data_files.load("panel_accessibility.toml")
#: What the browser says of frames, in which letters stand: they are shut in, and here the page
#: itself is what they get.
OF_FRAMES = ("Blocked script execution", "Framing ")


class Files:
    """What pages load besides: files, and Django's words for scripts, asked for beforehand. In the
    browser's loop, there is no session.
    """

    def __init__(self, client):
        self.words = client.get(reverse("admin:jsi18n"))

    def get(self, path):
        return self.words if path.endswith("/jsi18n/") else Client().get(path)


def shown(client):
    """Yield the name of each page of the panel with what it answers."""
    for name, route in sorted(routes()):
        answer = client.get(reverse(f"admin:{name}", kwargs=url_kwargs(name, route)))
        is_page = answer.status_code == 200 and b"<body" in answer.content
        if is_page and not name.endswith("_preview"):  # Letters: see test_accessibility.py.
            yield name, answer
    asked = {"action": "block", "_selected_action": [subscriber_id("reader")]}
    url = reverse("admin:subscriptions_subscriber_changelist")
    yield "block", client.post(url, asked)


def is_unfolds(rule, where):
    return any(rule == known and part in where for known, part, _ in PAGES["unfolds"])


def ours(found):
    return (page for page in found if page[0] in PAGES["ours"])


@services.once
@in_corners(ours)
def test_every_panel_page_is_accessible(chromium, which, corners):
    services.require("axe")
    client = Client()
    client.force_login(User.objects.create(username="you", is_staff=True, is_superuser=True))
    pages = list(which(shown(client)))
    page, complaints = open_browser(chromium, Files(client))
    for name, answer in pages:
        page.answer = answer
        for corner, found in judged(page, reverse("admin:index"), corners):
            complaints += [
                f"{name} {corner} {rule}: {where} {text}"
                for rule, where, text in found
                if not is_unfolds(rule, where)
            ]
    page.context.close()
    assert [one for one in complaints if not one.startswith(OF_FRAMES)] == []


@pytest.fixture
def panel(chromium, live_server):
    """Open a page of the panel, at this size, as an operator who has a password."""
    user = User.objects.create_superuser("you", password="a long secret")
    client = Client()
    client.force_login(user)
    with chromium.new_context(color_scheme="dark") as context:
        context.add_init_script(path=files("axe_playwright_python") / "axe.min.js")
        session = client.cookies["sessionid"].value
        context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        page = context.new_page()

        def opened(name, size, *args):
            page.set_viewport_size(size)
            page.goto(live_server.url + reverse(f"admin:{name}", args=args))
            return page

        yield opened


@pytest.mark.parametrize("name", ["subscriber_change", "subscriber_changelist", "topic_add"])
def test_keyboard_focus_is_visible(panel, name):
    args = [subscriber_id("reader")] if name.endswith("change") else []
    page = panel(f"subscriptions_{name}", LARGE, *args)
    page.keyboard.press("Tab")
    reached, unseen = page.evaluate(data_files.text("unseen_focus.js"))
    assert reached > 10
    assert unseen == []


def test_action_button_opens_a_confirmation_page(panel):
    services.require("axe")
    subscriber = Subscriber.objects.get(pk=subscriber_id("reader"))
    page = panel("subscriptions_subscriber_change", SMALL, subscriber.pk)
    page.get_by_role("button", name="Block").click()
    page.get_by_text("only an operator can undo it").wait_for()
    assert [one for one in page.evaluate(JUDGE, []) if not is_unfolds(*one[:2])] == []
    page.get_by_label("Reason").fill("asked by phone")
    page.get_by_role("button", name="Block").click()
    page.get_by_text("Blocked: 1.").wait_for()
    subscriber.refresh_from_db()
    assert subscriber.suppressed_reason == "asked by phone"
