"""What pages rank with, made ready beside the requests of a web process: nobody has to wait for it.

The first page that ranks would import numpy, read the archive and lay out the papers of the last
days; so would the first after each harvest. Nothing depends on what is done here.
"""

import logging
import threading
from time import sleep

from django.db import DatabaseError, connections
from django.http import QueryDict
from django.utils import timezone

from digest import home_page
from digest.models import FittedModel
from subscriptions.forms import WishesForm
from subscriptions.models import Topic

logger = logging.getLogger(__name__)

EACH_MINUTE = 60


def warm_beside() -> None:
    """Keep this process warm from a thread, for as long as it lives."""
    threading.Thread(target=_stay_warm, name="warming", daemon=True).start()


def _stay_warm():
    window = None
    while True:
        window = warm(window)
        connections.close_all()
        sleep(EACH_MINUTE)


def warm(last=None):
    """Make ready what pages rank with, and return it: `last` itself where nothing has changed.

    Nothing is raised. None is returned where there is no model yet, or something is wrong.
    """
    try:
        return _warmed(last) if FittedModel.objects.exists() else None
    except DatabaseError:  # The alarms tell of it.
        return None
    except Exception:
        logger.exception("what pages rank with can't be made ready")
        return None


def _warmed(last):
    from digest import rehearsal, search_page
    from digest.indexing import model_store

    try:
        window = rehearsal.last_window(timezone.now())
    except model_store.NotFitted:
        return None
    if window is not last:  # Ask as a visitor would.
        for topic in Topic.objects.curated()[:1]:
            home_page.part_for(WishesForm(QueryDict(f"topics={topic.slug}")), timezone.now())
            search_page.find(topic.query)
    return window
