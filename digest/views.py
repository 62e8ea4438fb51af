"""The public pages: today's papers, the topics, a digest on the web, and how the service is."""

from django.conf import settings
from django.db.models import Count, F, Q
from django.db.utils import Error as DatabaseError
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from digest import health, steering, tasks
from digest.models import Digest, Feedback, Paper
from subscriptions import links, schedule
from subscriptions.forms import SignUpForm
from subscriptions.hints import hint
from subscriptions.models import Subscriber, Topic, TopicPreference
from subscriptions.views import CONSENT, for_token_holders, refused

PAPERS_AT_HOME = 30


@require_safe
def home(request):
    """What the service is, the sign-up form, and the papers of the newest day."""
    today = timezone.localdate()
    day = Paper.objects.filter(day__lte=today).values_list("day", flat=True).first()
    papers = Paper.objects.filter(day=day)
    context = {
        "form": SignUpForm(initial={"hour": 7}),
        "consent": CONSENT,
        "topics": Topic.objects.offered(),
        "today": today,
        "day": day,
        "papers": papers.order_by(F("upvotes").desc(nulls_last=True), "pk")[:PAPERS_AT_HOME],
        "count": papers.count(),
    }
    return render(request, "digest/home.html", context)


@require_safe
def topics(request):
    """The topics of the house, with how many follow each."""
    follows = Q(preferences__stance=TopicPreference.Stance.FOLLOW) & Q(
        preferences__subscriber__in=Subscriber.objects.wanting()
    )
    counted = Topic.objects.offered().annotate(followers=Count("preferences", filter=follows))
    return render(request, "digest/topics.html", {"topics": counted.order_by("name", "pk")})


@for_token_holders
def digest(request, token):
    """The letter on the web. Whoever has its link may say more, less and save for her, no more."""
    try:
        public_id = links.read("digest", token)
        found = Digest.objects.select_related("subscriber").get(public_id=public_id)
    except (links.BadToken, Digest.DoesNotExist):
        return _bad_link(request)
    context = {
        "digest": found,
        "picks": found.picks.whole(),
        "feedback_token": links.token("feedback", found.subscriber.public_id),
    }
    return render(request, "digest/digest.html", context)


@for_token_holders
def feedback(request, token):
    """Say something of a paper: GET asks, POST writes it down."""
    subscriber = _holder_of(token, "feedback")
    if subscriber is None:
        return _bad_link(request)
    sent = request.POST if request.method == "POST" else request.GET
    asked = sent.get("paper", "").replace("\0", "")  # Which PostgreSQL would not look for.
    paper = Paper.objects.filter(pk=asked).first()
    value = sent.get("value") or ("" if request.method == "POST" else Feedback.Value.SAVE)
    if paper is None or value not in (*Feedback.Value, "clear"):
        return refused(request, _("There is no such paper, or no such value."))
    if request.method == "POST":
        try:
            steering.say(subscriber, paper, value, timezone.now())
        except Subscriber.DoesNotExist:  # Erased by another click, in this very moment.
            return _bad_link(request)
        hint(tasks.learn_from_feedback)
    context = {
        "paper": paper,
        "value": value,
        "said": steering.said(subscriber, paper),
        "subscriber": subscriber,
    }
    return render(request, "digest/feedback.html", context)


@for_token_holders
def learned(request, token):
    """What was learned of her: GET shows it, POST takes a word out, or ends the learning."""
    subscriber = _holder_of(token, "preferences")
    if subscriber is None:
        return _bad_link(request)
    if request.method == "POST":
        if not _steer(subscriber, request.POST):
            return refused(request, _("There is no such action."))
        hint(tasks.learn_from_feedback)
        return redirect("learned", token)
    context = {
        "subscriber": subscriber,
        "token": token,
        "words": steering.learned_words(subscriber),
        "removed": steering.removed_words(subscriber),
        "said": subscriber.feedback.select_related("paper").order_by("-at")[:50],
    }
    return render(request, "digest/learned.html", context)


def _steer(subscriber, sent):
    """Do what the form says; return whether it said anything."""
    if term := sent.get("remove", ""):
        steering.remove_word(subscriber, term)
    elif term := sent.get("restore", ""):
        steering.restore_word(subscriber, term)
    elif sent.get("learning") in ("on", "off"):
        steering.set_learning(subscriber, sent["learning"] == "on")
    else:
        return False
    return True


@for_token_holders
@require_safe
def why(request, token):
    """Why one paper is, or is not, in her digest."""
    from digest import asking  # The model and numpy, which only pages that rank pay.

    subscriber = _holder_of(token, "preferences")
    if subscriber is None:
        return _bad_link(request)
    asked = request.GET.get("paper", "").strip()
    now = timezone.now()
    day = schedule.local_day(now, subscriber.zone)
    context = {
        "token": token,
        "asked": asked,
        "answer": asking.ask(subscriber, asked, day, now) if asked else None,
        "new_days": settings.NEW_DAYS,
        "size": subscriber.size,
    }
    return render(request, "digest/why.html", context)


def _holder_of(token, purpose):
    """Return the subscriber whose token this is, None where it is nobody's."""
    try:
        return Subscriber.objects.filter(public_id=links.read(purpose, token)).first()
    except links.BadToken:
        return None


def _bad_link(request):
    return render(request, "subscriptions/bad_link.html", status=404)


@require_safe
def robots(request):
    """Nothing here is secret, but links with tokens are nobody's to collect."""
    private = ("admin", "confirm", "preferences", "unsubscribe", "digests", "feedback")
    private += ("learned", "why")
    lines = ["User-agent: *", *(f"Disallow: /{room}/" for room in private)]
    return HttpResponse("\n".join([*lines, ""]), content_type="text/plain")


@require_safe
def ready(request):
    """200 where the service can do its work, 503 with the reasons where it can't.

    A stale source is no reason: letters go out without it. It is told as degraded.
    """
    reasons = health.reasons_not_ready()
    body = {
        "status": "not ready" if reasons else "ready",
        "reasons": reasons,
        "degraded": [] if reasons else health.degradations(timezone.now()),
    }
    return JsonResponse(body, status=503 if reasons else 200)


@require_safe
def metrics(request):
    """The service in figures, for whoever has the operator's token; to all others, there is none.

    So it is where no token is set.
    """
    from digest import metrics as figures

    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    wanted = settings.METRICS_TOKEN
    if not wanted or scheme.lower() != "bearer" or not constant_time_compare(token, wanted):
        raise Http404
    try:
        text = figures.text()
    except DatabaseError as error:
        return HttpResponse(f"No figures: {type(error).__name__}.\n", "text/plain", status=503)
    return HttpResponse(text, "text/plain; version=0.0.4; charset=utf-8")


@require_safe
def live(request):
    """200 as long as the process answers."""
    return JsonResponse({"status": "live"})
