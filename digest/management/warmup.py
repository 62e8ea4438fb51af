"""Load what pages rank with in a thread of the web process, so that no request waits for it.

Else the first page that ranks, and the first after each harvest, would import numpy, read the
search index and load the candidates of the last days.
"""

import logging
import threading
from time import sleep

from django.db import DatabaseError, connections
from django.http import QueryDict
from django.utils import timezone

from digest.models import FittedModel
from digest.views.subscribing.preview import parts_for
from subscriptions.models import Topic

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 60


def start_warming() -> None:
    """Start a thread that warms this process up again and again."""
    threading.Thread(target=_warm_forever, name="warming", daemon=True).start()


def _warm_forever():
    window = None
    while True:
        window = warm(window)
        connections.close_all()
        sleep(INTERVAL_SECONDS)


def warm(last_window=None):
    """Load what pages rank with. Returns the window, which is `last_window` if nothing changed.

    Returns None without a model or after an error. Raises nothing.
    """
    try:
        return _load_window(last_window) if FittedModel.objects.exists() else None
    except DatabaseError:  # There is an alarm for it.
        return None
    except Exception:
        logger.exception("Cannot load the ranking model for pages")
        return None


def _load_window(last_window):
    from digest.indexing import candidate_windows, model_store
    from digest.planning import preview
    from digest.views import search

    try:
        window = preview.windows(timezone.now())[0]
    except model_store.NotFitted:
        return None
    if window is not last_window:  # Make the pages that a visitor would request.
        candidate_windows.for_pages(window.day)
        for topic in Topic.objects.curated()[:1]:
            parts_for(QueryDict(f"topics={topic.slug}"), timezone.now())
            search.find(topic.query)
    return window
