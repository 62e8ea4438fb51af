"""A subscriber's digests on the web, their feedback on papers, and explanations."""

from datetime import date, timedelta
from urllib.parse import quote, urlencode

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from django.views.decorators.http import require_safe

from digest import tasks, wording
from digest.interests import entries
from digest.models import Digest, Paper, Pick
from digest.papers.identifiers import find_paper
from digest.personalization import recommendations
from digest.personalization.feedback import (
    VALUES,
    apply_value,
    attach,
    feedback_on,
    record,
)
from digest.ranking.text import terms
from digest.views.access import bad_request, token_page
from subscriptions import schedule
from subscriptions.actions.preferences import follow
from subscriptions.models import Letter, Subscriber
from subscriptions.security import rate_limits, tokens
from subscriptions.tasks import enqueue

DIGESTS_PAGE = 50
#: Links of a younger email only ask: mail scanners that run scripts open them then.
SCANNER_DELAY = timedelta(minutes=5)

#: What the page of feedback says, by value: its question, its button, and that it is done.
FEEDBACK_TEXTS = {
    "more": (_("More like this?"), _("More like this"), _("More like this")),
    "less": (_("Less like this?"), _("Less like this"), _("Less like this")),
    "save": (_("Save this paper?"), pgettext_lazy("paper", "Save"), _("Saved")),
    "neutral": (_("Undo your feedback?"), _("Undo feedback"), _("Feedback removed")),
    "unsave": (
        _("Remove from your reading list?"),
        _("Remove"),
        _("Removed from your reading list"),
    ),
}
FEEDBACK_TEXTS["clear"] = FEEDBACK_TEXTS["neutral"]
#: Of picks whose score is a probability.
CALIBRATED = Pick.Basis.TOPIC, Pick.Basis.ADDED
MAX_BAD_LINKS_AN_HOUR = 30  # Of short links, for each network in an hour.


@token_page
def digest(request, token):
    """A digest on the web. Its link allows feedback for the subscriber, but nothing else."""
    public_id, bound_at = tokens.parse_token("digest", token)
    digest = Digest.objects.select_related("subscriber").filter(public_id=public_id).first()
    if digest is None:
        raise tokens.BadToken
    tokens.raise_if_closed(digest.subscriber, bound_at)
    return _digest_page(request, digest.subscriber, digest)


@require_safe
@token_page
def today(request, token):
    """The subscriber's latest digest, or with `?day`, the one of that day."""
    subscriber = tokens.subscriber_of("preferences", token)
    digests = sent_digests(subscriber)
    try:
        digest = digests.filter(day=date.fromisoformat(request.GET["day"])).first()
    except (KeyError, ValueError):
        digest = None
    return _digest_page(request, subscriber, digest or digests.first(), token=token)


def _digest_page(request, subscriber, digest, **context):
    now = timezone.now()
    picks = attach(subscriber, digest.picks.with_papers()) if digest else []
    context |= {
        "digest": digest,
        "picks": picks,
        "sections": wording.sections(picks),
        "feedback_token": tokens.own_token("feedback", subscriber),
        "subscriber": subscriber,
        "state": subscriber.state_at(now),
        "today": schedule.local_day(now, subscriber.zone),
        "recommend_token": recommend_token(subscriber, context.get("token", "")),
    }
    return render(request, "digest/digest.html", context)


@require_safe
@token_page
def history(request, token):
    """The digests that a subscriber was sent, the latest first."""
    subscriber = tokens.subscriber_of("preferences", token)
    page = Paginator(sent_digests(subscriber), DIGESTS_PAGE).get_page(request.GET.get("page"))
    best_picks = Pick.objects.filter(digest__in=list(page), position=1)
    titles = dict(best_picks.values_list("digest_id", "paper__title"))
    rows = [
        {"day": digest.day, "title": titles.get(digest.pk, ""), "more": digest.count - 1}
        for digest in page
    ]
    return render(request, "digest/history.html", {"token": token, "page": page, "rows": rows})


