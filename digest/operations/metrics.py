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


def _gauge(name, values, label="") -> Metric:
    """Return a gauge with one value, or with one for each value of its label."""
    metric = GaugeMetricFamily(f"paperboy_{name}", HELP[name], labels=[label] if label else [])
    if not label:
        values = {} if values is None else {"": values}
    for label_value, value in values.items():
        metric.add_metric([label_value] if label else [], value)
    return metric


# ---- Frequent metrics


def _letters(now):
    yield _gauge("letters", _counts(Letter.objects.open(), "state", Letter.OPEN), "state")
    oldest = Letter.objects.due(now).aggregate(at=Min("next_try_at"))["at"]
    yield _gauge("oldest_due_letter_seconds", _seconds(now, oldest or now))
    row = circuit_breaker.current()
    yield _gauge("sending_stopped", bool(row.stopped_at))
    yield _gauge("breaker_failures", row.failures)


def _planning(now):
    due = invariants.overdue(now, timedelta(0)).aggregate(count=Count("pk"), at=Min("next_due_at"))
    yield _gauge("digests_due", due["count"])
    yield _gauge("planning_lag_seconds", _seconds(now, due["at"] or now))
    last_tick = heartbeats.last_beat(heartbeats.TICK)
    yield _gauge("tick_age_seconds", _seconds(now, last_tick) if last_tick else None)


def _sources(now):
    daily = Harvest.objects.filter(since=None)
    failed, ages = {}, {}
    for source, run in health.last_harvests().items():
        if run is not None:
            failed[source] = run.state == Harvest.State.FAILED
        if success := daily.filter(source=source, state=Harvest.State.DONE).first():
            ages[source] = _seconds(now, success.touched_at)
    yield _gauge("harvest_age_seconds", ages, "source")
    yield _gauge("harvest_failed", failed, "source")
    if receipt := coverage.receipt(now):
        yield _gauge("papers_announced", receipt.announced)
        yield _gauge("papers_had", receipt.had)
        yield _gauge("papers_verified", receipt.is_verified)


def _alarms(now):
    yield _gauge("alarms", _counts(Alarm.objects.standing(), "name", alarms.names()), "name")


def _broker(now):
    sizes = _queue_lengths()
    yield _gauge("broker_up", sizes is not None)
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
    yield _gauge("disk_free_bytes", service.disk_of_data().free)


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
    lags = lags.order_by("lag").values_list("lag", flat=True)
    count = lags.count()
    name = "paperboy_letter_lag_seconds"
    summary = SummaryMetricFamily(name, HELP["letter_lag_seconds"])  # It alone has quantiles.
    for quantile, index in {"0.5": count // 2, "0.99": count * 99 // 100}.items():
        for lag in lags[index : index + 1]:
            summary.add_sample(name, {"quantile": quantile}, lag.total_seconds())
    yield summary
    # With the bounds, or a database that has to guess them reads the whole table.
    since = db.first_id_since(Letter, "created_at", now - DAY - db.SLACK)
    uncertain_events = LetterEvent.objects.filter(letter__gte=since, new_state=State.UNCERTAIN)
    unknown_letters = sent.filter(state=State.FAILED, reason__startswith=Letter.UNKNOWN)
    yield _gauge("letters_accepted_last_day", accepted.count())
    uncertain_letters = sent.filter(pk__in=uncertain_events.values("letter"))
    yield _gauge("letters_doubted_last_day", uncertain_letters.count())
    yield _gauge("letters_repeated_last_day", sent.filter(repeats__gt=0).count())
    yield _gauge("letters_unknown_last_day", unknown_letters.count())


# ---- Cache and text format

FREQUENT = [_letters, _planning, _sources, _alarms, _broker, _disk]
RARE = [_subscribers, _last_day, _deliveries]


def _frequent() -> list[Metric]:
    now = clock.database_now()
    return [metric for collect in FREQUENT for metric in collect(now)]


def _rare() -> list[Metric]:
    """Return these metrics, without those whose query failed."""
    metrics = []
    for collect in RARE:
        try:
            metrics += collect(clock.database_now())
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
