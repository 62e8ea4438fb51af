"""Subscribers become profiles: what the ranking knows of each."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from itertools import chain
from types import MappingProxyType

import numpy as np
from django.db.models import Exists, OuterRef

from digest.indexing import embeddings, model_store
from digest.indexing.encoder import paper_text
from digest.interests.entries import ORCID, PAPER, TEXT, UNREAD, WORDS, lines_of
from digest.models import Feedback, LibraryPaper, ReaderModel
from digest.models.bulk_insert import among
from digest.personalization import added_papers
from digest.ranking.authors import queried_names
from digest.ranking.profile import Example, Interest, Profile
from digest.ranking.relevance_feedback import LearnedProfile
from digest.sources.arxiv import taxonomy
from subscriptions.actions.preferences import TopicSelection
from subscriptions.models import Subscriber, Topic, TopicPreference

#: A subscriber without topics gets no trending papers once their library and feedback have so many
#: papers. Feedback on trending papers, if nothing else comes, does not ask for fewer of them.
MIN_LIKED = 10


def profiles_of(subscribers: list[Subscriber]) -> list[Profile]:
    """Return the profile of each subscriber. Runs the same number of queries for any number."""
    is_theirs = among("subscriber", (subscriber.pk for subscriber in subscribers))
    preferences = TopicPreference.objects.filter(is_theirs).order_by("pk")
    rows = list(preferences.values_list("subscriber_id", "stance", "topic_id", "weight"))
    topics = Topic.objects.in_bulk({topic_id for _, _, topic_id, _ in rows})
    examples = examples_of(topics.values())
    interest = cache(lambda pk, *args: to_interest(topics[pk], *args, examples=examples))
    follows, mutes = defaultdict(list), defaultdict(list)
    for pk, stance, topic_id, weight in rows:
        is_muted = stance == TopicPreference.Stance.MUTE
        (mutes if is_muted else follows)[pk].append(interest(topic_id, weight))
    library = LibraryPaper.objects.order_by().filter(subscriber=OuterRef("subscriber"))
    learner_ids = [subscriber.pk for subscriber in subscribers if subscriber.learns]
    models = ReaderModel.objects.filter(among("subscriber", learner_ids))
    models = list(models.annotate(has_library=Exists(library)))
    embeddings_by_id = _mean_embeddings([model.subscriber_id for model in models])
    learned_fields = {}  # Subscriber id -> `learned` and `has_enough_liked` of the profile.
    for model in models:
        learned = None
        if model.terms:
            embedding = embeddings_by_id.get(model.subscriber_id, ())
            terms, weights = tuple(model.terms), tuple(model.weights)
            learned = LearnedProfile(terms, weights, model.liked, embedding)
        has_enough_liked = learned is not None and model.has_library and learned.liked >= MIN_LIKED
        learned_fields[model.subscriber_id] = learned, has_enough_liked
    return [
        Profile(
            _combined(follows[subscriber.pk]),
            tuple(mutes[subscriber.pk]),
            subscriber.size,
            *learned_fields.get(subscriber.pk, (None, False)),
            subscriber.wants_near,
        )
        for subscriber in subscribers
    ]


def _mean_embeddings(subscribers: list[int]) -> dict[int, tuple[float, ...]]:
    """Return the mean embedding of the papers that each subscriber (id) liked, or {} without a
    semantic model.
    """
    if embeddings.encoder() is None:
        return {}
    of_subscribers = among("subscriber", subscribers)
    liked = Feedback.objects.filter(of_subscribers).exclude(value=Feedback.Value.LESS)
    pairs = [
        *liked.values_list("subscriber_id", "paper_id"),
        *LibraryPaper.objects.filter(of_subscribers).values_list("subscriber_id", "identity"),
    ]
    papers = list(dict.fromkeys(paper for _, paper in pairs))
    vectors = dict(zip(papers, embeddings.vectors_of(papers), strict=True))
    liked_vectors = defaultdict(list)
    for subscriber, paper in pairs:
        if vectors[paper].any():
            liked_vectors[subscriber].append(vectors[paper])
    return {pk: tuple(np.mean(rows, axis=0).tolist()) for pk, rows in liked_vectors.items()}


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
    stored_weights, stored = {}, Profile()
    if subscriber is not None:
        (stored,) = profiles_of([subscriber])
        stored_weights = {
            (preference.topic.slug, preference.topic.query): preference.weight
            for preference in subscriber.preferences.select_related("topic")
        }
    wants_near = stored.wants_near if wants_near is None else wants_near
    stored = replace(stored, size=size, wants_near=wants_near)
    if selection is None:
        return stored
    stances: dict[tuple, tuple[Topic, bool]] = {}
    for topics, queries, is_muted in (
        (selection.follow, selection.interests, False),
        (selection.mute, selection.muted_interests, True),
    ):
        for topic in [*topics, *(own_topic(query, selection.kinds) for query in queries)]:
            stances[topic.slug, topic.query] = topic, is_muted  # Muting wins over following.
    examples = examples_of(topic for topic, _ in stances.values())
    follows, mutes = [], []
    for key, (topic, is_muted) in stances.items():
        interest = to_interest(topic, stored_weights.get(key, 1.0), examples=examples)
        (mutes if is_muted else follows).append(interest)
    return replace(stored, follows=_combined(follows), mutes=tuple(mutes))


def own_topic(query: str, kinds: Mapping[str, str]) -> Topic:
    """Return a subscriber's own topic, unsaved."""
    return Topic(name=Topic.name_of(query), query=query, kind=kinds.get(query, ""))


