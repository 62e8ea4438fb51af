"""The home page: the sign-up form, an example or a preview of digests, and the newest papers.

Also topics, and the first digest on the page that confirms. Parts are cached for a minute.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import NamedTuple

from django.conf import settings
from django.db.models import Count, F, Q
from django.http import QueryDict
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers, patch_cache_control
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from digest.interests.entries import UNREAD
from digest.models import Digest, Paper
from digest.planning.slots import Busy, slot
from digest.views import chips
from digest.views.page_cache import get_or_make, same_for_all
from subscriptions.actions.preferences import TopicSelection
from subscriptions.forms import SignUpForm, TopicsForm
from subscriptions.models import Subscriber, Topic, TopicPreference, without_nul
from subscriptions.security import tokens
from subscriptions.views import signup

MAX_PAPERS = 10
MAX_DAYS = 7  # Links to earlier days,
RECENT_DAYS = timedelta(days=21)  # at most so long before the newest.
MAX_SEARCHES = 5  # Links to searches of earlier papers.
SIZE = 10  # Papers of a digest,
INVITATION_SIZE = 3  # and of the example in an invitation.
MIN_PICKS = 3  # Of an example digest.
MAX_EXAMPLES = 3  # Topics that are tried for an example digest.
MIN_UPVOTED = 3  # With so many upvoted papers, only these are shown.


class Parts(NamedTuple):
    """The parts of the page that depend on the form: its entries as chips, and the digest."""

    entries: str
    digest: str


def parts_for(params: QueryDict, now, *, errors: Collection[str] = ()) -> Parts:
    """Return the chips and the preview for what a visitor would follow, or an example, as HTML.

    `errors`: the wrong fields of the sign-up form, which names them; the parts don't. If they are
    those of the preview, these are not read again.
    """
    is_readable = TopicsForm.base_fields.keys().isdisjoint(errors)
    has_fields = any(name in params for name in PREVIEW_FIELDS)
    form = TopicsForm(params if is_readable and has_fields else None)
    if errors and (form.errors or not is_readable):
        return Parts("", example_digest(now))
    if form.is_bound and not form.is_valid():
        return Parts("", _preview(form=form))
    selection = form.topic_selection() if form.is_bound else TopicSelection()
    undo_button = chips.undo_button("interests", params, reverse("preview"))
    if selection == TopicSelection():
        return Parts(undo_button, example_digest(now))
    slugs = sorted(topic.slug for topic in form.cleaned_data["topics"])
    try:
        entry_chips, digest = get_or_make(
            lambda: _ranked_parts(form.entries, selection, now), slugs, form.entries
        )
    except Busy:
        entry_chips, digest = _chips(form.entries), _preview(is_busy=True)
    return Parts(entry_chips + undo_button, digest)


def example_digest(now) -> str:
    """Return the first digest for one of the subjects, a different one each day."""

    def make():
        # numpy, which only processes that rank import.
        from digest.indexing import model_store
        from digest.personalization.profiles import profile_for
        from digest.planning import preview

        topics = list(Topic.objects.offered().by_subject().order_by("pk"))
        start = now.toordinal() % max(len(topics), 1)
        for topic in (topics[start:] + topics[:start])[:MAX_EXAMPLES]:
            try:
                with slot():
                    digest = preview.first_digest(profile_for(TopicSelection([topic]), SIZE), now)
            except model_store.NotFitted:
                break
            if len(digest.choices) >= MIN_PICKS:
                preview.add_picks(digest)
                return _preview(first_digest=digest, example=topic)
        return _preview(is_empty=True)

    try:
        return get_or_make(make, "example", now.date())
    except Busy:
        return _preview(is_empty=True)


def example_papers(topics, now) -> list[dict[str, str]]:
    """Return a few papers of the first digest for these topics, to be shown in an invitation."""
    from digest.indexing import model_store
    from digest.personalization.profiles import profile_for
    from digest.planning import preview

    try:
        digest = preview.first_digest(profile_for(TopicSelection([*topics]), INVITATION_SIZE), now)
    except model_store.NotFitted:
        return []
    preview.add_picks(digest)
    return [
        {
            "title": paper.title,
            "authors": ", ".join(paper.authors[:5]) + (" …" if len(paper.authors) > 5 else ""),
            "url": settings.SITE_URL + paper.get_absolute_url(),
        }
        for paper in (pick.paper for pick in digest.picks)
    ]


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


def _ranked_parts(entries, selection, now):
    # numpy, which only processes that rank import.
    from digest.indexing import model_store
    from digest.personalization.profiles import profile_for
    from digest.planning import preview

    with slot():
        try:
            digests = preview.preview_digests(profile_for(selection, SIZE), now)
        except model_store.NotFitted:
            return Parts(_chips(entries), _preview(is_early=True))
        counts = chips.count_matches(entries, now, digests.window)
        pick_count = sum(len(digest.picks) for digest in digests.past_digests)
        is_empty = not (digests.first_digest.picks or pick_count)
        suggestions = chips.broader_suggestions(entries, now, digests.window) if is_empty else []
    context = {
        "total": pick_count,
        "is_readable": bool(selection.follow) or any(entry.kind != UNREAD for entry in entries),
        "a_day": round(pick_count / len(digests.past_digests)),
        "sent_digests": [digest for digest in digests.past_digests if digest.picks],
        "suggestions": suggestions,
        "search_lines": chips.searchable_lines(entries)[:MAX_SEARCHES] if is_empty else [],
    }
    return Parts(_chips(entries, counts), _preview(**vars(digests), **context))


def _chips(entries, counts=None):
    return chips.render("interests", entries, counts or {}, reverse("preview"))


def _preview(**context):
    return render_to_string("digest/_preview.html", context)


#: What a preview depends on: fields of the form, and the line that a button has removed.
PREVIEW_FIELDS = ("topics", "interests", "removed_interests")

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
    return redirect(f"{url}#digest")


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
        "consent": signup.CONSENT,
        **Topic.objects.offered_with(slugs).grouped(),
        "gone": [slug for slug in slugs if slug not in curated_slugs and not has_errors],
        "parts": parts_for(curated_params, now, errors=errors),
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


def first_digest(subscriber) -> str:
    """Return the digest that was planned for a confirmation, as HTML. Empty until there is one."""
    digests = Digest.objects.not_missed().filter(letter__created_at__gte=subscriber.confirmed_at)
    digest = digests.filter(subscriber=subscriber).order_by("pk").first()
    if digest is None:
        return ""
    from digest.planning import explain  # numpy, which only processes that rank import.

    context = {
        "subscriber": subscriber,
        "digest": digest,
        "picks": digest.picks.with_papers(),
        "why": explain.explain_empty_digests(subscriber, timezone.now()),
        "feedback_token": tokens.own_token("feedback", subscriber),
        "digest_token": tokens.own_token("digest", subscriber, digest.public_id),
    }
    return render_to_string("digest/_first_digest.html", context)
