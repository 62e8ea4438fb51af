"""The pages of subscribers: looking changes nothing, posting acts, and a token is proof enough."""

from urllib.parse import urlencode

import lxml.html
import pytest
from django.urls import reverse

from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import MINUTE, NOW, SECOND
from tests.helpers.pages import FORM
from tests.helpers.subscriber_pages import BOUNCING, DAY, STATES, answer, url
from tests.helpers.tables import everything
from tests.subscriptions.security.test_closed_tokens import FEEDS, PAGE_PURPOSES

pytestmark = pytest.mark.django_db

PAGES = ["confirm", "preferences", "unsubscribe", "digest"]
PURPOSES = PAGE_PURPOSES | {"confirm": "confirm", "unsubscribe": "unsubscribe"}


# ---- Looking


@pytest.mark.parametrize("state", ["pending", "active", "unsubscribed"])
def test_get_changes_nothing(client, state):
    subscriber = make.subscriber(interests="bread", topics=[make.topic()], **STATES[state])
    urls = [url(page, subscriber) for page in PAGES]
    before = everything()
    for address in urls:
        is_used = state == "unsubscribed" and address.startswith("/confirm/")
        for query in ("", "?action=erase&List-Unsubscribe=One-Click"):
            response = client.get(address + query, headers={"Sec-Purpose": "prefetch"})
            assert response.status_code == (410 if is_used else 200)
    assert everything() == before
    assert client.cookies == {}


ASKED_BY_LETTERS = [
    ("goodbye", STATES["unsubscribed"], "Resubscribe?"),
    ("goodbye", {}, "You’re subscribed again"),
    ("goodbye", STATES["paused"], "are paused until Wednesday, 10\u00a0June 2026"),
    ("goodbye", BOUNCING | STATES["unsubscribed"], "Emails can’t be sent"),
    ("bounced", BOUNCING, "Is this address correct?"),
    ("bounced", {}, "You’re subscribed again"),
    ("bounced", BOUNCING | {"suppressed_by": "complained"}, "Emails can’t be sent"),
    ("bounced", STATES["suppressed"], "Emails can’t be sent"),
]


@pytest.mark.parametrize(("kind", "fields", "asks"), ASKED_BY_LETTERS)
def test_get_of_a_letters_question_changes_nothing(client, kind, fields, asks):
    subscriber = make.subscriber(interests="bread", **fields)
    before = everything()
    assert asks in client.get(answer(kind, subscriber)).text
    assert everything() == before
    assert client.cookies == {}


def test_saving_unchanged_preferences_changes_nothing(client):
    offered, muted, retired = make.topic(), make.topic(), make.topic(is_offered=False)
    wishes = {"topics": [offered, retired], "muted": [muted]}
    wishes["interests"] = 'bread & "butter"\n<b>cake</b>'
    settings = {"timezone": "Europe/Berlin", "hour": 21, "size": 3, "language": "de"}
    settings |= {"wants_quiet_days": True, "paused_until": (NOW + 9 * DAY).date()}
    subscriber = make.subscriber(**wishes, **settings)
    before = everything()
    page = lxml.html.fromstring(client.get(url("preferences", subscriber)).content)
    forms = page.find_class("settings")
    each = [form.form_values() for form in forms]
    actions = [form.xpath(".//button[starts-with(@value, 'save_')]/@value")[0] for form in forms]
    alone = [[("action", action), *sent] for action, sent in zip(actions, each, strict=True)]
    for sent in (*alone, [*each[0], *each[1]]):
        answer = client.post(url("preferences", subscriber), urlencode(sent), FORM)
        assert answer.status_code == 302
        assert everything() == before


# ---- Tokens


def address_of(page, subscriber):
    if page in PAGES:
        return url(page, subscriber)
    return reverse(page, args=[tokens.token(PURPOSES[page], subscriber.public_id)])


@pytest.mark.parametrize("page", PURPOSES)
def test_token_of_another_page_is_404(client, page):
    subscriber = make.subscriber(interests="bread", confirmed=page != "confirm")
    token = address_of(page, subscriber).split("/")[2]
    others = {*PURPOSES.values()} - {PURPOSES[page]}
    broken = [token[:-1], token + "A", token.swapcase(), "é"]
    before = everything()
    for wrong in [*(tokens.token(other, subscriber.public_id) for other in others), *broken]:
        assert client.get(reverse(page, args=[wrong])).status_code == 404, wrong
        assert client.post(reverse(page, args=[wrong])).status_code in (404, 405), wrong
    assert everything() == before


LETTERS_THAT_ASK = [
    ("confirm", {"confirmed": False}),
    ("goodbye", STATES["unsubscribed"]),
    ("bounced", BOUNCING),
]


@pytest.mark.parametrize(("kind", "fields"), LETTERS_THAT_ASK)
def test_expired_question_is_410_and_changes_nothing(client, clock, kind, fields):
    subscriber = make.subscriber(**fields)
    before = everything()
    clock.now = NOW + 7 * DAY + SECOND
    for send in (client.get, client.post):
        assert send(answer(kind, subscriber)).status_code == 410
    assert everything() == before


@pytest.mark.parametrize("kind", tokens.QUESTION_KINDS)
def test_link_from_before_an_unsubscribe_is_410(client, kind):
    subscriber = make.subscriber(unsubscribed_at=NOW + MINUTE)
    before = everything()
    for send in (client.get, client.post):
        assert send(answer(kind, subscriber)).status_code == 410
    assert everything() == before


def test_token_of_an_erased_subscriber_is_404(client):
    subscriber = make.subscriber()
    addresses = {page: address_of(page, subscriber) for page in ("confirm", *PAGE_PURPOSES)}
    client.post(url("preferences", subscriber), {"action": "erase"})
    for page, address in addresses.items():
        assert client.get(address).status_code == (410 if page in FEEDS else 404)
        assert client.post(address).status_code in (404, 405)
