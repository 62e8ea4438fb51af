"""Metrics for Prometheus: counts and ages, without personal data.

All but the free disk space come from the database, so that all processes report the same. Queries
use an index; those that read the rows of a day run every five minutes.
"""

import logging
import tomllib
from datetime import timedelta
from pathlib import Path

from celery import current_app
from django.conf import settings
from django.core.cache import caches
from django.db.models import Count, F, Min
from django.db.utils import Error
from kombu.exceptions import OperationalError
from kombu.transport import virtual
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric, SummaryMetricFamily

from digest.models import Alarm, Feedback, Harvest
from digest.operations import alarms, health, heartbeats, invariants
from digest.operations.checks import service
from digest.papers import coverage
from subscriptions import db
from subscriptions.delivery import circuit_breaker, clock
from subscriptions.models import Consent, Letter, LetterEvent, Subscriber

logger = logging.getLogger(__name__)

BROKER_SECONDS = 2
FREQUENT_SECONDS, RARE_SECONDS = 15, 300  # Until they are collected again.
DAY = timedelta(days=1)
State = Letter.State
HELP = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


def _gauge(name, values: dict[str, float], label="") -> Metric:
    """Return a gauge, with one value for each value of its label."""
    metric = GaugeMetricFamily(f"paperboy_{name}", HELP[name], labels=[label] if label else [])
    for label_value, value in values.items():
        metric.add_metric([label_value] if label else [], value)
    return metric


def _single(name, value) -> list[Metric]:
    """Return a gauge without a label, or none if the value is unknown."""
    return [] if value is None else [_gauge(name, {"": value})]


# ---- Frequent metrics


def _letters(now):
    yield _gauge("letters", _counts(Letter.objects.open(), "state", Letter.OPEN), "state")
    oldest = Letter.objects.due(now).aggregate(at=Min("next_try_at"))["at"]
    yield from _single("oldest_due_letter_seconds", _seconds(now, oldest) if oldest else 0)
    row = circuit_breaker.current()
    yield from _single("sending_stopped", bool(row.stopped_at))
    yield from _single("breaker_failures", row.failures)


def _planning(now):
    due = invariants.overdue(now, timedelta(0)).aggregate(count=Count("pk"), at=Min("next_due_at"))
    yield from _single("digests_due", due["count"])
    yield from _single("planning_lag_seconds", _seconds(now, due["at"]) if due["at"] else 0)
    last_tick = heartbeats.last_beat(heartbeats.TICK)
    yield from _single("tick_age_seconds", _seconds(now, last_tick) if last_tick else None)


def _sources(now):
    last_runs = health.last_harvests()
    successes = Harvest.objects.filter(since=None, state=Harvest.State.DONE)
    last_successes = {source: successes.filter(source=source).first() for source in last_runs}
    ages = {name: _seconds(now, run.touched_at) for name, run in last_successes.items() if run}
    failed = {name: run.state == Harvest.State.FAILED for name, run in last_runs.items() if run}
    yield _gauge("harvest_age_seconds", ages, "source")
    yield _gauge("harvest_failed", failed, "source")
    if (receipt := coverage.receipt(now)) is not None:
        yield from _single("papers_announced", receipt.announced)
        yield from _single("papers_had", receipt.had)
        yield from _single("papers_verified", receipt.is_verified)


def _alarms(now):
    yield _gauge("alarms", _counts(Alarm.objects.standing(), "name", alarms.names()), "name")


def _broker(now):
    sizes = _queue_lengths()
    yield from _single("broker_up", sizes is not None)
    yield _gauge("queue_length", sizes or {}, "queue")


def _queue_lengths():
    """Return the number of messages in each queue, or None if the broker does not answer."""
    options = {"socket_timeout": BROKER_SECONDS, "socket_connect_timeout": BROKER_SECONDS}
    names = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    names.add(settings.CELERY_TASK_DEFAULT_QUEUE)
    with current_app.connection_for_read(transport_options=options) as connection:
        try:
            connection.ensure_connection(max_retries=0, timeout=BROKER_SECONDS)
            channel = connection.default_channel
            if not isinstance(channel, virtual.Channel):
                return {}  # Other brokers report it themselves.
            # A passive declaration would ignore the prefix of the keys.
            return {name: channel._size(name) for name in sorted(names)}
        except (OperationalError, *connection.connection_errors):
            return None


