"""The panel's page of channels: added by operators, with addresses that stay secret."""

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse

from digest.indexing import index_store
from digest.models import Digest
from digest.planning import plan
from subscriptions.actions.export import export
from subscriptions.delivery import worker
from subscriptions.models import Channel, Consent, Group, Letter, Subscriber
from subscriptions.security.encryption import decrypt, encrypt
from tests.factories import make
from tests.factories.make import DAY, NOW, TODAY
from tests.helpers.admin_pages import form_of, page
from tests.helpers.data_files import cases
from tests.helpers.pages import text_of
from tests.servers.channels import ChannelServer

pytestmark = pytest.mark.django_db
ADD, LIST = (reverse(f"admin:subscriptions_channel_{verb}") for verb in ("add", "changelist"))


@pytest.fixture
def server(settings):
    settings.ALLOWED_PRIVATE_HOSTS = frozenset({"127.0.0.1"})
    with ChannelServer() as server:
        yield server


def add(panel, address, kind="slack", **fields):
    """Add a channel in the panel. Return the errors of the form."""
    sent = form_of(panel.get(ADD)) | {"title": "Lab room", "channel": kind, "address": address}
    response = panel.post(ADD, sent | fields)
    return response.context["adminform"].form.errors if response.context else {}


def save(panel, channel, **fields):
    sent = form_of(page(panel, channel)) | fields
    return panel.post(reverse("admin:subscriptions_channel_change", args=[channel.pk]), sent)


def press_test(panel, channel):
    url = reverse("admin:subscriptions_channel_test_message", args=[channel.pk])
    assert panel.post(url, {"_form_submitted": "on"}).status_code in (200, 302)
    return text_of(page(panel, channel))


def test_new_channel_gets_papers_at_once(panel, server):
    topic = make.topic("Graphs")
    make.paper("Graphs everywhere")
    follows = {"preferences-0-topic": topic.pk, "preferences-0-stance": "follow"}
    follows |= {"preferences-0-weight": 1, "preferences-TOTAL_FORMS": 1}
    assert not add(panel, server.secret, days=["mon", "fri"], **follows)
    channel = Channel.objects.get()
    assert (channel.state_at(NOW), channel.weekdays, channel.hour) == ("active", 0b10001, 7)
    consent = Consent.objects.get()
    assert (consent.act, consent.via) == ("confirmed", "admin panel")
    plan.plan(NOW)
    worker.deliver_due(lambda: NOW)
    (message,) = server.posted
    assert "Graphs everywhere" in message["text"]
    preview = reverse("admin:digest_digest_preview", args=[Digest.objects.get().pk, "html"])
    assert "Graphs everywhere" in panel.get(preview).text
    assert "1 sent, 0 unknown, 0 resent" in text_of(page(panel, channel))


def test_new_channel_without_topics_waits_a_day(panel, server):
    add(panel, server.secret)
    assert Channel.objects.get().next_due_at.date() == TODAY + DAY


def kept(channel):
    rows = channel.preferences.order_by("pk")
    return list(rows.values_list("topic__kind", "topic__query", "stance", "weight"))


def test_channel_interests_are_parsed_as_at_sign_up(panel, server):
    make.topic("Sea ice")
    for _ in range(2):
        make.paper("Sea ice")
    index_store.renew(NOW)  # The reader's vocabulary.
    lines = "graphs, but not fish\r\nauthor: Ada Example\r\nsea ice"
    assert not add(panel, server.secret, interests=lines, muted_interests="cs.RO")
    channel = Channel.objects.get()
    assert sorted(kept(channel)) == [
        *(("", "Sea ice", "follow", 1.0), ("author", "author: Ada Example", "follow", 1.0)),
        *(("category", "cs.RO", "mute", 1.0), ("words", "fish", "mute", 1.0)),
        ("words", "graphs", "follow", 1.0),
    ]
    assert channel.next_due_at == NOW
    form_data = form_of(page(panel, channel))
    assert form_data["interests"] == "graphs\nauthor: Ada Example"
    assert sorted(form_data["muted_interests"].splitlines()) == ["cs.RO", "fish"]


