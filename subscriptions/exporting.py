"""A reader's data as she takes it with her: whole, but for the numbers that link tables."""

from collections import defaultdict

from django.db.models import F, QuerySet

from subscriptions import registry, schedule
from subscriptions.models import LetterEvent, LetterFact, Move, Subscriber


def export(subscriber: Subscriber) -> dict:
    """Return all that is kept about her, by name, ready for JSON."""
    (own,) = rows(Subscriber.objects.filter(pk=subscriber.pk))
    own["weekdays"] = schedule.named(subscriber.weekdays)
    topic = {"topic_name": F("topic__name"), "query": F("topic__query")}
    own |= {
        "preferences": rows(subscriber.preferences, **topic),
        "own_topics": rows(subscriber.own_topics),
        "consents": rows(subscriber.consents),
        "letters": _letters(subscriber),
        "move": rows(Move.objects.filter(subscriber=subscriber)),
    }
    for exporter in registry.exporters:
        own |= exporter(subscriber)
    return own


def rows(queryset: QuerySet, *more: str, without: tuple[str, ...] = (), **named) -> list[dict]:
    """Return all that is kept in these rows, in their order of writing, ready for JSON.

    What belongs to another row is left to `more` and `named`, as for QuerySet.values.
    """
    own = [
        field.name
        for field in queryset.model._meta.concrete_fields
        if not field.is_relation and not field.primary_key and field.name not in without
    ]
    return list(queryset.order_by("pk").values(*own, *more, **named))


def _letters(subscriber):
    """Return her letters, each with its steps, and with what came back of it."""
    parts = {"events": LetterEvent, "facts": LetterFact}
    found = {name: defaultdict(list) for name in parts}
    for name, model in parts.items():
        for row in rows(model.objects.filter(letter__subscriber=subscriber), "letter_id"):
            found[name][row.pop("letter_id")].append(row)
    letters = rows(subscriber.letters, "pk", without=("mime_at", "mime_size"))
    for letter in letters:
        pk = letter.pop("pk")
        letter |= {name: found[name][pk] for name in parts}
    return letters
