"""The API for programs. It describes itself at /api/v1/openapi.json; docs/api.md introduces it.

A program sends a subscriber's token as `Authorization: Bearer`, nowhere else. There are no CORS
headers: scripts of other sites cannot use the API. Answers are JSON. config.middleware keeps them
out of caches, and turns errors of other origin into JSON. Docstrings of operations and of fields
are part of the description.
"""

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from django.conf import settings
from django.core.exceptions import BadRequest
from django.core.paginator import Paginator
from django.forms.models import model_to_dict
from django.http import Http404, JsonResponse
from django.utils import timezone, translation
from ninja import NinjaAPI, Schema
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.security import HttpBearer
from pydantic import AfterValidator, Field, WithJsonSchema

from digest import models, tasks
from digest.personalization import interests, reading_list
from digest.personalization.feedback import VALUES, attach, feedback_on, record
from digest.views.access import public_page
from digest.views.forms.fields import MAX_LINES
from digest.views.forms.interests import InterestsForm
from digest.views.page_cache import get_or_make
from digest.views.papers import MAX_PAPERS
from digest.views.reader import sent_digests
from digest.wording import reason_of
from subscriptions.actions import preferences
from subscriptions.db import retry_on_integrity_error
from subscriptions.models import Subscriber
from subscriptions.models import Topic as CuratedTopic
from subscriptions.security import api_tokens, rate_limits
from subscriptions.tasks import enqueue

MAX_REQUESTS_AN_HOUR = 300  # Of a subscriber.
MAX_BAD_TOKENS_AN_HOUR = 30  # Of a network.
PAGE_SIZE = 50
NOT_STORABLE = re.compile("[\0\ud800-\udfff]")
DESCRIPTION = """\
A subscriber's digest, reading list, feedback and interests, and the search. Make an API token in \
the preferences, tab “Data”, and send it as Authorization: Bearer. At most 300 requests an hour; \
Retry-After says when to try again. HEAD works like GET. There are no CORS headers."""
UNAUTHORIZED = """\
Send an API token as Authorization: Bearer TOKEN. Make one in the preferences, tab Data."""
#: What to send instead, where a query or a body cannot be read.
HINTS = {
    "/api/v1/search/": "Say what to search for in q.",
    "/api/v1/feedback/": 'Send JSON such as {"paper": "2501.00001", "value": "more"}.',
    "/api/v1/interests/": (
        'Send JSON such as {"interests": ["graph networks", "not: surveys"]}, with lists of up to '
        f"{MAX_LINES}: {', '.join(InterestsForm.base_fields)}."
    ),
}


class Token(HttpBearer):
    """An API token. Its subscriber becomes `request.auth`, and the request counts for a limit."""

    def authenticate(self, request, token):
        now = timezone.now()
        if subscriber := api_tokens.find_subscriber(token.strip()):
            limit_args = "token", str(subscriber.pk), MAX_REQUESTS_AN_HOUR
            translation.activate(subscriber.language_or_default)
        else:
            network = rate_limits.network_of(request.META["REMOTE_ADDR"])
            limit_args = "network", network, MAX_BAD_TOKENS_AN_HOUR
        rate_limits.hit("api", [rate_limits.Limit(*limit_args, rate_limits.HOUR)], now)
        return subscriber


class Api(NinjaAPI):
    def get_content_type(self):
        return "application/json"

    def get_openapi_schema(self, **options):
        document = super().get_openapi_schema(**options)
        for operations in document["paths"].values():
            operations.pop("head", None)
        return document


API = Api(
    title="Paperboy",
    version="1",
    description=DESCRIPTION,
    auth=Token(),
    openapi_url="/api/v1/openapi.json",
    docs_url=None,  # Its page needs JavaScript. Ours is views.about.api.
    docs_decorator=public_page,
)


# ---- Errors


@API.exception_handler(rate_limits.TooManyAttempts)
def _refuse_too_many(request, refusal):
    status = 503 if refusal.kind == "store" else 429
    message = f"Try again in {refusal.retry_after} seconds."
    return _error_response(status, message, **{"Retry-After": str(refusal.retry_after)})


