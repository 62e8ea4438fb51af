"""Error pages. They use neither the database nor the session, which may be what is broken."""

import sys

from django.http import HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse

from config import middleware
from digest.operations.alarms import is_database_failure


def bad_request(request, exception):
    return page(request, 400)


def forbidden(request, exception):
    """In the admin, only logged-in users get this: others are asked to log in."""
    return page(request, 403, is_panel=request.path.startswith(reverse("admin:index")))


def csrf_failure(request, reason=""):
    """CSRF failures, which only forms of the admin can have."""
    return page(request, 403, "403_csrf.html")


def not_found(request, exception):
    return page(request, 404)


def server_error(request):
    """Say so where the database is away, full or damaged: then no letters leave, either."""
    return page(request, 503 if is_database_failure(sys.exception()) else 500)


def page(request, status: int, template: str = "", **context) -> HttpResponse:
    body = render_to_string(template or f"{status}.html", middleware.site(request) | context)
    return HttpResponse(body, status=status)
