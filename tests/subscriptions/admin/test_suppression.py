"""Letters are kept from an address: what the panel shows of it, and how it ends."""

import pytest
from django.urls import reverse

from subscriptions.actions import signup
from subscriptions.models import Letter
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import CONSENT_SOURCE, DAY, HOUR, NOW

pytestmark = pytest.mark.django_db

WEEK = 7 * DAY


def suppressed(by="bounced", at=NOW, **fields):
    reason = {"suppressed_by": by, "suppressed_reason": "550 no"}
    return make.subscriber("reader@example.org", suppressed_at=at, **reason, **fields)


def sign_up(now):
    request = signup.SignUpRequest()
    return signup.subscribe("reader@example.org", request, source=CONSENT_SOURCE, now=now)


# ---- Signing up again


SIGN_UPS = [({}, "bounced"), ({"confirmed": False}, "confirm")]
SIGN_UPS += [({"unsubscribed_at": NOW}, "confirm")]


@pytest.mark.parametrize(("fields", "kind"), SIGN_UPS)
def test_sign_up_a_week_after_a_bounce_is_answered(fields, kind):
    subscriber = suppressed(**fields)
    assert sign_up(NOW + WEEK - HOUR) is None
    assert sign_up(NOW + WEEK).kind == kind
    assert (make.fresh(subscriber).suppressed_at is None) == (kind == "confirm")
    assert kind == "confirm" or sign_up(NOW + WEEK + DAY) is None


@pytest.mark.parametrize("fields", [{}, {"confirmed": False}])
def test_complaint_is_never_followed_by_a_question(fields):
    suppressed(by="complained", **fields)
    assert sign_up(NOW + 52 * WEEK) is None
    assert not Letter.objects.exists()


# ---- The page of their preferences


REASONS = {"bounced": "bounced, so none", "complained": "was reported as spam"}


@pytest.mark.parametrize(("by", "expected"), REASONS.items())
def test_preferences_show_and_lift_a_suppression(client, by, expected):
    subscriber = suppressed(by)
    path = reverse("preferences", args=[tokens.token("preferences", subscriber.public_id)])
    page = client.get(path).text
    assert expected in page
    assert "Resume emails" in page
    assert client.get(path).status_code == 200
    assert make.fresh(subscriber).suppressed_at == NOW
    assert client.post(path, {"action": "resume"}, follow=True).status_code == 200
    subscriber.refresh_from_db()
    assert (subscriber.suppressed_at, subscriber.lifted_at) == (None, NOW)
    assert subscriber.suppressed_by == ""
    consent = subscriber.consents.get()
    assert (consent.act, consent.via) == ("confirmed", "preferences page")


@pytest.mark.parametrize("fields", [{"by": "operator"}, {"unsubscribed_at": NOW}])
def test_preferences_do_not_lift_a_block_or_unsubscribe(client, settings, fields):
    settings.OPERATOR_NAME = "The Reading Room"
    subscriber = suppressed(**fields)
    path = tokens.preferences_url(subscriber)
    page = client.get(path).text
    assert ("The operator of this site has blocked emails to" in page) == ("by" in fields)
    assert ('<a href="/imprint/">Contact them</a>' in page) == ("by" in fields)
    assert "Resume emails" not in page
    client.post(path, {"action": "resume"})
    assert make.fresh(subscriber).suppressed_at == NOW


# ---- The panel


def page_of(row):
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return reverse(name, args=[row.pk])
