"""Links that lie in a mailbox which she has left behind open nothing of hers, but let her leave."""

import re
from datetime import timedelta

import pytest
from django.urls import get_resolver, reverse

from digest.personalization import feedback
from digest.planning import plan
from subscriptions.actions import change_address, signup
from subscriptions.delivery import rendering, transitions
from subscriptions.delivery.worker import rounds
from subscriptions.models import Move, Subscriber
from subscriptions.notices import send as correspondence
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import DAY, DOOR, MINUTE, NOW
from tests.helpers.invariants import broken
from tests.helpers.subscriber_pages import digest_of
from tests.helpers.tables import everything

pytestmark = pytest.mark.django_db

OLD, NEW, THIRD = "old@example.org", "new@example.org", "third@example.org"
MOVED_AT = NOW + 2 * MINUTE
#: What opens each page that a token opens; the others ask something, or let her leave.
DOORS = {
    **dict.fromkeys(["preferences", "me", "history", "learned", "library"], "preferences"),
    **dict.fromkeys(["saved", "saved-bibtex", "saved-ris", "saved-markdown"], "preferences"),
    **dict.fromkeys(["saved-csv", "why"], "preferences"),
    **{"feedback": "feedback", "digest": "digest", "reader-feed": "feed"},
}
ANSWERED = {"confirm", "move", "unsubscribe", "short", "short-paper"}
#: What a page is sent, where that is a wish of hers.
SENT = {
    "preferences": [{"action": action} for action in ("save", "export", "erase", "reset", "move")],
    "learned": [{"learning": "off"}],
    "library": [{"text": "On graphs", "add": "1"}, {"all": "forget"}, {"undo": "1"}],
    "feedback": [{"paper": "2606.1", "value": "more"}],
    "saved": [{"paper": "2606.1", "action": action} for action in ("note", "read", "remove")],
}


@pytest.fixture
def one():
    """A reader with a digest in her mailbox, who saved its paper."""
    reader = make.subscriber(OLD, interests="graph networks", confirmed_at=NOW - 9 * DAY)
    digest = digest_of(reader, id="2606.1")
    reader.letters.update(state="accepted", ended_at=NOW)
    feedback.record(reader, digest.picks.get().paper, "save", NOW)
    return reader


def move(reader, to=NEW, at=MOVED_AT):
    """Have her digest moved at this moment, and return her."""
    change_address.request(reader, to, now=at - MINUTE)
    for side in ("old", "new"):
        change_address.approve(reader, side, at - MINUTE, source=DOOR, now=at)
    assert (make.fresh(reader).email, reader.moved_at) == (to, at)
    return reader


def path(page, reader):
    """Return the address of a page, with the key that she has now."""
    thing = reader.digests.get().public_id if page == "digest" else None
    return reverse(page, args=[tokens.own_token(DOORS[page], reader, thing)])


def keys_in(text):
    """Return the paths in a letter or page that end in a token."""
    return set(re.findall(r"/[a-z]+/[\w-]{22}(?:~[0-9a-f]+)?\.[\w-]{43}/", text))


def said_in(message):
    return "".join(message.get_body([kind]).get_content() for kind in ("plain", "html"))


def is_told(response, reader):
    """Hold that a page says that its key is closed, and nothing of hers."""
    assert response.status_code == 410
    page = response.text
    for secret in (reader.email, *keys_of(reader)):
        assert secret not in page
    assert not keys_in(page)
    return page


def keys_of(reader):
    return [path(page, reader) for page in DOORS] + [tokens.unsubscribe_url(reader)]


# ---- At each door


def test_each_page_that_a_token_opens_is_tried_here():
    included = get_resolver().url_patterns
    patterns = [each for one in included for each in getattr(one, "url_patterns", [one])]
    with_token = {each.name for each in patterns if "<str:token>" in str(each.pattern)}
    assert with_token == {*DOORS, *ANSWERED}


@pytest.mark.parametrize("page", DOORS)
def test_a_key_of_before_opens_nothing_and_changes_nothing(client, one, page):
    before = path(page, one)
    assert client.get(before).status_code == 200
    move(one)
    held = everything()
    said = is_told(client.get(before), one)
    assert client.head(before).status_code == 410
    if page != "reader-feed":
        assert "was moved to another address" in said
        assert 'href="/lost/"' in said
        german = client.get(before, headers={"Accept-Language": "de"}).text
        assert "läuft jetzt über eine andere Adresse" in german
    for sent in SENT.get(page, [{}]):
        response = client.post(before, sent)
        if response.status_code != 405:  # Some pages only show.
            is_told(response, one)
    assert everything() == held
    assert client.get(path(page, one)).status_code == 200


@pytest.mark.parametrize("later", [timedelta(milliseconds=300), -DAY])
def test_a_second_move_closes_the_keys_of_the_first_whatever_the_clocks_say(client, one, later):
    second = path("preferences", move(one))
    change_address.request(one, THIRD, now=NOW)
    for side in ("old", "new"):
        change_address.approve(one, side, NOW, source=DOOR, now=MOVED_AT + later)
    one.refresh_from_db()
    is_told(client.get(second), one)
    assert client.get(path("preferences", one)).status_code == 200


