"""The Celery app and the static beat schedule, in UTC.

The database says what is due, so a lost, late or repeated message only changes when the work is
looked at next. Hence ids only, no results, no long ETAs, and a tick expires after a minute.
"""

import logging
import os

import django
from celery import Celery
from celery.schedules import crontab
from celery.signals import setup_logging
from django.apps import apps
from kombu.transport import TRANSPORT_ALIASES

from config.env import exit_on_bad_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


TRANSPORT_ALIASES |= dict.fromkeys(("redis", "rediss"), "config.redis_transport:Transport")
app = Celery("paperboy")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@app.on_configure.connect
def set_up(**kwargs):
    """Set up Django first: Celery would show a bad setting as a traceback."""
    if not apps.ready:
        with exit_on_bad_settings():
            django.setup()


@setup_logging.connect
def keep_log_settings(loglevel=None, **kwargs):
    """Log as LOGGING says: Celery's own format redacts nothing."""
    if loglevel is not None:
        logging.getLogger().setLevel(loglevel)


def _every_minute(task: str) -> dict:
    return {"task": task, "schedule": crontab(), "options": {"queue": "tick", "expires": 55}}


def _at(minute: int | str, task: str, expires: int) -> dict:
    return {"task": task, "schedule": crontab(minute=minute), "options": {"expires": expires}}


app.conf.beat_schedule = {
    "plan due digests": _every_minute("digest.tasks.plan_digests"),
    "send due emails": _every_minute("subscriptions.tasks.deliver_due_letters"),
    # Often, because the database says what is due: arXiv's lists come out by US Eastern time.
    "harvest due sources": _at("*/5", "digest.tasks.harvest_due_sources", 240),
    "learn from feedback": _at("*/5", "digest.tasks.learn_from_feedback", 240),
    "read Zotero libraries": _at("1-59/5", "digest.tasks.read_zotero_libraries", 240),
    "look up added papers": _at("*", "digest.tasks.read_added_papers", 50),
    "check alarms": _every_minute("digest.tasks.watch"),
    "update the search index": _at("4-59/10", "digest.tasks.update_search_index", 540),
    "embed new papers": _at("2-59/5", "digest.tasks.embed_new_papers", 240),
    # Each minute: a person may wait for their email to unsubscribe.
    "read bounces": _at("*", "digest.tasks.read_bounces", 50),
    "check rejections and invariants": _at("3-59/5", "digest.tasks.check_rarely", 240),
    "count daily statistics": _at("6-59/10", "digest.tasks.count_days", 540),
    "remind invited people": _at(27, "digest.tasks.remind_invited", 3000),
    "delete old rows": _at(17, "digest.tasks.delete_old_rows", 3000),
}
