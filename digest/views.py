"""The public pages: today's papers, the topics, a digest on the web, and how the service is."""

from django.db.models import Count, F, Q
from django.http import HttpResponse, HttpResponseBadRequest, JsonResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.utils import timezone
from django.views.decorators.http import require_safe

from digest import health, opinions
from digest.models import Digest, Feedback, Paper
from subscriptions import links
from subscriptions.forms import SignUpForm
from subscriptions.models import Subscriber, Topic, TopicPreference
from subscriptions.views import CONSENT, for_token_holders

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
    """The letter on the web. Its link may be passed on: nothing on it acts for her."""
    try:
        public_id = links.read("digest", token)
        found = Digest.objects.select_related("subscriber").get(public_id=public_id)
    except (links.BadToken, Digest.DoesNotExist):
        return render(request, "subscriptions/bad_link.html", status=404)
    context = {
        "digest": found,
        "picks": found.picks.select_related("paper").order_by("position"),
    }
    return render(request, "digest/digest.html", context)


@for_token_holders
def feedback(request, token):
    """Say something of a paper: GET asks, POST writes it down."""
    try:
        subscriber = Subscriber.objects.get(public_id=links.read("feedback", token))
    except (links.BadToken, Subscriber.DoesNotExist):
        return render(request, "subscriptions/bad_link.html", status=404)
    sent = request.POST if request.method == "POST" else request.GET
    paper = Paper.objects.filter(pk=sent.get("paper", "")).first()
    value = sent.get("value", Feedback.Value.SAVE)
    if paper is None or value not in (*Feedback.Value, "clear"):
        return HttpResponseBadRequest("There is no such paper, or no such value.", "text/plain")
    if request.method == "POST":
        opinions.say(subscriber, paper, value, timezone.now())
    context = {"paper": paper, "value": value, "said": opinions.said(subscriber, paper)}
    return render(request, "digest/feedback.html", context)


@require_safe
def robots(request):
    """Nothing here is secret, but links with tokens are nobody's to collect."""
    private = ("admin", "confirm", "preferences", "unsubscribe", "digests", "feedback")
    lines = ["User-agent: *", *(f"Disallow: /{room}/" for room in private)]
    return HttpResponse("\n".join([*lines, ""]), content_type="text/plain")


@require_safe
def favicon(request):
    return redirect(static("favicon.svg"), permanent=True)


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
def live(request):
    """200 as long as the process answers."""
    return JsonResponse({"status": "live"})
