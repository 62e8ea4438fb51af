"""The groups in the preferences: what an invited subscriber and a member see and do."""

import pytest

from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.pages import text_of
from tests.helpers.subscriber_pages import url
from tests.helpers.tables import everything

pytestmark = pytest.mark.django_db


def act(client, membership, action, **sent):
    address = url("preferences", membership.subscriber)
    return client.post(address, {"action": action, "membership": membership.pk} | sent)


def page(client, membership):
    return text_of(client.get(url("preferences", membership.subscriber) + "?tab=groups"))


def test_only_members_see_the_names_of_members(client):
    group = make.group("The lab")
    joined, invited = make.member(group, "Ada"), make.member(group)
    make.member(group, "Bob")
    make.member(group, "Gone", make.subscriber(unsubscribed_at=NOW))
    assert "Members: Ada (you), Bob" in page(client, joined)
    assert "Gone" not in page(client, joined)
    for status, sent in ((302, "Ada"), (400, "www.x")):  # No error tells whose name is taken.
        assert "Ada" not in page(client, invited)
        assert act(client, invited, "join", name=sent).status_code == status
        act(client, invited, "leave")


def test_subscriber_joins_declines_recommendations_and_leaves(client):
    membership = make.member(make.group("The lab"))
    answer = act(client, membership, "join", name="Ada")
    assert "Members: Ada (you)" in text_of(client.get(answer["Location"]))
    consent = membership.subscriber.consents.get()
    assert (consent.act, consent.via, consent.ip) == ("joined", "preferences page", "127.0.0.1")
    assert consent.wording in page(client, make.member(membership.group))
    act(client, membership, "refuse")
    assert not make.fresh(membership).takes_recommendations
    act(client, membership, "take")
    assert make.fresh(membership).takes_recommendations
    act(client, membership, "leave")
    assert (make.fresh(membership).name, membership.joined_at) == ("", None)


@pytest.mark.parametrize("action", ["join", "leave", "take", "refuse"])
def test_foreign_or_malformed_memberships_change_nothing(client, action):
    membership = make.member(make.group(), "Ada")
    stranger = url("preferences", make.subscriber())
    before = everything()
    for number in (membership.pk, "", "x", "²", "9" * 40, "-1"):
        sent = {"action": action, "membership": number, "name": "Eve"}
        assert client.post(stranger, sent).status_code == 400
    assert everything() == before
