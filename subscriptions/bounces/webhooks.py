"""Webhook of the mail provider (ESP) in EMAIL_URL, which reports what became of letters.

Without a secret that tells the provider from others, the webhook does not exist.
"""

import logging

from django.conf import settings
from django.http import Http404, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from subscriptions.bounces import process
from subscriptions.bounces.parse import NoReport
from subscriptions.delivery.transports import esps

logger = logging.getLogger(__name__)


@csrf_exempt
@require_http_methods(["HEAD", "POST"])
def provider_events(request, name):
    """Record the provider's reports. On a 500, the provider sends them again."""
    esp = esps.esp_of(settings.EMAIL_URL)
    if esp is None or esp.name != name or not esp.authenticates_events:
        raise Http404
    from subscriptions.bounces import esp_events as events  # It imports anymail.

    if request.method == "HEAD":
        return HttpResponse()
    if settings.WEBHOOK_SECRET and "Authorization" not in request.headers:
        # Some providers send their password only when asked for it.
        return HttpResponse(status=401, headers={"WWW-Authenticate": 'Basic realm="events"'})
    now = timezone.now()
    try:
        reports = events.reports_in(request, esp, now)
    except events.ForgedRequest as reason:
        logger.warning("Rejected an event that is not from %s: %s", esp.title, reason)
        text = "The signature or password is wrong.\n"
        return HttpResponse(text, status=403, content_type="text/plain")
    except events.UnreadableRequest as reason:
        logger.error("Cannot parse an event of %s: %s", esp.title, reason)
        return HttpResponse("The event cannot be parsed.\n", status=400, content_type="text/plain")
    for report in reports:
        try:
            process.record(report, now)
        except NoReport as reason:
            logger.info("Ignored an event of %s: %s", esp.title, reason)
    return HttpResponse()
