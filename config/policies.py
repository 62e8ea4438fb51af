"""What holds for every page: the site's name, its content policy, and logs without tokens."""

import logging
import re

from django.conf import settings
from django.middleware.csp import ContentSecurityPolicyMiddleware


def site(request):
    """Give every template the site's name and address."""
    return {"site_name": settings.SITE_NAME, "site_url": settings.SITE_URL}


class ContentSecurityPolicy(ContentSecurityPolicyMiddleware):
    """The strict policy for the public site, a looser one for the panel's widgets."""

    def process_response(self, request, response):
        if request.path.startswith("/admin/") and not hasattr(response, "_csp_config"):
            response._csp_config = settings.ADMIN_CSP
        return super().process_response(request, response)


class RedactingFormatter(logging.Formatter):
    """Whoever reads a log learns no reader's address, and can't act for her by one of her links."""

    TOKEN = re.compile(r"/(confirm|preferences|unsubscribe|digests|feedback)/[^/\s\"']+")
    SEARCHED = re.compile(r"([?&]q=)[^&\s\"']+")
    ADDRESS = re.compile(r"[^\s<>\"'(),:;]+@[\w.-]+")

    def format(self, record):
        line = self.SEARCHED.sub(r"\1…", super().format(record))
        line = self.TOKEN.sub(r"/\1/…", line)
        return self.ADDRESS.sub("…@…", line)
