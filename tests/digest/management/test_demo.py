"""The demo: everything from nothing, and nothing twice however often it runs."""

from datetime import timedelta

import pytest
from django.core.management import call_command

from digest.management.commands import demo
from digest.models import Digest, Paper
from subscriptions.actions import signup
from subscriptions.actions.preferences import TopicSelection
from subscriptions.models import Subscriber, Topic
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers import services


@pytest.mark.django_db
def test_the_demo_delivers_a_confirmed_subscribers_digest_and_tells_where(outbox, capsys, data_dir):
    call_command("demo", no_serve=True)

    confirm, digest = outbox()
    assert confirm["To"] == digest["To"] == "demo@paperboy.example"
    assert digest.get_body(("html",)).get_content().count("data-paper-id=") == 10
    out = capsys.readouterr().out
    password = (data_dir / "admin-password").read_text().strip()
    assert f"/admin/, user admin, password {password}" in out
    assert (data_dir / "admin-password").stat().st_mode & 0o777 == 0o600


@services.once
@pytest.mark.django_db
def test_the_demo_goes_on_where_it_was_killed_before_she_confirmed(outbox):
    request = signup.SignUpRequest(TopicSelection(interests=demo.INTERESTS))
    signup.subscribe(demo.ADDRESS, request, source=demo.DOOR, now=NOW)
    call_command("demo", no_serve=True)
    assert Subscriber.objects.get().state_at(NOW) == "active"
    assert len(outbox()) == 2


@pytest.mark.django_db
def test_the_demo_again_sends_a_digest_only_on_a_day_that_brings_something_new(outbox, clock):
    call_command("demo", no_serve=True)
    first = [letter["Message-ID"] for letter in outbox()]
    call_command("demo", no_serve=True)
    assert [letter["Message-ID"] for letter in outbox()] == first
    clock.now = NOW + timedelta(days=1)
    call_command("demo", no_serve=True)
    assert [letter["Message-ID"] for letter in outbox()] == first
    clock.now = NOW + timedelta(days=2)
    make.paper(demo.INTERESTS[0].capitalize(), day=clock.now.date())
    call_command("demo", no_serve=True)
    assert Digest.objects.count() == 3
    assert len(outbox()) == 3


@services.once
@pytest.mark.django_db
def test_the_demo_on_a_day_that_has_just_begun_says_when_its_digest_comes(outbox, clock, capsys):
    clock.now = NOW.replace(hour=23, minute=50)
    call_command("demo", no_serve=True)
    clock.now += timedelta(minutes=20)
    capsys.readouterr()
    call_command("demo", no_serve=True)
    assert len(outbox()) == 2
    told = "Today's digest:  none yet: it comes at 2026-06-02 05:50 UTC, hours after the last"
    assert told in capsys.readouterr().out


@services.once
@pytest.mark.django_db
def test_starter_topics_are_made_once_and_never_over_what_the_house_has():
    call_command("demo", no_serve=True)
    assert Topic.objects.curated().filter(categories=[]).count() >= 12
    assert Topic.objects.curated().exclude(categories=[]).count() >= 140
    kept = ["graph-learning", "arxiv-cs-lg"]
    Topic.objects.curated().exclude(slug__in=kept).delete()
    call_command("demo", no_serve=True)
    assert sorted(Topic.objects.curated().values_list("slug", flat=True)) == sorted(kept)


@services.once
@pytest.mark.django_db
def test_each_starter_topic_finds_papers_among_the_samples():
    from digest.indexing import candidates, model_store
    from digest.ranking.profile import Interest
    from digest.ranking.selection import matches

    call_command("demo", no_serve=True)
    Paper.objects.update(day=NOW.date(), changed_at=NOW + timedelta(seconds=1))
    window = candidates.announced(model_store.in_use(), NOW.date())
    found = {
        topic.slug: len(matches(window.model, window.papers, Interest("", topic.query), 50))
        for topic in Topic.objects.curated().filter(categories=[])
    }
    assert min(found.values()) >= 1, found
