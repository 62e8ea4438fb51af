"""Middleware and filters of every page: refusals, language, headers, and redacted logs."""

import logging
import re
from io import BytesIO

from django.conf import settings
from django.core.exceptions import TooManyFilesSent
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.core.signals import request_started
from django.dispatch import receiver
from django.http import HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.middleware.csp import ContentSecurityPolicyMiddleware
from django.middleware.locale import LocaleMiddleware
from django.utils import translation
from django.utils.cache import add_never_cache_headers
from django.views.debug import SafeExceptionReporterFilter


class FormParser(MultiPartParser):
    """Refuses parts whose headers have a parameter as RFC 2231 encodes it (`name*=charset''…`).

    Django looks up each charset named there: one form can name 40,000, and Python keeps every
    unknown name for good. RFC 7578 (4.2) forbids these parameters in forms. Python also parses them
    with odd blanks and continuations, so any asterisk in a header is refused.
    """

    def __init__(self, META, input_data, upload_handlers, encoding=None):
        body = input_data.read()  # refuse_unreadable limits its size.
        super().__init__(META, BytesIO(body), upload_handlers, encoding)
        for part in body.split(b"--" + self._boundary):
            if b"*" in part.partition(b"\r\n\r\n")[0]:
                raise MultiPartParserError("A part header names a charset.")


class AdminFileHandler(MemoryFileUploadHandler):
    """Accepts files only in the admin, and never on disk."""

    def new_file(self, *args, **kwargs):
        if not self.request.path.startswith("/admin/"):
            raise TooManyFilesSent("Files are not accepted here.")
        super().new_file(*args, **kwargs)


MAX_CONTENT_TYPE_LENGTH = 1_000
CHARSET = re.compile(r";\s*charset[^;]*", re.IGNORECASE)
UTF_8 = re.compile(r';\s*charset\s*=\s*"?(utf-?8|us-ascii|ascii)"?\s*', re.IGNORECASE)
BOUNDARY = re.compile(r';\s*boundary\s*=\s*("[^"]+"|[^\s;"]+)', re.IGNORECASE)
PERMISSIONS_POLICY = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
HAS_ODD_CHARSET = "paperboy.has_odd_charset"  # In the environ of a request.


def site(request):
    """The context of every template: the site, its operator, and its source."""
    return {
        "site_name": settings.SITE_NAME,
        "site_url": settings.SITE_URL,
        "operator": settings.OPERATOR_NAME,
        "source_url": settings.SOURCE_URL,
        "logo_url": settings.LOGO_URL,
        "brand_style": settings.BRAND_STYLE,
    }


@receiver(request_started)
def cut_content_type(environ, **kwargs):
    """Reduce the content type to the media type and a form's boundary, before Django reads it.

    Django looks up any charset of a client and decodes the query by it, outside of all middleware.
    Some codecs take seconds, and Python keeps every unknown name for good.
    """
    raw_type = environ.get("CONTENT_TYPE", "")
    media_type, semicolon, parameter_text = raw_type[:MAX_CONTENT_TYPE_LENGTH].partition(";")
    parameters = semicolon + parameter_text
    content_type = media_type.strip().lower()
    if content_type == "multipart/form-data" and (boundary := BOUNDARY.search(parameters)):
        content_type += boundary[0]
    environ["CONTENT_TYPE"] = content_type
    is_utf8 = all(map(UTF_8.fullmatch, CHARSET.findall(parameters)))
    environ[HAS_ODD_CHARSET] = len(raw_type) > MAX_CONTENT_TYPE_LENGTH or not is_utf8


def refuse_unreadable(get_response):
    """Refuse bodies larger than any form, text that is not UTF-8, and NUL.

    PostgreSQL's texts have no NUL. An unsubscribe request may have any body. Pages are at the root
    of their host, so a SCRIPT_NAME comes from a client whose header was passed on: gunicorn would
    cut it off the path, and neither the page cache nor the proxy's rules would know the page.
    """

    def middleware(request):
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        try:
            length = int(request.META.get("CONTENT_LENGTH") or 0)
        except ValueError:  # Django reads nothing then.
            length = 0
        if length > limit:
            text = f"The request is too large. The limit is {limit:,} bytes.\n"
            return HttpResponse(text, status=413, content_type="text/plain")
        if request.META.get("SCRIPT_NAME"):
            return HttpResponse("Not found.\n", status=400, content_type="text/plain")
        may_have_any_body = request.path_info.startswith("/unsubscribe/")
        is_text = may_have_any_body or not request.META.get(HAS_ODD_CHARSET)
        query = request.META.get("QUERY_STRING", "")
        strings = (request.path_info, query, *request.COOKIES.values())
        if not is_text or "%00" in query or any("\0" in text for text in strings):
            return HttpResponse("This is not valid UTF-8.\n", status=400, content_type="text/plain")
        request.multipart_parser_class = FormParser
        return get_response(request)

    return middleware


