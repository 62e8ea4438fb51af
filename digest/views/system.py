"""robots.txt, health checks and metrics."""

from django.conf import settings
from django.db.utils import Error
from django.http import Http404, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from digest.operations import alarms, health
from digest.views.access import public_page


@public_page
def robots(request):
    """Keep search engines from URLs with tokens."""
    private = ("admin", "confirm", "preferences", "move", "unsubscribe", "digests", "feedback")
    private += ("feeds", "history", "learned", "library", "me", "recommend", "saved", "why", "e")
    lines = ["User-agent: *", *(f"Disallow: /{page}/" for page in private)]
    lines += ["", f"Sitemap: {settings.SITE_URL}/sitemap.xml"]
    return HttpResponse("\n".join([*lines, ""]), content_type="text/plain")


@public_page
def ready(request):
    """Readiness probe: 200 if the service can work, else 503 with reasons.

    What is wrong while it works is reported as degraded.
    """
    reasons = health.reasons_not_ready() or health.reasons_not_writable()
    findings = [] if reasons else alarms.find(timezone.now())
    texts = [finding.public_text for finding in findings if finding.check.severity != "note"]
    body = {
        "status": "not ready" if reasons else "ready",
        "reasons": reasons,
        "degraded": list(dict.fromkeys(texts)),
    }
    return JsonResponse(body, status=503 if reasons else 200)


@public_page
def metrics(request):
    """Metrics for those with METRICS_TOKEN. 404 for others, or if it is not set."""
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

    from digest.operations import metrics as figures

    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    secret = settings.METRICS_TOKEN
    if not secret or scheme.lower() != "bearer" or not constant_time_compare(token, secret):
        raise Http404
    try:
        text = figures.text()
    except Error as error:
        return HttpResponse(f"No figures: {type(error).__name__}.\n", "text/plain", status=503)
    return HttpResponse(text, CONTENT_TYPE_PLAIN_0_0_4)


@public_page
def live(request):
    """Liveness probe."""
    return JsonResponse({"status": "live"})
