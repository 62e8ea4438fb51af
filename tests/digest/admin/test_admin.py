"""The admin panel: what it lists and shows, and that looking changes nothing."""

from datetime import date

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from digest.indexing import model_store
from digest.models import Coverage, Harvest
from digest.planning import plan
from subscriptions.models import Letter, Subscriber, Topic
from subscriptions.models.subscribers import STATES
from tests.factories import make
from tests.factories.make import DAY, NOW, TODAY
from tests.helpers.admin_pages import SUBSCRIBERS, page, planned_digest
from tests.helpers.pages import text_of

pytestmark = pytest.mark.django_db

LISTS = [f"subscriptions_{name}" for name in ("subscriber", "topic", "letter", "sending")]
LISTS += [f"digest_{name}" for name in ("paper", "digest", "fittedmodel", "harvest", "coverage")]
LISTS += ["auth_user", "admin_logentry"]


def test_lists_need_few_queries(panel, django_assert_max_num_queries):
    topic = make.topic("Sparse attention")
    for n in range(14):  # More than the queries that a list may ask.
        make.paper(f"Sparse attention {n}")
        make.topic()
        make.subscriber(topics=[topic])
        User.objects.create(username=f"operator-{n}")
        Harvest.objects.create(source="arxiv", today=NOW, started_at=NOW, touched_at=NOW)
        day = TODAY - n * DAY
        Coverage.objects.create(source="arxiv", day=day, state="fresh", checked_at=NOW)
    plan.plan(NOW)
    for name in LISTS:
        with django_assert_max_num_queries(12, info=name):
            assert panel.get(reverse(f"admin:{name}_changelist")).status_code == 200, name


def test_dashboard_counts_todays_rows(panel):
    planned_digest()
    make.subscriber(confirmed=False)
    refused = make.subscriber().letters.create(
        kind="confirm", state="failed", reason="refused: 550", created_at=NOW, closes_at=NOW
    )
    text = text_of(panel.get(reverse("admin:index")))
    assert "Active 2 Pending 1 Paused 0" in text
    assert "Queued 1 Failed refused 1" in text
    assert "Today 1" in text
    assert refused.reason not in text
    Letter.objects.update(state="missed", reason="its day ended first", ended_at=NOW)
    text = text_of(panel.get(reverse("admin:index")))
    assert text.count("its day ended first") == 1  # The reason says no more than the state.


def test_state_filter_agrees_with_subscriber_state():
    for zone in ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"]:
        for days in (-1, 0, 1, 2):
            make.subscriber(timezone=zone, paused_until=TODAY + days * DAY)
    make.subscriber(confirmed=False)
    make.subscriber(unsubscribed_at=NOW)
    make.subscriber(suppressed_at=NOW, unsubscribed_at=NOW)
    for moment in [NOW, NOW.replace(hour=5), NOW.replace(hour=23)]:
        counts = dict.fromkeys(STATES, 0)
        for subscriber in Subscriber.objects.all():
            state_now = subscriber.state_at(moment)
            counts[state_now] += 1
            for state in STATES:
                matches = Subscriber.objects.in_state(state, moment).filter(pk=subscriber.pk)
                assert matches.exists() == (state == state_now)
        assert Subscriber.objects.count_by_state(moment) == counts


def test_search_finds_international_domains(panel):
    make.subscriber("you@xn--bcher-kva.example")
    make.subscriber("other@example.org")
    text = text_of(panel.get(reverse(SUBSCRIBERS), {"q": "you@Bücher.example"}))
    assert "you@bücher.example" in text
    assert "other@example.org" not in text


def test_topics_are_listed_by_owner(panel):
    followed = make.topic("Sparse attention")
    make.topic("Machine learning", slug="arxiv-cs-lg", categories=["cs.LG"])
    make.subscriber(topics=[followed], interests="bread")
    make.subscriber(topics=[followed], confirmed=False)

    def listed(**asked):
        url = reverse("admin:subscriptions_topic_changelist")
        return {one.name: one for one in panel.get(url, asked).context["cl"].result_list}

    assert listed().keys() == {"Sparse attention", "Machine learning"}
    assert listed()["Sparse attention"].follower_count == 1
    for owner, name in [
        ("subjects", "Sparse attention"),
        ("categories", "Machine learning"),
        ("readers", "bread"),
    ]:
        assert listed(owner=owner).keys() == {name}


def test_topic_page_shows_matching_papers_and_words(panel):
    make.paper("Attention that is sparse for <long> documents")
    make.paper("Sparse attention last month", day=date(2026, 5, 1))
    make.paper("Bread and butter")
    model_store.fit(NOW)
    html = page(panel, make.topic("Sparse attention")).content.decode()
    assert "Attention that is sparse for &lt;long&gt; documents" in html
    assert "Sparse, attention" in html
    assert "last month" not in html
    assert "Bread" not in html


def test_own_topic_is_read_only(panel):
    make.subscriber(interests="bread")
    topic = Topic.objects.get()
    assert page(panel, topic).status_code == 200
    url = reverse("admin:subscriptions_topic_change", args=[topic.pk])
    assert panel.post(url, {"name": "x", "query": "x"}).status_code == 403
    data = {"action": "delete_selected", "_selected_action": [topic.pk], "post": "yes"}
    panel.post(reverse("admin:subscriptions_topic_changelist") + "?owner=all", data)
    assert Topic.objects.get().name == "bread"


def test_digest_preview_is_sandboxed_and_writes_nothing(panel):
    digest = planned_digest()
    before = list(Letter.objects.values())
    html, text = (
        reverse("admin:digest_digest_preview", args=[digest.pk, part]) for part in ("html", "text")
    )
    assert html in page(panel, digest).content.decode()
    response = panel.get(html)
    assert "Sparse attention for &lt;long&gt; documents" in response.content.decode()
    assert response["X-Frame-Options"] == "SAMEORIGIN"
    policy = response["Content-Security-Policy"].split("; ")
    assert {"sandbox", "default-src 'none'", "style-src 'unsafe-inline'"} <= set(policy)
    response = panel.get(text)
    assert "1. Sparse attention for <long> documents" in response.content.decode()
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert list(Letter.objects.values()) == before
    panel.logout()
    assert panel.get(html).status_code == 302
