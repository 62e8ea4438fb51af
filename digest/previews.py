"""A letter on a page of ours. It holds what strangers wrote, so it is shut in: nothing in it runs,
is fetched, or can be sent.
"""

from functools import wraps

from django.http import HttpResponse
from django.utils.csp import CSP
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.csp import csp_override

SHUT_IN = {
    "sandbox": True,
    "default-src": [CSP.NONE],
    "style-src": [CSP.UNSAFE_INLINE],
    "frame-ancestors": [CSP.SELF],
}
PLAIN = "text/plain; charset=utf-8"


def shut_in(view):
    """Mark a view that answers with a letter. Pages of ours may frame it, and no others."""
    return wraps(view)(csp_override(SHUT_IN)(xframe_options_sameorigin(view)))


def page(html: str) -> HttpResponse:
    """Return a letter's HTML. A click asks for a new window, which the sandbox refuses."""
    return HttpResponse(html.replace("<head>", '<head><base target="_blank">', 1))


def plain(text: str) -> HttpResponse:
    return HttpResponse(text, content_type=PLAIN)
