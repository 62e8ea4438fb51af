"""The public pages: today's papers, the topics, a digest on the web, and how the service is."""

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
from subscriptions.forms import SignUpForm, WishesForm
from subscriptions.hints import hint
from subscriptions.models import Subscriber, Topic, TopicPreference, sayable
from subscriptions.views import CONSENT, for_all_to_read, for_token_holders, refused

#: What a visitor says of what she would read, by the names of the form's fields.
WISHES = ("topics", "interests")
SAID = 50  # So many words of hers on papers are on a page.
#: Characters of an address that every server and proxy takes: gunicorn's limit, less a margin.
LONGEST_ADDRESS = 3_500


@for_all_to_read
def home(request):
    """What the service is, the sign-up form, and the newest papers; or, for one whose address says
    what she would read, what her digests would have been.
    """
    if any(name in request.GET for name in WISHES):
        return _home(request, request.GET)
    return _home_for_all(request)


@same_for_all()
def _home_for_all(request):
    return _home(request, QueryDict())


@csrf_exempt  # It changes nothing.
@require_http_methods(["GET", "HEAD", "POST"])
def preview(request):
    """What her digests would have been: the part of the page alone, which its script asks for.

    "Show me" sends the form in, with the email address that may stand in it. The answer is the
    address of the page, which names her wishes alone.
    """
    if request.method != "POST":
        part = home_page.part_for(_wishes(request.GET), timezone.now())
        response = HttpResponse(part, headers={"X-Robots-Tag": "noindex"})
        patch_cache_control(response, private=True)  # Her wishes, and maybe that many look now.
        return response
    asked = QueryDict(mutable=True)
    for name in WISHES:
        asked.setlist(name, [text for text in request.POST.getlist(name) if text.strip()])
    address = f"{reverse('home')}?{asked.urlencode()}"
    if len(address) > LONGEST_ADDRESS:
        return _home(request, request.POST)
    return redirect(f"{address}#digest")


def _home(request, sent):
    named = Topic.objects.slugs_today(sent.getlist("topics"))
    sent = _with_topics(sent, named)
    known = Topic.objects.curated().filter(slug__in=sayable(named))
    known = set(known.values_list("slug", flat=True)) if named else set()
    form = _wishes(_with_topics(sent, [slug for slug in named if slug in known]))
    context = {
        "form": SignUpForm.choosing(sent),
        "consent": CONSENT,
        **Topic.objects.offered_beside(named).apart(),
        "gone": [slug for slug in named if slug not in known],
        "part": home_page.part_for(form, timezone.now()),
    }
    response = render(request, "digest/home.html", context)
    if form.is_bound:  # Nobody else's business, and no page to be found.
        response["X-Robots-Tag"] = "noindex"
        patch_cache_control(response, private=True, max_age=60)
    else:
        patch_cache_control(response, public=True, max_age=60)
    return response


def _with_topics(sent, slugs):
    """Return what was sent with these topics, for those that the address names."""
    sent = sent.copy()
    if "topics" in sent:
        sent.setlist("topics", slugs)
    return sent


def _wishes(sent):
    return WishesForm(sent if any(name in sent for name in WISHES) else None)


@same_for_all()
def topics(request):
    """The topics of the house, with how many follow each."""
    follows = Q(preferences__stance=TopicPreference.Stance.FOLLOW) & Q(
        preferences__subscriber__in=Subscriber.objects.wanting()
    )
    counted = Topic.objects.offered().annotate(followers=Count("preferences", filter=follows))
    return render(request, "digest/topics.html", counted.order_by("name", "pk").apart())


@for_token_holders
def digest(request, token):
    """The letter on the web. Whoever has its link may say more, less and save for her, no more."""
    try:
        public_id, since = links.read("digest", token)
        found = Digest.objects.select_related("subscriber").get(public_id=public_id)
    except (links.BadToken, Digest.DoesNotExist):
        return bad_link(request)
    links.refuse_closed(found.subscriber, since)
    context = {
        "digest": found,
        "picks": found.picks.whole(),
        "feedback_token": links.own_token("feedback", found.subscriber),
    }
    return render(request, "digest/digest.html", context)


@for_token_holders
def feedback(request, token):
    """Say something of a paper: GET asks, POST writes it down.

    `back` is the token by which the page of saved papers was opened, to come back to it. No link
    leads there from here: whoever has a letter's address on the web has this token too, and may say
    something for her, but neither see nor change what is hers.
    """
    subscriber = holder_of(token, "feedback")
    if subscriber is None:
        return bad_link(request)
    is_said = request.method == "POST"
    if not is_said and not request.GET:  # The link alone, which says no paper.
        return render(request, "digest/feedback.html")
    sent = request.POST if is_said else request.GET
    asked = sent.get("paper", "").replace("\0", "")  # Which PostgreSQL would not look for.
    paper = Paper.objects.filter(pk=asked).first()
    value = sent.get("value", "")  # Of a letter that has one link a paper, GET has none.
    is_known = value in (*Feedback.Value, "clear") or not (value or is_said)
    if paper is None or not is_known:
        return refused(request, _("There is no such paper, or no such value."))
    taken = steering.said(subscriber, paper) if value == "clear" else ""
    if is_said:
        leads_back = "back" in sent and holder_of(sent["back"], "preferences") == subscriber
        try:
            steering.say(subscriber, paper, value, timezone.now())
        except Subscriber.DoesNotExist:  # Erased by another click, in this very moment.
            return bad_link(request)
        hint(tasks.learn_from_feedback)
        if leads_back:
            page = sent.get("page", "")  # It tells of a paper that is no saved one any more.
            query = {"page": page if page.isdecimal() else "", "paper": paper.pk}
            return redirect(f"{reverse('saved', args=[sent['back']])}?{urlencode(query)}")
    return _feedback(request, subscriber, paper, value, taken)


