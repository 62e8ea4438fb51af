"""Celery's door into this room: a task takes ids at most, and calls one function."""

from celery import shared_task
from django.utils import timezone


@shared_task
def plan_digests():
    from digest import planning  # scikit-learn's import, which only workers pay.
    from subscriptions.tasks import deliver_due_letters

    if planning.plan(timezone.now()).letters:
        deliver_due_letters.delay()


@shared_task
def fit_model():
    from digest import fitting

    fitting.fit(timezone.now())
