"""Subscribers become profiles: what the ranking knows of each."""

from collections import defaultdict
from dataclasses import replace
from functools import cache

import numpy as np
from django.db.models import Exists, OuterRef

from digest.models import LibraryPaper, ReaderModel
from digest.models.bulk_insert import among
from digest.ranking.authors import asked_for
from digest.ranking.profile import Interest, Profile
from digest.ranking.relevance_feedback import Learned
from digest.sources.arxiv import taxonomy
from subscriptions.actions.preferences import TopicSelection
from subscriptions.models import Subscriber, Topic, TopicPreference

#: A subscriber without topics gets no trending papers once their library and feedback have so many
#: papers. Feedback on trending papers, if nothing else comes, does not ask for fewer of them.
KNOWN = 10


def profiles_of(subscribers: list[Subscriber]) -> list[Profile]:
    """Return what the ranking knows of each. Three queries, however many they are."""
    theirs = among("subscriber", (one.pk for one in subscribers))
    preferences = TopicPreference.objects.filter(theirs).order_by("pk")
    rows = list(preferences.values_list("subscriber_id", "stance", "topic_id", "weight"))
    topics = Topic.objects.in_bulk({topic for _, _, topic, _ in rows})
    interest = cache(lambda topic, weight: interest_of(topics[topic], weight))
    follows, mutes = defaultdict(list), defaultdict(list)
    for subscriber, stance, topic, weight in rows:
        chosen = mutes if stance == TopicPreference.Stance.MUTE else follows
        chosen[subscriber].append(interest(topic, weight))
    library = LibraryPaper.objects.order_by().filter(subscriber=OuterRef("subscriber"))
    learners = among("subscriber", (one.pk for one in subscribers if one.learns))
    models = ReaderModel.objects.filter(learners)
    taught = {}  # Each one's own model, and whether they are known by it.
    for row in models.annotate(has_library=Exists(library)):
        learned = learned_of(row)
        is_known = learned is not None and row.has_library and learned.liked >= KNOWN
        taught[row.subscriber_id] = learned, is_known
    return [
        Profile(
            tuple(follows[one.pk]),
            tuple(mutes[one.pk]),
            one.size,
            *taught.get(one.pk, (None, False)),
            one.wants_near,
        )
        for one in subscribers
    ]


def wished(
    wishes: TopicSelection,
    size: int,
    subscriber: Subscriber | None = None,
    *,
    wants_near: bool | None = None,
) -> Profile:
    """Return the profile that a selection of topics would give. Stores nothing.

    A `subscriber` who would change to it keeps their feedback and the weights of their topics.
    """
    known, stored = {}, Profile()
    if subscriber is not None:
        (stored,) = profiles_of([subscriber])
        known = {
            (one.topic.slug, one.topic.query): one.weight
            for one in subscriber.preferences.select_related("topic")
        }
    stances: dict[tuple, tuple[Topic, bool]] = {}
    for topics, queries, is_muted in (
        (wishes.follow, wishes.interests, False),
        (wishes.mute, wishes.muted_interests, True),
    ):
        for topic in [*topics, *(Topic(name=query[:200], query=query) for query in queries)]:
            stances[topic.slug, topic.query] = topic, is_muted  # Muting wins over following.
    follows, mutes = [], []
    for key, (topic, is_muted) in stances.items():
        (mutes if is_muted else follows).append(interest_of(topic, known.get(key, 1.0)))
    near = stored.wants_near if wants_near is None else wants_near
    return replace(stored, follows=tuple(follows), mutes=tuple(mutes), size=size, wants_near=near)


def interest_of(topic: Topic, weight: float = 1.0) -> Interest:
    """Return a topic as the ranking reads it.

    A text that is the name of a category, such as "cs.LG" or "hep-th", means its papers, and so
    does that of an archive which is no word, such as "q-fin". "author: Emmy Noether" means hers.
    """
    categories = tuple(taxonomy.merged(topic.categories))
    text = topic.query.strip()
    if authors := asked_for(text):
        return Interest(topic.name, "", weight, categories, authors)
    if not categories and (meant := taxonomy.meant(text)):
        return Interest(topic.name, "", weight, meant)
    return Interest(topic.name, topic.query, weight, categories)


def learned_of(row: ReaderModel) -> Learned | None:
    """Return a reader's own model, None where it has nothing to say."""
    if not row.terms:
        return None
    floor = np.inf if row.floor is None else row.floor
    return Learned(tuple(row.terms), tuple(row.weights), row.liked, floor)
