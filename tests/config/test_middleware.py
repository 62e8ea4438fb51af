"""Requests that no page could read."""

import pytest
from django.test import Client

from subscriptions.models import Subscriber

pytestmark = pytest.mark.django_db


def in_parts(parameters="", disposition='form-data; name="email"'):
    """Return a body in multipart, with its content type, for Client.generic."""
    body = f"--b\r\nContent-Disposition: {disposition}\r\n\r\nyou@example.org\r\n--b--\r\n"
    return {"data": body, "content_type": f"multipart/form-data; boundary=b{parameters}"}


@pytest.fixture
def visitor():
    """A client that gets a page for every error, as a visitor does."""
    return Client(raise_request_exception=False)


@pytest.mark.parametrize("parameters", ["", '; Charset="UTF8"', "; x*=y''z"])
def test_form_with_a_charset_is_read(visitor, parameters):
    assert visitor.generic("POST", "/subscribe/", **in_parts(parameters)).status_code == 200
    assert Subscriber.objects.get().email == "you@example.org"
    form = "application/x-www-form-urlencoded; charset=UTF-8"
    assert visitor.generic("POST", "/subscribe/", "email=you@example.org", form).status_code == 200


ODD_CODECS = [
    *["; charset=hex", "; charset=utf-16", "; charset*=foo''abc", "; charset*0=he; charset*1=x"],
    f"; a={'b' * 12_000}",
]


@pytest.mark.parametrize("parameters", ODD_CODECS, ids=lambda parameters: parameters[:30])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_odd_codec_is_refused(visitor, method, parameters):
    assert visitor.generic(method, "/subscribe/?a=b", **in_parts(parameters)).status_code == 400
    assert not Subscriber.objects.exists()


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "text/plain", ""])
def test_large_body_is_refused_unread(visitor, kind):
    response = visitor.generic(
        "POST", "/subscribe/", b"email=", kind, headers={"content-length": "400000000"}
    )
    assert response.status_code == 413


@pytest.mark.parametrize("length", ["", "many", "-5", "9" * 5_000])
def test_invalid_content_length_is_refused(visitor, length):
    headers = {"content-length": length}
    response = visitor.generic("POST", "/subscribe/", b"", "text/plain", headers=headers)
    assert response.status_code == 400


WITH_NUL = [
    *["/admin/digest/paper/?q=a%00b", "/subscribe/?%00=a", "/confirm/a%00b/"],
    *["/admin/digest/paper/%00/change/", "/static/%00.css"],
]


@pytest.mark.parametrize("address", WITH_NUL)
def test_nul_in_an_address_is_refused(visitor, admin_user, address):
    visitor.force_login(admin_user)
    assert visitor.get(address).status_code == 400


@pytest.mark.parametrize("page", ["/preview/", "/subscribe/", "/lost/"])
def test_nul_in_a_form_breaks_no_page(visitor, page):
    """With so much text, a preview is answered by a page, and not by its address."""
    asked = {"topics": ["a\0b"], "interests": "x" * 4_000, "email": "a\0b@example.org"}
    assert visitor.post(page, asked).status_code in (200, 400)


@pytest.mark.parametrize("page", ["/", "/admin/login/"])
def test_script_name_header_is_refused(visitor, kept, page):
    """As gunicorn hands it on: GET /topics/admin/login/ with a header SCRIPT_NAME: /topics."""
    assert visitor.get(page, SCRIPT_NAME="/topics").status_code == 400
    assert b"<title>Topics" in visitor.get("/topics/").content


RANGES = ["", "bytes=999999999-", "bytes=9-2", "bytes=x", "bytes=-0", f"bytes={'9' * 5_000}-", "="]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "x"])
@pytest.mark.parametrize("path", ["/apple-touch-icon.png", "/favicon.ico", "/static/paperboy.css"])
def test_static_files_answer_any_method_and_range(path, method):
    for asked in RANGES:
        response = Client().generic(method, path, HTTP_RANGE=asked)
        response.close()
        assert response.status_code in ((200, 206, 416) if method in ("GET", "HEAD") else (405,))
        assert (response.status_code == 405) == ("Allow" in response)
