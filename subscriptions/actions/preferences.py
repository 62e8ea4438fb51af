"""Changes of a subscriber's preferences: topics, settings, a pause.

Every function takes the moment as an argument and is idempotent.
"""

from dataclasses import dataclass, field
from datetime import date
from typing import Self

from django.db import transaction

from subscriptions import schedule
from subscriptions.delivery import queue
from subscriptions.mail import kinds
from subscriptions.models import Subscriber, Topic, TopicPreference

Stance = TopicPreference.Stance
#: `next_due_at` is computed from these fields.
SCHEDULE_FIELDS = {"timezone", "hour", "weekdays", "is_monthly", "paused_until"}


@dataclass(frozen=True)
class TopicSelection:
    """The topics that a subscriber follows and mutes: curated ones, and their own queries.

    `kinds` has the kind of a query, unless it was saved before there were kinds.
    """

    follow: list[Topic] = field(default_factory=list)
    mute: list[Topic] = field(default_factory=list)
    interests: list[str] = field(default_factory=list)
    muted_interests: list[str] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, entries: list, follow: list[Topic], mute: list[Topic]) -> Self:
        """Return the selection of these topics, and of entries: digest.interests.entries.Entry."""
        slugs = [entry.slug for entry in entries if entry.slug]
        by_slug = {topic.slug: topic for topic in Topic.objects.curated().filter(slug__in=slugs)}
        curated: dict[bool, list[Topic]] = {False: [*follow], True: [*mute]}
        queries: dict[bool, list[str]] = {False: [], True: []}
        for entry in entries:
            if entry.slug in by_slug:
                curated[entry.is_muted].append(by_slug[entry.slug])
            else:
                queries[entry.is_muted].append(entry.text)
        curated = {is_muted: list(dict.fromkeys(topics)) for is_muted, topics in curated.items()}
        kinds = {entry.text: entry.kind for entry in entries if entry.kind}
        return cls(curated[False], curated[True], queries[False], queries[True], kinds)

    @classmethod
    def stored_by(cls, subscriber: Subscriber) -> Self:
        """Return what a subscriber follows and mutes."""
        selection = cls()
        for preference in subscriber.preferences.select_related("topic").order_by("pk"):
            topic, is_muted = preference.topic, preference.stance == Stance.MUTE
            if topic.owner_id is None:
                (selection.mute if is_muted else selection.follow).append(topic)
            else:
                (selection.muted_interests if is_muted else selection.interests).append(topic.query)
                selection.kinds[topic.query] = topic.kind
        return selection

    def followed_and_muted(self, subscriber: Subscriber) -> list[int]:
        """Return the ids of topics that are both followed and muted here. Muting wins."""
        queries = set(self.interests) & set(self.muted_interests)
        own_topics = Topic.objects.filter(owner=subscriber, query__in=queries)
        return [topic.pk for topic in {*self.follow} & {*self.mute} | {*own_topics}]


def change(
    subscriber: Subscriber, topics: TopicSelection | None, settings: dict, *, now
) -> Subscriber:
    """Replace the preferences, if topics are given, and set the given settings. Return the row.

    `settings` has names of Subscriber's fields: timezone, hour, weekdays, is_monthly, size,
    language, summary_language, wants_quiet_days, wants_near, takes_messages, paused_until.
    """
    with transaction.atomic():
        subscriber = subscriber.locked()
        changed_fields = {name for name in settings if settings[name] != getattr(subscriber, name)}
        for name, value in settings.items():
            setattr(subscriber, name, value)
        if changed_fields & SCHEDULE_FIELDS:
            subscriber.reschedule(now)
        subscriber.save()
        if topics is not None:
            set_preferences(subscriber, topics)
        if subscriber.state_at(now) == "paused":
            queue.cancel(subscriber, "paused", now, kinds=kinds.kinds_excluding("paused"))
    return subscriber


def set_preferences(subscriber: Subscriber, topics: TopicSelection) -> None:
    """Replace the preferences. The subscriber's row must be locked."""
    stances: dict[int, str] = {}
    for stance, curated, queries in (
        (Stance.FOLLOW, topics.follow, topics.interests),
        (Stance.MUTE, topics.mute, topics.muted_interests),  # Muting wins: it comes last.
    ):
        own_topics = []
        for query in queries:
            fields = {"name": Topic.name_of(query), "kind": topics.kinds.get(query, "")}
            topic, _ = Topic.objects.get_or_create(owner=subscriber, query=query, defaults=fields)
            if fields["kind"] not in ("", topic.kind):
                topic.kind = fields["kind"]
                topic.save(update_fields=["kind"])
            own_topics.append(topic)
        stances |= {topic.pk: stance for topic in [*curated, *own_topics]}
    subscriber.preferences.exclude(topic__in=stances).delete()
    preferences = {preference.topic_id: preference for preference in subscriber.preferences.all()}
    for topic_id, stance in stances.items():
        preference = preferences.get(topic_id)
        if preference is None:
            subscriber.preferences.create(topic_id=topic_id, stance=stance)
        elif preference.stance != stance:
            preference.stance = stance
            preference.save(update_fields=["stance"])
    subscriber.own_topics.exclude(pk__in=stances).delete()


def follow(subscriber: Subscriber, query: str, kind: str) -> None:
    """Follow an own query. If it is followed or muted already, this changes nothing."""
    with transaction.atomic():
        subscriber = subscriber.locked()
        fields = {"name": Topic.name_of(query), "kind": kind}
        topic, _ = Topic.objects.get_or_create(owner=subscriber, query=query, defaults=fields)
        subscriber.preferences.get_or_create(topic=topic)


def pause(subscriber: Subscriber, until: date, *, now) -> bool:
    """Send no digest before local day `until`. Return whether that changes anything.

    It does not for a day that has come, nor for a subscriber who gets no digests.
    """
    with transaction.atomic():
        subscriber = subscriber.locked()
        is_past = until <= schedule.local_day(now, subscriber.zone)
        if is_past or subscriber.state_at(now) not in ("active", "paused"):
            return False
        change(subscriber, None, {"paused_until": until}, now=now)
        return True


def resume(subscriber: Subscriber, *, now) -> bool:
    """End a pause. Return whether there was one."""
    with transaction.atomic():
        subscriber = subscriber.locked()
        if subscriber.paused_until is None:
            return False
        change(subscriber, None, {"paused_until": None}, now=now)
        return True
