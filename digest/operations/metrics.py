"""Metrics for Prometheus: counts and ages, without personal data.

All but the free disk space come from the database, so that all processes report the same. Queries
use an index; those that read the rows of a day run every five minutes.
"""

import logging
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from celery import current_app
from django.conf import settings
from django.core.cache import caches
from django.db.models import Count, F, Min
from django.db.utils import Error
from kombu.exceptions import OperationalError
from kombu.transport import virtual
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from digest.models import Alarm, Feedback, Harvest
from digest.operations import alarms, health, heartbeats, invariants
from digest.operations.checks import DAY, service
from digest.papers import coverage
from subscriptions import db
from subscriptions.delivery import circuit_breaker, clock
from subscriptions.models import Consent, Letter, LetterEvent, Subscriber

logger = logging.getLogger(__name__)

BROKER_SECONDS = 2
FREQUENT_SECONDS, RARE_SECONDS = 15, 300  # Until they are collected again.
State = Letter.State
TEXTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


# ---- Frequent metrics


def _frequent():
    now = clock.database_now()
    due_letters = Letter.objects.due(now).aggregate(at=Min("next_try_at"))
    sending = circuit_breaker.current()
    overdue = invariants.overdue(now, timedelta(0)).aggregate(
        count=Count("pk"), at=Min("next_due_at")
    )
    last_tick = heartbeats.last_beat(heartbeats.TICK)
    receipt = coverage.receipt(now)
    successes = health.last_harvests(state=Harvest.State.DONE)
    queue_lengths = _queue_lengths()
    return {
        "letters": _counts(Letter.objects.open(), "state", Letter.OPEN),
        "oldest_due_letter_seconds": _seconds(now, due_letters["at"] or now),
        "sending_stopped": bool(sending.stopped_at),
        "breaker_failures": sending.failures,
        "digests_due": overdue["count"],
        "planning_lag_seconds": _seconds(now, overdue["at"] or now),
        "tick_age_seconds": last_tick and _seconds(now, last_tick),
        "harvest_age_seconds": {
            source: _seconds(now, run.touched_at) for source, run in successes.items() if run
        },
        "harvest_failed": {
            source: run.state == Harvest.State.FAILED
            for source, run in health.last_harvests().items()
            if run
        },
        "papers_announced": receipt and receipt.announced,
        "papers_had": receipt and receipt.had,
        "papers_verified": receipt and receipt.is_verified,
        "alarms": _counts(Alarm.objects.standing(), "name", alarms.names()),
        "broker_up": queue_lengths is not None,
        "queue_length": queue_lengths or {},
        "disk_free_bytes": service.disk_of_data().free,
    }


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


# ---- Rare metrics


def _subscribers(now):
    return {"subscribers": Subscriber.objects.count_by_state(now)}


def _last_day(now):
    consents = db.rows_since(Consent, "at", now - DAY)
    feedback = Feedback.objects.filter(at__gte=now - DAY)
    return {
        "consents_last_day": _counts(consents, "act", Consent.Act),
        "feedback_last_day": _counts(feedback, "value", Feedback.Value),
    }


def _deliveries(now):
    digests = db.rows_since(Letter, "created_at", now - 8 * DAY).filter(day__isnull=False)
    newest_days = digests.order_by("-day").values_list("day", flat=True).distinct()[:2]
    newest_digests = digests.order_by().filter(day__in=list(newest_days))
    letters = db.rows_since(Letter, "created_at", now - DAY).order_by()
    accepted = letters.filter(state=State.ACCEPTED)
    sent = letters.filter(left_at__isnull=False)
    lags = accepted.filter(day__isnull=False).annotate(lag=F("ended_at") - F("created_at"))
    lags = lags.order_by("lag").values_list("lag", flat=True)
    count = lags.count()
    ranks = {"0.5": count // 2, "0.99": count * 99 // 100} if count else {}
    # With the bounds, or a database that has to guess them reads the whole table.
    since = db.first_id_since(Letter, "created_at", now - DAY - db.SLACK)
    uncertain_events = LetterEvent.objects.filter(letter__gte=since, new_state=State.UNCERTAIN)
    unknown_letters = sent.filter(state=State.FAILED, reason__startswith=Letter.UNKNOWN)
    return {
        "digest_letters_two_days": _counts(newest_digests, "state", State),
        "letter_lag_seconds": {
            quantile: lags[rank].total_seconds() for quantile, rank in ranks.items()
        },
        "letters_accepted_last_day": accepted.count(),
        "letters_doubted_last_day": sent.filter(pk__in=uncertain_events.values("letter")).count(),
        "letters_repeated_last_day": sent.filter(repeats__gt=0).count(),
        "letters_unknown_last_day": unknown_letters.count(),
    }


def _counts(rows, field, choices):
    return dict.fromkeys(choices, 0) | dict(rows.values_list(field).annotate(Count("pk")))


def _seconds(now, moment):
    return max(0.0, (now - moment).total_seconds())


# ---- Cache and text format


def _rare():
    """Return these metrics, without those whose query failed."""
    now = clock.database_now()
    values = {}
    for collect in (_subscribers, _last_day, _deliveries):
        try:
            values |= collect(now)
        except Error:
            logger.exception("Metrics failed: %s", collect.__name__.strip("_"))
    return values


class Figures(Collector):
    def collect(self) -> Iterator[Metric]:
        for collect, seconds in ((_frequent, FREQUENT_SECONDS), (_rare, RARE_SECONDS)):
            key = f"metrics{collect.__name__}"
            values = caches["pages"].get_or_set(key, collect, seconds)
            for name, value in values.items():
                yield _metric(name, value)


def _metric(name, value) -> Metric:
    """Return a metric with one value, or with one for each value of its label."""
    label = TEXTS["labels"].get(name, "")
    # It alone has quantiles.
    kind = "summary" if label == "quantile" else "gauge"
    metric = Metric(f"paperboy_{name}", TEXTS["help"][name], kind)
    values = value if label else {"": value}
    for label_value, number in values.items():
        if number is not None:
            metric.add_sample(metric.name, {label: label_value} if label else {}, number)
    return metric


def text() -> bytes:
    """Return all metrics in Prometheus's text format 0.0.4. Raises the database's Error."""
    return generate_latest(Figures())
