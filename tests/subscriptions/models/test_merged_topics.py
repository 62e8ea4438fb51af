"""Topics that an earlier release merged: their slugs lead on, and followers that it left move."""

import pytest
from django.core.management import call_command
from django.http import QueryDict

from digest.operations import upgrade
from subscriptions.actions import preferences, signup
from subscriptions.actions.preferences import TopicSelection
from subscriptions.forms import InterestsForm, SignUpForm
from tests.factories import make
from tests.factories.make import MINUTE, NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def stays():
    return make.topic("Stays")


@pytest.fixture
def old(stays):
    return make.topic("Old", merged_into=stays)


def preferences_of(subscriber):
    return list(subscriber.preferences.values_list("topic__name", "stance", "weight"))


@pytest.mark.django_db(transaction=True)
def test_upgrade_moves_followers_with_the_stronger_stance(old, stays, monkeypatch, capsys):
    monkeypatch.setattr(upgrade, "BATCH", 2)
    older = make.topic("Older", merged_into=stays)
    alone, muting = make.subscriber(topics=[old]), make.subscriber(muted=[old])
    heavy, light = (make.subscriber(topics=[old, stays]) for _ in range(2))
    heavy.preferences.filter(topic=old).update(weight=3)
    light.preferences.filter(topic=stays).update(weight=2)
    mutes_old = make.subscriber(topics=[stays], muted=[old])
    mutes_new = make.subscriber(topics=[old], muted=[stays])
    of_three = make.subscriber(topics=[old, older, stays])
    other = make.subscriber(muted=[stays], interests="bread")
    for said in ("Moved 8 followers of merged topics.", ""):
        call_command("upgrade")
        assert said in capsys.readouterr().out
        assert preferences_of(alone) == preferences_of(of_three) == [("Stays", "follow", 1)]
        assert preferences_of(muting) == [("Stays", "mute", 1)]
        assert preferences_of(heavy) == [("Stays", "follow", 3)]
        assert preferences_of(light) == [("Stays", "follow", 2)]
        assert preferences_of(mutes_old) == preferences_of(mutes_new) == [("Stays", "mute", 1)]
        assert set(preferences_of(other)) == {("Stays", "mute", 1), ("bread", "follow", 1)}


def test_old_slug_redirects_to_the_merged_topic(client, old):
    for url in ("/topics/old/", "/topics/old/feed/"):
        response = client.get(url)
        assert (response.status_code, response.url) == (301, url.replace("old", "stays"))
        assert client.get(response.url).status_code == 200
    assert "Old" not in client.get("/topics/").text
    page = client.get("/?topics=old").text
    assert 'value="stays" checked' in page
    assert "no topic called" not in page


def test_forms_with_an_old_slug_choose_the_merged_topic(old, stays):
    form = SignUpForm({"email": "you@example.org", "topics": ["old", "stays"]})
    assert form.is_valid(), form.errors
    assert form.topic_selection().follow == [stays]
    form = InterestsForm(QueryDict("topics=old&mute=stays"), subscriber=make.subscriber())
    assert form.is_valid(), form.errors


def test_form_opened_before_the_merge_keeps_followers(old):
    subscriber = make.subscriber(topics=[old])
    form = InterestsForm.of(subscriber)
    assert form["topics"].value() == ["stays"]
    sent = InterestsForm(QueryDict(f"topics={form['topics'].value()[0]}"), subscriber=subscriber)
    assert sent.is_valid()
    preferences.change(subscriber, sent.topic_selection(), {}, now=NOW)
    assert preferences_of(subscriber) == [("Stays", "follow", 1)]


def test_request_from_before_the_merge_follows_the_merged_topic(old):
    subscriber = make.subscriber(unsubscribed_at=NOW)
    subscriber.pending_settings = signup.SignUpRequest(TopicSelection([old])).to_json()
    subscriber.save()
    later = NOW + MINUTE
    signup.confirm(subscriber, later, source=signup.ConsentSource("x"), now=later)
    assert preferences_of(subscriber) == [("Stays", "follow", 1)]
