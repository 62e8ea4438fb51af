"""Groups: nobody is a member without their own consent, and nobody's subscription is taken over."""

import pytest
from django.core.exceptions import ValidationError

from subscriptions.actions import erase, groups, invite, signup
from subscriptions.models import Membership, Subscriber
from subscriptions.security import suppression_list
from tests.factories import make
from tests.factories.make import CONSENT_SOURCE, DAY, NOW
from tests.helpers import data_files

pytestmark = pytest.mark.django_db
TEXTS = data_files.load("member_texts.toml")


def join(membership, name="Ada", now=NOW):
    source = signup.ConsentSource("a test", wording=groups.consent_wording(membership.group))
    groups.join(membership, name, source=source, now=now)
    return make.fresh(membership)


def leave(membership):
    groups.leave(membership, source=CONSENT_SOURCE, now=NOW + DAY)
    return make.fresh(membership)


def acts(membership):
    return list(membership.subscriber.consents.values_list("act", flat=True))


# ---- Consent


def test_invited_subscriber_is_a_member_after_joining_with_consent():
    group = make.group("The lab")
    membership = groups.invite(group, make.subscriber(), NOW)
    assert not group.memberships.joined().exists()
    join(membership)
    assert group.memberships.joined().get().name == "Ada"
    consent = membership.subscriber.consents.get()
    assert (consent.act, consent.at) == ("joined", NOW)
    assert "I join “The lab”" in consent.wording


def test_joining_again_changes_the_name_only():
    membership = join(make.member(make.group()))
    assert join(membership, "Grace", NOW + DAY).name == "Grace"
    assert membership.joined_at == NOW
    assert acts(membership) == ["joined"]


def test_leaving_deletes_the_name_and_prevents_a_reinvitation():
    membership = leave(join(make.member(make.group())))
    assert groups.invite(membership.group, membership.subscriber, NOW + DAY) == membership
    assert (leave(membership).name, membership.joined_at) == ("", None)
    assert acts(membership) == ["joined", "left"]


def test_removed_membership_cannot_be_joined():
    membership = make.member(make.group())
    Membership.objects.all().delete()
    with pytest.raises(Membership.DoesNotExist):
        join(membership)
    assert not membership.subscriber.consents.exists()


GONE = [{"unsubscribed_at": NOW}, {"suppressed_at": NOW}, {"confirmed": False}]


@pytest.mark.parametrize("fields", GONE)
def test_member_without_digests_is_hidden_and_sees_nobody(fields):
    group = make.group()
    gone = make.member(group, "Ada", make.subscriber(**fields))
    here = make.member(group, "Bob")
    assert [row.name for row in here.members()] == ["Bob"]
    assert not gone.members()


def test_recipients_of_a_group_digest_cannot_be_members():
    group = make.group(mailing_list=make.subscriber())
    assert groups.invite(make.group(), group.mailing_list, NOW) is None
    assert groups.invite(group, make.subscriber(channel="slack"), NOW) is None
    assert not Membership.objects.exists()


# ---- Names and notes


@pytest.mark.parametrize(("text", "cleaned"), TEXTS["cleaned"])
def test_member_text_becomes_one_line_of_visible_characters(text, cleaned):
    assert groups.clean_text(text, 60) == cleaned


@pytest.mark.parametrize("text", [*TEXTS["refused"], "x" * 10_000])
def test_links_and_long_texts_are_refused(text):
    with pytest.raises(ValidationError):
        groups.clean_text(text, 280)


# ---- The list


def set_list(group, address, now=NOW):
    address = invite.check_list(group, address, now)
    invite.set_list(group, address, inviter="root", now=now)
    return make.fresh(group).mailing_list


def test_mailing_list_is_asked_to_confirm_once():
    group = make.group()
    recipient = set_list(group, " Lab@Example.org ")
    assert set_list(group, "lab@example.org", NOW + DAY) == recipient
    assert (recipient.email, recipient.state_at(NOW)) == ("Lab@example.org", "pending")
    assert [letter.kind for letter in recipient.letters.all()] == ["confirm"]
    assert recipient.invitation.invited_by == "root"
    asked = recipient.asked_at
    signup.confirm(recipient, asked, source=CONSENT_SOURCE, now=NOW)
    assert make.fresh(recipient).state_at(NOW) == "active"


def test_blocked_malformed_or_used_mailing_list_is_refused():
    suppression_list.add("gone@example.org", "asked", NOW)
    set_list(make.group(), "lab@example.org")
    for address in ("gone@example.org", "lab@example.org", "no address", "a@b.example\nBcc: c@d.e"):
        with pytest.raises(ValidationError):
            set_list(make.group(), address)
    assert Subscriber.objects.count() == 1


def test_replaced_mailing_list_is_unsubscribed_and_not_asked_again():
    group = make.group()
    former = set_list(group, "old@example.org")
    assert set_list(group, "new@example.org").email == "new@example.org"
    assert make.fresh(former).state_at(NOW) == "unsubscribed"
    assert [letter.state for letter in former.letters.all()] == ["skipped"]
    with pytest.raises(ValidationError):
        set_list(group, "old@example.org")


def test_erased_mailing_list_leaves_its_group():
    group = make.group()
    erase.erase(set_list(group, "lab@example.org"), now=NOW)
    assert make.fresh(group).mailing_list is None