def _feedback(request, subscriber, paper, value, taken):
    """Show what she has said of a paper, and ask what else she says; `taken` was taken back."""
    said = steering.said(subscriber, paper)
    is_other = request.method == "GET" and (value or said) != said
    state = subscriber.state_at(timezone.now())
    context = {
        "paper": paper,
        "value": value,
        "said": said,
        "taken": taken,  # By its own word: a paper is taken off the saved ones, the rest back.
        "told": "" if is_other else said,  # Who comes to say another thing is asked for it.
        "subscriber": subscriber,
        "gets_digests": state in ("active", "paused"),
    }
    return render(request, "digest/feedback.html", context)


@for_token_holders
def learned(request, token):
    """What was learned of her: GET shows it, POST takes a word out, or ends the learning."""
    subscriber = holder_of(token, "preferences")
    if subscriber is None:
        return bad_link(request)
    if request.method == "POST":
        done = _steer(subscriber, request.POST)
        if not done:
            return refused(request, _("There is no such action."))
        hint(tasks.learn_from_feedback)
        return redirect(f"{reverse('learned', args=[token])}?done={done}")
    done = {
        "remove": _("Taken out. Further down, you can let it count again."),
        "restore": _("It counts again."),
        "on": _("Learning is switched on."),
        "off": _("Learning is switched off."),
    }
    said = subscriber.feedback.select_related("paper").order_by("-at", "-pk")
    words = steering.learned_words(subscriber)  # First what tells most: a list goes by its figures.
    context = {
        "subscriber": subscriber,
        "token": token,
        "feedback_token": links.own_token("feedback", subscriber),
        "words": sorted(words, key=lambda word: (word["weight"] < 0, -abs(word["weight"]))),
        "removed": steering.removed_words(subscriber),
        "in_library": subscriber.library.count(),
        "said": Paginator(said, SAID).get_page(request.GET.get("page")),
        "alike": panels.alike(subscriber, timezone.now()),
        "done": done.get(request.GET.get("done"), ""),
    }
    return render(request, "digest/learned.html", context)


def _steer(subscriber, sent) -> str:
    """Do what the form says, and return in a word what it was; nothing where it says nothing."""
    if term := sent.get("remove", ""):
        steering.remove_word(subscriber, term)
        return "remove"
    if term := sent.get("restore", ""):
        steering.restore_word(subscriber, term)
        return "restore"
    if sent.get("learning") in ("on", "off"):
        steering.set_learning(subscriber, sent["learning"] == "on")
        return sent["learning"]
    return ""


@require_safe
@for_token_holders
def why(request, token):
    """Why one paper is, or is not, in her digest."""
    from digest import explanations  # The model and numpy, which only pages that rank pay.

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
        "answer": explanations.ask(subscriber, asked, day, now) if asked else None,
        "new_days": settings.NEW_DAYS,
        "size": subscriber.size,
    }
    return render(request, "digest/why.html", context)


def holder_of(token, purpose):
    """Return the subscriber whose token for this purpose it is, None where it is nobody's.

    Raises links.ClosedToken, which for_token_holders answers.
    """
    try:
        return links.holder(purpose, token)
    except (links.BadToken, Subscriber.DoesNotExist):
        return None


def bad_link(request):
    return render(request, "subscriptions/bad_link.html", status=404)


@for_all_to_read
def robots(request):
    """Nothing here is secret, but links with tokens are nobody's to collect."""
    private = ("admin", "confirm", "preferences", "move", "unsubscribe", "digests", "feedback")
    private += ("feeds", "learned", "library", "saved", "why")
    lines = ["User-agent: *", *(f"Disallow: /{room}/" for room in private)]
    lines += ["", f"Sitemap: {settings.SITE_URL}/sitemap.xml"]
    return HttpResponse("\n".join([*lines, ""]), content_type="text/plain")


@for_all_to_read
def ready(request):
    """200 where the service can do its work, 503 with the reasons where it can't.

    A stale source is no reason: letters go out without it. It is told as degraded.
    """
    reasons = health.reasons_not_ready() or health.reasons_not_writable()
    body = {
        "status": "not ready" if reasons else "ready",
        "reasons": reasons,
        "degraded": [] if reasons else health.degradations(timezone.now()),
    }
    return JsonResponse(body, status=503 if reasons else 200)


@for_all_to_read
def metrics(request):
    """The service in figures, for whoever has the operator's token; to all others, there is none.

    So it is where no token is set.
    """
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


@for_all_to_read
def live(request):
    """200 as long as the process answers."""
    return JsonResponse({"status": "live"})