class Language(LocaleMiddleware):
    """Takes a page's language from Accept-Language only, as its Vary says. The admin is English.

    Django would also read a cookie. Shared caches do not vary by it: whoever sent one would choose
    the language of a cached page for others.
    """

    def process_request(self, request):
        request.COOKIES.pop(settings.LANGUAGE_COOKIE_NAME, None)
        super().process_request(request)
        if request.path.startswith("/admin/"):
            translation.activate("en")
            request.LANGUAGE_CODE = "en"


def protect_token_pages(get_response):
    """Keep pages whose URL has a token, and the admin, out of caches, referrers and search engines.

    Answers of the API are kept out of caches, and are JSON also where no view of it answers.

    As middleware, it also holds for pages that fail or refuse.
    """

    def middleware(request):
        response = get_response(request)
        status, is_api = response.status_code, request.path.startswith(("/api/", "/mcp"))
        # WhiteNoise's refusals of a method or a range have no content type.
        if is_api and status >= 400 and response.get("Content-Type") != "application/json":
            names = ("Allow", "Content-Range")
            headers = {name: response[name] for name in names if name in response}
            message = f"{response.reason_phrase}."
            if "Allow" in headers:
                methods = sorted({*headers["Allow"].split(", ")} - {"HEAD"})
                message = f"Use {' or '.join(methods)} at this address."
            response = JsonResponse({"error": message}, status=status, headers=headers)
        if is_api or request.path.startswith("/admin/"):
            add_never_cache_headers(response)
        match = request.resolver_match
        holds_token = match is not None and "token" in match.kwargs
        # A link that lost its end matches no page: the response redirects, or says that it is bad.
        if holds_token or RedactingFormatter.TOKEN.match(request.path):
            add_never_cache_headers(response)
            response["Referrer-Policy"] = "no-referrer"
            response["X-Robots-Tag"] = "noindex, nofollow"
        return response

    return middleware


class ContentSecurityPolicy(ContentSecurityPolicyMiddleware):
    """The strict policy for public pages, and a looser one for the admin's widgets."""

    def process_response(self, request, response):
        response["Permissions-Policy"] = PERMISSIONS_POLICY
        if request.path.startswith("/admin/") and not hasattr(response, "_csp_config"):
            response._csp_config = settings.ADMIN_CSP
        return super().process_response(request, response)


class SettingsFilter(SafeExceptionReporterFilter):
    """Hides settings that are URLs, which hold passwords, on error pages with DEBUG."""

    default_pattern = SafeExceptionReporterFilter.hidden_settings.pattern
    hidden_settings = re.compile(f"{default_pattern}|URL|LOCATION|WEBHOOK", re.IGNORECASE)


class RedactingFormatter(logging.Formatter):
    """Removes addresses, tokens and searches from log lines."""

    TOKEN = re.compile(
        r"/(e|confirm|preferences|move|unsubscribe|me|history|digests|feeds|feedback|learned|library"
        r"|recommend|saved|why)"
        r"/[^/\s\"']+"
    )
    API_TOKEN = re.compile(r"\bpb_[\w-]{20,}")
    SEARCH_PARAM = re.compile(r"([?&](?:q|interests|label)=)[^&\s\"']+")
    #: Matched from the start of a word, or a long word would be read once for each letter.
    ADDRESS = re.compile(r"(?<![^\s<>\"'(),:;])[^\s<>\"'(),:;]+@[\w.-]+")

    def format(self, record):
        return self.redact(super().format(record))

    def redact(self, text: str) -> str:
        text = self.SEARCH_PARAM.sub(r"\1…", text)
        text = self.TOKEN.sub(r"/\1/…", text)
        text = self.API_TOKEN.sub("pb_…", text)
        return self.ADDRESS.sub("…@…", text)
