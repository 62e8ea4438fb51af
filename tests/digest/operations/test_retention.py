"""What the post office throws away, what it keeps, and that it may be stopped in the middle."""

from itertools import chain

import pytest
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session

from digest.models import (
    Alarm,
    Coverage,
    Digest,
    Harvest,
    Observation,
    Paper,
    PaperEmbedding,
    PaperEvent,
    Response,
)
from digest.models.sharing import Recommendation
from digest.operations import retention as upkeep
from digest.personalization import feedback
from subscriptions import db
from subscriptions.actions import signup
from subscriptions.actions.preferences import TopicSelection
from subscriptions.delivery import retention
from subscriptions.models import Letter, LetterEvent, Message, Seal, Subscriber, Topic
from subscriptions.security import suppression_list
from tests.digest.admin.test_lists import letter
from tests.factories import make
from tests.factories.make import DAY, HOUR, NOW, TODAY
from tests.factories.planning import plan_and_send
from tests.helpers import invariants
from tests.helpers.data_files import cases

pytestmark = pytest.mark.django_db


def live(days, subscribers=1):
    """Let subscribers get a digest on each of so many days, and return the moment after."""
    make.topic("Graphs")
    for _ in range(subscribers):
        make.subscriber(interests="graph networks", hour=NOW.hour)
    for day in range(days):
        make.paper(f"Graph networks {day}", now=NOW + day * DAY)
        plan_and_send(NOW + day * DAY)
    return NOW + days * DAY


def days_of():
    return sorted((one.day - TODAY).days for one in Letter.objects.filter(state="accepted"))


def test_events_of_old_letters_are_purged(settings):
    live(2)
    retention.purge(NOW + settings.KEEP_EVENTS)
    assert LetterEvent.objects.count() == 8
    later = NOW + settings.KEEP_EVENTS + HOUR
    retention.purge(later)
    assert days_of() == [0, 1]
    assert set(LetterEvent.objects.values_list("letter__day", flat=True)) == {TODAY + DAY}
    assert broken(later) == {}
    Digest.objects.all().delete()
    Letter.objects.all()._raw_delete("default")  # As an event that came while it was erased.
    retention.purge(later + DAY)
    assert not LetterEvent.objects.exists()


def test_open_letter_keeps_its_events(settings):
    live(1, subscribers=2)
    letter = Letter.objects.earliest("pk")
    Letter.objects.filter(pk=letter.pk).update(state="uncertain", ended_at=None)
    retention.purge(NOW + 2 * settings.KEEP_EVENTS)
    assert set(LetterEvent.objects.values_list("letter", flat=True)) == {letter.pk}


def test_letters_needed_for_planning_are_kept(settings):
    subscriber = make.subscriber()
    for states, kept in cases("kept_letters").items():
        subscriber.letters.all().delete()
        for days, state in enumerate(states.split()):
            letter(subscriber, NOW + days * DAY, state, reason="x")
        retention.purge(NOW + 2 * settings.KEEP_LETTERS)
        assert sorted((one.day - TODAY).days for one in Letter.objects.all()) == kept, states


def broken(now):
    """Return the invariants that are broken by then, whoever is due since."""
    Subscriber.objects.update(next_due_at=now + DAY)
    return invariants.broken(now)


def test_letters_are_purged_in_batches(settings, monkeypatch):
    live(5, subscribers=2)
    later = NOW + settings.KEEP_LETTERS + 10 * DAY
    monkeypatch.setattr(retention, "BATCH", 3)
    retention.purge(later)
    assert broken(later) == {}
    assert days_of() == [4, 4]
    assert not LetterEvent.objects.exists()


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_first_row_since_moment_is_found(count):
    subscriber = make.subscriber()
    letters = [letter(subscriber, NOW + n * DAY, kind="confirm") for n in range(count)]
    Letter.objects.filter(pk__in=[one.pk for one in letters[1:3]]).delete()
    for n in range(-1, count + 1):
        moment = NOW + n * DAY
        first = db.first_id_since(Letter, "created_at", moment)
        since = Letter.objects.filter(created_at__gte=moment)
        assert list(Letter.objects.filter(pk__gte=first)) == list(since)


# ---- Papers


def pick(paper):
    subscriber = make.subscriber()
    letter(subscriber, NOW)
    digest = Digest.objects.get(subscriber=subscriber)
    digest.picks.create(subscriber=subscriber, paper=paper, position=1, score=1, basis="new")


def rate(paper, value):
    feedback.record(make.subscriber(), paper, value, NOW)


def recommend(paper):
    group = make.group()
    sender, receiver = (make.member(group, name).subscriber for name in ("Ada", "Bob"))
    sender.recommendations_sent.create(receiver=receiver, paper=paper, at=NOW)


USES = {
    "got": pick,
    "liked": lambda paper: rate(paper, "more"),
    "disliked": lambda paper: rate(paper, "less"),
    "saved": lambda paper: rate(paper, "save"),
    "in a library": lambda paper: make.subscriber().library.create(
        identity=paper.pk, title=paper.title, at=NOW
    ),
    "added": lambda paper: make.subscriber().own_topics.create(
        name="x", query=paper.pk, kind="paper"
    ),
    "recommended": recommend,
    "sample": lambda paper: Paper.objects.filter(pk=paper.pk).update(is_sample=True),
    "new enough": lambda paper: Paper.objects.filter(pk=paper.pk).update(day=paper.day + DAY),
}


