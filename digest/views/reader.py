"""The home page, topics, a digest on the web, feedback, explanations, and the service's health."""

from urllib.parse import urlencode

from django.conf import settings
from django.core.paginator import Paginator
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from digest import tasks
from digest.models import Digest, Feedback, Paper
from digest.personalization.feedback import (
    learned_words,
    record,
    remove_word,
    removed_words,
    restore_word,
    set_learning,
    value_of,
)
from digest.views import preference_panels
from subscriptions import schedule
from subscriptions.models import Subscriber
from subscriptions.security import tokens
from subscriptions.tasks import enqueue
from subscriptions.views.access import bad_request, token_page

FEEDBACK_PAGE = 50


@token_page
def digest(request, token):
    """A digest on the web. Its link allows feedback for the subscriber, but nothing else."""
    try:
        public_id, since = tokens.parse_token("digest", token)
        digest = Digest.objects.select_related("subscriber").get(public_id=public_id)
    except (tokens.BadToken, Digest.DoesNotExist):
        return bad_link(request)
    tokens.raise_if_closed(digest.subscriber, since)
    context = {
        "digest": digest,
        "picks": digest.picks.whole(),
        "feedback_token": tokens.own_token("feedback", digest.subscriber),
    }
    return render(request, "digest/digest.html", context)


@token_page
def feedback(request, token):
    """GET asks for feedback on a paper, POST stores it.

    `back` is the token of the page of saved papers, to redirect to it. This page has no link there:
    whoever has the link of a digest on the web has this token as well, and may neither see nor
    change anything else.
    """
    subscriber = holder_of(token, "feedback")
    if subscriber is None:
        return bad_link(request)
    is_post = request.method == "POST"
    if not is_post and not request.GET:  # The link without a paper.
        return render(request, "digest/feedback.html")
    sent = request.POST if is_post else request.GET
    paper_id = sent.get("paper", "").replace("\0", "")  # PostgreSQL refuses NUL.
    paper = Paper.objects.filter(pk=paper_id).first()
    value = sent.get("value", "")  # Emails with one link for each paper have none.
    is_known = value in (*Feedback.Value, "clear") or not (value or is_post)
    if paper is None or not is_known:
        return bad_request(request, _("There is no such paper, or no such value."))
    cleared = value_of(subscriber, paper) if value == "clear" else ""
    if is_post:
        leads_back = "back" in sent and holder_of(sent["back"], "preferences") == subscriber
        try:
            record(subscriber, paper, value, timezone.now())
        except Subscriber.DoesNotExist:  # Erased at the same time.
            return bad_link(request)
        enqueue(tasks.learn_from_feedback)
        if leads_back:
            page = sent.get("page", "")
            query = {"page": page if page.isdecimal() else "", "paper": paper.pk}
            return redirect(f"{reverse('saved', args=[sent['back']])}?{urlencode(query)}")
    current = value_of(subscriber, paper)
    is_change = request.method == "GET" and (value or current) != current
    context = {
        "paper": paper,
        "value": value,
        "said": current,
        "taken": cleared,
        "told": "" if is_change else current,  # Else the page asks for the new value.
        "subscriber": subscriber,
        "gets_digests": subscriber.state_at(timezone.now()) in ("active", "paused"),
    }
    return render(request, "digest/feedback.html", context)


@token_page
def learned(request, token):
    """What was learned from feedback. POST removes or restores a word, or switches learning."""
    subscriber = holder_of(token, "preferences")
    if subscriber is None:
        return bad_link(request)
    if request.method == "POST":
        sent = request.POST
        if term := sent.get("remove", ""):
            remove_word(subscriber, term)
            done = "remove"
        elif term := sent.get("restore", ""):
            restore_word(subscriber, term)
            done = "restore"
        elif (done := sent.get("learning")) in ("on", "off"):
            set_learning(subscriber, done == "on")
        else:
            return bad_request(request, _("There is no such action."))
        enqueue(tasks.learn_from_feedback)
        return redirect(f"{reverse('learned', args=[token])}?done={done}")
    messages = {
        "remove": _("Taken out. Further down, you can let it count again."),
        "restore": _("It counts again."),
        "on": _("Learning is switched on."),
        "off": _("Learning is switched off."),
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
        "said": Paginator(feedback, FEEDBACK_PAGE).get_page(request.GET.get("page")),
        "alike": preference_panels.alike(subscriber, timezone.now()),
        "done": messages.get(request.GET.get("done"), ""),
    }
    return render(request, "digest/learned.html", context)


@require_safe
@token_page
def why(request, token):
    """Why one paper is, or is not, in a subscriber's digest."""
    from digest.planning import explain  # The model and numpy, which only pages that rank import.

    subscriber = holder_of(token, "preferences")
    if subscriber is None:
        return bad_link(request)
    asked = request.GET.get("paper", "").strip()
    now = timezone.now()
    day = schedule.local_day(now, subscriber.zone)
    context = {
        "token": token,
        "gets_digests": subscriber.state_at(now) == "active",
        "asked": asked,
        "answer": explain.explain(subscriber, asked, day, now) if asked else None,
        "new_days": settings.NEW_DAYS,
        "size": subscriber.size,
    }
    return render(request, "digest/why.html", context)


def holder_of(token, purpose):
    """Return the subscriber of a token for this purpose, or None.

    Raises links.ClosedToken, which token_page handles.
    """
    try:
        return tokens.subscriber_of(purpose, token)
    except (tokens.BadToken, Subscriber.DoesNotExist):
        return None


def bad_link(request):
    return render(request, "subscriptions/bad_link.html", status=404)
