"""What the digest app does when a subscription changes. Registered in DigestConfig.ready."""

from django.db.models import F

from digest import models
from digest.wording import reason_of
from subscriptions.actions.export import rows
from subscriptions.models import Letter


def release_picks(letter_ids):
    """Release the papers of letters that were surely not sent, for later digests."""
    models.Pick.objects.filter(digest__letter__in=letter_ids).delete()


def export(subscriber):
    """Return the digests, papers, feedback and library of a subscriber, and what was learned."""
    learned = models.ReaderModel.objects.filter(subscriber=subscriber)
    zotero = models.ZoteroLibrary.objects.filter(subscriber=subscriber)
    model = learned.first() or models.ReaderModel()
    return {
        "digests": rows(models.Digest.objects.filter(subscriber=subscriber)),
        "papers": _papers(subscriber),
        "feedback": rows(subscriber.feedback, "paper"),
        "added_papers": rows(models.AddedPaper.objects.filter(topic__owner=subscriber)),
        "library": rows(subscriber.library),
        "zotero_library": rows(zotero, omitted=("secret",)),
        "library_upload": rows(models.LibraryUpload.objects.filter(subscriber=subscriber)),
        "learned": [list(pair) for pair in zip(model.words, model.weights, strict=True)],
        "taken_out": list(model.removed.values()),
        "reader_model": rows(learned),
        "recommendations_sent": rows(subscriber.recommendations_sent, "paper"),
        "recommendations_received": rows(subscriber.recommendations.valid(), "paper"),
    }


def _papers(subscriber):
    """Return the papers that were sent, each with its day and the reason in words."""
    picks = models.Pick.objects.filter(subscriber=subscriber)
    reasons = {pick.pk: reason_of(pick) for pick in picks.select_related("paper")}
    other_fields = {
        "day": F("digest__day"),
        "title": F("paper__title"),
        "folded_into": F("leader__paper"),
    }
    sent = rows(picks, "pk", "paper", **other_fields)
    return [row | {"why": reasons[row.pop("pk")]} for row in sent]


def forget_recommendations(subscriber):
    """Delete what an erased subscriber recommended, with their name in the receivers' digests."""
    for recommendation in subscriber.recommendations_sent.all():
        recommendation.forget()


def news_of_saved(subscriber, digest) -> list[models.PaperEvent]:
    """Return what happened to a subscriber's saved papers since their last accepted digest."""
    saved = models.Feedback.objects.saved().filter(subscriber=subscriber)
    events = models.PaperEvent.objects.filter(paper__in=saved.values("paper"))
    digests = models.Digest.objects.filter(subscriber=subscriber).exclude(pk=digest.pk)
    accepted = digests.filter(letter__state=Letter.State.ACCEPTED).order_by("-letter__ended_at")
    last_frozen_at = accepted.values_list("letter__frozen_at", flat=True).first()
    if last_frozen_at is not None:
        events = events.filter(at__gt=last_frozen_at)
    return list(events.select_related("paper").order_by("at", "pk")[:20])
