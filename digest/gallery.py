"""The gallery: every letter in every language, for developers. Not there unless DEBUG is on."""

from functools import wraps

from django.conf import settings
from django.http import Http404
from django.shortcuts import render
from django.utils import timezone, translation
from django.utils.csp import CSP
from django.views.decorators.cache import never_cache
from django.views.decorators.csp import csp_override

from digest import invented, previews
from subscriptions.views import for_all_to_read

#: The page of a letter frames it; all else is as strict as everywhere.
FRAMING = settings.SECURE_CSP | {"frame-src": [CSP.SELF]}
#: How the frame is shown: by what the address says, and what its link does.
WIDTHS = [("", "Beside its text"), ("phone", "Phone"), ("page", "Whole page")]
SCHEMES = [("", "As the browser"), ("light", "Light"), ("dark", "Dark")]


def only_in_debug(view):
    """Mark a page that nobody but a developer finds. It is English, whatever the browser asks."""

    @for_all_to_read
    @never_cache
    @wraps(view)
    def shown(request, **kwargs):
        if not settings.DEBUG:
            raise Http404
        with translation.override("en"):
            return view(request, **kwargs)

    return shown


@only_in_debug
def letters(request):
    """All letters, with what an inbox shows of each."""
    now, samples = timezone.now(), invented.samples()
    rows = [
        {
            "name": name,
            "sample": sample,
            "written": [
                (code, language, invented.written(name, code, now))
                for code, language in settings.LANGUAGES
            ],
        }
        for name, sample in samples.items()
    ]
    return render(request, "digest/gallery.html", {"rows": rows})


@only_in_debug
@csp_override(FRAMING)
def letter(request, name, language):
    """One letter: its headers, its HTML in a frame, and its text part beside it."""
    specimen, samples = _written(name, language), invented.samples()
    context = {
        "name": name,
        "written_in": language,
        "sample": samples[name],
        "samples": samples,
        "specimen": specimen,
        "languages": settings.LANGUAGES,
        "widths": WIDTHS,
        "width": _chosen(request.GET.get("width"), WIDTHS),
        "schemes": SCHEMES,
        "scheme": _chosen(request.GET.get("scheme"), SCHEMES),
    }
    return render(request, "digest/gallery_letter.html", context)


@only_in_debug
@previews.shut_in
def part(request, name, language, part):
    """One part of a letter alone, or its source: the message as it would travel."""
    specimen = _written(name, language)
    if part == "html":
        scheme = _chosen(request.GET.get("scheme"), SCHEMES)
        return previews.page(_in_scheme(specimen.content.html, scheme))
    if part == "text":
        return previews.plain(specimen.content.text)
    if part == "source":
        return previews.plain(specimen.wire.decode("ascii"))
    raise Http404


def _in_scheme(html, scheme):
    """Return the HTML in these colours, whatever the browser prefers: a frame can't be told."""
    asked = "(prefers-color-scheme: dark)"
    return html.replace(asked, {"": asked, "light": "not all", "dark": "all"}[scheme])


def _written(name, language):
    if name not in invented.samples() or language not in dict(settings.LANGUAGES):
        raise Http404
    return invented.written(name, language, timezone.now())


def _chosen(value, choices):
    return value if value in dict(choices) else ""
