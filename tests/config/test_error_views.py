"""What is answered where something goes wrong: the right status, a page that helps, no database."""

import re
from unittest.mock import Mock
from uuid import uuid4

import lxml.html
import pytest
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError, IntegrityError, InternalError, OperationalError, connection
from django.test import Client

from digest.views import about
from subscriptions.security import tokens
from tests.factories import make


@pytest.fixture
def visitor():
    """A client that gets a page for every error, as a visitor does, and whose forms are checked."""
    return Client(raise_request_exception=False, enforce_csrf_checks=True)


def is_helpful(response, status, said):
    """Return whether it is a page of ours that says this, and leads on."""
    assert response.status_code == status
    page = lxml.html.fromstring(response.content)
    assert page.xpath("string(//h1)") == said
    assert page.xpath("string(//title)") == f"{said} · Paperboy"
    assert {"/", "/topics/", "/search/"} <= set(page.xpath("//main//a/@href"))
    assert "Traceback" not in page.text_content()
    assert "default-src 'none'" in response["Content-Security-Policy"]
    return True


# None of these may ask the database, so none is marked with it, but the last.


UNANSWERABLE = [
    ("get", "/nowhere/", {}, 404, "Page not found"),
    ("get", "/", {"host": "elsewhere.example"}, 400, "Invalid request"),
    ("post", "/admin/login/", {}, 403, "Form not accepted"),
    *(
        ("get", f"/{page}/nothing/", {}, 404, "This link doesn’t work")
        for page in ("confirm", "preferences", "digests")
    ),
]


@pytest.mark.parametrize(("method", "path", "headers", "status", "said"), UNANSWERABLE)
def test_invalid_requests_get_a_helpful_page(visitor, method, path, headers, status, said):
    response = getattr(visitor, method)(path, headers=headers)
    assert is_helpful(response, status, said)
    assert (b'action="/search/"' in response.content) or path != "/nowhere/"


ERRORS = [(PermissionDenied, 403, "No access"), (RuntimeError, 500, "Something went wrong")]


@pytest.mark.parametrize(("error", "status", "said"), ERRORS)
def test_failing_or_forbidden_page_shows_no_details(visitor, monkeypatch, error, status, said):
    monkeypatch.setattr(about, "days_kept", Mock(side_effect=error("a secret")))
    response = visitor.get("/privacy/")
    assert is_helpful(response, status, said)
    assert b"a secret" not in response.content


def test_debug_page_shows_no_password(visitor, settings, monkeypatch):
    monkeypatch.setattr(about, "days_kept", Mock(side_effect=RuntimeError))
    settings.DEBUG = True
    secret = uuid4().hex
    settings.EMAIL_URL = f"smtp://you:{secret}@mail.example.org"
    settings.CELERY_BROKER_URL = settings.ALARM_WEBHOOK = f"redis://:{secret}@redis.example.org"
    settings.CACHES = {"default": {"LOCATION": f"redis://:{secret}@redis.example.org"}}
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = secret, [secret]
    response = visitor.get("/privacy/")
    assert response.status_code == 500
    assert "RuntimeError" in response.text
    assert secret not in response.text


# ---- Where the database goes away while a page is made


def refusing(pattern, error):
    """Let the database refuse statements that begin like this."""

    def refuse(execute, sql, params, many, context):
        if re.match(pattern, sql):
            raise error
        return execute(sql, params, many, context)

    return connection.execute_wrapper(refuse)


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/", "/subscribe/", "preferences"])
def test_unreadable_topics_are_an_error(visitor, path):
    """Preferences that are saved without them would lose all that is followed."""
    make.topic("Bread")
    path = tokens.preferences_url(make.subscriber()) if path == "preferences" else path

    with refusing('.* FROM "subscriptions_topic"', OperationalError("gone")):
        assert is_helpful(visitor.get(path), 503, "Temporarily unavailable")


DATABASE_ERRORS = [
    (OperationalError("database or disk is full"), 503),
    (InternalError("cannot execute UPDATE in a read-only transaction"), 503),
    (DatabaseError("database disk image is malformed"), 503),
    (IntegrityError("UNIQUE constraint failed"), 500),  # A mistake of ours.
]


@pytest.mark.django_db
@pytest.mark.parametrize(("error", "status"), DATABASE_ERRORS)
def test_unsaved_form_says_so_when_the_database_fails(visitor, error, status):
    """Nor does it say that letters are sent all the same."""
    page = tokens.preferences_url(make.subscriber())

    with refusing("UPDATE|INSERT", error):
        response = visitor.post(page, {"hour": "9"})
    assert response.status_code == status
    assert ("Daily emails are not affected" in response.text) == (status == 500)