@API.exception_handler(AuthenticationError)
@API.exception_handler(Subscriber.DoesNotExist)  # Erased meanwhile.
def _refuse_token(request, error):
    return _error_response(401, UNAUTHORIZED, **{"WWW-Authenticate": "Bearer"})


@API.exception_handler(HttpError)  # The body is no JSON.
@API.exception_handler(ValidationError)
def _refuse_unreadable(request, error):
    return _error_response(400, HINTS[request.path])


@API.exception_handler(BadRequest)
def _refuse_value(request, error):
    return _error_response(400, str(error))


@API.exception_handler(Http404)
def _answer_not_found(request, error):
    return _error_response(404, str(error))


def _error_response(status, message, **headers):
    return JsonResponse({"error": message}, status=status, headers=headers)


# ---- Fields


def _is_text(value):
    """Return whether it is a text for the database: PostgreSQL refuses NUL, UTF-8 surrogates."""
    return isinstance(value, str) and not NOT_STORABLE.search(value)


def _check_text(value: str) -> str:
    if not _is_text(value):
        raise ValueError("This is no text.")
    return value


Lines = Annotated[list[Annotated[str, AfterValidator(_check_text)]], Field(max_length=MAX_LINES)]


class Fields(Schema, use_attribute_docstrings=True):
    """JSON with these fields."""


class Error(Fields):
    error: str
    """What is wrong, in English."""


class Paper(Fields):
    id: str
    """arXiv id without version, or a source and an id, as biorxiv:10.1101/2026.01.01.000001."""
    doi: str
    """Empty if unknown."""
    title: str
    day: date
    """When it was announced."""
    url: str
    """Where to read it. Empty if unknown."""
    page: str = Field(json_schema_extra={"format": "uri"})
    """Its page on this site."""
    authors: list[str]
    categories: list[str]
    abstract: str


class Opinion(Fields):
    opinion: Literal["", "more", "less"]
    """The subscriber's opinion. Empty if there is none."""
    is_saved: bool
    """Whether it is on the reading list."""


class KnownPaper(Opinion, Paper):
    pass


class Summary(Fields):
    language: str
    model: str
    title: str
    """Empty in English."""
    text: str


class Pick(KnownPaper):
    reason: str
    """Why it was picked, in the subscriber's language."""
    score: float
    """How well it matches. Comparable within one digest only."""
    section: Literal["new", "missed", "near", "shared"]
    similar: list[str]
    """Ids of papers on the same idea, which are shown with it."""
    summary: Summary | None
    """What a language model wrote, in the language that the subscriber chose."""


class SavedPaper(KnownPaper):
    saved_at: datetime
    read_at: datetime | None
    note: str
    labels: list[str]


class Digest(Fields):
    day: date | None
    papers: list[Pick]


class Results(Fields):
    query: str
    count: int
    """Of all that match."""
    papers: list[Paper]


class Saved(Fields):
    count: int
    page: int
    pages: int
    papers: list[SavedPaper]


class Feedback(Fields):
    paper: str
    """Its id."""
    value: str = Field(json_schema_extra={"enum": [str(value) for value in VALUES]})
    """neutral ends the opinion, unsave removes it from the reading list, clear does both."""


class Given(Opinion):
    paper: str


class Interest(Fields):
    line: str
    """The line that is read as this interest again."""
    kind: Literal["words", "text", "author", "category", "topic", "paper", "orcid", "unread", ""]
    """words: papers about them. text: papers near a title, an abstract or another text. author,
    category: their papers. topic: a built-in topic that does not exist any more. paper: papers like
    it. orcid: papers of a person, which are chosen in the preferences. unread: not understood.
    Empty: saved before there were kinds."""
    text: str


class Topic(Fields):
    slug: str
    name: str


class Interests(Fields):
    topics: list[Topic]
    mute: list[Topic]
    interests: list[Interest]
    muted_interests: list[Interest]


