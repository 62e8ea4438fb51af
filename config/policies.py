"""What holds for every page: what is let in, the site's name, its language, its content policy, and
logs without tokens.
"""

import logging
import re

from django.conf import settings
from django.core.signals import request_started
from django.dispatch import receiver
from django.http import HttpResponse
from django.middleware.csp import ContentSecurityPolicyMiddleware
from django.middleware.locale import LocaleMiddleware
from django.utils import translation
from django.utils.cache import add_never_cache_headers
from django.views.debug import SafeExceptionReporterFilter

from config.uploads import FormParser

MAX_CONTENT_TYPE_LENGTH = 1_000
CHARSET = re.compile(r";\s*charset[^;]*", re.IGNORECASE)
UTF_8 = re.compile(r';\s*charset\s*=\s*"?(utf-?8|us-ascii|ascii)"?\s*', re.IGNORECASE)
BOUNDARY = re.compile(r';\s*boundary\s*=\s*("[^"]+"|[^\s;"]+)', re.IGNORECASE)
NO_DEVICES = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
HAS_ODD_CHARSET = "paperboy.has_odd_charset"  # In the environ of a request.


def site(request):
    """Give every template the site's name and address, and, where they are told, who runs it and
    where its source is.
    """
    return {
        "site_name": settings.SITE_NAME,
        "site_url": settings.SITE_URL,
        "operator": settings.OPERATOR_NAME,
        "source_url": settings.SOURCE_URL,
    }


@receiver(request_started)
def cut_content_type(environ, **kwargs):
    """Reduce the content type to the media type and a form's boundary, before Django reads it.

    Django looks up any charset that a visitor names and decodes the query by it, outside of all
    middleware. Some codecs take seconds; Python keeps every unknown name for good.
    """
    sent = environ.get("CONTENT_TYPE", "")
    media_type, semicolon, rest = sent[:MAX_CONTENT_TYPE_LENGTH].partition(";")
    parameters = semicolon + rest
    kept = media_type.strip().lower()
    if kept == "multipart/form-data" and (boundary := BOUNDARY.search(parameters)):
        kept += boundary[0]
    environ["CONTENT_TYPE"] = kept
    environ[HAS_ODD_CHARSET] = len(sent) > MAX_CONTENT_TYPE_LENGTH or not all(
        UTF_8.fullmatch(charset) for charset in CHARSET.findall(parameters)
    )


def only_readable(get_response):
    """Turn away what no page can read, before one tries: bodies larger than any form of ours, text
    that isn't UTF-8, and NUL, for which PostgreSQL can't be asked.

    Who unsubscribes says nothing but the address, so the body may be in any encoding.

    Pages stand at the root of their host. Who says that they stand below a path is a visitor whose
    header SCRIPT_NAME was handed on: gunicorn takes it from this machine, and cuts it off from what
    is asked for, so that neither our kept pages nor the proxy's rules would know which page it is.
    """

    def middleware(request):
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if _announced_length(request) > limit:
            said = f"This is too large: at most {limit:,} bytes are taken.\n"
            return HttpResponse(said, status=413, content_type="text/plain")
        if request.META.get("SCRIPT_NAME"):
            return HttpResponse("Nothing is there.\n", status=400, content_type="text/plain")
        may_be_any = request.path_info.startswith("/unsubscribe/")
        is_text = may_be_any or not request.META.get(HAS_ODD_CHARSET)
        query = request.META.get("QUERY_STRING", "")
        told = (request.path_info, query, *request.COOKIES.values())
        if not is_text or "%00" in query or any("\0" in text for text in told):
            return HttpResponse("This is unreadable.\n", status=400, content_type="text/plain")
        request.multipart_parser_class = FormParser
        return get_response(request)

    return middleware


def _announced_length(request):
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:  # Django reads nothing then.
        return 0


class Language(LocaleMiddleware):
    """A page's language is what the browser asks for, and nothing else, as its Vary says.

    The panel is English: its own texts are in no other language, and Django's beside them would be.

    Django looks for a cookie, too. No page of ours sets it, and shared caches don't know of it:
    whoever sent one would choose the language of the page that they keep for others.
    """

    def process_request(self, request):
        request.COOKIES.pop(settings.LANGUAGE_COOKIE_NAME, None)
        super().process_request(request)
        if request.path.startswith("/admin/"):
            translation.activate("en")
            request.LANGUAGE_CODE = "en"


def secret_addresses(get_response):
    """See that nobody keeps, finds or passes on a page whose address holds a token, or keeps one of
    the panel's.

    Here, and not in the views, so that it holds where one breaks or refuses as well.
    """

    def middleware(request):
        response = get_response(request)
        if request.path.startswith("/admin/"):
            add_never_cache_headers(response)
        matched = request.resolver_match
        holds_token = matched is not None and "token" in matched.kwargs
        # Nothing matches a link that lost its end: the answer leads to it, or says that it is bad.
        if holds_token or RedactingFormatter.TOKEN.match(request.path):
            add_never_cache_headers(response)
            response["Referrer-Policy"] = "no-referrer"
            response["X-Robots-Tag"] = "noindex, nofollow"
        return response

    return middleware


class ContentSecurityPolicy(ContentSecurityPolicyMiddleware):
    """The strict policy for the public site, a looser one for the panel's widgets.

    And no page of ours uses the devices of browsers, whatever gets into it.
    """

    def process_response(self, request, response):
        response["Permissions-Policy"] = NO_DEVICES
        if request.path.startswith("/admin/") and not hasattr(response, "_csp_config"):
            response._csp_config = settings.ADMIN_CSP
        return super().process_response(request, response)


class SettingsFilter(SafeExceptionReporterFilter):
    """With DEBUG on, an error's page lists the settings: without those whose value is an address,
    which holds a password.
    """

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|URL|LOCATION|WEBHOOK", re.IGNORECASE
    )


class RedactingFormatter(logging.Formatter):
    """Whoever reads a log learns no reader's address, and can't act for her by one of her links."""

    TOKEN = re.compile(
        r"/(confirm|preferences|move|unsubscribe|digests|feeds|feedback|learned|library|saved|why)"
        r"/[^/\s\"']+"
    )
    SEARCHED = re.compile(r"([?&](?:q|interests)=)[^&\s\"']+")
    #: It is looked for where a word begins, or a long one would be read once for each letter.
    ADDRESS = re.compile(r"(?<![^\s<>\"'(),:;])[^\s<>\"'(),:;]+@[\w.-]+")

    def format(self, record):
        return self.redacted(super().format(record))

    def redacted(self, text: str) -> str:
        """Return the text without addresses, tokens and what people searched for."""
        text = self.SEARCHED.sub(r"\1…", text)
        text = self.TOKEN.sub(r"/\1/…", text)
        return self.ADDRESS.sub("…@…", text)
