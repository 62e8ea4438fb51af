"""A subscriber's data as they can take it with them: all of it, except the ids that link tables."""

from collections import defaultdict

from django.db.models import F, QuerySet

from subscriptions import hooks, models, schedule


def export(subscriber: models.Subscriber) -> dict:
    """Return all data about the subscriber by name, ready for JSON."""
    (data,) = rows(models.Subscriber.objects.filter(pk=subscriber.pk), omitted=("secret",))
    letters = rows(subscriber.letters, "pk", omitted=("mime_offset", "mime_size"))
    for name, model in (("events", models.LetterEvent), ("facts", models.LetterFact)):
        rows_by_letter = defaultdict(list)
        for row in rows(model.objects.filter(letter__subscriber=subscriber), "letter_id"):
            rows_by_letter[row.pop("letter_id")].append(row)
        for letter in letters:
            letter[name] = rows_by_letter[letter["pk"]]
    for letter in letters:
        del letter["pk"]
    messages = models.Message.objects.filter(letters__subscriber=subscriber).distinct()
    topic_fields = {"topic_name": F("topic__name"), "query": F("topic__query")}
    data |= {
        "weekdays": schedule.weekday_names(subscriber.weekdays),
        "preferences": rows(subscriber.preferences, **topic_fields),
        "own_topics": rows(subscriber.own_topics),
        "consents": rows(subscriber.consents),
        "letters": letters,
        "messages": rows(messages, omitted=("written_by", "receivers", "last_subscriber")),
        "groups": rows(subscriber.memberships, group_name=F("group__name")),
        "list_of_groups": rows(models.Group.objects.filter(mailing_list=subscriber)),
        "invitation": rows(models.Invitation.objects.filter(subscriber=subscriber)),
        "move": rows(models.Move.objects.filter(subscriber=subscriber)),
        "api_token": rows(models.ApiToken.objects.filter(subscriber=subscriber), omitted=("hash",)),
    }
    for exporter in hooks.exporters:
        data |= exporter(subscriber)
    return data


def rows(queryset: QuerySet, *related: str, omitted: tuple[str, ...] = (), **aliases) -> list[dict]:
    """Return the rows in their order of creation, ready for JSON, without keys and relations.

    `related` and `aliases` add fields of related rows, as for QuerySet.values.
    """
    names = [
        field.name
        for field in queryset.model._meta.concrete_fields
        if not field.is_relation and not field.primary_key and field.name not in omitted
    ]
    return list(queryset.order_by("pk").values(*names, *related, **aliases))
