"""Pages that are the same for everyone: made once a minute in each process, and known by an ETag.

They know no cookie, and of the query only what they name. What is kept is bytes in this process's
memory: a crawler fills no Redis, and nothing that came over a network is unpickled. While one
request makes a page anew, others get the last one.
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

from subscriptions.views import for_all_to_read

SECONDS = 60
MAKING = 10  # Seconds that making one may take, before another tries.
LONGEST = 1_000  # Characters of an address and its query; longer ones are not kept.


def same_for_all(*names: str) -> Callable:
    """Mark a view whose answer depends on the path, the language and these parts of the query."""

    def mark(view):
        @for_all_to_read
        @wraps(view)
        def shared(request, *args, **kwargs):
            key, pages = _key(request, names), caches["pages"]
            kept, until = pages.get(key, (None, 0)) if key else (None, 0)
            if kept is None or (time.monotonic() > until and pages.add(f"{key}-making", 1, MAKING)):
                response = view(request, *args, **kwargs)
                if response.status_code != 200:
                    return response
                digest = sha256(response.content).hexdigest()[:32]
                kept = response.content, dict(response.items()), digest
                if key:
                    pages.set(key, (kept, time.monotonic() + SECONDS), 2 * SECONDS)
                    pages.delete(f"{key}-making")
            return _answer(request, *kept)

        return shared

    return mark


def _key(request, names):
    asked = [request.GET.get(name, "") for name in names]
    told = repr((get_language(), request.path, asked))  # In quotes: joined, two could be alike.
    return sha256(told.encode()).hexdigest() if len(told) <= LONGEST else ""


def _answer(request, content, headers, digest):
    response = HttpResponse(content, headers=headers)
    response["ETag"] = etag = f'"{digest}"'
    patch_cache_control(response, max_age=SECONDS)
    modified = parse_http_date_safe(headers.get("Last-Modified", ""))
    return get_conditional_response(request, etag, modified, response)
