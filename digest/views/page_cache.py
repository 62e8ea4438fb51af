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

from digest.views.access import public_page

SECONDS = 60
MAKE_LOCK_SECONDS = 10  # After so long, another request tries to make it.
MAX_KEY_LENGTH = 1_000  # Pages with longer addresses are not cached.


class _NotCacheable(Exception):
    def __init__(self, response):
        self.response = response


def get_or_make[T](make: Callable[[], T], *key) -> T:
    """Return what `make` returned for this key and language within the last minute, or make it.

    While one request makes it anew, others get the previous one.
    """
    cache_key, cache = sha256(repr((get_language(), *key)).encode()).hexdigest(), caches["pages"]
    value, fresh_until = cache.get(cache_key, (None, 0))
    is_stale = time.monotonic() > fresh_until
    if value is None or (is_stale and cache.add(f"{cache_key}-making", 1, MAKE_LOCK_SECONDS)):
        value = make()
        cache.set(cache_key, (value, time.monotonic() + SECONDS), 2 * SECONDS)
        cache.delete(f"{cache_key}-making")
    return value


def same_for_all(*params: str) -> Callable:
    """Mark a view whose answer depends on the path, the language and these query parameters.

    It gets no cookie. The answer has an ETag.
    """

    def decorate(view):
        @public_page
        @wraps(view)
        def cached_view(request, *args, **kwargs):
            def make():
                response = view(request, *args, **kwargs)
                if response.status_code != 200:
                    raise _NotCacheable(response)
                etag = f'"{sha256(response.content).hexdigest()[:32]}"'
                return response.content, dict(response.items()), etag

            key = (request.path, [request.GET.get(param, "") for param in params])
            try:
                is_short = len(repr(key)) <= MAX_KEY_LENGTH
                content, headers, etag = get_or_make(make, *key) if is_short else make()
            except _NotCacheable as error:
                return error.response
            response = HttpResponse(content, headers=headers)
            response["ETag"] = etag
            patch_cache_control(response, max_age=SECONDS)
            last_modified = parse_http_date_safe(headers.get("Last-Modified", ""))
            return get_conditional_response(request, etag, last_modified, response)

        return cached_view

    return decorate