def sent_digests(subscriber):
    """Return the accepted digests that have papers, each with their `count`, the latest first."""
    count = Count("picks", filter=Q(picks__leader=None))
    accepted = Digest.objects.filter(subscriber=subscriber, letter__state=Letter.State.ACCEPTED)
    return accepted.annotate(count=count).filter(count__gt=0).order_by("-day")


@require_safe
@token_page
def short_link(request, token, position=None):
    """Redirect from a short link in the text part of an email to the page of the long one."""
    try:
        return redirect(_long_url(token, position))
    except (tokens.BadToken, Digest.DoesNotExist, Subscriber.DoesNotExist, Pick.DoesNotExist):
        network = rate_limits.network_of(request.META["REMOTE_ADDR"])
        limit = rate_limits.Limit("network", network, MAX_BAD_LINKS_AN_HOUR, rate_limits.HOUR)
        rate_limits.hit("short link", [limit], timezone.now())
        raise tokens.BadToken from None


@token_page
def feedback(request, token):
    """GET asks for feedback on a paper, POST stores it. See VALUES.

    Links of emails lead here. The page's script posts the form at once where `posts_now`, so one
    click suffices. The page has no link to what a preferences token opens: whoever has the link of
    a digest on the web has this token as well.
    """
    subscriber = tokens.subscriber_of("feedback", token)
    is_post = request.method == "POST"
    if not is_post and not request.GET:  # The link without a paper.
        return render(request, "digest/feedback.html")
    params = request.POST if is_post else request.GET
    # PostgreSQL refuses NUL.
    paper = Paper.objects.filter(pk=params.get("paper", "").replace("\0", "")).first()
    value = params.get("value", "")  # Emails with one link for each paper have none.
    if paper is None or not (value in VALUES or not (value or is_post)):
        return bad_request(request, _("There is no such paper, or no such value."))
    now, old_feedback = timezone.now(), feedback_on(subscriber, paper)
    if is_post:
        record(subscriber, paper, value, now)
        enqueue(tasks.learn_from_feedback)
        if request.headers.get("Accept") == "application/json":  # The script of the buttons.
            return HttpResponse(status=204)
    feedback = feedback_on(subscriber, paper)
    state = (feedback.opinion, feedback.saved_at) if feedback else ("", None)
    needs_post = bool(value) and apply_value(value, *state, now) != state
    is_done = bool(value) and not needs_post and (is_post or value in ("more", "less", "save"))
    question, button, done_text = FEEDBACK_TEXTS.get(value, ("", "", ""))
    pick = Pick.objects.filter(subscriber=subscriber, paper=paper)
    pick = pick.select_related("digest__letter").first()
    letter = pick.digest.letter if pick else None
    picks = pick.digest.picks.with_papers() if pick else ()
    context = {
        "paper": paper,
        "value": value,
        "feedback": feedback,
        "asks": needs_post,
        "done": is_done,
        "heading": question if needs_post else done_text if is_done else "",
        "button": button if needs_post else "",
        "undo": _undo_value(value, old_feedback if is_post else feedback) if is_done else "",
        "posts_now": needs_post
        and value in ("more", "less", "save")
        and letter is not None
        and letter.state == Letter.State.ACCEPTED
        and letter.ended_at <= now - SCANNER_DELAY,
        "other_picks": attach(subscriber, [other for other in picks if other.paper_id != paper.pk]),
        "feedback_token": token,
        "subscriber": subscriber,
        "gets_digests": subscriber.state_at(now) in ("active", "paused"),
    }
    return render(request, "digest/feedback.html", context)


def _undo_value(value, feedback) -> str:
    """Return the value that undoes this one, if any. `feedback`: stored before, or None."""
    match value:
        case "save":
            return "unsave"
        case "unsave":
            return "save" if feedback and feedback.saved_at else ""
        case "more" | "less":
            return (
                feedback.opinion if feedback and feedback.opinion not in ("", value) else "neutral"
            )
        case _:
            return feedback.value if feedback else ""


