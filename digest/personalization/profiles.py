"""Subscribers become profiles: what the ranking knows of each."""

from collections import defaultdict
from dataclasses import replace
from functools import cache

import numpy as np
from django.db.models import Exists, OuterRef

from digest.models import LibraryPaper, ReaderModel
from digest.models.bulk_insert import among
from digest.ranking.authors import queried_authors
from digest.ranking.profile import Interest, Profile
from digest.ranking.relevance_feedback import LearnedProfile
from digest.sources.arxiv import taxonomy
from subscriptions.actions.preferences import TopicSelection
from subscriptions.models import Subscriber, Topic, TopicPreference

#: A subscriber without topics gets no trending papers once their library and feedback have so many
#: papers. Feedback on trending papers, if nothing else comes, does not ask for fewer of them.
KNOWN = 10


def profiles_of(subscribers: list[Subscriber]) -> list[Profile]:
    """Return what the ranking knows of each. Three queries, however many they are."""
    theirs = among("subscriber", (subscriber.pk for subscriber in subscribers))
    preferences = TopicPreference.objects.filter(theirs).order_by("pk")
    rows = list(preferences.values_list("subscriber_id", "stance", "topic_id", "weight"))
    topics = Topic.objects.in_bulk({topic for _, _, topic, _ in rows})
    interest = cache(lambda topic, weight: to_interest(topics[topic], weight))
    follows, mutes = defaultdict(list), defaultdict(list)
    for subscriber, stance, topic, weight in rows:
        chosen = mutes if stance == TopicPreference.Stance.MUTE else follows
        chosen[subscriber].append(interest(topic, weight))
    library = LibraryPaper.objects.order_by().filter(subscriber=OuterRef("subscriber"))
    learners = among("subscriber", (reader.pk for reader in subscribers if reader.learns))
    models = ReaderModel.objects.filter(learners)
    learned_models = {}  # With whether the subscriber is known by it.
    for row in models.annotate(has_library=Exists(library)):
        floor = np.inf if row.floor is None else row.floor
        learned = None  # A model without words has nothing to say.
        if row.terms:
            learned = LearnedProfile(tuple(row.terms), tuple(row.weights), row.liked, floor)
        is_known = learned is not None and row.has_library and learned.liked >= KNOWN
        learned_models[row.subscriber_id] = learned, is_known
    return [
        Profile(
            tuple(follows[subscriber.pk]),
            tuple(mutes[subscriber.pk]),
            subscriber.size,
            *learned_models.get(subscriber.pk, (None, False)),
            subscriber.wants_near,
        )
        for subscriber in subscribers
    ]


def profile_for(
    selection: TopicSelection | None,
    size: int,
    subscriber: Subscriber | None = None,
    *,
    wants_near: bool | None = None,
) -> Profile:
    """Return the profile that a selection of topics would give. Stores nothing.

    A `subscriber` who would change to it keeps their feedback and the weights of their topics, and
    without a selection, their topics.
    """
    known, stored = {}, Profile()
    if subscriber is not None:
        (stored,) = profiles_of([subscriber])
        known = {
            (preference.topic.slug, preference.topic.query): preference.weight
            for preference in subscriber.preferences.select_related("topic")
        }
    near = stored.wants_near if wants_near is None else wants_near
    if selection is None:
        return replace(stored, size=size, wants_near=near)
    stances: dict[tuple, tuple[Topic, bool]] = {}
    for topics, queries, is_muted in (
        (selection.follow, selection.interests, False),
        (selection.mute, selection.muted_interests, True),
    ):
        for topic in [*topics, *(Topic(name=query[:200], query=query) for query in queries)]:
            stances[topic.slug, topic.query] = topic, is_muted  # Muting wins over following.
    follows, mutes = [], []
    for key, (topic, is_muted) in stances.items():
        (mutes if is_muted else follows).append(to_interest(topic, known.get(key, 1.0)))
    return replace(stored, follows=tuple(follows), mutes=tuple(mutes), size=size, wants_near=near)


def to_interest(topic: Topic, weight: float = 1.0) -> Interest:
    """Return a topic as the ranking reads it.

    The name of a category, such as "cs.LG" or "hep-th", means its papers, and so does an archive's
    that is no word, such as "q-fin". "author: Emmy Noether" means papers by this author.
    """
    categories = tuple(taxonomy.merged(topic.categories))
    text = topic.query.strip()
    if authors := queried_authors(text):
        return Interest(topic.name, "", weight, categories, authors)
    if not categories and (meant := taxonomy.categories_named(text)):
        return Interest(topic.name, "", weight, meant)
    return Interest(topic.name, topic.query, weight, categories)
