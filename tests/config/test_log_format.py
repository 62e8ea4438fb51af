"""What a line of the log tells, and what it never does."""

import json
import logging
import sys
import time

import pytest

from config.log_format import FORMATTERS, LogContext
from subscriptions.security import tokens
from tests.factories import make

pytestmark = pytest.mark.django_db


def written(form, message, *args, exc_info=None):
    """Return the line that a logger of ours would write."""
    record = logging.LogRecord("a.logger", logging.ERROR, "x.py", 1, message, args, exc_info)
    LogContext().filter(record)
    chosen = FORMATTERS[form]
    return chosen["()"](chosen.get("format")).format(record)


@pytest.fixture
def lines(settings):
    """Return a function that returns what was logged so far, as JSON tells it."""
    chosen, kept = FORMATTERS["json"], []

    class Keeping(logging.Handler):
        def emit(self, record):
            kept.append(self.format(record))

    handler = Keeping()
    for name in settings.LOGGING["handlers"]["console"]["filters"]:
        handler.addFilter(settings.LOGGING["filters"][name]["()"]())
    handler.setFormatter(chosen["()"]())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in kept]
    root.setLevel(level)
    root.removeHandler(handler)


def test_line_has_time_level_logger_and_message():
    line = json.loads(written("json", "%d letters left", 3))
    facts = {"level": "ERROR", "logger": "a.logger", "message": "3 letters left"}
    assert line.items() >= facts.items()
    assert line["at"].endswith("+00:00")
    assert "task" not in line
    assert written("text", "it broke").endswith("]: it broke")


SECRETS = [
    *("reader@example.org", "/unsubscribe/SECRET-token/", "/search/?q=SECRET"),
    *("a@b.example\nx", "Bearer pb_SECRET-of-a-subscriber-for-the-API"),
]


@pytest.mark.parametrize("form", FORMATTERS)
@pytest.mark.parametrize("secret", SECRETS)
def test_no_line_contains_an_address_token_or_search(form, secret):
    try:
        raise ValueError(secret)
    except ValueError:
        line = written(form, "%s and %r", secret, secret, exc_info=sys.exc_info())
    assert "SECRET" not in line
    assert "reader@" not in line
    assert "a@b" not in line
    assert "ValueError" in line
    if form == "json":
        assert "\n" not in line
        assert "trace" in json.loads(line)


@pytest.mark.parametrize("form", FORMATTERS)
def test_long_url_is_redacted_quickly(form):
    """Whoever asks for it isn't known, and may ask again and again."""
    begun = time.monotonic()
    assert "Forbidden" in written(form, "Forbidden: %s", f"/{'a' * 30_000}")
    assert time.monotonic() - begun < 1


REQUEST_IDS = [
    ("a1b2c3d4-proxy", True),
    ("short", False),
    ("x" * 65, False),
    ('a"},{"b": 1', False),
]


@pytest.mark.parametrize(("asked", "is_taken"), REQUEST_IDS)
def test_request_has_its_own_id_or_the_proxys(client, lines, asked, is_taken):
    for _ in range(2):
        client.get("/topics/", headers={"X-Request-ID": asked})
    first, second = [line for line in lines() if line["logger"] == "config.log_format"]
    assert first["message"].startswith("GET /topics/: 200 in ")
    assert (first["request"] == asked) == (first["request"] == second["request"]) == is_taken
    assert is_taken or len(first["request"]) == len(second["request"]) == 32


def test_page_is_logged_by_pattern_without_its_token(client, lines):
    token = tokens.token("preferences", make.subscriber().public_id)
    client.get(f"/preferences/{token}/")
    client.get(f"/no-such-page/{token}/")
    messages = [line["message"] for line in lines() if line["logger"] == "config.log_format"]
    assert messages[0].startswith("GET /preferences/…/: 200")
    assert messages[1].startswith("GET /(no page): 404")
    assert token not in json.dumps(lines())


def test_failing_page_is_logged_with_its_request_id(client, lines, monkeypatch):
    monkeypatch.setattr("digest.operations.health.reasons_not_ready", lambda: 1 / 0)
    client.raise_request_exception = False
    assert client.get("/healthz/").status_code == 500
    (line,) = [line for line in lines() if line["logger"] == "django.request"]
    assert "ZeroDivisionError" in line["trace"]
    assert len(line["request"]) == 32


def test_request_to_an_unknown_host_is_a_warning(client, lines):
    assert client.get("/", headers={"host": "203.0.113.9"}).status_code == 400
    (line,) = [line for line in lines() if "203.0.113.9" in line["message"]]
    assert line["level"] == "WARNING"
    assert "ALLOWED_HOSTS" in line["message"]
    assert "trace" not in line
