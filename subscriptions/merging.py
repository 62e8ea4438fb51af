"""Topics of the house that are one: their followers move to the one that stays.

Merging marks a topic and keeps its row: from that moment its slug, its page and its feed lead to
the topic that stays, and nobody can choose it any more. Followers move after that, some at a time.
Whoever is killed on the way leaves the rest to the next: each step may be run again.
"""

from collections.abc import Collection
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Count, OuterRef, Q, Subquery

from subscriptions.models import Subscriber, Topic, TopicPreference

AT_ONCE = 500  # So many readers are locked for a moment.

Stance = TopicPreference.Stance


class NoSuchTopic(Exception):
    """The topic that was to stay is none of the house's, or was merged itself."""


@dataclass(frozen=True)
class Outlook:
    """What a merge would do to a topic's readers.

    `both` have a stance on the one that stays, too, and keep one; `mutes_win` of them follow one of
    the two and mute the other.
    """

    topic: Topic
    follows: int
    mutes: int
    both: int
    mutes_win: int


def outlook(topic: Topic, into: Topic) -> Outlook:
    """Return what would become of the topic's readers. Asks one query."""
    theirs = TopicPreference.objects.filter(topic=into, subscriber=OuterRef("subscriber"))
    other = Q(theirs__isnull=False)
    counts = topic.preferences.annotate(theirs=Subquery(theirs.values("stance"))).aggregate(
        follows=Count("pk", filter=Q(stance=Stance.FOLLOW)),
        mutes=Count("pk", filter=Q(stance=Stance.MUTE)),
        both=Count("pk", filter=other),
        mutes_win=Count(
            "pk",
            filter=Q(stance=Stance.FOLLOW, theirs=Stance.MUTE)
            | Q(stance=Stance.MUTE, theirs=Stance.FOLLOW),
        ),
    )
    return Outlook(topic, **counts)


def merge(topics: Collection[Topic], into: Topic) -> list[Topic]:
    """Mark topics of the house as merged into another one. Return those that weren't yet.

    Raises NoSuchTopic.
    """
    with transaction.atomic():
        ids = {topic.pk for topic in topics} - {into.pk}
        asked = Topic.objects.curated().filter(pk__in=[*ids, into.pk]).order_by("pk")
        found = {topic.pk: topic for topic in asked.select_for_update(of=["self"])}
        if into.pk not in found:
            raise NoSuchTopic
        del found[into.pk]
        gone = Topic.objects.filter(Q(pk__in=found) | Q(merged_into__in=found))
        gone.update(merged_into=into)
        return list(found.values())


def move_followers(most: int | None = None) -> int:
    """Move readers of merged topics to those that stay, so many at `most`. Return how many moved.

    Who has a stance on both keeps the stronger one: mute wins, and of two follows the greater
    weight.
    """
    moved = 0
    for topic in Topic.objects.merged():
        while most is None or moved < most:
            some = _move_some(topic, AT_ONCE if most is None else min(AT_ONCE, most - moved))
            if not some:
                break
            moved += some
    return moved


def is_moving() -> bool:
    """Return whether readers of merged topics are still to be moved."""
    return TopicPreference.objects.filter(topic__merged_into__isnull=False).exists()


def _move_some(topic, limit):
    """Move some of a merged topic's readers, under the lock that changes of their wishes take."""
    with transaction.atomic():
        readers = list(topic.preferences.values_list("subscriber", flat=True)[:limit])
        if not readers:
            return 0
        locked = Subscriber.objects.filter(pk__in=readers).order_by("pk").select_for_update()
        list(locked.values_list("pk", flat=True))
        hers = list(topic.preferences.filter(subscriber__in=readers))
        into = TopicPreference.objects.filter(topic=topic.merged_into_id, subscriber__in=readers)
        kept = {preference.subscriber_id: preference for preference in into}
        both = [one for one in hers if one.subscriber_id in kept]
        stronger = [kept[one.subscriber_id] for one in both if _strengthen(kept, one)]
        TopicPreference.objects.bulk_update(stronger, ["stance", "weight"])
        TopicPreference.objects.filter(pk__in=[one.pk for one in both]).delete()
        topic.preferences.filter(subscriber__in=readers).update(topic=topic.merged_into_id)
        return len(readers)


def _strengthen(kept, other):
    """Make the kept preference of a reader her other one, where that is stronger, and say whether
    it is.
    """
    mine = kept[other.subscriber_id]
    if mine.stance == other.stance:
        is_stronger = other.weight > mine.weight
    else:
        is_stronger = other.stance == Stance.MUTE
    if is_stronger:
        mine.stance, mine.weight = other.stance, other.weight
    return is_stronger
