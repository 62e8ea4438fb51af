"""The home page: the sign-up form, an example or a preview of digests, and the newest papers.

Also the page of topics.
"""

from datetime import timedelta

from django.db.models import Count, F, Q
from django.http import QueryDict
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers, patch_cache_control
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from digest.models import Paper
from digest.views import chips
from digest.views.page_cache import get_or_make, same_for_all
from digest.views.subscribing.preview import PREVIEW_FIELDS, parts_for
from digest.views.subscribing.sign_up import CONSENT, SignUpForm, subscribe
from subscriptions.models import Subscriber, Topic, TopicPreference, without_nul

MAX_PAPERS = 10
MAX_DAYS = 7  # Links to earlier days,
RECENT_DAYS = timedelta(days=21)  # at most so long before the newest.
MIN_UPVOTED = 3  # With so many upvoted papers, only these are shown.


def newest_papers(now) -> str:
    """Return the papers of the newest day, the most upvoted first, and links to the days before."""
    today = now.date()

    def make():  # Three queries.
        papers = Paper.objects.filter(day__lte=today)
        day = papers.values_list("day", flat=True).first()
        if day is None:
            return render_to_string("digest/_newest.html", {"today": today})
        days = papers.filter(day__gt=day - RECENT_DAYS).values("day").annotate(count=Count("pk"))
        newest_day, *earlier_days = days.order_by("-day")[: MAX_DAYS + 1]
        papers = papers.filter(day=day).with_stars()
        papers = list(papers.order_by(F("upvotes").desc(nulls_last=True), "pk")[:MAX_PAPERS])
        upvoted_papers = [paper for paper in papers if paper.upvotes]
        is_trending = len(upvoted_papers) >= min(MIN_UPVOTED, len(papers))
        papers = upvoted_papers if is_trending else papers
        context = {
            "today": today,
            "papers": papers,
            "is_trending": is_trending,
            "are_samples": all(paper.is_sample for paper in papers),
            "days": earlier_days,
            **newest_day,
        }
        return render_to_string("digest/_newest.html", context)

    return get_or_make(make, "newest", today)


#: Characters of a URL that every server and proxy accepts: gunicorn's limit with a margin.
MAX_URL_LENGTH = 3_500


@csrf_exempt  # The sign-up has to be confirmed by email.
@require_http_methods(["GET", "HEAD", "POST"])
def home(request):
    """The sign-up form with an example, or with a preview if the URL names topics.

    POST signs up. After a mistake, the page has all that was sent, and the preview.
    """
    if request.method == "POST":
        form = SignUpForm(request.POST)
        return subscribe(request) if form.is_valid() else _home(request, request.POST, form)
    if any(name in request.GET for name in PREVIEW_FIELDS):
        return _home(request, request.GET)
    return _home_for_all(request)


@same_for_all()
def _home_for_all(request):
    return _home(request, QueryDict())


@csrf_exempt  # A POST changes nothing.
@require_http_methods(["GET", "HEAD", "POST"])
def preview(request):
    """GET returns the parts alone, for the page's script.

    POST, which may contain an email address, redirects to a URL with only the topics and interests,
    and the change that a button of a chip asks for.
    """
    if request.method != "POST":
        parts = parts_for(request.GET, timezone.now())
        response = render(request, "digest/_parts.html", parts._asdict())
        response["X-Robots-Tag"] = "noindex"
        patch_cache_control(response, private=True)  # Also because it may say "busy".
        return response
    params, query = chips.apply_edit(request.POST), QueryDict(mutable=True)
    for name in PREVIEW_FIELDS:
        query.setlist(name, [line for line in params.getlist(name) if line.strip()])
    url = f"{reverse('home')}?{query.urlencode()}"
    if len(url) > MAX_URL_LENGTH:
        return _home(request, params)
    anchor = "entries_interests" if "edit_interests" in request.POST else "digest"
    return redirect(f"{url}#{anchor}")


def _home(request, params, sign_up_form=None):
    slugs = list(dict.fromkeys(params.getlist("topics")))
    params = _with_topics(params, slugs)
    curated_topics = Topic.objects.curated().filter(slug__in=without_nul(slugs))
    curated_slugs = set(curated_topics.values_list("slug", flat=True)) if slugs else set()
    curated_params = _with_topics(params, [slug for slug in slugs if slug in curated_slugs])
    now, has_errors = timezone.now(), sign_up_form is not None
    errors = sign_up_form.errors if has_errors else ()
    context = {
        "form": sign_up_form or SignUpForm.with_choices(params),
        "consent": CONSENT,
        **Topic.objects.offered_with(slugs).grouped(),
        "gone": [slug for slug in slugs if slug not in curated_slugs and not has_errors],
        "parts": parts_for(curated_params, now, errors=errors),
        "undo": chips.undo_button("interests", params, reverse("preview")),
        "newest": newest_papers(now),
    }
    response = render(request, "digest/home.html", context, status=400 if has_errors else 200)
    if has_errors:
        add_never_cache_headers(response)
    elif any(name in params for name in PREVIEW_FIELDS):  # Private, and not for search engines.
        response["X-Robots-Tag"] = "noindex"
        patch_cache_control(response, private=True, max_age=60)
    else:
        patch_cache_control(response, public=True, max_age=60)
    return response


def _with_topics(params, slugs):
    """Return the query with these topics instead of its own, if it has any."""
    params = params.copy()
    if "topics" in params:
        params.setlist("topics", slugs)
    return params


@same_for_all()
def topics(request):
    """The offered topics with their numbers of followers."""
    follows = Q(preferences__stance=TopicPreference.Stance.FOLLOW) & Q(
        preferences__subscriber__in=Subscriber.objects.subscribed()
    )
    topics = Topic.objects.offered().annotate(followers=Count("preferences", filter=follows))
    return render(request, "digest/topics.html", topics.order_by("name", "pk").grouped())
