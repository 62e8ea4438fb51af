"""Links, and emails on pages, for the digest app's admin."""

from functools import wraps
from urllib.parse import urlsplit

from django.http import HttpResponse
from django.urls import resolve, reverse
from django.utils.csp import CSP
from django.utils.html import format_html
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.csp import csp_override

#: An email contains texts of strangers: it may run, fetch and send nothing.
EMAIL_POLICY = {
    "sandbox": True,
    "default-src": [CSP.NONE],
    "style-src": [CSP.UNSAFE_INLINE],
    "frame-ancestors": [CSP.SELF],
}


def email_view(view):
    """Mark a view that returns an email, for a frame on our own pages."""
    return wraps(view)(csp_override(EMAIL_POLICY)(xframe_options_sameorigin(view)))


def html_response(html: str) -> HttpResponse:
    """Return an email's HTML. Links open a new window, which the sandbox refuses."""
    return HttpResponse(html.replace("<head>", '<head><base target="_blank">', 1))


def text_response(text: str) -> HttpResponse:
    return HttpResponse(text, content_type="text/plain; charset=utf-8")


def paper_link(paper):
    """Return the paper's title, linked to its admin page."""
    url = reverse("admin:digest_paper_change", args=[paper.pk])
    html = '<a class="inline-block min-w-52 text-important" href="{}">{}</a>'
    return format_html(html, url, paper.title)


def external_link(url):
    """Return a link to another site, or nothing without a URL."""
    return url and format_html('<a class="text-link" href="{0}" rel="noreferrer">{0}</a>', url)


def url_if_allowed(user, url):
    """Return the URL of an admin page, list or action, or "" if it is not for the user."""
    if not url:
        return ""
    app_label, model, page_name = resolve(urlsplit(url).path).url_name.split("_", 2)
    permission = "view" if page_name in ("change", "changelist") else "change"
    return url if user.has_perm(f"{app_label}.{permission}_{model}") else ""
