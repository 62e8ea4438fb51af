"""Who may open a page: token holders, rate limits, and the answers to everyone else."""

from functools import wraps
from math import ceil

from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe

from subscriptions.actions import signup
from subscriptions.models import Subscriber
from subscriptions.security import rate_limits, tokens


def rate_limited(view):
    """Decorate a view whose TooManyAttempts is answered with 429."""

    @wraps(view)
    def wrapped(request, *args, **kwargs):
        try:
            return view(request, *args, **kwargs)
        except rate_limits.TooManyAttempts as refusal:
            return too_many(request, refusal)

    return wrapped


def csrf_exempt_form(view):
    """Decorate a `rate_limited` form that needs no CSRF check."""
    return csrf_exempt(require_http_methods(["GET", "HEAD", "POST"])(rate_limited(view)))


def token_page(view):
    """Decorate a page that a token opens, as a `csrf_exempt_form`.

    A wrong token is answered with 404, a token that is no longer valid with 410. config.middleware
    keeps the page's URL secret.
    """

    @wraps(view)
    def wrapped(request, *args, **kwargs):
        try:
            return view(request, *args, **kwargs)
        except (tokens.ClosedToken, tokens.ExpiredToken) as error:
            status, is_closed = 410, isinstance(error, tokens.ClosedToken)
        except (tokens.BadToken, Subscriber.DoesNotExist):
            status, is_closed = 404, False
        is_move = request.resolver_match.url_name == "move"
        context = {"expired": status == 410, "is_move": is_move, "is_closed": is_closed}
        return render(request, "bad_link.html", context, status=status)

    return csrf_exempt_form(wrapped)


def public_page(view):
    """Decorate a read-only page. A POST is answered with 405, without a CSRF check."""
    return csrf_exempt(require_safe(view))


def too_many(request, refusal: rate_limits.TooManyAttempts):
    """Answer 429, or 503 if attempts cannot be counted."""
    minutes = ceil(refusal.retry_after / 60)
    context = {"minutes": minutes, "by": refusal.kind, "endpoint": refusal.endpoint}
    response = render(request, "429.html", context, status=503 if refusal.kind == "store" else 429)
    response["Retry-After"] = str(refusal.retry_after)
    add_never_cache_headers(response)
    return response


def bad_request(request, message):
    """Answer 400 to a form that no page of ours would send."""
    return render(request, "400.html", {"message": message}, status=400)


def consent_source(request, via, wording=""):
    ip = request.META.get("REMOTE_ADDR") or None
    return signup.ConsentSource(via=via, ip=ip, wording=str(wording))