def test_unchanged_channel_keeps_its_interests(panel):
    old = "We work on graphs, but not on fish\nsea ice, coral reefs\ncs.RO"
    topics = {"topics": [make.topic("Hidden", is_offered=False)], "muted": [make.topic("Bread")]}
    fields = {"channel": "json", "title": "Lab", "secret": encrypt("https://example.org/")}
    channel = make.subscriber(interests=old, **topics, **fields)
    channel.preferences.filter(topic__query="cs.RO").update(stance="mute", weight=2.5)
    before, ids = kept(channel), list(channel.own_topics.values_list("pk", flat=True))
    page_fields = form_of(page(panel, Channel.objects.get()))
    lines = page_fields["interests"].replace("\n", "\r\n")
    assert save(panel, Channel.objects.get(), interests=lines, hour=9).status_code == 302
    assert (make.fresh(channel).hour, kept(channel)) == (9, before)
    assert list(channel.own_topics.values_list("pk", flat=True)) == ids
    assert "nterests" not in LogEntry.objects.get().get_change_message()
    save(panel, Channel.objects.get(), interests="sea ice, coral reefs", muted_interests="")
    assert [row[1] for row in kept(channel)] == ["Hidden", "sea ice, coral reefs", "Bread"]


def test_the_address_is_in_no_page_log_or_export(panel, server, caplog):
    add(panel, server.secret)
    channel = Channel.objects.get()
    save(panel, channel, title="Big room", address=f"{server.secret}-2")
    press_test(panel, channel)
    assert decrypt(make.fresh(channel).secret).endswith("-2")
    pages = page(panel, channel).text + page(panel, channel, "history").text + panel.get(LIST).text
    logged = [str(entry) + entry.get_change_message() for entry in LogEntry.objects.all()]
    for text in (pages, caplog.text, str(logged), str(export(channel))):
        assert "T0KEN" not in text
        assert channel.secret not in text
    assert "127.0.0.1, ending in om-2" in text_of(page(panel, channel))


@pytest.mark.parametrize("address", [*cases("webhook_answers")["refused_in_form"], ""])
def test_forbidden_address_is_refused_and_not_shown(panel, address):
    sent = form_of(panel.get(ADD)) | {"title": "Lab", "channel": "json", "address": address}
    response = panel.post(ADD, sent)
    assert response.context["adminform"].form.errors["address"]
    assert "T0KEN" not in response.text
    assert not Channel.objects.exists()


def test_telegram_needs_a_token_and_a_chat(panel):
    assert add(panel, "123:T0KEN", "telegram")["chat_id"]
    assert not add(panel, "123:T0KEN", "telegram", chat_id=" -1001 ")
    channel = Channel.objects.get()
    assert decrypt(channel.secret) == "https://api.telegram.org/bot123:T0KEN/sendMessage"
    assert channel.chat_id == "-1001"
    save(panel, channel, chat_id="@room")
    assert (make.fresh(channel).chat_id, decrypt(channel.secret)[-4:]) == ("@room", "sage")


def test_message_shows_response_and_stores_nothing(panel, server):
    add(panel, server.secret)
    channel = Channel.objects.get()
    assert "Test message sent: answered 200" in press_test(panel, channel)
    server.answers.append((404, {}, b""))
    assert "answered 404: the webhook was deleted" in press_test(panel, channel)
    Channel.objects.update(secret="unreadable")
    assert "SECRET_KEY_FALLBACKS" in press_test(panel, channel)
    assert len(server.posted) == 2
    assert not Letter.objects.exists()


def test_channel_can_be_paused_and_erased(panel, server):
    add(panel, server.secret)
    channel = Channel.objects.get()
    letter = channel.letters.create(kind="digest", created_at=NOW, closes_at=NOW, last_reply="no!")
    assert "Last problem no!" in text_of(page(panel, channel))
    people = reverse("admin:subscriptions_subscriber_changelist")
    assert "Lab room" not in panel.get(people).text
    url = reverse("admin:subscriptions_subscriber_change", args=[channel.pk])
    assert panel.get(url)["Location"].endswith(f"/channel/{channel.pk}/change/")
    save(panel, channel, paused_until="2026-07-01")
    assert make.fresh(channel).state_at(NOW) == "paused"
    erase = {"action": "erase", "_selected_action": [channel.pk], "confirmed": "yes"}
    assert 'name="action" value="erase"' in page(panel, channel).text
    panel.post(reverse("admin:subscriptions_channel_changelist"), erase)
    assert not Subscriber.objects.exists()
    assert not Letter.objects.filter(pk=letter.pk).exists()


def test_a_channel_of_a_group_follows_no_topics(panel):
    channel = make.subscriber(channel="json", title="Lab", secret=encrypt("https://example.org/"))
    row = Channel.objects.get()
    assert "preferences-TOTAL_FORMS" in page(panel, row).text
    Group.objects.create(name="The lab", channel=channel)
    channel.preferences.create(topic=make.topic("Bread"))
    response = page(panel, row)
    assert "preferences-TOTAL_FORMS" not in response.text
    assert "Interests" not in text_of(response)
    assert save(panel, row, hour=9).status_code == 302
    assert (make.fresh(channel).hour, channel.preferences.count()) == (9, 1)
    assert "The lab" in text_of(response)
