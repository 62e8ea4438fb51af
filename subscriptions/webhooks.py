"""The door for the mail provider (ESP) of EMAIL_URL: it posts what became of letters.

Nobody else gets in, and where nothing tells it from others, there is no such door.
"""

import logging

from django.conf import settings
from django.http import Http404, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from subscriptions import returns
from subscriptions.post import esps
from subscriptions.post.facts import count_useless
from subscriptions.post.reports import NoReport

logger = logging.getLogger(__name__)


@csrf_exempt
@require_http_methods(["HEAD", "POST"])
def provider_events(request, name):
    """Record what a provider tells. What can't be recorded is answered 500, and told again."""
    esp = esps.esp_of(settings.EMAIL_URL)
    if esp is None or esp.name != name or not esp.is_guarded:
        raise Http404
    from subscriptions.post import esp_events as events  # And with it, anymail.

    if request.method == "HEAD":
        return HttpResponse()
    if settings.WEBHOOK_SECRET and "Authorization" not in request.headers:
        # Some send their password only when they are asked for it.
        return HttpResponse(status=401, headers={"WWW-Authenticate": 'Basic realm="events"'})
    now = timezone.now()
    try:
        reports = events.reports_in(request, esp, now)
    except events.Forged as reason:
        logger.warning("an event that %s did not send: %s", esp.title, reason)
        return _refused("This is not from the provider.", 403)
    except events.Unreadable as reason:
        logger.error("an event of %s can't be read: %s", esp.title, reason)
        return _refused("This can't be read.", 400)
    for report in reports:
        try:
            returns.record(report, now)
        except NoReport as reason:
            count_useless(reason.why, now)
    return HttpResponse()


def _refused(words, status):
    return HttpResponse(f"{words}\n", status=status, content_type="text/plain")
