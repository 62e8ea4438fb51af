"""What the panel's pages of this room share."""

from urllib.parse import urlsplit

from django.urls import resolve, reverse
from django.utils.html import format_html


def link_to(paper):
    """Return the paper's title, linked to its page in the panel."""
    url = reverse("admin:digest_paper_change", args=[paper.pk])
    return format_html(
        '<a class="inline-block min-w-52 text-important" href="{}">{}</a>', url, paper.title
    )


def link_out(url):
    """Return a link to what lies elsewhere, nothing where there is no address."""
    return url and format_html('<a class="text-link" href="{0}" rel="noreferrer">{0}</a>', url)


def may_open(user, url):
    """Return whether one may see the page of the panel, or the list, at this address."""
    if not url:
        return False
    room, table, _ = resolve(urlsplit(url).path).url_name.split("_", 2)
    return user.has_perm(f"{room}.view_{table}")
