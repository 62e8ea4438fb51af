"""The home page: the sign-up form, an example or a preview of digests, and the newest papers.

Also topics, and the first digest on the page that confirms. Parts are cached for a minute.
"""

from datetime import timedelta

from django.conf import settings
from django.db.models import Count, F, Q
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers, patch_cache_control
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from digest.models import Digest, Paper
from digest.planning.slots import Busy, slot
from digest.views.page_cache import get_or_make, same_for_all
from subscriptions.actions.preferences import TopicSelection
from subscriptions.forms import SignUpForm, TopicsForm
from subscriptions.models import Subscriber, Topic, TopicPreference, without_nul
from subscriptions.security import tokens
from subscriptions.views import signup

MAX_PAPERS = 10
MAX_DAYS = 7  # Links to so many days before,
RECENT = timedelta(days=21)  # of the last three weeks.
MAX_SEARCHES = 5  # Links to searches for what came earlier.
SIZE = 10  # Papers of a digest.
MIN_PICKS = 3  # Of an example, and
MAX_EXAMPLES = 3  # of how many topics the digests are tried.
MIN_UPVOTED = 3  # Papers, to show no others.


def part_for(form: TopicsForm, now) -> str:
    """Return the preview for what a visitor would follow, or an example, as HTML."""
    if form.is_bound and not form.is_valid():
        return _preview(form=form)
    selection = form.topic_selection() if form.is_bound else None
    if not selection or not (selection.follow or selection.interests):
        return example(now)
    slugs = sorted(topic.slug for topic in selection.follow)
    try:
        key = "preview", slugs, selection.interests
        return get_or_make(lambda: _ranked_preview(selection, now), *key)
    except Busy:
        return _preview(is_busy=True)


def example(now) -> str:
    """Return the latest digest for one of the subjects, a different one each day."""
    subjects = Topic.objects.offered().by_subject().order_by("pk")

    def make():
        from digest.indexing import model_store

        topics = list(subjects)
        first = now.toordinal() % max(len(topics), 1)
        for topic in (topics[first:] + topics[:first])[:MAX_EXAMPLES]:
            try:
                result = _preview_digests(TopicSelection([topic]), now)
            except model_store.NotFitted:
                break
            for day in result.days:
                if len(day.picks) >= MIN_PICKS:
                    return _preview(today=day, example=topic)
        return _preview(is_empty=True)

    try:
        return get_or_make(make, "example", now.date())
    except Busy:
        return _preview(is_empty=True)


def newest_papers(now) -> str:
    """Return the papers of the newest day, the most upvoted first, and links to the days before."""
    today = now.date()

    def make():  # Three queries.
        papers = Paper.objects.filter(day__lte=today)
        day = papers.values_list("day", flat=True).first()
        if day is None:
            return render_to_string("digest/_newest.html", {"today": today})
        days = papers.filter(day__gt=day - RECENT).values("day").annotate(count=Count("pk"))
        first, *before = days.order_by("-day")[: MAX_DAYS + 1]
        papers = papers.filter(day=day).with_stars()
        papers = list(papers.order_by(F("upvotes").desc(nulls_last=True), "pk")[:MAX_PAPERS])
        upvoted = [paper for paper in papers if paper.upvotes]
        is_trending = len(upvoted) >= min(MIN_UPVOTED, len(papers))
        papers = upvoted if is_trending else papers
        context = {
            "today": today,
            "papers": papers,
            "is_trending": is_trending,
            "are_samples": all(paper.is_sample for paper in papers),
            "days": before,
            **first,
        }
        return render_to_string("digest/_newest.html", context)

    return get_or_make(make, "newest", today)


def _preview_digests(selection, now):
    # numpy, which only processes that rank import.
    from digest.personalization.profiles import profile_for
    from digest.planning import preview

    with slot():
        return preview.preview_digests(profile_for(selection, SIZE), now)


def _ranked_preview(selection, now):
    from digest.indexing import model_store

    try:
        result = _preview_digests(selection, now)
    except model_store.NotFitted:
        return _preview(is_early=True)
    today, *before = result.days
    notes = result.notes
    searches = [f"author: {name}" for name in notes.author_matches] or selection.interests
    if notes.without_terms or notes.unknown_words or notes.unknown_authors:
        searches = []  # They would find nothing, for the same reason.
    return _preview(
        today=today,
        before=before,
        total=sum(len(day.picks) for day in result.days),
        opened=None if today.picks else next((day for day in before if day.picks), None),
        earlier=searches[:MAX_SEARCHES],
        new_days=settings.NEW_DAYS,
        **notes.context(),
    )


def _preview(**context):
    return render_to_string("digest/_preview.html", context)


#: The form's fields that a preview depends on.
PREVIEW_FIELDS = ("topics", "interests")

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
        return signup.subscribe(request) if form.is_valid() else _home(request, request.POST, form)
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
        part = part_for(_topics_form(request.GET), timezone.now())
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


def _home(request, sent, sign_up_form=None):
    slugs = Topic.objects.current_slugs(sent.getlist("topics"))
    sent = _with_topics(sent, slugs)
    known = Topic.objects.curated().filter(slug__in=without_nul(slugs))
    known = set(known.values_list("slug", flat=True)) if slugs else set()
    form = _topics_form(_with_topics(sent, [slug for slug in slugs if slug in known]))
    now = timezone.now()
    has_errors = sign_up_form is not None
    context = {
        "form": sign_up_form or SignUpForm.choosing(sent),
        "consent": signup.CONSENT,
        **Topic.objects.offered_with(slugs).grouped(),
        "gone": [slug for slug in slugs if slug not in known and not has_errors],
        "part": example(now) if has_errors and form.errors else part_for(form, now),
        "newest": newest_papers(now),
    }
    response = render(request, "digest/home.html", context, status=400 if has_errors else 200)
    if has_errors:
        add_never_cache_headers(response)
    elif form.is_bound:  # Private, and not for search engines.
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


def _topics_form(sent):
    return TopicsForm(sent if any(name in sent for name in PREVIEW_FIELDS) else None)


@same_for_all()
def topics(request):
    """The offered topics with their numbers of followers."""
    follows = Q(preferences__stance=TopicPreference.Stance.FOLLOW) & Q(
        preferences__subscriber__in=Subscriber.objects.subscribed()
    )
    counted = Topic.objects.offered().annotate(followers=Count("preferences", filter=follows))
    return render(request, "digest/topics.html", counted.order_by("name", "pk").grouped())


def first_digest(subscriber) -> str:
    """Return the digest that was planned for a confirmation, as HTML. Empty until there is one."""
    digests = Digest.objects.not_missed().filter(letter__created_at__gte=subscriber.confirmed_at)
    digest = digests.filter(subscriber=subscriber).order_by("pk").first()
    if digest is None:
        return ""
    context = {
        "subscriber": subscriber,
        "digest": digest,
        "picks": digest.picks.whole(),
        "feedback_token": tokens.own_token("feedback", subscriber),
        "digest_token": tokens.own_token("digest", subscriber, digest.public_id),
    }
    return render_to_string("digest/_first_digest.html", context)
