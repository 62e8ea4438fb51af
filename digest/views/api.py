"""The API for programs. static/root/api/v1/openapi.json describes it, docs/api.md introduces it.

A program sends a subscriber's token as `Authorization: Bearer`, nowhere else. There are no CORS
headers: scripts of other sites cannot use the API. Answers are JSON. config.middleware keeps them
out of caches, and turns errors of other origin into JSON.
"""

import json
import re
from functools import wraps

from django.conf import settings
from django.core.exceptions import BadRequest
from django.core.paginator import Paginator
from django.forms.models import model_to_dict
from django.http import Http404, HttpResponseBase, JsonResponse
from django.utils import timezone, translation
from django.views.decorators.csrf import csrf_exempt

from digest import tasks
from digest.models import Paper
from digest.papers import citations
from digest.personalization import interests, reading_list
from digest.personalization.feedback import VALUES, attach, feedback_on, record
from digest.views.page_cache import get_or_make
from digest.views.papers import MAX_PAPERS
from digest.views.reader import sent_digests
from digest.wording import reason_of
from subscriptions.actions import preferences
from subscriptions.db import retry_on_integrity_error
from subscriptions.forms import MAX_LINES, InterestsForm
from subscriptions.models import Subscriber, Topic
from subscriptions.security import api_tokens, rate_limits
from subscriptions.tasks import enqueue

MAX_REQUESTS_AN_HOUR = 300  # Of a subscriber.
MAX_BAD_TOKENS_AN_HOUR = 30  # Of a network.
PAGE_SIZE = 50
SUMMARY_FIELDS = ["language", "model", "title", "text"]
NOT_STORABLE = re.compile("[\0\ud800-\udfff]")
UNAUTHORIZED = """\
Send an API token as Authorization: Bearer TOKEN. Make one in the preferences, tab Data."""


def endpoint(*methods):
    """Decorate a view that takes a subscriber and returns a response, or data to send as JSON.

    It may raise BadRequest, Http404 or Subscriber.DoesNotExist.
    """
    allowed_methods = [*methods, *(["HEAD"] if "GET" in methods else [])]

    def decorate(view):
        @csrf_exempt  # There is no cookie to misuse.
        @wraps(view)
        def answer_request(request, **kwargs):
            if request.method not in allowed_methods:
                message = f"Use {' or '.join(methods)} at this address."
                return _error_response(405, message, Allow=", ".join(allowed_methods))
            now = timezone.now()
            try:
                subscriber = _authenticate(request, now)
                with translation.override(subscriber.language_or_default):
                    reply = view(request, subscriber, now, **kwargs)
                    return reply if isinstance(reply, HttpResponseBase) else JsonResponse(reply)
            except rate_limits.TooManyAttempts as refusal:
                status = 503 if refusal.kind == "store" else 429
                message = f"Try again in {refusal.retry_after} seconds."
                return _error_response(status, message, **{"Retry-After": str(refusal.retry_after)})
            except Subscriber.DoesNotExist:  # Or erased meanwhile.
                return _error_response(401, UNAUTHORIZED, **{"WWW-Authenticate": "Bearer"})
            except (BadRequest, Http404) as error:
                return _error_response(400 if isinstance(error, BadRequest) else 404, str(error))

        return answer_request

    return decorate


def _authenticate(request, now):
    """Return the subscriber whose token was sent, and count the request."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Subscriber.DoesNotExist
    if subscriber := api_tokens.find_subscriber(token.strip()):
        limit_args = "token", str(subscriber.pk), MAX_REQUESTS_AN_HOUR
    else:
        network = rate_limits.network_of(request.META["REMOTE_ADDR"])
        limit_args = "network", network, MAX_BAD_TOKENS_AN_HOUR
    rate_limits.hit("api", [rate_limits.Limit(*limit_args, rate_limits.HOUR)], now)
    if subscriber is None:
        raise Subscriber.DoesNotExist
    return subscriber


def _error_response(status, message, **headers):
    return JsonResponse({"error": message}, status=status, headers=headers)


@endpoint("GET")
def digest(request, subscriber, now):
    return latest_digest(subscriber)


def latest_digest(subscriber) -> dict:
    """Return the latest digest that was sent, which is the one that the web shows."""
    digest, papers = sent_digests(subscriber).first(), []
    for pick in attach(subscriber, digest.picks.with_papers()) if digest else ():
        fields = {"reason": reason_of(pick), "score": round(pick.score, 4)}
        fields |= {"section": pick.group or "new", "similar": [paper.pk for paper in pick.folded]}
        summary = pick.paper.llm_summary
        fields["summary"] = summary and model_to_dict(summary, SUMMARY_FIELDS)
        papers.append(_paper_fields(pick.paper) | _feedback_fields(pick.feedback) | fields)
    return {"day": digest and digest.day, "papers": papers}


@endpoint("GET")
def search(request, subscriber, now):
    return results_of(request.GET.get("q", ""), newest=request.GET.get("order") == "new")


def results_of(query: str, *, newest: bool) -> dict:
    """Return what the search page finds, which is the same for everyone and kept for a minute."""
    from digest.views import search  # numpy, which only pages that rank import.

    if not query.strip() or not _is_text(query):
        raise BadRequest("Say what to search for in q.")

    def find_papers():
        page = search.find(query, newest=newest, size=MAX_PAPERS)
        papers = [_paper_fields(result.paper) for result in page.results]
        return {"query": page.query, "count": page.count, "papers": papers}

    return get_or_make(find_papers, "api search", query, newest)


@endpoint("GET")
def paper(request, subscriber, now, identity):
    return paper_for(subscriber, identity)


def paper_for(subscriber, identity) -> dict:
    """Return a paper with the subscriber's feedback on it. Raises Http404."""
    paper = _find_paper(identity)
    return _paper_fields(paper) | _feedback_fields(feedback_on(subscriber, paper))


