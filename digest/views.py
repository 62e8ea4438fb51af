"""The home page, topics, a digest on the web, feedback, explanations, and the service's health."""

from urllib.parse import urlencode

from django.conf import settings
from django.core.paginator import Paginator
from django.db.models import Count, Q
from django.db.utils import Error
from django.http import Http404, HttpResponse, JsonResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.crypto import constant_time_compare
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from digest import health, home_page, panels, steering, tasks
from digest.models import Digest, Feedback, Paper
from digest.page_cache import same_for_all
from subscriptions import links, schedule
from subscriptions.forms import SignUpForm, TopicsForm
from subscriptions.models import Subscriber, Topic, TopicPreference, without_nul
from subscriptions.tasks import enqueue
from subscriptions.views import CONSENT, bad_request, public_page, token_page

#: The form's fields that a preview depends on.
PREVIEW_FIELDS = ("topics", "interests")
FEEDBACK_PAGE = 50
#: Characters of a URL that every server and proxy accepts: gunicorn's limit with a margin.
MAX_URL_LENGTH = 3_500


@public_page
def home(request):
    """The sign-up form with the newest papers, or with a preview if the URL names topics."""
    if any(name in request.GET for name in PREVIEW_FIELDS):
        return _home(request, request.GET)
    return _home_for_all(request)


@same_for_all()
def _home_for_all(request):
    return _home(request, QueryDict())


@csrf_exempt  # A POST changes nothing.
@require_http_methods(["GET", "HEAD", "POST"])
def preview(request):
    """GET returns the preview alone, for the page's script.

    POST, which may contain an email address, redirects to a URL with only the topics and interests.
    """
    if request.method != "POST":
        part = home_page.part_for(_wishes(request.GET), timezone.now())
        response = HttpResponse(part, headers={"X-Robots-Tag": "noindex"})
        patch_cache_control(response, private=True)  # Also because it may say "busy".
        return response
    query = QueryDict(mutable=True)
    for name in PREVIEW_FIELDS:
        query.setlist(name, [text for text in request.POST.getlist(name) if text.strip()])
    url = f"{reverse('home')}?{query.urlencode()}"
    if len(url) > MAX_URL_LENGTH:
        return _home(request, request.POST)
    return redirect(f"{url}#digest")


def _home(request, sent):
    slugs = Topic.objects.current_slugs(sent.getlist("topics"))
    sent = _with_topics(sent, slugs)
    known = Topic.objects.curated().filter(slug__in=without_nul(slugs))
    known = set(known.values_list("slug", flat=True)) if slugs else set()
    form = _wishes(_with_topics(sent, [slug for slug in slugs if slug in known]))
    context = {
        "form": SignUpForm.choosing(sent),
        "consent": CONSENT,
        **Topic.objects.offered_with(slugs).grouped(),
        "gone": [slug for slug in slugs if slug not in known],
        "part": home_page.part_for(form, timezone.now()),
    }
    response = render(request, "digest/home.html", context)
    if form.is_bound:  # Private, and not for search engines.
        response["X-Robots-Tag"] = "noindex"
        patch_cache_control(response, private=True, max_age=60)
    else:
        patch_cache_control(response, public=True, max_age=60)
    return response


def _with_topics(sent, slugs):
    """Return the query with these topics instead of its own, if it has any."""
    sent = sent.copy()
    if "topics" in sent:
        sent.setlist("topics", slugs)
    return sent


def _wishes(sent):
    return TopicsForm(sent if any(name in sent for name in PREVIEW_FIELDS) else None)


@same_for_all()
def topics(request):
    """The offered topics with their numbers of followers."""
    follows = Q(preferences__stance=TopicPreference.Stance.FOLLOW) & Q(
        preferences__subscriber__in=Subscriber.objects.subscribed()
    )
    counted = Topic.objects.offered().annotate(followers=Count("preferences", filter=follows))
    return render(request, "digest/topics.html", counted.order_by("name", "pk").grouped())