@pytest.mark.parametrize("use", USES)
def test_old_paper_is_kept_when_it_is(use, settings, monkeypatch):
    monkeypatch.setattr(upkeep, "PAPER_BATCH", 2)
    day = TODAY - settings.KEEP_PAPERS - DAY
    papers = [make.paper(day=day) for _ in range(7)]
    for paper in papers:
        paper.observations.create(source="x", day=TODAY, upvotes=1)
        paper.events.create(kind="code", at=NOW)
        PaperEmbedding.objects.create(paper=paper, model="x", changed_at=NOW, vector=b"x")
    used_paper = papers[2]
    USES[use](used_paper)
    upkeep.purge(NOW)
    assert Paper.objects.get().pk == used_paper.pk
    for model in (Observation, PaperEvent, PaperEmbedding):
        assert model.objects.get().paper_id == used_paper.pk


# ---- All tables


def test_every_table_has_a_retention_rule():
    tables = {model._meta.label for model in apps.get_models(include_auto_created=True)}
    listed = [model._meta.label for model, _, _ in upkeep.MAX_AGES]
    listed += chain.from_iterable(cases("retention_rules").values())
    assert sorted(tables) == sorted(listed)


#: How a row of each is made.
ROWS = {
    Observation: lambda day, at: make.paper().observations.create(source="x", day=day),
    Harvest: lambda day, at: Harvest.objects.create(today=day, started_at=at, touched_at=at),
    Coverage: lambda day, at: Coverage.objects.create(day=day, checked_at=at),
    Alarm: lambda day, at: Alarm.objects.create(name=day, raised_at=at, holds_until=at),
    LogEntry: lambda day, at: User.objects.create(username=str(day)).logentry_set.create(
        action_flag=1
    ),
    Message: lambda day, at: make.message(starts_at=at),
    Response: lambda day, at: Response.objects.create(key=day, body=b"", fetched_at=at),
}


def test_rows_are_deleted_by_age(settings):
    for model, field, setting in upkeep.MAX_AGES:
        max_age = getattr(settings, setting)
        for age in (max_age - 2 * DAY, max_age + 2 * DAY):
            moment = NOW - age
            row = ROWS[model](moment.date(), moment)
            model.objects.filter(pk=row.pk).update(**{field: moment})
    upkeep.purge(NOW)
    counts = {model: model.objects.count() for model, _, _ in upkeep.MAX_AGES}
    assert counts == dict.fromkeys(ROWS, 1)


def test_special_rules_delete_rows():
    Alarm.objects.create(name="disk", raised_at=NOW - 999 * DAY, holds_until=NOW + DAY)
    for days in (-1, 1):
        Session.objects.create(session_key=f"of {days}", expire_date=NOW + days * DAY)
    upkeep.purge(NOW)
    assert Alarm.objects.exists()  # It stands.
    assert Session.objects.get().session_key == "of 1"


def test_old_or_orphaned_recommendations_are_deleted():
    group, paper = make.group(), make.paper()
    ada, bob, eve = (make.member(group, name).subscriber for name in ("Ada", "Bob", "Eve"))
    for sender, receiver, days in ((ada, bob, 91), (bob, ada, 89), (eve, ada, 1), (ada, eve, 1)):
        sent = sender.recommendations_sent
        sent.create(receiver=receiver, paper=paper, at=NOW - days * DAY)
    group.memberships.filter(subscriber=eve).delete()
    upkeep.purge(NOW)
    assert Recommendation.objects.get().sender == bob


def test_unconfirmed_addresses_are_deleted_after_a_month():
    unconfirmed = {"confirmed": False, "now": NOW - 31 * DAY}
    silent = make.subscriber("silent@example.org", interests="graphs", **unconfirmed)
    letter(silent, kind="confirm")
    make.subscriber("said-no@example.org", unsubscribed_at=NOW - 30 * DAY, **unconfirmed)
    kept = [
        make.subscriber(confirmed=False, now=NOW - DAY),
        make.subscriber(now=NOW - 999 * DAY),
        make.subscriber(now=NOW - 99 * DAY, unsubscribed_at=NOW - 31 * DAY),
    ]
    kept[2].consents.create(act="asked", at=NOW - 99 * DAY, via="a test")  # It is proof.
    upkeep.purge(NOW)
    assert list(Subscriber.objects.order_by("pk")) == kept
    assert kept[2].consents.exists()
    for model in (Letter, Seal, Topic):
        assert not model.objects.exists()


def test_suppressed_unconfirmed_address_stays_suppressed():
    fields = {"confirmed": False, "now": NOW - 31 * DAY, "suppressed_at": NOW - DAY}
    subscribers = [
        make.subscriber(suppressed_by=why, **fields) for why in Subscriber.Suppression.values
    ]
    upkeep.purge(NOW)
    assert not Subscriber.objects.exists()
    assert all(suppression_list.contains(one.email, NOW) for one in subscribers)


def test_unconfirmed_resubscription_is_forgotten_after_a_month():
    subscriber = make.subscriber(interests="bread", now=NOW - 9 * DAY, unsubscribed_at=NOW - DAY)
    first, second = (signup.ConsentSource("x", ip=ip) for ip in ("192.0.2.1", "198.51.100.66"))
    signup.record_consent(subscriber, "asked", first, NOW - 9 * DAY)
    request = signup.SignUpRequest(TopicSelection(interests=["cake"]))
    signup.subscribe(subscriber.email, request, source=second, now=NOW)
    for age, ips in [(29 * DAY, [first.ip, second.ip]), (31 * DAY, [first.ip])]:
        upkeep.purge(NOW + age)
        subscriber.refresh_from_db()
        assert bool(subscriber.pending_settings) == (len(ips) == 2)
        assert list(subscriber.consents.values_list("ip", flat=True)) == ips
    assert subscriber.preferences.get().topic.query == "bread"
