"""Topics that become one: their followers move, and the old slugs lead on."""

import time
from datetime import timedelta
from threading import Event

import pytest
from django.db import transaction
from django.http import QueryDict

from subscriptions import changing, merging, signup
from subscriptions.forms import PreferencesForm, SignUpForm
from subscriptions.models import Topic
from subscriptions.wishes import Wishes
from tests import make
from tests.make import NOW
from tests.threads import at_once, errors_of

pytestmark = pytest.mark.django_db


def preferences_of(subscriber):
    return list(subscriber.preferences.values_list("topic__name", "stance", "weight"))


def test_a_merge_that_was_cut_off_is_ended_by_the_next_step():
    old, older, stays = make.topic("Old"), make.topic("Older"), make.topic("Stays")
    readers = [make.subscriber(topics=[old, older]) for _ in range(5)]
    merging.merge([old, older], stays)
    assert merging.move_followers(most=3) == 3
    assert merging.is_moving()
    merging.move_followers()
    assert not merging.is_moving()
    assert [preferences_of(one) for one in readers] == 5 * [[("Stays", "follow", 1)]]
    assert merging.move_followers() == 0
    assert merging.merge([old], stays) == []


@pytest.mark.django_db(transaction=True)
def test_a_reader_who_begins_to_mute_as_she_is_moved_goes_on_muting():
    old, stays = make.topic("Old"), make.topic("Stays")
    reader = make.subscriber(topics=[old, stays])
    reader.preferences.filter(topic=old).update(weight=3)
    merging.merge([old], stays)
    has_begun = Event()

    def mute():
        with transaction.atomic():
            changing.change(reader, Wishes(mute=[stays]), {}, now=NOW)
            has_begun.set()
            time.sleep(0.3)  # Meanwhile it is as if she hadn't, for all others.

    def move():
        has_begun.wait(10)
        merging.move_followers()

    assert errors_of(at_once(mute, move)) == []
    assert preferences_of(reader) == [("Stays", "mute", 1)]


def test_a_topic_that_took_one_in_is_merged_with_it():
    first, second, third = make.topic("First"), make.topic("Second"), make.topic("Third")
    reader = make.subscriber(topics=[first])
    merging.merge([first], second)
    merging.merge([second], third)
    merging.move_followers()
    assert preferences_of(reader) == [("Third", "follow", 1)]
    assert Topic.objects.slugs_today(["first", "second"]) == ["third"]
    with pytest.raises(merging.NoSuchTopic):
        merging.merge([third], first)


def test_an_old_slug_leads_to_the_topic_that_stays(client):
    old, stays = make.topic("Old"), make.topic("Stays")
    merging.merge([old], stays)
    for url in ("/topics/old/", "/topics/old/feed/"):
        response = client.get(url)
        assert (response.status_code, response.url) == (301, url.replace("old", "stays"))
        assert client.get(response.url).status_code == 200
    assert "Old" not in client.get("/topics/").content.decode()
    page = client.get("/?topics=old").content.decode()
    assert 'value="stays" checked' in page
    assert "no topic called" not in page


def test_forms_with_an_old_slug_choose_the_topic_that_stays(client):
    old, stays = make.topic("Old"), make.topic("Stays")
    merging.merge([old], stays)
    form = SignUpForm({"email": "you@example.org", "topics": ["old", "stays"]})
    assert form.is_valid(), form.errors
    assert form.wishes().follow == [stays]
    assert (
        client.post("/subscribe/", {"email": "you@example.org", "topics": "old"}).status_code < 400
    )
    assert client.post("/subscribe/", {"email": "a@example.org", "topics": "x"}).status_code == 400
    form = PreferencesForm(QueryDict("topics=old&mute=stays"))
    assert form.is_valid(), form.errors


def test_a_form_that_is_open_while_followers_move_loses_none():
    old, stays = make.topic("Old"), make.topic("Stays")
    reader = make.subscriber(topics=[old])
    merging.merge([old], stays)
    form = PreferencesForm.showing(reader)
    assert form["topics"].value() == ["stays"]
    sent = PreferencesForm(QueryDict(f"topics={form['topics'].value()[0]}"))
    assert sent.is_valid()
    changing.change(reader, sent.wishes(), {}, now=NOW)
    assert preferences_of(reader) == [("Stays", "follow", 1)]


def test_who_confirms_after_the_merge_gets_what_she_asked_for_before():
    old, stays = make.topic("Old"), make.topic("Stays")
    reader = make.subscriber(unsubscribed_at=NOW)
    reader.asked_for = Wishes([old]).as_json("UTC", 7)
    reader.save()
    merging.merge([old], stays)
    later = NOW + timedelta(minutes=1)
    signup.confirm(reader, later, door=signup.Door("x"), now=later)
    assert preferences_of(reader) == [("Stays", "follow", 1)]