def _disk(now):
    yield from _single("disk_free_bytes", service.disk_of_data().free)


# ---- Rare metrics


def _subscribers(now):
    yield _gauge("subscribers", Subscriber.objects.count_by_state(now), "state")


def _last_day(now):
    since = now - DAY
    consents = db.rows_since(Consent, "at", since)
    feedback = Feedback.objects.filter(at__gte=since)
    yield _gauge("consents_last_day", _counts(consents, "act", Consent.Act), "act")
    yield _gauge("feedback_last_day", _counts(feedback, "value", Feedback.Value), "value")


def _counts(rows, field, choices):
    return dict.fromkeys(choices, 0) | dict(rows.values_list(field).annotate(Count("pk")))


def _deliveries(now):
    recent_letters = db.rows_since(Letter, "created_at", now - 8 * DAY).filter(day__isnull=False)
    newest_days = recent_letters.order_by("-day").values_list("day", flat=True).distinct()[:2]
    newest_letters = recent_letters.order_by().filter(day__in=list(newest_days))
    yield _gauge("digest_letters_two_days", _counts(newest_letters, "state", State), "state")
    letters = db.rows_since(Letter, "created_at", now - DAY).order_by()
    accepted, sent = letters.filter(state=State.ACCEPTED), letters.filter(left_at__isnull=False)
    lags = accepted.filter(day__isnull=False).annotate(lag=F("ended_at") - F("created_at"))
    lags, count = lags.order_by("lag").values_list("lag", flat=True), lags.count()
    summary = SummaryMetricFamily(  # No other type may have quantiles.
        "paperboy_letter_lag_seconds",
        "Time from planning to acceptance by the mail server, in 24 hours.",
    )
    for quantile, index in {"0.5": count // 2, "0.99": count * 99 // 100}.items():
        for lag in lags[index : index + 1]:
            summary.add_sample(summary.name, {"quantile": quantile}, lag.total_seconds())
    yield summary
    # With the bounds, or a database that has to guess them reads the whole table.
    since = db.first_id_since(Letter, "created_at", now - DAY - db.SLACK)
    uncertain_events = LetterEvent.objects.filter(letter__gte=since, new_state=State.UNCERTAIN)
    unknown_letters = sent.filter(state=State.FAILED, reason__startswith=Letter.UNKNOWN)
    yield from _single("letters_accepted_last_day", accepted.count())
    uncertain_letters = sent.filter(pk__in=uncertain_events.values("letter"))
    yield from _single("letters_doubted_last_day", uncertain_letters.count())
    yield from _single("letters_repeated_last_day", sent.filter(repeats__gt=0).count())
    yield from _single("letters_unknown_last_day", unknown_letters.count())


# ---- Cache and text format

FREQUENT = [_letters, _planning, _sources, _alarms, _broker, _disk]
RARE = [_subscribers, _last_day, _deliveries]


def _frequent() -> list[Metric]:
    now = clock.database_now()
    return [metric for collect in FREQUENT for metric in collect(now)]


def _rare() -> list[Metric]:
    """Return these metrics, without those whose query failed."""
    now, metrics = clock.database_now(), []
    for collect in RARE:
        try:
            metrics += collect(now)
        except Error:
            logger.exception("Metrics failed: %s", collect.__name__.strip("_"))
    return metrics


class Figures:
    def collect(self) -> list[Metric]:
        cache = caches["pages"]
        frequent = cache.get_or_set("frequent-metrics", _frequent, FREQUENT_SECONDS)
        return frequent + cache.get_or_set("rare-metrics", _rare, RARE_SECONDS)


def text() -> bytes:
    """Return all metrics in Prometheus's text format 0.0.4. Raises the database's Error."""
    registry = CollectorRegistry()
    registry.register(Figures())
    return generate_latest(registry)


def _seconds(now, moment):
    return max(0.0, (now - moment).total_seconds())
