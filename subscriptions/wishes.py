"""What a reader wants to read, and how that is written down."""

from dataclasses import dataclass, field

from subscriptions.models import Subscriber, Topic, TopicPreference

Stance = TopicPreference.Stance


@dataclass(frozen=True)
class Wishes:
    """What a reader wants to read: the topics she follows and mutes, and her own words for both."""

    follow: list[Topic] = field(default_factory=list)
    mute: list[Topic] = field(default_factory=list)
    interests: list[str] = field(default_factory=list)
    muted_interests: list[str] = field(default_factory=list)

    def muted_too(self, subscriber: Subscriber) -> list[int]:
        """Return the ids of what she wished to follow and to mute at once: it was muted."""
        words = set(self.interests) & set(self.muted_interests)
        hers = Topic.objects.filter(owner=subscriber, query__in=words)
        return [topic.pk for topic in {*self.follow} & {*self.mute} | {*hers}]

    def as_json(self, timezone: str, hour: int) -> dict:
        """Return what a sign-up form asked for; nothing where it left all open."""
        if not (self.follow or self.interests):
            return {}
        topics = [topic.pk for topic in self.follow]
        asked = {"topics": topics, "interests": self.interests}
        return asked | {"timezone": timezone, "hour": hour}


def set_preferences(subscriber, wishes: Wishes):
    """Make her preferences what she wished for. Muting wins over following."""
    stances: dict[int, str] = {}
    for topic in [*wishes.follow, *_own_topics(subscriber, wishes.interests)]:
        stances[topic.pk] = Stance.FOLLOW
    for topic in [*wishes.mute, *_own_topics(subscriber, wishes.muted_interests)]:
        stances[topic.pk] = Stance.MUTE
    subscriber.preferences.exclude(topic__in=stances).delete()
    kept = {preference.topic_id: preference for preference in subscriber.preferences.all()}
    for topic_id, stance in stances.items():
        if topic_id not in kept:
            subscriber.preferences.create(topic_id=topic_id, stance=stance)
        elif kept[topic_id].stance != stance:
            kept[topic_id].stance = stance
            kept[topic_id].save(update_fields=["stance"])
    subscriber.own_topics.exclude(pk__in=stances).delete()


def _own_topics(subscriber, queries):
    """Return her own topics with these queries, made where she has none. Her row is locked."""
    topics = Topic.objects
    found = (
        topics.get_or_create(owner=subscriber, query=query, defaults={"name": query[:200]})
        for query in queries
    )
    return [topic for topic, _ in found]
