"""The page that unsubscribes: in one click, and undone in another."""

import re

import pytest
from django.test import Client

from subscriptions.models import Invitation
from tests.factories import make
from tests.factories.make import MINUTE, NOW
from tests.helpers import data_files
from tests.helpers.pages import FORM
from tests.helpers.subscriber_pages import DAY, STATES, url

pytestmark = pytest.mark.django_db

ONE_CLICK = {"List-Unsubscribe": "One-Click"}


def undo_of(page):
    """Return where the page after unsubscribing sends its form, or nothing where it has none."""
    forms = re.findall(r'<form method="post" action="(/confirm/[^"]+)"', page.text)
    return forms[0] if forms else None


def test_invitation_is_declined_on_the_unsubscribe_page(client):
    invited = make.subscriber(confirmed=False)
    Invitation.objects.create(subscriber=invited, invited_by="head", at=NOW)
    address = url("unsubscribe", invited)
    assert "Decline the invitation?" in client.get(address).text
    assert "You declined the invitation" in client.post(address).text
    assert make.fresh(invited).unsubscribed_at


LONG = ["List-Unsubscribe=One-Click" + 2000 * "&x=", FORM]
BODIES = [*data_files.load("sign_up_forms.toml")["one_click"], LONG]


@pytest.mark.parametrize(("body", "content_type"), BODIES)
def test_one_click_unsubscribes_without_cookie_or_csrf_token(clock, body, content_type):
    subscriber = make.subscriber()
    address = url("unsubscribe", subscriber)
    clock.now = NOW + 2 * 366 * DAY
    for _ in range(2):
        client = Client(enforce_csrf_checks=True)
        response = client.post(address, body, content_type=content_type)
        assert response.status_code == 200
        assert response.cookies == {}
    assert make.fresh(subscriber).unsubscribed_at == clock.now
    assert subscriber.consents.count() == 1


def test_consent_distinguishes_mail_program_and_page(client):
    by_program, by_page = make.subscriber(), make.subscriber()
    client.post(url("unsubscribe", by_program), ONE_CLICK)
    client.post(url("unsubscribe", by_page))
    assert by_program.consents.get().via == "mail program"
    assert by_page.consents.get().via == "unsubscribe page"


def test_undo_is_offered_for_some_minutes_only(client, clock):
    subscriber = make.subscriber(interests="bread")
    assert "One last email confirms this" in client.post(url("unsubscribe", subscriber)).text
    assert undo_of(client.get(url("unsubscribe", subscriber))) is None
    clock.now = NOW + 10 * MINUTE
    page = client.post(url("unsubscribe", subscriber))
    assert undo_of(page) is None
    assert "One last email" not in page.text
    clock.now = NOW + 9 * MINUTE
    page = client.post(url("unsubscribe", subscriber))
    assert Client(enforce_csrf_checks=True).post(undo_of(page)).status_code == 200
    assert make.fresh(subscriber).state_at(NOW) == "active"
    assert [letter.kind for letter in subscriber.letters.all()] == ["goodbye"]


@pytest.mark.parametrize("state", ["pending", "suppressed"])
def test_goodbye_is_not_announced_when_none_is_sent(client, state):
    subscriber = make.subscriber(**STATES[state])
    page = client.post(url("unsubscribe", subscriber))
    assert undo_of(page) is None
    assert "One last email" not in page.text
    assert not subscriber.letters.exists()


def test_reason_is_asked_and_stored_if_known(client):
    subscriber = make.subscriber()
    why = f"{url('unsubscribe', subscriber)}?why"
    assert "Why? (optional)" in client.post(url("unsubscribe", subscriber)).text
    assert "Why? (optional)" in client.post(why, {"reason": "unheard of"}).text
    assert "Thanks for telling us" in client.post(why, {"reason": "many"}).text
    assert [consent.reason for consent in subscriber.consents.all()] == ["many"]


def test_reason_alone_unsubscribes_nobody(client):
    subscriber = make.subscriber()
    page = client.post(f"{url('unsubscribe', subscriber)}?why", {"reason": "many"})
    assert "Unsubscribe?" in page.text
    assert make.fresh(subscriber).unsubscribed_at is None
    assert not subscriber.consents.exists()


def test_erased_subscriber_can_still_unsubscribe(client):
    subscriber = make.subscriber()
    address = url("unsubscribe", subscriber)
    client.post(url("preferences", subscriber), {"action": "erase"})
    for send in (client.get, client.post, client.post):
        assert send(address).status_code == 200
