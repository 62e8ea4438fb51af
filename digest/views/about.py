"""Pages about the service: privacy, imprint, and the form for other sites."""

from django.conf import settings
from django.http import Http404
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from digest.models.sharing import KEEP_RECOMMENDATIONS
from digest.operations import retention
from digest.papers import registry
from digest.sources.look_ups import SERVICES
from digest.views.access import public_page
from digest.views.api import API
from digest.views.subscribing.sign_up import CONSENT
from subscriptions.actions import change_address
from subscriptions.bounces import unreadable
from subscriptions.delivery.transports import esps
from subscriptions.models import Topic
from subscriptions.security import rate_limits, suppression_list


@public_page
def privacy(request):
    """What data is kept, what for and how long. tests/digest/views/test_about.py knows all
    tables."""
    esp = esps.esp_of(settings.EMAIL_URL)
    services = SERVICES.items() if settings.LOOK_UPS else ()
    context = {
        "days": days_kept(),
        "sources": get_text_list(list(registry.titles(registry.enabled()).values()), _("and")),
        "searches_by_topic": "europepmc" in registry.enabled(),
        "look_ups": [f"{name} ({host})" for name, service in services for host in service.hosts],
        "llm": settings.LLM_MODEL,
        "writes_files": settings.EMAIL_URL.startswith("file:"),
        "provider": esp.title if esp else "",
        "contact": settings.CONTACT_EMAIL,
        "note": settings.PRIVACY_NOTE,
    }
    return render(request, "digest/privacy.html", context)


def days_kept() -> dict[str, str]:
    """Return how long data is kept, in words."""
    spans = {
        "unconfirmed": retention.UNCONFIRMED,
        "letters": settings.KEEP_LETTERS,
        "events": settings.KEEP_EVENTS,
        "unreadable": unreadable.KEEP,
        "recommendations": KEEP_RECOMMENDATIONS,
        "attempts": rate_limits.KEEP,
        "move": change_address.VALID_FOR,
        "bounced": suppression_list.BOUNCED_FOR,
        "trail": settings.KEEP_TRAIL,
    }
    return {
        name: ngettext("%(count)d day", "%(count)d days", span.days) % {"count": span.days}
        for name, span in spans.items()
    }


@public_page
def imprint(request):
    """Who runs this site. 404 if the operator doesn't say."""
    if not settings.OPERATOR_NAME:
        raise Http404
    context = {
        "address": settings.POSTAL_ADDRESS,
        "contact": settings.CONTACT_EMAIL,
        "note": settings.IMPRINT_NOTE,
    }
    return render(request, "digest/imprint.html", context)


@public_page
def embed(request):
    """The sign-up form for other sites, as HTML to copy, and its fields."""
    context = {
        "snippet": snippet(),
        "topics": Topic.objects.offered(),
        "languages": ", ".join(code for code, _ in settings.LANGUAGES),
    }
    return render(request, "digest/embed.html", context)


def snippet() -> str:
    """Return the form for other sites in the active language."""
    context = {"site_url": settings.SITE_URL, "consent": CONSENT}
    return render_to_string("digest/_embedded_form.html", context)


@public_page
def api(request):
    """The API's operations and fields, from its OpenAPI document."""
    document = API.get_openapi_schema()
    operations = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            bodies = [operation.get("requestBody", {}), operation["responses"][200]]
            names = [
                type_name(body["content"]["application/json"]["schema"]) for body in bodies if body
            ]
            operations.append(operation | {"method": method.upper(), "path": path, "bodies": names})
    schemas = {}
    for name, schema in document["components"]["schemas"].items():
        schemas[name] = [
            (field, type_name(of_field), of_field.get("description", ""))
            for field, of_field in schema["properties"].items()
        ]
    context = {"document": document, "operations": operations, "schemas": schemas}
    return render(request, "digest/api.html", context)


def type_name(schema: dict) -> str:
    """Return the type of a JSON schema in a few letters, such as Pick[] or date|null."""
    match schema:
        case {"$ref": reference}:
            return reference.rpartition("/")[2]
        case {"anyOf": schemas}:
            return "|".join(map(type_name, schemas))
        case {"type": "array", "items": items}:
            return f"{type_name(items)}[]"
        case {"enum": values}:
            return "/".join(values)
    return schema.get("format", schema["type"])
