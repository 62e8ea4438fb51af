"""Links that were sent to a former address open no page, but still unsubscribe."""

import re
from datetime import timedelta

import pytest
from django.urls import get_resolver, reverse

from digest.personalization import feedback
from digest.planning import plan
from subscriptions.actions import change_address
from subscriptions.delivery import rendering, transitions, worker
from subscriptions.models import Move, Subscriber
from subscriptions.notices import send as correspondence
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import DAY, MINUTE, NOW
from tests.helpers import data_files
from tests.helpers.invariants import broken
from tests.helpers.subscriber_pages import digest_of
from tests.helpers.tables import everything
from tests.subscriptions.actions.change_address_steps import agree, agree_both

pytestmark = pytest.mark.django_db

OLD, NEW, THIRD = "old@example.org", "new@example.org", "third@example.org"
MOVED_AT = NOW + 2 * MINUTE
FEEDS = ("reader-feed", "reader-feed-json")
DATA = data_files.load("token_pages.toml")
#: What opens each page that a token opens; the others ask something, or let them leave.
PAGE_PURPOSES = DATA["purposes"]
ANSWERED = {"confirm", "move", "unsubscribe", "opt-out", "short", "short-paper"}


@pytest.fixture
def one():
    """A subscriber with a digest in their mailbox, who saved its paper."""
    subscriber = make.subscriber(OLD, interests="graph networks", confirmed_at=NOW - 9 * DAY)
    digest = digest_of(subscriber, id="2606.1")
    subscriber.letters.update(state="accepted", ended_at=NOW)
    feedback.record(subscriber, digest.picks.get().paper, "save", NOW)
    return subscriber


def move(subscriber, to=NEW, at=MOVED_AT):
    """Change the subscriber's address at this moment. Return the subscriber."""
    change_address.request(subscriber, to, now=at - MINUTE)
    agree_both(subscriber, asked_at=at - MINUTE, now=at)
    assert (make.fresh(subscriber).email, subscriber.moved_at) == (to, at)
    return subscriber


def path(page, subscriber):
    """Return the address of a page, with the subscriber's present token."""
    thing = subscriber.digests.get().public_id if page == "digest" else None
    address = reverse(page, args=[tokens.own_token(PAGE_PURPOSES[page], subscriber, thing)])
    return f"{address}?paper=2606.1" if page == "recommend" else address


def keys_in(text):
    """Return the paths in a letter or page that end in a token."""
    return set(re.findall(r"/[a-z]+/[\w-]{22}(?:~[0-9a-f]+)?\.[\w-]{43}/", text))


def said_in(message):
    return "".join(message.get_body([kind]).get_content() for kind in ("plain", "html"))


def check_closed(response, subscriber):
    """Check that a page says that its token is closed, and nothing of the subscriber."""
    assert response.status_code == 410
    page = response.text
    for secret in (subscriber.email, *keys_of(subscriber)):
        assert secret not in page
    assert not keys_in(page)
    return page


def keys_of(subscriber):
    return [path(page, subscriber) for page in PAGE_PURPOSES] + [tokens.unsubscribe_url(subscriber)]


# ---- At each page


def test_every_token_page_is_tested_here():
    included = get_resolver().url_patterns
    patterns = [each for one in included for each in getattr(one, "url_patterns", [one])]
    with_token = {each.name for each in patterns if "<str:token>" in str(each.pattern)}
    assert with_token == {*PAGE_PURPOSES, *ANSWERED}


@pytest.mark.parametrize("page", PAGE_PURPOSES)
def test_token_from_before_the_change_opens_nothing(client, one, page):
    before = path(page, one)
    assert client.get(before).status_code == 200
    move(one)
    held = everything()
    said = check_closed(client.get(before), one)
    assert client.head(before).status_code == 410
    if page not in FEEDS:
        assert "was moved to another address" in said
        assert 'href="/lost/"' in said
        german = client.get(before, headers={"Accept-Language": "de"}).text
        assert "läuft jetzt über eine andere Adresse" in german
    for sent in DATA["sent"].get(page, [{}]):
        response = client.post(before, sent)
        if response.status_code != 405:  # Some pages only show.
            check_closed(response, one)
    assert everything() == held
    assert client.get(path(page, one)).status_code == 200


