"""Celery's door into the post office. A message is a hint: the letters say what is due."""

from celery import shared_task
from django.utils import timezone

from subscriptions.post import office

HINTS = 10_000  # In one pass: more letters than workers deliver until the next.
SECONDS = 60  # Between two passes.


@shared_task
def deliver_letter(letter_id):
    office.deliver(letter_id, timezone.now())


@shared_task
def deliver_due_letters():
    """Take up what was left lying, and hint at every letter that is due.

    Nothing tells which of them were hinted at before: those that still wait are hinted at again in
    each pass. So a hint expires when the next pass comes, or slow workers would drown in them.
    """
    office.sweep(timezone.now())
    for letter_id in office.due(timezone.now(), limit=HINTS):
        deliver_letter.apply_async([letter_id], expires=SECONDS)
