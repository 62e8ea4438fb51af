"""Letters are kept from an address: what the panel shows of it, and how it ends."""

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from subscriptions.actions import signup
from subscriptions.bounces import inbound
from subscriptions.delivery import queue
from subscriptions.models import Letter
from subscriptions.security import tokens
from tests.factories import make, returned_mail
from tests.factories.make import CONSENT_SOURCE, DAY, HOUR, NOW
from tests.factories.returned_mail import address_of, group, report
from tests.helpers.admin_pages import act_on
from tests.helpers.pages import text_of

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


def test_bounced_confirmation_prevents_another_for_a_week(clock):
    subscriber = suppressed(confirmed=False)
    letter = sign_up(NOW + WEEK)
    clock.now = NOW + WEEK
    assert queue.deliver(letter.pk, clock.now)
    letter.refresh_from_db()
    inbound.receive(report(address_of(letter)), NOW + WEEK + HOUR)
    assert make.fresh(subscriber).suppressed_at == NOW + WEEK + HOUR
    assert sign_up(NOW + 2 * WEEK) is None
    assert sign_up(NOW + 2 * WEEK + HOUR) is not None


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


def test_letter_page_shows_its_bounces(panel):
    letter = returned_mail.letter(make.subscriber(now=NOW - DAY))
    inbound.receive(report(address_of(letter), group("delayed", "4.4.1")), NOW + HOUR)
    inbound.receive(report(address_of(letter)), NOW + 2 * HOUR)
    text = text_of(panel.get(page_of(letter)))
    assert "The mail server accepted it at 12:00 UTC on 1 June 2026. It was delayed" in text
    assert "It bounced at 12:05 UTC on 1 June 2026: 550 5.1.1" in text
    assert "invalid address" in text


def test_subscriber_page_shows_evidence_and_a_confirmed_unblock_button(panel):
    letter = returned_mail.letter(make.subscriber(now=NOW - DAY))
    inbound.receive(report(address_of(letter)), NOW + HOUR)
    subscriber = letter.subscriber
    html = panel.get(page_of(subscriber)).text
    assert page_of(letter) in html
    assert "bounced: 5.1.1: 550 5.1.1" in html
    assert "5.1.1" not in text_of(panel.get(page_of(make.subscriber())))  # It is of another.
    assert make.fresh(subscriber).suppressed_at is not None
    act_on(panel, subscriber, "unblock")
    assert make.fresh(subscriber).suppressed_at is None
    assert "bounced: 550 5.1.1" in LogEntry.objects.get().change_message


def test_list_of_facts_needs_few_queries(panel, settings, django_assert_max_num_queries):
    settings.RECIPIENT_DELIMITER = ""
    made_up = f"<digest.2026-06-01.{1:032x}@{settings.MAIL_DOMAIN}>"
    inbound.receive(report("x@y.example", message_id=made_up), NOW)
    for _ in range(9):
        letter = returned_mail.letter(make.subscriber())
        inbound.receive(report("x@y.example", message_id=letter.message_id), NOW)
    with django_assert_max_num_queries(8):
        text = text_of(panel.get(reverse("admin:subscriptions_letterfact_changelist")))
    assert "unknown email" in text
    assert str(letter.subscriber) in text
