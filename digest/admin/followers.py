"""The admin page of a topic's followers."""

from django.core.paginator import Paginator
from django.db.models import Count
from django.http import Http404
from django.urls import reverse
from django.utils import timezone

from subscriptions.admin.widgets import TONES, badge, link
from subscriptions.models import Subscriber, Topic, TopicPreference

PAGE = 50


def with_counts(topics) -> list[Topic]:
    """Return the topics with the numbers of active subscribers who follow and mute them.

    One query for all: a subquery for each topic would look up each follower by itself.
    """
    topics = list(topics)
    preferences = TopicPreference.objects.filter(subscriber__in=Subscriber.objects.subscribed())
    preferences = preferences.filter(topic__in=[topic.pk for topic in topics])
    groups = preferences.values_list("topic", "stance").annotate(Count("pk"))
    counts = {(topic, stance): count for topic, stance, count in groups}
    for topic in topics:
        topic.follower_count = counts.get((topic.pk, TopicPreference.Stance.FOLLOW), 0)
        topic.mute_count = counts.get((topic.pk, TopicPreference.Stance.MUTE), 0)
    return topics


def page(admin, request, topic_id):
    """Show who follows or mutes a topic, with addresses for users who may see subscribers."""
    topic = admin.get_object(request, topic_id)
    if topic is None:
        raise Http404
    preferences = topic.preferences.select_related("subscriber").order_by("pk")
    preference_page = Paginator(preferences, PAGE).get_page(request.GET.get("page"))
    may_see_addresses = request.user.has_perm("subscriptions.view_subscriber")
    now = timezone.now()
    rows = [_row(preference, may_see_addresses, now) for preference in preference_page]
    return admin.render_page(
        request,
        "admin/subscriptions/topic/followers.html",
        title=f"Followers of “{topic}”",
        original=topic,
        page=preference_page,
        is_named=may_see_addresses,
        table={"headers": ["Subscriber", "State", "Stance", "Weight"], "rows": rows},
    )


def _row(preference, may_see_addresses, now):
    subscriber = preference.subscriber
    name = f"No. {subscriber.pk}"
    if may_see_addresses:
        url = reverse("admin:subscriptions_subscriber_change", args=[subscriber.pk])
        name = link(url, subscriber)
    state = subscriber.state_at(now)
    stance = preference.get_stance_display().lower()
    return [name, badge(state, TONES[state]), stance, f"{preference.weight:g}"]
