"""What is answered where a request goes wrong: a page that helps, in the look of all pages.

These pages ask neither the database nor the session, which may be what is broken.
"""

import sys

from django.http import HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse

from config import policies
from digest.alarms import is_of_the_database


def unreadable(request, exception):
    return page(request, 400)


def forbidden(request, exception):
    """In the panel, it is told to one who is logged in: all others are asked to log in."""
    is_panel = request.path.startswith(reverse("admin:index"))
    return page(request, 403, is_panel=is_panel)


def form_unproven(request, reason=""):
    """A form of the panel, without proof that it is ours: forms for readers need none."""
    return page(request, 403, "403_csrf.html")


def not_found(request, exception):
    return page(request, 404)


def broken(request):
    """Say so where the database is away, full or damaged: then no letters leave, either."""
    return page(request, 503 if is_of_the_database(sys.exception()) else 500)


def page(request, status: int, template: str = "", **told) -> HttpResponse:
    """Return the page of this status, `<status>.html` unless another is named."""
    body = render_to_string(template or f"{status}.html", policies.site(request) | told)
    return HttpResponse(body, status=status)
