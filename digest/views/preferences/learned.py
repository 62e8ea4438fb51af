"""The page of what was learned from a subscriber's feedback."""

from dataclasses import replace
from datetime import UTC, timedelta

from django.core.paginator import Paginator
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from digest import tasks
from digest.personalization.feedback import (
    known_paper_ids,
    learned_words,
    remove_word,
    removed_words,
    restore_word,
    set_learning,
)
from digest.planning import slots
from digest.views.access import bad_request, token_page
from subscriptions import schedule
from subscriptions.security import tokens
from subscriptions.tasks import enqueue

FEEDBACK_PAGE = 50
MAX_SIMILAR = 10
SIMILAR_DAYS = timedelta(days=7)  # A first digest may have older papers as well.


@token_page
def learned(request, token):
    """What was learned from feedback. POST removes or restores a word, or switches learning."""
    subscriber = tokens.subscriber_of("preferences", token)
    if request.method == "POST":
        params = request.POST
        if term := params.get("remove", ""):
            remove_word(subscriber, term)
            action = "remove"
        elif term := params.get("restore", ""):
            restore_word(subscriber, term)
            action = "restore"
        elif (action := params.get("learning")) in ("on", "off"):
            set_learning(subscriber, action == "on")
        else:
            return bad_request(request, _("There is no such action."))
        enqueue(tasks.learn_from_feedback)
        return redirect(f"{reverse('learned', args=[token])}?done={action}")
    messages = {
        "remove": _("Removed. You can restore it below."),
        "restore": _("Restored."),
        "on": _("Personalization is on."),
        "off": _("Personalization is off."),
    }
    feedback = subscriber.feedback.select_related("paper").order_by("-at", "-pk")
    words = learned_words(subscriber)
    context = {
        "subscriber": subscriber,
        "token": token,
        "feedback_token": tokens.own_token("feedback", subscriber),
        "words": sorted(words, key=lambda word: (word["weight"] < 0, -abs(word["weight"]))),
        "removed": removed_words(subscriber),
        "in_library": subscriber.library.count(),
        "feedback_page": Paginator(feedback, FEEDBACK_PAGE).get_page(request.GET.get("page")),
        "similar_papers": _similar_papers(subscriber, timezone.now()),
        "done": messages.get(request.GET.get("done"), ""),
    }
    return render(request, "digest/preferences/learned.html", context)


def _similar_papers(subscriber, now) -> str:
    """Return the papers of the last seven days that the subscriber's feedback alone would pick.

    Empty without feedback, or without a model.
    """
    # The model and numpy, which only processes that rank import.
    from digest.indexing import model_store
    from digest.personalization.profiles import profiles_of
    from digest.planning import preview

    (profile,) = profiles_of([subscriber])
    if profile.learned is None:
        return ""
    profile = replace(profile, follows=(), has_enough_liked=True, size=MAX_SIMILAR)
    try:
        with slots.slot():
            first_digest = preview.first_digest(profile, now, known_paper_ids(subscriber))
            preview.add_picks(first_digest)
    except model_store.NotFitted:
        return ""
    except slots.Busy:
        return render_to_string("digest/preferences/_similar_papers.html", {"is_busy": True})
    first_day = schedule.local_day(now, UTC) - SIMILAR_DAYS
    picks = [pick for pick in first_digest.picks if pick.paper.day > first_day]
    return render_to_string("digest/preferences/_similar_papers.html", {"picks": picks})
