"""Log lines, as text or JSON, with the id of their request or task.

They hold no address and no token, and the pattern of a page instead of its path.
"""

import json
import logging
import re
import time
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime

from celery import current_task

from config.middleware import RedactingFormatter

logger = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

_request_id: ContextVar[str] = ContextVar("request", default="")


def log_requests(get_response):
    """Log each request with an id, which is the proxy's X-Request-ID if it sends one.

    The id is in all log lines of the request, and not in the response, whose headers are the same
    for everyone.
    """

    def middleware(request):
        request_id = request.headers.get("X-Request-ID", "")
        # Kept until the thread's next request: Django logs errors after this middleware.
        _request_id.set(request_id if REQUEST_ID.fullmatch(request_id) else uuid.uuid4().hex)
        started_at = time.perf_counter()
        response = get_response(request)
        ms = (time.perf_counter() - started_at) * 1000
        route = request.resolver_match.route if request.resolver_match else "(no page)"
        logger.info("%s /%s: %d in %.0f ms", request.method, route, response.status_code, ms)
        return response

    return middleware


class LogContext(logging.Filter):
    """Adds the request or task to each record."""

    def filter(self, record):
        record.request = _request_id.get()
        record.task = (current_task and current_task.request.id) or ""
        record.context_id = record.request or record.task or "-"
        return True


class RefusedRequests(logging.Filter):
    """Turns Django's errors about refused requests, such as a wrong host, into warnings.

    Scanners send some every hour.
    """

    def filter(self, record):
        if record.name.startswith("django.security.") and record.levelno == logging.ERROR:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.exc_info = None
        return True


class JsonFormatter(RedactingFormatter):
    """One JSON object a line, without empty values."""

    def format(self, record):
        fields = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "request": record.request,
            "task": record.task,
            "process": record.process,
            "message": self.redact(record.getMessage()),
        }
        if record.exc_info:
            fields["trace"] = self.redact(self.formatException(record.exc_info))
        present_fields = {key: value for key, value in fields.items() if value != ""}
        return json.dumps(present_fields, ensure_ascii=False)


#: By LOG_FORMAT.
FORMATTERS = {
    "text": {
        "()": RedactingFormatter,
        "format": "%(asctime)s %(levelname)s %(name)s [%(context_id)s]: %(message)s",
    },
    "json": {"()": JsonFormatter},
}