def test_who_never_moved_and_a_wish_that_is_not_fulfilled_close_nothing(client, one):
    before = [path(page, one) for page in DOORS]
    change_address.request(one, NEW, now=NOW)
    change_address.approve(one, "old", NOW, source=DOOR, now=NOW)
    one.refresh_from_db()
    assert [client.get(key).status_code for key in before] == [200] * len(before)
    assert [path(page, one) for page in DOORS] == before


def test_all_that_her_pages_lead_to_opens_after_a_move(client, one):
    move(one)
    for page in DOORS:
        for key in keys_in(client.get(path(page, one)).text):
            assert client.get(key).status_code == 200, key
    # Also the digests that she had before.
    assert f"{path('me', one)}?day=" in client.get(path("history", one)).text


def test_programs_that_read_a_closed_feed_are_told_that_it_is_gone_and_where_to_look(client, one):
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


def test_a_link_of_before_still_lets_her_leave_and_tells_nothing(client, outbox, clock, one):
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
    rounds.deliver_due(lambda: clock.now)
    goodbye = outbox()[-1]
    assert goodbye["To"] == NEW  # Where she can take it back.
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
def test_what_was_asked_before_she_moved_is_answered_by_nobody(client, clock, one, kind, fields):
    asked = tokens.answer_url(one, kind, MOVED_AT - 2 * MINUTE)
    move(one)
    Subscriber.objects.update(**fields)
    one.refresh_from_db()
    clock.now, held = MOVED_AT + DAY + MINUTE, everything()
    for send in (client.get, client.post):
        assert "was moved to another address" in is_told(send(asked), one)
    assert everything() == held


def test_an_older_request_is_closed_to_a_concurrent_answer(client, one, monkeypatch):
    asked = tokens.answer_url(one, "confirm", NOW)
    confirm = signup.confirm

    def confirm_as_she_moves(subscriber, *given, **named):
        move(Subscriber.objects.get())
        return confirm(subscriber, *given, **named)

    monkeypatch.setattr(signup, "confirm", confirm_as_she_moves)
    response = client.post(asked)
    one.refresh_from_db()
    is_told(response, one)


def test_once_it_has_moved_the_link_in_the_old_mailbox_leads_nowhere(client, clock, one):
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
        is_told(client.get(url), one)


def test_a_wish_that_was_asked_for_by_a_key_of_before_ends_with_the_move(client, one):
    """The one who has the old mailbox asks for another address, while her letters are under way."""
    change_address.request(one, "thief@example.org", now=NOW)
    move(one)
    assert Move.objects.get().new_email == NEW
    for side in ("old", "new"):
        is_told(client.post(tokens.move_url(one, side, NOW)), one)


# ---- Letters


def planned():
    """Make a reader with a planned digest, and return her."""
    make.paper("Graph networks")
    reader = make.subscriber(OLD, interests="graph networks", next_due_at=NOW)
    plan.plan(NOW)
    return reader


def test_of_the_links_in_her_letters_those_in_the_new_mailbox_open(client, outbox, clock):
    one = planned()
    rounds.deliver_due(lambda: NOW)
    change_address.request(one, NEW, now=NOW)
    rounds.deliver_due(lambda: NOW)
    for side in ("old", "new"):
        change_address.approve(one, side, NOW, source=DOOR, now=MOVED_AT)
    one.refresh_from_db()
    clock.now = NOW + DAY
    make.paper("Graph networks again", day=clock.now.date())
    correspondence.send_link(NEW, now=clock.now)
    correspondence.remind(one, clock.now)
    plan.plan(clock.now)
    rounds.deliver_due(lambda: clock.now)
    found = {
        to: {key for letter in outbox() if letter["To"] == to for key in keys_in(said_in(letter))}
        for to in (OLD, NEW)
    }
    rooms = {"preferences", "unsubscribe", "digests", "feedback", "why"}
    assert {key.split("/")[1] for key in found[OLD]} == {*rooms, "move"}
    assert {key.split("/")[1] for key in found[NEW]} == {*rooms, "move"}
    for key in found[OLD]:
        is_open = key.startswith(("/unsubscribe/", "/move/"))
        assert client.get(key).status_code == (200 if is_open else 410), key
    for key in found[NEW]:
        assert client.get(key).status_code == 200, key
    assert broken(clock.now) == {}


def test_a_letter_planned_before_a_move_is_composed_for_the_new_address(client, outbox):
    one = planned()
    move(one)
    rounds.deliver_due(lambda: MOVED_AT)
    (digest,) = [letter for letter in outbox() if letter["List-Id"]]
    assert digest["To"] == NEW
    keys = keys_in(said_in(digest))
    assert {client.get(key).status_code for key in keys} == {200}
    assert len(keys) == 5


def test_a_letter_that_was_in_hand_as_she_moved_is_of_the_old_address_and_closed(client):
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
