"""The page of a group in the panel."""

import pytest
from django.urls import reverse

from subscriptions.models import Group, Subscriber
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.admin_pages import form_of, page
from tests.helpers.subscriber_pages import STATES

pytestmark = pytest.mark.django_db

EMPTY = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}


def test_operator_makes_a_group_with_a_pending_mailing_list(panel):
    sent = {"name": "The lab", "channel": "", "list_address": "lab@example.org"} | EMPTY
    answer = panel.post(reverse("admin:subscriptions_group_add"), sent)
    assert answer.status_code == 302
    group = Group.objects.get()
    assert group.mailing_list.letters.get().kind == "confirm"
    shown = page(panel, group).text
    assert "lab@example.org" in shown
    assert "Pending" in shown


@pytest.mark.parametrize("fields", STATES.values(), ids=STATES)
def test_subscribers_address_as_mailing_list_is_a_field_error(panel, fields):
    make.subscriber("ada@example.org", **fields)
    sent = {"name": "The lab", "channel": "", "list_address": "ADA@example.org"} | EMPTY
    answer = panel.post(reverse("admin:subscriptions_group_add"), sent)
    assert "belongs to a subscriber" in answer.text
    assert not Group.objects.exists()


def test_channel_serves_one_group_and_is_no_person(panel):
    person, channel = make.subscriber(), make.subscriber(channel="slack", title="#papers")
    make.group(channel=channel)
    group = make.group()
    for recipient in (person, channel):
        sent = form_of(page(panel, group)) | {"channel": recipient.pk}
        url = reverse("admin:subscriptions_group_change", args=[group.pk])
        assert "channel" in panel.post(url, sent).context["adminform"].form.errors
    assert "#papers" in page(panel, group).text


def test_operator_removes_a_member_and_can_join_nobody(panel):
    group = make.group()
    joined, invited = make.member(group, "Ada"), make.member(group)
    sent = form_of(page(panel, group))
    sent |= {"memberships-0-DELETE": "on", "memberships-1-name": "Eve"}
    sent |= {"memberships-1-joined_at_0": "2026-06-01", "memberships-1-joined_at_1": "12:00"}
    url = reverse("admin:subscriptions_group_change", args=[group.pk])
    assert panel.post(url, sent).status_code == 302
    assert group.memberships.get() == invited
    assert make.fresh(invited).joined_at is None
    assert Subscriber.objects.filter(pk=joined.subscriber_id).exists()


def test_group_is_deleted_only_without_a_mailing_list(panel):
    mailing_list = make.subscriber("lab@example.org")
    group = make.group(mailing_list=mailing_list)
    member = make.member(group, "Ada").subscriber
    url = reverse("admin:subscriptions_group_delete", args=[group.pk])
    assert panel.post(url, {"post": "yes"}).status_code == 403
    sent = form_of(page(panel, group)) | {"list_address": ""}
    panel.post(reverse("admin:subscriptions_group_change", args=[group.pk]), sent)
    assert panel.post(url, {"post": "yes"}).status_code == 302
    assert not Group.objects.exists()
    assert make.fresh(mailing_list).state_at(NOW) == "unsubscribed"
    assert make.fresh(member).state_at(NOW) == "active"
