"""What every answer tells the browser to refuse: tests/test_pages.py looks at every page."""

import re

import pytest
from django.test import Client
from django.urls import get_resolver

from config.middleware import RedactingFormatter
from tests.helpers import data_files, pages, services

pytestmark = [services.once, pytest.mark.django_db]  # No database has a part in headers.


@pytest.fixture
def visitor(settings):
    """A visitor of a public installation, who gets a page for every error."""
    settings.SECURE_HSTS_SECONDS = 31_536_000
    settings.LIMITS = dict.fromkeys(settings.LIMITS, 1_000)
    return Client(raise_request_exception=False, headers={"x-forwarded-proto": "https"})


@pytest.fixture(autouse=True)
def https(settings):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")


@pytest.mark.parametrize(("status", "request_of"), data_files.cases("early_refusals"))
def test_early_refusal_has_every_header(visitor, status, request_of):
    request_of = {"method": "GET", **request_of}
    response = visitor.generic(**request_of)
    assert response.status_code == status
    assert pages.is_guarded(response)
    response.close()


def test_token_pages_are_not_cached_indexed_or_logged(visitor):
    prefixes = {route.partition("/")[0] for route in pages.routes() if "<str:token>" in route}
    assert "library" in prefixes
    closed = visitor.get("/robots.txt").text
    for prefix in prefixes:
        assert pages.is_secret(visitor.get(f"/{prefix}/nothing/")), prefix
        assert f"Disallow: /{prefix}/\n" in closed, prefix
        assert RedactingFormatter().redact(f"/{prefix}/nothing/") == f"/{prefix}/…/"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_failing_token_page_is_secret(visitor, monkeypatch, method):
    def breaks(*args):
        raise RuntimeError

    statuses = {visitor.generic(method, "/preferences/nothing/").status_code}
    monkeypatch.setattr("subscriptions.security.tokens.parse_token", breaks)
    response = visitor.generic(method, "/preferences/nothing/")
    assert {*statuses, response.status_code} == ({404, 500} if method != "PUT" else {405})
    assert pages.is_guarded(response)
    assert pages.is_secret(response)


@pytest.mark.slow
def test_panel_pages_are_guarded_and_not_cached(visitor, admin_user):
    policy = pages.STRICT | {
        "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src": "'self' 'unsafe-inline'",
        "frame-ancestors": "'self'",
    }
    pages.furnish()
    assert pages.is_guarded(visitor.get("/admin/login/"), policy)
    visitor.force_login(admin_user)
    paths = list(panel_paths())
    assert len(paths) > 30
    for path in [*paths, "/admin/nowhere/"]:
        response = visitor.get(path)
        assert response.status_code < 500, path
        # A letter: see tests/digest/admin/test_admin.py.
        shut_in = "sandbox" in pages.policy_of(response)
        assert pages.is_guarded(response, {"default-src": "'none'"} if shut_in else policy), path
        assert "no-store" in response["Cache-Control"], path


def panel_paths(patterns=None, before="/admin/"):
    """Yield every path of the panel; those of one row with a number that may be none's."""
    if patterns is None:
        (panel,) = (p for p in get_resolver().url_patterns if str(p.pattern) == "admin/")
        patterns = panel.url_patterns
    for pattern in patterns:
        path = before + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from panel_paths(pattern.url_patterns, path)
        elif "(?P" not in path:
            yield re.sub("<[^>]+>", "1", path)
