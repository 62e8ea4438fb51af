"""The figures: who gets them, that Prometheus can read them, and that they are true."""

import pytest
from celery import Celery
from django.db import OperationalError, connection
from prometheus_client.parser import text_string_to_metric_families

from digest.models import Alarm, Coverage
from digest.operations import heartbeats, metrics
from digest.personalization import feedback
from digest.planning import plan
from subscriptions.actions import signup
from subscriptions.delivery import circuit_breaker, worker
from subscriptions.models import Letter
from tests.factories import make
from tests.factories.make import DAY, HOUR, MINUTE, NOW
from tests.helpers import services
from tests.helpers.data_files import cases

pytestmark = pytest.mark.django_db

TOKEN = "a-token-of-this-test"
#: Name, type and label of each, on which operators' dashboards and alerts rely.
METRICS = {*map(tuple, cases("metric_names"))}


def families():
    return list(text_string_to_metric_families(metrics.text().decode()))


def figures():
    """Return each figure by its name, or by name and label."""
    stats = {}
    for family in families():
        assert family.documentation.endswith(".")
        for sample in family.samples:
            key = (sample.name, *sample.labels.values()) if sample.labels else sample.name
            stats[key] = sample.value
    return stats


@pytest.fixture
def scraped(client, settings):
    """Return a function that asks as Prometheus does."""
    settings.METRICS_TOKEN = TOKEN
    return lambda said=f"Bearer {TOKEN}": client.get("/metrics", headers={"Authorization": said})


def test_metrics_need_the_token(scraped, settings):
    response = scraped()
    assert response.status_code == 200
    assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b"\npaperboy_letters{" in response.content
    for settings.METRICS_TOKEN in (TOKEN, ""):
        for key in ("", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer ü"):
            assert scraped(key).status_code == 404, key


def refuse(part=""):
    """Let the database refuse the queries that have this part."""

    def execute(run, sql, *rest):
        if part in sql:
            raise OperationalError("gone")
        return run(sql, *rest)

    return connection.execute_wrapper(execute)


def test_unreachable_database_is_503(scraped):
    with refuse():
        response = scraped()
    assert response.status_code == 503
    assert response.content == b"No figures: OperationalError.\n"


def test_metrics_match_the_database(clock):
    make.paper("Graphs")
    late, later = make.subscriber(), make.subscriber()
    plan.plan(NOW)
    worker.deliver_due(lambda: NOW + MINUTE)
    make.subscriber(next_due_at=NOW - HOUR)
    make.subscriber(confirmed=False)
    tomorrow = NOW.date() + DAY  # On Kiritimati, it has begun.
    for zone in ("Pacific/Kiritimati", "UTC"):
        make.subscriber(timezone=zone, paused_until=tomorrow, next_due_at=NOW + DAY)
    waits = Letter.objects.filter(subscriber=later)
    waits.update(state="planned", ended_at=None, next_try_at=NOW - 2 * MINUTE)
    signup.unsubscribe(make.subscriber().public_id, source=signup.ConsentSource("a test"), now=NOW)
    feedback.record(late, make.paper(), "more", NOW)
    heartbeats.beat(heartbeats.TICK, NOW - MINUTE)
    circuit_breaker.open("auth", "535", NOW)
    Alarm.objects.create(name="beat", text="dead", raised_at=NOW, holds_until=NOW)
    make.harvest(touched_at=NOW - 3 * HOUR)
    Coverage.objects.create(
        source="arxiv", category="cs", day="2026-06-01", announced=9, stored=8, checked_at=NOW
    )
    stats = figures()
    expected = {(name, label) if label else name: value for name, label, value in cases("metrics")}
    assert {key: stats.get(key) for key in expected} == expected
    documented = {
        (one.name, one.type, ",".join({label for it in one.samples for label in it.labels}))
        for one in families()
    }
    assert documented == METRICS


def test_lag_and_uncertain_emails_are_measured():
    make.paper("Graph networks")
    for _ in range(3):
        make.subscriber(interests="graph networks")
    plan.plan(NOW)
    worker.deliver_due(lambda: NOW + MINUTE)
    slowest = Letter.objects.last()
    Letter.objects.filter(pk=slowest.pk).update(ended_at=NOW + 9 * MINUTE, repeats=1)
    slowest.events.create(at=NOW, old_state="transmitting", new_state="uncertain", attempt=1)
    stats = figures()
    lags = [stats["paperboy_letter_lag_seconds", quantile] for quantile in ("0.5", "0.99")]
    assert lags == [60, 540]
    names = ("accepted", "doubted", "repeated", "unknown")
    assert [stats[f"paperboy_letters_{name}_last_day"] for name in names] == [3, 1, 1, 0]
    assert stats["paperboy_digest_letters_two_days", "accepted"] == 3


def test_metrics_are_cached_and_need_few_queries(django_assert_max_num_queries, kept):
    with django_assert_max_num_queries(60):
        text = metrics.text()
    with django_assert_max_num_queries(0):
        assert metrics.text() == text


def test_failing_query_costs_only_its_metric(caplog):
    with refuse("digest_feedback"):
        stats = figures()
    assert ("paperboy_feedback_last_day", "more") not in stats
    assert stats["paperboy_subscribers", "active"] == 0
    assert "Metrics failed: last_day" in caplog.text


@pytest.mark.services
def test_queued_redis_messages_are_counted(monkeypatch):
    services.require("redis")
    app = Celery("here", broker="redis://127.0.0.1:6379/7", set_as_current=False)
    app.conf.broker_transport_options = {"global_keyprefix": f"test-{id(app)}:"}
    monkeypatch.setattr(metrics, "current_app", app)
    with app.connection_for_write() as broker:
        queue = broker.SimpleQueue("tick")
        queue.put("{}")
        assert figures()["paperboy_queue_length", "tick"] == 1
        queue.clear()
        queue.queue.delete()
