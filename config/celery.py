"""The Celery app and the beat schedule: static, in UTC, in git.

Messages are hints. The database says what is due, so a message that is lost, late or doubled
changes nothing but when the work is looked at next. Hence ids only, no results, no long ETAs, and
a tick that outlived its minute is thrown away (`expires`).
"""

import inspect
import logging
import os

import django
from celery import Celery, Task
from celery.schedules import crontab
from celery.signals import setup_logging
from django.apps import apps
from kombu.transport import TRANSPORT_ALIASES

from config.starting import refusals_told

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


class Hint(Task):
    """A task that leaves out what it does not know of a message.

    While a new version is installed, workers of the old one get messages that may say more.
    """

    def __call__(self, *args, **kwargs):
        if self.request.called_directly:
            return super().__call__(*args, **kwargs)
        known = inspect.signature(self.run).parameters
        kwargs = {name: value for name, value in kwargs.items() if name in known}
        return self.run(*args[: len(known)], **kwargs)


TRANSPORT_ALIASES |= dict.fromkeys(("redis", "rediss"), "config.broker:Transport")
app = Celery("paperboy", task_cls=Hint)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@app.on_configure.connect
def set_up(**kwargs):
    """Begin with Django, where Celery is the program: it would tell of a setting in a traceback."""
    if not apps.ready:
        with refusals_told():
            django.setup()


@setup_logging.connect
def keep_our_log(loglevel=None, **kwargs):
    """Let Celery log as Django was told to, and not in a form of its own, which redacts nothing."""
    if loglevel is not None:
        logging.getLogger().setLevel(loglevel)


def _every_minute(task: str) -> dict:
    return {"task": task, "schedule": crontab(), "options": {"queue": "tick", "expires": 55}}


def _at(minute: int | str, task: str, expires: int) -> dict:
    return {"task": task, "schedule": crontab(minute=minute), "options": {"expires": expires}}


app.conf.beat_schedule = {
    "plan the digests that are due": _every_minute("digest.tasks.plan_digests"),
    "deliver the letters that are due": _every_minute("subscriptions.tasks.deliver_due_letters"),
    # Often, because the database says what is due: arXiv's lists come out by US Eastern time.
    "ask the sources that are due": _at("*/5", "digest.tasks.harvest_due_sources", 240),
    "learn from what readers said of papers": _at("*/5", "digest.tasks.learn_from_feedback", 240),
    "see what is wrong": _every_minute("digest.tasks.watch"),
    "let new papers be found": _at("4-59/10", "digest.tasks.keep_archive", 540),
    "embed new papers": _at("2-59/5", "digest.tasks.embed_new_papers", 240),
    "read what came back by mail": _at("3-59/5", "digest.tasks.read_what_came_back", 240),
    "see that the promises are kept": _at("2-59/5", "digest.tasks.check_promises", 240),
    "see that older letters keep them": _at(37, "digest.tasks.check_older_promises", 3000),
    "see that digests are let in": _at("3-59/5", "digest.tasks.check_refusals", 240),
    "count what the days are like": _at("6-59/10", "digest.tasks.count_days", 540),
    "throw old rows away": _at(17, "digest.tasks.throw_old_away", 3000),
}