class SentInterests(Fields, extra="forbid"):
    topics: Lines = None
    """Slugs of the built-in topics to follow."""
    mute: Lines = None
    """Slugs of the built-in topics to mute."""
    interests: Lines = None
    """Lines, read as on the sign-up page: one may become several interests, or the name of a
    built-in topic that topic. A line that begins with “not: ” is muted."""
    muted_interests: Lines = None
    """Lines that are muted."""


# ---- Operations


def operation(method, path, operation_id, answer, *statuses):
    """Decorate a function that returns the fields of `answer`, or raises one of the errors."""
    methods = ["GET", "HEAD"] if method == "GET" else [method]
    responses = {200: answer} | dict.fromkeys(sorted({401, 405, 429, 503, *statuses}), Error)
    return API.api_operation(methods, path, response=responses, operation_id=operation_id)


PaperId = Annotated[
    str, WithJsonSchema({"type": "string", "description": "Slashes of an id stay as they are."})
]
Query = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "description": "Words, “phrases”, author:Name, an arXiv id or a DOI. At most 300 "
            "characters count.",
        }
    ),
]
Order = Annotated[str, WithJsonSchema({"type": "string", "enum": ["best", "new"]})]
PageNumber = Annotated[
    Any,
    WithJsonSchema(
        {
            "type": "integer",
            "minimum": 1,
            "description": f"{PAGE_SIZE} papers each. Beyond the last page, the last one.",
        }
    ),
]


@operation("GET", "/api/v1/digest/", "getDigest", Digest)
def digest(request):
    """The latest digest that was sent. Without one yet, day is null."""
    return latest_digest(request.auth)


def latest_digest(subscriber) -> dict:
    """Return the latest digest that was sent, which is the one that the web shows."""
    digest = sent_digests(subscriber).first()
    if digest is None:
        return {"day": None, "papers": []}
    papers = []
    for pick in attach(subscriber, digest.picks.with_papers()):
        summary = pick.paper.llm_summary
        fields = {
            "reason": reason_of(pick),
            "score": round(pick.score, 4),
            "section": pick.group,
            "similar": [paper.pk for paper in pick.folded],
            "summary": summary and model_to_dict(summary, Summary.model_fields),
        }
        papers.append(_paper_fields(pick.paper) | _feedback_fields(pick.feedback) | fields)
    return {"day": digest.day, "papers": papers}


@operation("GET", "/api/v1/search/", "search", Results, 400)
def search(request, q: Query, order: Order = "best"):
    """Search papers. At most 30 are returned, the best or the newest first."""
    return results_of(q, newest=order == "new")


def results_of(query: str, *, newest: bool) -> dict:
    """Return what the search page finds, which is the same for everyone and kept for a minute."""
    from digest.views import search  # numpy, which only pages that rank import.

    if not query.strip() or not _is_text(query):
        raise BadRequest(HINTS["/api/v1/search/"])

    def find_papers():
        page = search.find(query, newest=newest, size=MAX_PAPERS)
        papers = [_paper_fields(result.paper) for result in page.results]
        return {"query": page.query, "count": page.count, "papers": papers}

    return get_or_make(find_papers, "api search", query, newest)


@operation("GET", "/api/v1/papers/{path:id}/", "getPaper", KnownPaper, 404)
def paper(request, id: PaperId):
    """One paper, with the subscriber's feedback."""
    return paper_for(request.auth, id)


def paper_for(subscriber, identity) -> dict:
    """Return a paper with the subscriber's feedback on it. Raises Http404."""
    paper = _find_paper(identity)
    return _paper_fields(paper) | _feedback_fields(feedback_on(subscriber, paper))


def similar_to(identity) -> dict:
    """Return the papers that the page of a paper lists as similar. Raises Http404."""
    from digest.indexing import search

    similar_ids = [paper.pk for paper in search.similar(_find_paper(identity))]
    papers = models.Paper.objects.in_bulk(similar_ids)
    return {"papers": [_paper_fields(papers[pk]) for pk in similar_ids if pk in papers]}