@token_page
def digest(request, token):
    """A digest on the web. Its link allows feedback for the subscriber, but nothing else."""
    try:
        public_id, since = links.parse_token("digest", token)
        digest = Digest.objects.select_related("subscriber").get(public_id=public_id)
    except (links.BadToken, Digest.DoesNotExist):
        return bad_link(request)
    links.raise_if_closed(digest.subscriber, since)
    context = {
        "digest": digest,
        "picks": digest.picks.whole(),
        "feedback_token": links.own_token("feedback", digest.subscriber),
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
    cleared = steering.value_of(subscriber, paper) if value == "clear" else ""
    if is_post:
        leads_back = "back" in sent and holder_of(sent["back"], "preferences") == subscriber
        try:
            steering.record(subscriber, paper, value, timezone.now())
        except Subscriber.DoesNotExist:  # Erased at the same time.
            return bad_link(request)
        enqueue(tasks.learn_from_feedback)
        if leads_back:
            page = sent.get("page", "")
            query = {"page": page if page.isdecimal() else "", "paper": paper.pk}
            return redirect(f"{reverse('saved', args=[sent['back']])}?{urlencode(query)}")
    current = steering.value_of(subscriber, paper)
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
            steering.remove_word(subscriber, term)
            done = "remove"
        elif term := sent.get("restore", ""):
            steering.restore_word(subscriber, term)
            done = "restore"
        elif (done := sent.get("learning")) in ("on", "off"):
            steering.set_learning(subscriber, done == "on")
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
    words = steering.learned_words(subscriber)
    context = {
        "subscriber": subscriber,
        "token": token,
        "feedback_token": links.own_token("feedback", subscriber),
        "words": sorted(words, key=lambda word: (word["weight"] < 0, -abs(word["weight"]))),
        "removed": steering.removed_words(subscriber),
        "in_library": subscriber.library.count(),
        "said": Paginator(feedback, FEEDBACK_PAGE).get_page(request.GET.get("page")),
        "alike": panels.alike(subscriber, timezone.now()),
        "done": messages.get(request.GET.get("done"), ""),
    }
    return render(request, "digest/learned.html", context)


@require_safe
@token_page
def why(request, token):
    """Why one paper is, or is not, in a subscriber's digest."""
    from digest import explanations  # The model and numpy, which only pages that rank import.

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
        "answer": explanations.explain(subscriber, asked, day, now) if asked else None,
        "new_days": settings.NEW_DAYS,
        "size": subscriber.size,
    }
    return render(request, "digest/why.html", context)


def holder_of(token, purpose):
    """Return the subscriber of a token for this purpose, or None.

    Raises links.ClosedToken, which token_page handles.
    """
    try:
        return links.subscriber_of(purpose, token)
    except (links.BadToken, Subscriber.DoesNotExist):
        return None


def bad_link(request):
    return render(request, "subscriptions/bad_link.html", status=404)


@public_page
def robots(request):
    """Keep search engines from URLs with tokens."""
    private = ("admin", "confirm", "preferences", "move", "unsubscribe", "digests", "feedback")
    private += ("feeds", "learned", "library", "saved", "why")
    lines = ["User-agent: *", *(f"Disallow: /{page}/" for page in private)]
    lines += ["", f"Sitemap: {settings.SITE_URL}/sitemap.xml"]
    return HttpResponse("\n".join([*lines, ""]), content_type="text/plain")


@public_page
def ready(request):
    """Readiness probe: 200 if the service can work, else 503 with reasons.

    Stale sources are reported as degraded.
    """
    reasons = health.reasons_not_ready() or health.reasons_not_writable()
    body = {
        "status": "not ready" if reasons else "ready",
        "reasons": reasons,
        "degraded": [] if reasons else health.degradations(timezone.now()),
    }
    return JsonResponse(body, status=503 if reasons else 200)


@public_page
def metrics(request):
    """Metrics for those with METRICS_TOKEN. 404 for others, or if it is not set."""
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

    from digest import metrics as figures

    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    wanted = settings.METRICS_TOKEN
    if not wanted or scheme.lower() != "bearer" or not constant_time_compare(token, wanted):
        raise Http404
    try:
        text = figures.text()
    except Error as error:
        return HttpResponse(f"No figures: {type(error).__name__}.\n", "text/plain", status=503)
    return HttpResponse(text, CONTENT_TYPE_PLAIN_0_0_4)


@public_page
def live(request):
    """Liveness probe."""
    return JsonResponse({"status": "live"})
