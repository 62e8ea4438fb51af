"""Cache pages, and parts of pages, that are the same for everyone, for a minute in each process.

The cache is this process's memory: a crawler fills no Redis, and nothing that came over a network
is unpickled.
"""

import time
from collections.abc import Callable
from functools import wraps
from hashlib import sha256

from django.core.cache import caches
from django.http import HttpResponse
from django.utils.cache import get_conditional_response, patch_cache_control
from django.utils.http import parse_http_date_safe
from django.utils.translation import get_language

from subscriptions.views.access import public_page

SECONDS = 60
MAKING_SECONDS = 10  # After so long, another request tries to make it.
MAX_KEY_LENGTH = 1_000  # Pages with longer addresses are not cached.


class _NotCacheable(Exception):
    def __init__(self, response):
        self.response = response


def get_or_make[T](make: Callable[[], T], *key) -> T:
    """Return what `make` returned for this key and language within the last minute, or make it.

    While one request makes it anew, others get the previous one.
    """
    name, pages = sha256(repr((get_language(), *key)).encode()).hexdigest(), caches["pages"]
    value, until = pages.get(name, (None, 0))
    is_old = time.monotonic() > until
    if value is None or (is_old and pages.add(f"{name}-making", 1, MAKING_SECONDS)):
        value = make()
        pages.set(name, (value, time.monotonic() + SECONDS), 2 * SECONDS)
        pages.delete(f"{name}-making")
    return value


def same_for_all(*names: str) -> Callable:
    """Mark a view whose answer depends on the path, the language and these query parameters.

    It gets no cookie. The answer has an ETag.
    """

    def mark(view):
        @public_page
        @wraps(view)
        def shared(request, *args, **kwargs):
            def make():
                response = view(request, *args, **kwargs)
                if response.status_code != 200:
                    raise _NotCacheable(response)
                etag = f'"{sha256(response.content).hexdigest()[:32]}"'
                return response.content, dict(response.items()), etag

            key = (request.path, [request.GET.get(name, "") for name in names])
            try:
                is_short = len(repr(key)) <= MAX_KEY_LENGTH
                content, headers, etag = get_or_make(make, *key) if is_short else make()
            except _NotCacheable as error:
                return error.response
            response = HttpResponse(content, headers=headers)
            response["ETag"] = etag
            patch_cache_control(response, max_age=SECONDS)
            modified = parse_http_date_safe(headers.get("Last-Modified", ""))
            return get_conditional_response(request, etag, modified, response)

        return shared

    return mark