@pytest.mark.parametrize("later", [timedelta(milliseconds=300), -DAY])
def test_second_change_closes_tokens_of_the_first(client, one, later):
    second = path("preferences", move(one))
    change_address.request(one, THIRD, now=NOW)
    agree_both(one, now=MOVED_AT + later)
    one.refresh_from_db()
    check_closed(client.get(second), one)
    assert client.get(path("preferences", one)).status_code == 200


def test_change_that_a_restored_backup_lacks_closes_no_token(client, one):
    after = path("feedback", move(one))
    for moved_at in (MOVED_AT - DAY, None):
        Subscriber.objects.update(moved_at=moved_at)
        assert client.get(after).status_code == 200


def test_unfinished_change_closes_no_token(client, one):
    before = [path(page, one) for page in PAGE_PURPOSES]
    change_address.request(one, NEW, now=NOW)
    agree(one, "old", now=NOW)
    one.refresh_from_db()
    assert [client.get(key).status_code for key in before] == [200] * len(before)
    assert [path(page, one) for page in PAGE_PURPOSES] == before


def test_page_links_open_after_a_change_of_address(client, one):
    move(one)
    for page in PAGE_PURPOSES:
        for key in keys_in(client.get(path(page, one)).text):
            assert client.get(key).status_code == 200, key
    # Also the digests that they had before.
    assert f"{path('me', one)}?day=" in client.get(path("history", one)).text


def test_closed_feed_is_gone_and_names_the_preferences(client, one):
    before = path("reader-feed", one)
    known = client.get(before)
    entries = re.findall(r"<id>.*?</id>", known.text)
    move(one)
    closed = client.get(before, headers={"If-None-Match": known.get("ETag", '"x"')})
    assert (closed.status_code, closed["Content-Type"]) == (410, "text/plain; charset=utf-8")
    assert "Your preferences have the new feed." in closed.text
    anew = client.get(path("reader-feed", one)).text
    assert re.findall(r"<id>.*?</id>", anew) == entries  # Nothing is new to who read it before.
    assert OLD not in anew


# ---- Leaving


def test_former_unsubscribe_link_works_and_discloses_nothing(client, outbox, clock, one):
    leave = tokens.unsubscribe_url(one)
    move(one)
    since = client.get(tokens.unsubscribe_url(one)).text
    assert NEW in since
    clock.now = MOVED_AT + DAY
    asked = client.get(leave)
    assert "Unsubscribe?" in asked.text
    for click in (asked, *(client.post(leave, {"List-Unsubscribe": "One-Click"}) for _ in "12")):
        assert click.status_code == 200
        page = click.text
        assert NEW not in page
        assert not keys_in(page.replace(leave.removeprefix("http://127.0.0.1:8000"), ""))
    assert make.fresh(one).unsubscribed_at == clock.now
    assert "You’re unsubscribed" in client.get(leave).text
    worker.deliver_due(lambda: clock.now)
    goodbye = outbox()[-1]
    assert goodbye["To"] == NEW  # Where they can take it back.
    (undo,) = [key for key in keys_in(said_in(goodbye)) if key.startswith("/confirm/")]
    assert client.post(undo).status_code == 200
    assert make.fresh(one).unsubscribed_at is None


# ---- What letters asked


ASKED = [
    ("confirm", {}),
    ("confirm", {"unsubscribed_at": MOVED_AT + DAY}),
    ("goodbye", {"unsubscribed_at": MOVED_AT + DAY}),
    ("bounced", {"suppressed_at": MOVED_AT + DAY, "suppressed_by": "bounced"}),
]


@pytest.mark.parametrize(("kind", "fields"), ASKED)
def test_request_from_before_the_change_cannot_be_answered(client, clock, one, kind, fields):
    asked = tokens.answer_url(one, kind, MOVED_AT - 2 * MINUTE)
    move(one)
    Subscriber.objects.update(**fields)
    one.refresh_from_db()
    clock.now, held = MOVED_AT + DAY + MINUTE, everything()
    for send in (client.get, client.post):
        assert "was moved to another address" in check_closed(send(asked), one)
    assert everything() == held


