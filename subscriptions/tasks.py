"""Celery's door into the post office. A message is a hint: the letters say what is due."""

from celery import shared_task
from django.utils import timezone

from subscriptions.post import office


@shared_task
def deliver_letter(letter_id):
    office.deliver(letter_id, timezone.now())


@shared_task
def deliver_due_letters():
    """Take up what was left lying, and hint at every letter that is due."""
    office.sweep(timezone.now())
    for letter_id in office.due(timezone.now()):
        deliver_letter.delay(letter_id)