def examples_of(topics: Iterable[Topic]) -> dict[str, Example]:
    """Return the papers that topics of the kind `paper` name, by their queries."""
    texts = added_papers.texts_of(topics)
    vectors = embeddings.vectors_of([*texts])
    missing_rows = np.flatnonzero(~vectors.any(axis=1))
    pairs = [*texts.values()]
    vectors[missing_rows] = embeddings.encode_queries([paper_text(*pairs[n]) for n in missing_rows])
    return {
        query: Example(query, title, model_store.document(title, abstract), tuple(vector.tolist()))
        for (query, (title, abstract)), vector in zip(texts.items(), vectors, strict=True)
    }


def _combined(follows: Iterable[Interest]) -> tuple[Interest, ...]:
    """Return the interests, with all examples of one weight in one interest.

    Each interest in own words knows the lines of all of them.
    """
    follows = list(follows)
    own_lines = chain.from_iterable(interest.read_lines for interest in follows)
    whole = tuple(dict.fromkeys(own_lines))
    examples: dict[float, tuple[Example, ...]] = {}
    other_interests = []
    for interest in follows:
        if interest.examples:
            examples[interest.weight] = examples.get(interest.weight, ()) + interest.examples
        elif interest.read_lines:
            other_interests.append(replace(interest, whole=whole))
        else:
            other_interests.append(interest)
    combined = [Interest("", "", weight, examples=papers) for weight, papers in examples.items()]
    return *other_interests, *combined


def to_interest(
    topic: Topic,
    weight: float = 1.0,
    examples: Mapping[str, Example] = MappingProxyType({}),
) -> Interest:
    """Return a topic as the ranking reads it. `examples` are those of `examples_of`.

    The name of a category ("cs.LG", "hep-th") means its papers. So does the name of an archive
    unless it is a word ("q-fin"). "author: Emmy Noether" means papers by this author.
    """
    if topic.kind in (PAPER, ORCID):  # One that is not found matches nothing.
        paper_examples = [examples[topic.query]] if topic.query in examples else []
        return Interest(topic.name, "", weight, examples=tuple(paper_examples))
    categories = tuple(taxonomy.canonical_names(topic.categories))
    text = topic.query.strip()
    is_plain_text = topic.kind in (WORDS, TEXT, UNREAD)
    if not is_plain_text and (authors := queried_names(text)):
        return Interest(topic.name, "", weight, categories, authors)
    if not is_plain_text and not categories and (named := taxonomy.categories_named(text)):
        return Interest(topic.name, "", weight, named)
    lines = lines_of(topic.kind, text) if topic.slug is None else ()
    is_prose = topic.kind == TEXT
    return Interest(
        topic.name, topic.query, weight, categories, read_lines=lines, is_prose=is_prose
    )
