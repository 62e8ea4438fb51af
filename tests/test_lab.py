"""A lab, from its invitation to a recommended paper: by the panel, the emails and their links."""

import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from digest.models import Pick
from subscriptions.actions import erase, invite
from subscriptions.models import Channel, Group, Letter, Subscriber
from subscriptions.security import tokens
from tests.factories import make
from tests.factories.make import DAY, NOW, TODAY
from tests.factories.planning import plan_and_send
from tests.helpers.admin_pages import form_of
from tests.helpers.pages import text_of
from tests.servers.channels import ChannelServer

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

THEMES = "graph networks", "protein folding", "speech codecs", "quantum annealing"
PEOPLE = [f"person{number}@lab.example" for number in range(10)]
LIST = "all@lab.example"
CONFIRMED = PEOPLE[:4]
NO_MEMBERS = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
INVITE = reverse("admin:subscriptions_subscriber_invite")


def announce(day):
    for theme in THEMES:
        for number in range(2):
            title = f"{theme.capitalize()} of day {day}, part {number}"
            make.paper(title, f"We study {theme}.", day=TODAY + day * DAY)


def send_csv(panel, group):
    lines = [f"{email},Member {n},{THEMES[n % 4]}" for n, email in enumerate(PEOPLE)]
    file = SimpleUploadedFile("lab.csv", "\n".join(["email,name,topics", *lines]).encode())
    fields = {"hour": "7", "timezone": "UTC", "language": "en", "group": group.pk}
    return text_of(panel.post(INVITE, fields | {"addresses": "", "file": file}))


def received(outbox, email):
    return [message for message in outbox() if message["To"] == email]


def body(message):
    """Return the text part, as one line."""
    return " ".join(message.get_body(("plain",)).get_content().split())


def confirm(message, **sent):
    link = re.search(r"http\S+/confirm/\S+", body(message))[0]
    assert Client().post(urlsplit(link).path, sent).status_code == 200


def test_lab_is_invited_joins_and_recommends_a_paper(panel, outbox, settings):
    settings.ALLOWED_PRIVATE_HOSTS = frozenset({"127.0.0.1"})
    for theme in THEMES:
        make.topic(theme)
    with ChannelServer() as room:
        add = reverse("admin:subscriptions_channel_add")
        fields = {"title": "Lab room", "channel": "json", "address": room.secret}
        panel.post(add, form_of(panel.get(add)) | fields)
        fields = {"name": "Lab", "channel": Channel.objects.get().pk, "list_address": LIST}
        panel.post(reverse("admin:subscriptions_group_add"), fields | NO_MEMBERS)
        group = Group.objects.get()

        # Ten are invited, once, whoever invites again. Four and the list confirm, three join.
        assert "Invited: 10." in send_csv(panel, group)
        assert "Invited: 0. Not invited: 10." in send_csv(panel, group)
        plan_and_send(NOW)
        asked = {message["To"]: message for message in outbox()}
        assert sorted(asked) == sorted([*PEOPLE, LIST])
        assert all("you invites you" in body(one) for one in map(asked.get, PEOPLE))
        assert "digest of the group “Lab”" in body(asked[LIST])
        confirm(asked[LIST])
        for email in CONFIRMED[:3]:
            confirm(asked[email], join="on", name=f"Dr {email.partition('@')[0]}")
        confirm(asked[CONFIRMED[3]], name="Dr person3")

        # Digests of their own, and the group's.
        announce(0)
        plan_and_send(NOW + DAY)
        of_group = [paper["title"] for paper in room.posted[-1]["papers"]]
        assert {title.partition(" of")[0].lower() for title in of_group} == {*THEMES[:3]}
        assert all(title in body(received(outbox, LIST)[-1]) for title in of_group)
        digests = {message["To"] for message in outbox() if message["List-Unsubscribe"]}
        assert digests == {*CONFIRMED, LIST}

        # Papers of the group and a recommended one, in the members' next digests.
        sender, receiver = (Subscriber.objects.get(email=email) for email in CONFIRMED[:2])
        page = reverse("recommend", args=[tokens.own_token("preferences", sender)])
        paper = Pick.objects.filter(subscriber=sender).first().paper
        to = receiver.memberships.get().pk
        sent = {"paper": paper.pk, "to": to, "note": "For our <next> meeting"}
        assert Client().post(page, sent).status_code == 302
        announce(1)
        plan_and_send(NOW + 2 * DAY)
        text = body(received(outbox, CONFIRMED[1])[-1])
        assert "Shared in your groups" in text
        assert f"{paper.title}" in text
        assert "Recommended by Dr person0: “For our <next> meeting”" in text
        assert "Shared in your groups" not in body(received(outbox, CONFIRMED[3])[-1])
        for row in Subscriber.objects.filter(confirmed_at__isnull=False):
            papers = list(row.picks.values_list("paper", flat=True))
            assert len(papers) == len(set(papers))

    # Those who did not answer: one reminder, deleted after 30 days, and never invited again.
    for day in (5, 6, 20, 29):
        invite.remind(NOW + day * DAY)
        plan_and_send(NOW + day * DAY)
    for email in PEOPLE[4:]:
        assert len(received(outbox, email)) == 2
    erase.forget_unconfirmed(NOW + DAY, NOW + timedelta(days=31))
    assert not Subscriber.objects.filter(email__in=PEOPLE[4:]).exists()
    assert "Invited: 0. Not invited: 10." in send_csv(panel, group)
    assert not Letter.objects.filter(subscriber__email__in=PEOPLE[4:]).exists()
