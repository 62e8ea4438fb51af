"""The panel's pages that invite people and export subscribers."""

import csv
import io
import re

import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from digest.indexing import index_store
from subscriptions.actions import invite
from subscriptions.delivery import queue
from subscriptions.models import Letter, Seal, Subscriber, TopicPreference
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers import data_files
from tests.helpers.pages import text_of

pytestmark = pytest.mark.django_db

LISTS = data_files.load("invitations.toml")
INVITE = reverse("admin:subscriptions_subscriber_invite")
EXPORT = reverse("admin:subscriptions_subscriber_export_csv")
FIELDS = {"hour": "8", "timezone": "berlin", "language": "de"}


def send(panel, addresses="", file=None, **fields):
    sent = FIELDS | {"addresses": addresses} | fields
    if file:
        sent["file"] = SimpleUploadedFile("lab.csv", file)
    return panel.post(INVITE, sent)


def test_operator_invites_a_list_and_sees_refused_addresses(panel):
    make.subscriber("old@example.org")
    topic, group = make.topic("Graphs"), make.group("Lab")
    file = "email,name,topics\nb@example.org,Bo,Graphs\nnobody,,\n".encode("utf-8-sig")
    assert 'size="12"' in panel.get(INVITE).text  # The list of topics.
    page = send(panel, "a@example.org, a@example.org", file, topics=[topic.slug], group=group.pk)
    said = text_of(page)
    assert "Invited: 2. Not invited: 2." in said
    assert f"a@example.org {invite.REASONS['repeated']}" in said
    assert "nobody This doesn’t look like an email address" in said
    for subscriber in Subscriber.objects.exclude(email="old@example.org"):
        assert (subscriber.hour, subscriber.timezone) == (8, "Europe/Berlin")
        assert subscriber.language == "de"
        assert list(subscriber.topics.all()) == [topic]
        assert subscriber.invitation.invited_by == "you"
    bo = Subscriber.objects.get(email="b@example.org").memberships.get()
    assert (bo.group, bo.name, bo.joined_at) == (group, "Bo", None)
    entry = LogEntry.objects.get()
    assert entry.change_message == "Invited: 2. Not invited: 2. Group: Lab."
    assert "@" not in entry.object_repr


MANY = ["\n".join(f"{n}@example.org" for n in range(201)), "", "These are 201."]


@pytest.mark.parametrize(("addresses", "file", "said"), [*LISTS["forms"], MANY])
def test_list_with_an_error_invites_nobody(panel, addresses, file, said):
    assert said in text_of(send(panel, addresses, file.encode()))
    assert not Subscriber.objects.exists()
    assert not LogEntry.objects.exists()


def test_interests_of_form_and_file_are_combined(panel, outbox):
    make.topic("Sea ice")
    for _ in range(2):
        make.paper("Sea ice")
    index_store.renew(NOW)  # The reader's vocabulary.
    file = LISTS["combined"]["file"].encode()
    assert "Invited: 3." in text_of(send(panel, "", file, interests="graphs\nno surveys"))
    found = TopicPreference.objects.order_by("pk")
    rows = found.values_list("subscriber__email", "topic__kind", "topic__query", "stance")
    assert sorted([email[0], *row] for email, *row in rows) == LISTS["combined"]["rows"]
    queue.deliver(Letter.objects.get(subscriber__email="a@example.org").pk, NOW)
    (email,) = outbox()
    assert not re.search("bread|fish|graphs|Ada", email.get_body(("plain",)).get_content())


def test_email_names_people_and_papers_and_has_the_note(panel, outbox):
    User.objects.filter(username="you").update(first_name="Grace", last_name="Head")
    topic, papers = make.topic("Sea ice"), [make.paper("Sea ice") for _ in range(4)]
    make.paper("Bread")
    index_store.renew(NOW)
    assert "“Grace Head invites you”" in text_of(panel.get(INVITE))
    file = b"email,name\na@example.org,Ada <3\n"
    send(panel, "", file, topics=[topic.slug], note="For our <seminar>.\nSee you!", language="en")
    queue.deliver(Letter.objects.get().pk, NOW)
    (email,) = outbox()
    for part, less_than in (("plain", "<"), ("html", "&lt;")):
        text = email.get_body((part,)).get_content()
        assert f"Hello Ada {less_than}3," in text
        assert "Grace Head invites you" in text
        assert f"For our {less_than}seminar>." in text.replace("&gt;", ">")
        assert text.count("Sea ice") == 4  # The topic, and three papers.
        urls = [f"{settings.SITE_URL}{paper.get_absolute_url()}" for paper in papers]
        assert sum(url in text for url in urls) == 3
        assert "Bread" not in text


@pytest.mark.parametrize("cell", ["|".join(f"word{n}" for n in range(50)), "x" * 20_001])
def test_interests_of_a_file_have_the_sign_up_limits(panel, cell):
    file = f"email,interests\na@example.org,\nb@example.org,{cell}\n".encode()
    said = text_of(send(panel, "", file, interests="graphs"))
    assert re.search("b@example.org: Please keep .* (50 interests|20000 characters)", said)
    assert not Subscriber.objects.exists()


def test_file_beyond_the_size_limit_is_refused(panel):
    response = send(panel, "a@example.org", b"email\n" + b"b@example.org\n" * 800_000)
    assert (response.status_code, "limit is 1,000,000 bytes" in response.text) == (413, True)
    assert not Subscriber.objects.exists()


def test_hash_of_an_invitation_cannot_be_deleted(panel):
    send(panel, "a@example.org")
    entry = Seal.objects.get()
    url = reverse("admin:subscriptions_seal_changelist")
    assert "was invited" in text_of(panel.get(url, {"q": "a@example.org"}))
    panel.post(url, {"action": "delete_selected", "_selected_action": entry.pk, "post": "yes"})
    panel.post(reverse("admin:subscriptions_seal_delete", args=[entry.pk]), {"post": "yes"})
    assert Seal.objects.get() == entry


def test_export_has_topics_and_groups_and_no_formula(panel):
    group, other = make.group("-Lab"), make.group("Other")
    subscriber = make.subscriber("=1+1@example.org", interests="@graphs\nbread")
    for one, joined_at in ((group, NOW), (other, None)):
        subscriber.memberships.create(group=one, invited_at=NOW, joined_at=joined_at)
    make.subscriber("new@example.org", confirmed=False, muted=[make.topic()])
    make.subscriber("post@a.channel.invalid", channel="json")
    assert panel.get(EXPORT).status_code == 200
    assert not LogEntry.objects.exists()
    response = panel.post(EXPORT)
    assert response["Content-Disposition"].startswith("attachment")
    first, second = csv.DictReader(io.StringIO(response.text))
    assert list(first.values()) == [
        *("'=1+1@example.org", "active", "UTC", "7", str(NOW)),
        *("'@graphs|bread", "'-Lab"),
    ]
    assert (second["state"], second["topics"], second["confirmed_at"]) == ("pending", "", "")
    assert LogEntry.objects.get().change_message == "Exported all subscribers."
