"""The API for programs. static/root/api/v1/openapi.json describes it, docs/api.md introduces it.

A program sends a subscriber's token as `Authorization: Bearer`, nowhere else. There are no CORS
headers: scripts of other sites cannot use the API. Answers are JSON. config.middleware keeps them
out of caches, and turns errors of other origin into JSON.
"""

import json
from functools import wraps

from django.conf import settings
from django.core.exceptions import BadRequest
from django.core.paginator import Paginator
from django.http import Http404, JsonResponse
from django.utils import timezone, translation
from django.views.decorators.csrf import csrf_exempt

from digest import tasks
from digest.models import Paper
from digest.papers import citations
from digest.personalization import reading_list
from digest.personalization.feedback import VALUES, attach, feedback_on, record
from digest.views.page_cache import get_or_make
from digest.views.papers import MAX_PAPERS
from digest.views.reader import sent_digests
from subscriptions.models import Subscriber
from subscriptions.security import api_tokens, rate_limits
from subscriptions.tasks import enqueue

MAX_REQUESTS_AN_HOUR = 300  # Of a subscriber.
MAX_BAD_TOKENS_AN_HOUR = 30  # Of a network.
PAGE = 50
UNAUTHORIZED = """\
Send an API token as Authorization: Bearer TOKEN. Make one in the preferences, tab Data."""


def endpoint(method):
    """Decorate a view that takes a subscriber and returns what is answered as JSON.

    It may raise BadRequest, Http404 or Subscriber.DoesNotExist.
    """
    allowed = ["GET", "HEAD"] if method == "GET" else [method]

    def decorate(view):
        @csrf_exempt  # There is no cookie to misuse.
        @wraps(view)
        def answer(request, **kwargs):
            if request.method not in allowed:
                return _error(405, f"Use {method} at this address.", Allow=", ".join(allowed))
            now = timezone.now()
            try:
                subscriber = _authenticate(request, now)
                with translation.override(subscriber.language_or_default):
                    return JsonResponse(view(request, subscriber, now, **kwargs))
            except rate_limits.TooManyAttempts as refusal:
                status = 503 if refusal.by == "store" else 429
                sentence = f"Try again in {refusal.retry_after} seconds."
                return _error(status, sentence, **{"Retry-After": str(refusal.retry_after)})
            except Subscriber.DoesNotExist:  # Or erased meanwhile.
                return _error(401, UNAUTHORIZED, **{"WWW-Authenticate": "Bearer"})
            except (BadRequest, Http404) as error:
                return _error(400 if isinstance(error, BadRequest) else 404, str(error))

        return answer

    return decorate


def _authenticate(request, now):
    """Return the subscriber whose token was sent, and count the request."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Subscriber.DoesNotExist
    if subscriber := api_tokens.find_subscriber(token.strip()):
        counted = "token", str(subscriber.pk), MAX_REQUESTS_AN_HOUR
    else:
        network = rate_limits.network_of(request.META["REMOTE_ADDR"])
        counted = "network", network, MAX_BAD_TOKENS_AN_HOUR
    rate_limits.hit("api", [rate_limits.Limit(*counted, rate_limits.HOUR)], now)
    if subscriber is None:
        raise Subscriber.DoesNotExist
    return subscriber


def _error(status, sentence, **headers):
    return JsonResponse({"error": sentence}, status=status, headers=headers)


@endpoint("GET")
def digest(request, subscriber, now):
    """The latest digest that was sent, which is the one that the web shows."""
    found, papers = sent_digests(subscriber).first(), []
    for pick in attach(subscriber, found.picks.whole()) if found else ():
        known = {"reason": pick.why, "score": round(pick.score, 4), "section": pick.group or "new"}
        known["similar"] = [paper.pk for paper in pick.folded]
        papers.append(_paper(pick.paper) | _said(pick.feedback) | known)
    return {"day": found and found.day, "papers": papers}


@endpoint("GET")
def search(request, subscriber, now):
    """What the search page finds. As there, results are for everyone and kept for a minute."""
    from digest.views import search  # numpy, which only pages that rank import.

    asked, newest = request.GET.get("q", ""), request.GET.get("order") == "new"
    if not asked.strip():
        raise BadRequest("Say what to search for in q.")

    def find():
        found = search.find(asked, newest=newest, size=MAX_PAPERS)
        papers = [_paper(result.paper) for result in found.results]
        return {"query": found.asked, "count": found.count, "papers": papers}

    return get_or_make(find, "api search", asked, newest)


@endpoint("GET")
def paper(request, subscriber, now, identity):
    found = _find(identity)
    return _paper(found) | _said(feedback_on(subscriber, found))


@endpoint("GET")
def saved(request, subscriber, now):
    """A page of the reading list, the latest first."""
    rows = Paginator(reading_list.saved(subscriber), PAGE)
    page, papers = rows.get_page(request.GET.get("page")), []
    for row in page:
        known = {"saved_at": row.saved_since, "read_at": row.read_at}
        known |= {"note": row.note, "labels": row.label_list}
        papers.append(_paper(row.paper) | _said(row) | known)
    return {"count": rows.count, "page": page.number, "pages": rows.num_pages, "papers": papers}


@endpoint("POST")
def feedback(request, subscriber, now):
    """Store feedback, which is sent as JSON, whatever the content type."""
    try:
        sent = json.loads(request.body)
        identity, value = sent["paper"], sent["value"]
    except (ValueError, RecursionError, TypeError, KeyError):
        raise BadRequest('Send JSON such as {"paper": "2501.00001", "value": "more"}.') from None
    if value not in VALUES:
        raise BadRequest(f"The value must be one of {', '.join(VALUES)}.")
    found = _find(identity)
    record(subscriber, found, value, now)
    enqueue(tasks.learn_from_feedback)
    return {"paper": found.pk} | _said(feedback_on(subscriber, found))


def _find(identity):
    # PostgreSQL refuses NUL, and lone surrogates have no UTF-8.
    is_text = isinstance(identity, str) and identity.isprintable()
    found = Paper.objects.filter(pk=identity).first() if is_text else None
    if found is None:
        raise Http404("There is no such paper.")
    return found


def _paper(paper):
    known = {"id": paper.pk, "doi": citations.doi(paper), "title": paper.title, "day": paper.day}
    known |= {"url": paper.link, "page": settings.SITE_URL + paper.get_absolute_url()}
    known |= {"authors": paper.authors, "categories": paper.fields, "abstract": paper.abstract}
    return known


def _said(row):
    """Return a subscriber's feedback on a paper. `row`: Feedback, or None."""
    return {"opinion": row.opinion if row else "", "is_saved": bool(row and row.saved_since)}