def similar_to(identity) -> dict:
    """Return the papers that the page of a paper lists as similar. Raises Http404."""
    from digest.indexing import search

    similar_ids = [paper.pk for paper in search.similar(_find_paper(identity))]
    papers = Paper.objects.in_bulk(similar_ids)
    return {"papers": [_paper_fields(papers[pk]) for pk in similar_ids if pk in papers]}


@endpoint("GET")
def saved(request, subscriber, now):
    """A page of the reading list, the latest first."""
    pages = Paginator(reading_list.saved_papers(subscriber), PAGE_SIZE)
    page, papers = pages.get_page(request.GET.get("page")), []
    for saved_row in page:
        fields = {"saved_at": saved_row.saved_since, "read_at": saved_row.read_at}
        fields |= {"note": saved_row.note, "labels": saved_row.label_list}
        papers.append(_paper_fields(saved_row.paper) | _feedback_fields(saved_row) | fields)
    return {"count": pages.count, "page": page.number, "pages": pages.num_pages, "papers": papers}


@endpoint("POST")
def feedback(request, subscriber, now):
    """Store feedback, which is sent as JSON, whatever the content type."""
    try:
        payload = json.loads(request.body)
        identity, value = payload["paper"], payload["value"]
    except (ValueError, RecursionError, TypeError, KeyError):
        raise BadRequest('Send JSON such as {"paper": "2501.00001", "value": "more"}.') from None
    return store_feedback(subscriber, identity, value, now)


def store_feedback(subscriber, identity, value, now) -> dict:
    """Store feedback and return the stored state. Raises BadRequest or Http404."""
    if value not in VALUES:
        raise BadRequest(f"The value must be one of {', '.join(VALUES)}.")
    paper = _find_paper(identity)
    record(subscriber, paper, value, now)
    enqueue(tasks.learn_from_feedback)
    return {"paper": paper.pk} | _feedback_fields(feedback_on(subscriber, paper))


@endpoint("GET", "POST")
@retry_on_integrity_error
def entries(request, subscriber, now):
    """Return the subscriber's interests. POST replaces the lists that are sent."""
    if request.method == "POST":
        with translation.override("en"):
            form = InterestsForm.with_changes(subscriber, _sent_lists(request))
            if not form.is_valid():
                lines = [f"{name}: {' '.join(errors)}" for name, errors in form.errors.items()]
                raise BadRequest(" ".join(lines))
        preferences.change(subscriber, form.topic_selection(), {}, now=now)
    initial = InterestsForm.of(subscriber).initial
    stored_entries = interests.stored_entries(subscriber)
    topics = Topic.objects.curated().values("slug", "name")
    answer = {name: list(topics.filter(slug__in=initial[name])) for name in ("topics", "mute")}
    for name, is_muted in (("interests", False), ("muted_interests", True)):
        field_entries = [entry for entry in stored_entries if entry.is_muted == is_muted]
        answer[name] = [
            {"line": line, "kind": entry.kind, "text": entry.text}
            for line, entry in zip(initial[name], field_entries, strict=True)
        ]
    return answer


def _sent_lists(request):
    """Return the lists of lines and slugs that were sent, by the names of the form's fields."""
    try:
        payload = json.loads(request.body)
        has_known_fields = bool(payload) and payload.keys() <= InterestsForm.base_fields.keys()
        is_valid = has_known_fields and all(
            isinstance(lines, list) and len(lines) <= MAX_LINES and all(map(_is_text, lines))
            for lines in payload.values()
        )
    except (ValueError, RecursionError, AttributeError):
        is_valid = False
    if not is_valid:
        names = ", ".join(InterestsForm.base_fields)
        example = '{"interests": ["graph networks", "not: surveys"]}'
        raise BadRequest(f"Send JSON such as {example}, with lists of up to {MAX_LINES}: {names}.")
    return payload


def _is_text(value):
    """Return whether it is a text for the database: PostgreSQL refuses NUL, UTF-8 surrogates."""
    return isinstance(value, str) and not NOT_STORABLE.search(value)


def _find_paper(identity):
    paper = Paper.objects.filter(pk=identity).first() if _is_text(identity) else None
    if paper is None:
        raise Http404("There is no such paper.")
    return paper


def _paper_fields(paper):
    fields = {"id": paper.pk, "doi": citations.doi(paper), "title": paper.title, "day": paper.day}
    fields |= {"url": paper.link, "page": settings.SITE_URL + paper.get_absolute_url()}
    fields |= {"authors": paper.authors, "categories": paper.fields, "abstract": paper.abstract}
    return fields


def _feedback_fields(feedback):
    """Return the fields of a subscriber's feedback on a paper, which may be None."""
    is_saved = bool(feedback and feedback.saved_since)
    return {"opinion": feedback.opinion if feedback else "", "is_saved": is_saved}
