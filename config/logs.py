"""What a line of the log tells: when, how grave, by whom, of which request or task; text or JSON.

Nobody's address and no token is in either, and no address of a page but its pattern.
"""

import json
import logging
import re
import time
import uuid
from contextvars import ContextVar
from datetime import UTC, datetime

from celery import current_task

from config.policies import RedactingFormatter

logger = logging.getLogger(__name__)

SANE = re.compile(r"[A-Za-z0-9._-]{8,64}")

_request: ContextVar[str] = ContextVar("request", default="")


def number_requests(get_response):
    """Give each request an id, that of the proxy where it sends one, and tell what came of it.

    The id is in each of the request's lines. It isn't in the answer: to all who ask the same, every
    header of it is the same.
    """

    def middleware(request):
        asked = request.headers.get("X-Request-ID", "")
        number = asked if SANE.fullmatch(asked) else uuid.uuid4().hex
        _request.set(number)  # Until the thread's next one: Django tells of errors after us.
        began = time.perf_counter()
        response = get_response(request)
        took = (time.perf_counter() - began) * 1000
        page = request.resolver_match.route if request.resolver_match else "(no page)"
        logger.info("%s /%s: %d in %.0f ms", request.method, page, response.status_code, took)
        return response

    return middleware


class Place(logging.Filter):
    """Notes on each record of which request or task it is, and lets all pass."""

    def filter(self, record):
        record.request = _request.get()
        record.task = (current_task and current_task.request.id) or ""
        record.of = record.request or record.task or "-"
        return True


class Strangers(logging.Filter):
    """Makes a warning without a trace of a request that Django refuses, such as one to a host that
    isn't ours. Whoever tries all addresses sends some each hour, and errors are what we look for.
    """

    def filter(self, record):
        if record.name.startswith("django.security.") and record.levelno == logging.ERROR:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
            record.exc_info = None
        return True


class JsonFormatter(RedactingFormatter):
    """A line is one JSON object, with what is unknown left out."""

    def format(self, record):
        told = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "request": record.request,
            "task": record.task,
            "process": record.process,
            "message": self.redacted(record.getMessage()),
        }
        if record.exc_info:
            told["trace"] = self.redacted(self.formatException(record.exc_info))
        return json.dumps(
            {key: value for key, value in told.items() if value != ""}, ensure_ascii=False
        )


#: By what LOG_FORMAT says.
FORMATTERS = {
    "text": {
        "()": RedactingFormatter,
        "format": "%(asctime)s %(levelname)s %(name)s [%(of)s]: %(message)s",
    },
    "json": {"()": JsonFormatter},
}