def test_used_link_in_the_old_mailbox_leads_nowhere(client, clock, one):
    clock.now = MOVED_AT
    change_address.request(one, NEW, now=NOW)
    urls = {side: tokens.move_url(one, side, NOW) for side in ("old", "new")}
    pages = [client.post(urls[side]).text for side in ("new", "old")]
    assert make.fresh(one).moved_at == MOVED_AT
    assert "Address changed" in pages[1]
    for page in (pages[1], client.get(urls["old"]).text):
        assert NEW not in page
        assert not keys_in(page)
        assert "Links in earlier emails no longer work" in page
        assert "your feed has a new address too" in page
        assert 'href="/lost/"' in page
    shown = client.get(urls["new"]).text
    assert tokens.preferences_url(one) in shown
    assert NEW in shown
    assert "Links in earlier emails no longer work" in shown
    move(one, THIRD, MOVED_AT + DAY)
    clock.now = MOVED_AT + DAY
    for url in urls.values():
        check_closed(client.get(url), one)


def test_request_under_a_former_token_ends_with_the_change(client, one):
    """Whoever has the old mailbox asks for another address, while letters are under way."""
    change_address.request(one, "thief@example.org", now=NOW)
    move(one)
    assert Move.objects.get().new_email == NEW
    for side in ("old", "new"):
        check_closed(client.post(tokens.move_url(one, side, NOW)), one)


# ---- Letters


def planned():
    """Make a subscriber with a planned digest."""
    make.paper("Graph networks")
    subscriber = make.subscriber(OLD, interests="graph networks", next_due_at=NOW)
    plan.plan(NOW)
    return subscriber


def test_only_links_of_the_new_mailbox_open(client, outbox, clock):
    one = planned()
    worker.deliver_due(lambda: NOW)
    change_address.request(one, NEW, now=NOW)
    worker.deliver_due(lambda: NOW)
    agree_both(one, now=MOVED_AT)
    one.refresh_from_db()
    clock.now = NOW + DAY
    make.paper("Graph networks again", day=clock.now.date())
    correspondence.send_link(NEW, now=clock.now)
    correspondence.remind(one, clock.now)
    plan.plan(clock.now)
    worker.deliver_due(lambda: clock.now)
    found = {
        to: {key for letter in outbox() if letter["To"] == to for key in keys_in(said_in(letter))}
        for to in (OLD, NEW)
    }
    prefixes = {"preferences", "unsubscribe", "digests", "feedback", "why"}
    assert {key.split("/")[1] for key in found[OLD]} == {*prefixes, "move"}
    assert {key.split("/")[1] for key in found[NEW]} == {*prefixes, "move"}
    for key in found[OLD]:
        is_open = key.startswith(("/unsubscribe/", "/move/"))
        assert client.get(key).status_code == (200 if is_open else 410), key
    for key in found[NEW]:
        assert client.get(key).status_code == 200, key
    assert broken(clock.now) == {}


def test_letter_planned_before_the_change_has_new_links(client, outbox):
    one = planned()
    move(one)
    worker.deliver_due(lambda: MOVED_AT)
    (digest,) = [letter for letter in outbox() if letter["List-Id"]]
    assert digest["To"] == NEW
    keys = keys_in(said_in(digest))
    assert {client.get(key).status_code for key in keys} == {200}
    assert len(keys) == 5


def test_letter_claimed_before_the_change_has_closed_links(client):
    one = planned()
    (letter,), _ = transitions.claim(NOW, 1)
    written = rendering.render_letters([letter], NOW)
    move(one)
    ((_, frozen),) = [pair for some in written for pair in some]
    said = frozen.mime.decode().replace("=\r\n", "")
    assert f"To: {OLD}\r\n" in said
    assert NEW not in said
    for key in keys_in(said):
        leaves = key.startswith("/unsubscribe/")
        assert client.get(key).status_code == (200 if leaves else 410), key