@token_page
def why(request, token):
    """Why one paper is, or is not, in a subscriber's digest. POST adds it as an interest."""
    # The model and numpy, which only pages that rank import.
    from digest.planning import explain
    from digest.views.search import mark_terms  # Imports numpy.

    subscriber = tokens.subscriber_of("preferences", token)
    query = request.GET.get("paper", "").strip()
    if request.method == "POST" and (paper := find_paper(request.POST.get("paper", ""))):
        follow(subscriber, paper.pk, entries.PAPER)
        return redirect(f"{reverse('why', args=[token])}?{urlencode({'paper': paper.pk})}#added")
    now = timezone.now()
    day = schedule.local_day(now, subscriber.zone)
    answer = explain.explain(subscriber, query, day, now) if query else None
    context = {
        "token": token,
        "gets_digests": subscriber.state_at(now) == "active",
        "asked": query,
        "answer": answer,
        "new_days": settings.NEW_DAYS,
        "size": subscriber.size,
        "recommend_token": recommend_token(subscriber, token),
    }
    if paper := answer and answer.paper:
        marked_terms = frozenset(terms(" ".join(_words_of(answer))))
        preferences = subscriber.preferences.filter(topic__owner=subscriber, topic__query=paper.pk)
        context |= {
            "title": mark_terms(paper.title, marked_terms),
            "abstract": mark_terms(paper.abstract, marked_terms),
            "feedback_token": tokens.own_token("feedback", subscriber),
            "is_added": preferences.exists(),
            "score": answer.pick.score if answer.pick and answer.pick.basis in CALIBRATED else None,
        }
    return render(request, "digest/why.html", context)


def _words_of(explanation):
    """Return the words of the interest that found a paper, or that is closest to it."""
    if explanation.pick:
        return [*explanation.pick.terms, explanation.pick.topic_name]
    return [explanation.diagnosis.interest] if explanation.diagnosis else []


def recommend_token(subscriber, token) -> str:
    """Return the token where the subscriber has a colleague to recommend papers to, else ""."""
    return token if token and recommendations.colleagues(subscriber).exists() else ""


@token_page
def recommend(request, token):
    """Recommend a paper to a colleague.

    Takes a token for the preferences: that of a digest on the web may be passed on, and would show
    others the colleagues' names.
    """
    subscriber = tokens.subscriber_of("preferences", token)
    params = request.POST if request.method == "POST" else request.GET
    paper = Paper.objects.filter(pk=params.get("paper", "").replace("\0", "")).first()
    if paper is None:
        return bad_request(request, _("There is no such paper."))
    colleague_id, note, error = params.get("to", ""), params.get("note", ""), ""
    if request.method == "POST":
        try:
            recommendations.recommend(subscriber, colleague_id, paper, note, timezone.now())
        except ValidationError as refusal:
            error = refusal.messages[0]
        else:
            query = urlencode({"paper": paper.pk, "done": "yes"})
            return redirect(f"{reverse('recommend', args=[token])}?{query}")
    context = {
        "token": token,
        "paper": paper,
        "colleagues": recommendations.colleagues(subscriber),
        "to": colleague_id,
        "note": note,
        "max_note_length": recommendations.MAX_NOTE_LENGTH,
        "error": error,
        "done": request.GET.get("done") == "yes",
    }
    return render(request, "digest/recommend.html", context, status=400 if error else 200)


def _long_url(short_token, position):
    """Return the path that a short token stands for. `position` is of the paper for feedback."""
    purpose, pk = tokens.parse_short(short_token)
    if purpose in ("digest", "feedback"):
        row = Digest.objects.select_related("subscriber").get(pk=pk)
        subscriber = row.subscriber
    else:
        row = subscriber = Subscriber.objects.get(pk=pk)
    public_id = subscriber.public_id if purpose == "feedback" else row.public_id
    long_token = tokens.long_of_short(short_token, subscriber, row.public_id, public_id)
    path = reverse(purpose, args=[long_token])
    if position is None:
        return path
    if purpose != "feedback":
        raise tokens.BadToken
    return f"{path}?paper={quote(row.picks.get(position=position).paper_id, safe='')}"