@operation("GET", "/api/v1/saved/", "getSaved", Saved)
def saved(request, page: PageNumber = 1):
    """A page of the reading list, the latest first."""
    pages = Paginator(reading_list.saved_papers(request.auth), PAGE_SIZE)
    current_page = pages.get_page(page)
    papers = []
    for saved_row in current_page:
        fields = {
            "saved_at": saved_row.saved_at,
            "read_at": saved_row.read_at,
            "note": saved_row.note,
            "labels": saved_row.label_list,
        }
        papers.append(_paper_fields(saved_row.paper) | _feedback_fields(saved_row) | fields)
    return {
        "count": pages.count,
        "page": current_page.number,
        "pages": pages.num_pages,
        "papers": papers,
    }


@operation("POST", "/api/v1/feedback/", "sendFeedback", Given, 400, 404, 413)
def feedback(request, feedback: Feedback):
    """Give feedback on a paper, as by the links of a digest. The same again changes nothing."""
    return store_feedback(request.auth, feedback.paper, feedback.value, timezone.now())


def store_feedback(subscriber, identity, value, now) -> dict:
    """Store feedback and return the stored state. Raises BadRequest or Http404."""
    if value not in VALUES:
        raise BadRequest(f"The value must be one of {', '.join(VALUES)}.")
    paper = _find_paper(identity)
    record(subscriber, paper, value, now)
    enqueue(tasks.learn_from_feedback)
    return {"paper": paper.pk} | _feedback_fields(feedback_on(subscriber, paper))


@operation("GET", "/api/v1/interests/", "getInterests", Interests)
def get_interests(request):
    """What the subscriber follows and mutes."""
    return interests_of(request.auth)


@operation("POST", "/api/v1/interests/", "setInterests", Interests, 400, 413)
@retry_on_integrity_error
def set_interests(request, lists: SentInterests):
    """Replace the lists that are sent. The others stay as they are.

    The answer is what was understood. Its lines, sent again, change nothing.
    """
    sent_lists = lists.dict(exclude_unset=True)
    if not sent_lists:
        raise BadRequest(HINTS["/api/v1/interests/"])
    with translation.override("en"):
        form = InterestsForm.with_changes(request.auth, sent_lists)
        if not form.is_valid():
            lines = [f"{name}: {' '.join(errors)}" for name, errors in form.errors.items()]
            raise BadRequest(" ".join(lines))
    preferences.change(request.auth, form.topic_selection(), {}, now=timezone.now())
    return interests_of(request.auth)


def interests_of(subscriber) -> dict:
    """Return the fields of Interests."""
    initial = InterestsForm.of(subscriber).initial
    stored_entries = interests.stored_entries(subscriber)
    topics = CuratedTopic.objects.curated().values("slug", "name")
    answer = {name: list(topics.filter(slug__in=initial[name])) for name in ("topics", "mute")}
    for name, is_muted in (("interests", False), ("muted_interests", True)):
        field_entries = [entry for entry in stored_entries if entry.is_muted == is_muted]
        answer[name] = [
            {"line": line, "kind": entry.kind, "text": entry.text}
            for line, entry in zip(initial[name], field_entries, strict=True)
        ]
    return answer


def _find_paper(identity):
    paper = models.Paper.objects.filter(pk=identity).first() if _is_text(identity) else None
    if paper is None:
        raise Http404("There is no such paper.")
    return paper


def _paper_fields(paper):
    """Return the fields of Paper."""
    return {
        "id": paper.pk,
        "doi": paper.first_doi,
        "title": paper.title,
        "day": paper.day,
        "url": paper.link,
        "page": settings.SITE_URL + paper.get_absolute_url(),
        "authors": paper.authors,
        "categories": paper.fields,
        "abstract": paper.abstract,
    }


def _feedback_fields(feedback):
    """Return the fields of Opinion. The subscriber's feedback on the paper may be None."""
    is_saved = bool(feedback and feedback.saved_at)
    return {"opinion": feedback.opinion if feedback else "", "is_saved": is_saved}
