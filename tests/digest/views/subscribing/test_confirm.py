"""The page that confirms: once, on record, and with the moment of the next digest."""

import pytest
from django.test import Client

from digest.indexing import model_store
from digest.planning import plan
from subscriptions.actions import invite
from subscriptions.models import Group, Membership, Subscriber
from tests.factories import make
from tests.factories.make import DAY, HOUR, NOW, SECOND, TODAY
from tests.helpers.subscriber_pages import BOUNCING, STATES, answer, url
from tests.helpers.tables import everything
from tests.subscriptions.actions.signup_steps import accepted

pytestmark = pytest.mark.django_db


def test_second_confirmation_changes_nothing(client, clock):
    subscriber = make.subscriber(confirmed=False)
    assert client.post(url("confirm", subscriber)).status_code == 200
    before = everything()
    clock.now = NOW + HOUR
    assert client.post(url("confirm", subscriber)).status_code == 200
    assert everything() == before
    assert make.fresh(subscriber).next_due_at == NOW


ANSWERED = [
    ("confirm", {"confirmed": False}, "link in the email"),
    ("goodbye", STATES["unsubscribed"], "link that undoes unsubscribing"),
    ("bounced", BOUNCING, "link in the email about bounces"),
]


@pytest.mark.parametrize(("kind", "fields", "via"), ANSWERED)
def test_consent_records_the_letter_and_its_wording(client, kind, fields, via):
    subscriber = make.subscriber(**fields)
    words = client.get(answer(kind, subscriber)).text
    assert Client(enforce_csrf_checks=True).post(answer(kind, subscriber)).status_code == 200
    consent = subscriber.consents.get()
    assert (consent.act, consent.via) == ("confirmed", via)
    assert consent.wording in words
    assert client.post(answer(kind, subscriber)).status_code == 200
    assert subscriber.consents.count() == 1


RESUBSCRIBED = [
    ("goodbye", {"unsubscribed_at": NOW, "hour": 6, "timezone": "Asia/Tokyo"}, "08:00", True),
    ("confirm", {"unsubscribed_at": NOW - 2 * HOUR}, "07:00", False),
]


@pytest.mark.parametrize(("kind", "fields", "hour", "is_late"), RESUBSCRIBED)
def test_resubscribed_subscriber_is_announced_the_next_day(client, kind, fields, hour, is_late):
    had = NOW - HOUR
    subscriber = make.subscriber(confirmed_at=NOW - DAY, next_due_at=None, **fields)
    accepted(subscriber, TODAY, at=had)
    page = client.post(answer(kind, subscriber)).text
    assert "on its way" not in page
    assert f"Next digest: Tuesday, 2\u00a0June, {hour}" in page
    assert ("It comes later than usual" in page) == is_late


def test_page_shows_the_first_digest_or_its_time(client, clock):
    make.paper("Sour bread")
    model_store.fit(NOW)
    subscriber, other = (
        make.subscriber(confirmed=False, interests=words) for words in ("sour bread", "graphs")
    )
    pages = [url("confirm", one) for one in (subscriber, other)]
    for page in pages:
        assert "Preparing your first digest" in client.post(page).text
    clock.now = NOW + 16 * SECOND
    assert "Expect it in a few minutes" in client.get(pages[0]).text
    plan.plan(clock.now)
    before = everything()
    for answered in (client.get(pages[0]), client.post(pages[0])):
        assert "Your first digest" in answered.text
        assert "Sour bread" in answered.text
    assert "Next digest: Tuesday, 2\u00a0June, 07:00" in client.get(pages[1]).text
    assert everything() == before


# ---- People who were invited


def invited_page(client, language="en", **sent):
    """Invite somebody to a group, and answer by the page of the link. Return the answer."""
    group = Group.objects.get_or_create(name="Lab")[0]
    choices = {"language": language}
    invite.invite([invite.Entry("ada@x.org", "Ada")], choices, group, inviter="head", now=NOW)
    path, headers = url("confirm", Subscriber.objects.get()), {"accept-language": language}
    return client.post(path, sent) if sent else client.get(path, headers=headers)


INVITED = [("en", "head invited you."), ("de", "head hat Sie eingeladen.")]


@pytest.mark.parametrize(("language", "said"), INVITED)
def test_page_names_the_inviter_and_group(client, language, said):
    page = invited_page(client, language).text
    assert said in page
    assert "Lab" in page
    assert 'name="join">' in page
    assert 'value="Ada"' in page


def test_group_is_not_joined_without_the_checkbox(client):
    assert invited_page(client, name="Ada").status_code == 200
    membership = Membership.objects.get()
    assert membership.joined_at is None
    assert membership.subscriber.confirmed_at == NOW


def test_checkbox_joins_the_group_with_consent(client):
    shown = " ".join(invited_page(client).text.split())
    assert invited_page(client, join="on", name=" Ada L ").status_code == 200
    membership = Membership.objects.get()
    assert (membership.name, membership.joined_at) == ("Ada L", NOW)
    confirmed, joined = membership.subscriber.consents.exclude(act="asked")
    assert (confirmed.act, joined.act) == ("confirmed", "joined")
    assert joined.wording in shown


@pytest.mark.parametrize("name", ["", "  ", "---", "\u202e\u200b", "www.spam.example", "x" * 61])
def test_invalid_name_confirms_nothing_and_says_why(client, name):
    page = invited_page(client, join="on", name=name)
    assert page.status_code == 400
    assert 'name="join" checked' in page.text
    assert 'id="id_name_error"' in page.text
    assert Subscriber.objects.get().confirmed_at is None
    assert Membership.objects.get().joined_at is None
