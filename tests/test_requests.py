"""Requests that no page could read."""

import pytest
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.test import Client

from subscriptions.models import Subscriber

pytestmark = pytest.mark.django_db


def in_parts(charset="", disposition='form-data; name="email"'):
    """Return a body in multipart, with its content type, for Client.generic."""
    body = f"--b\r\nContent-Disposition: {disposition}\r\n\r\nyou@example.org\r\n--b--\r\n"
    return {"data": body, "content_type": f"multipart/form-data; boundary=b{charset}"}


@pytest.fixture
def visitor():
    """A client that gets a page for every error, as a visitor does."""
    return Client(raise_request_exception=False)


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=UTF8", "; charset=klingon"])
def test_a_form_in_parts_is_read(visitor, charset):
    assert visitor.generic("POST", "/subscribe/", **in_parts(charset)).status_code == 200
    assert Subscriber.objects.get().email == "you@example.org"


@pytest.mark.parametrize("charset", ["hex", "idna", "zlib", "undefined", "utf-16", "punycode"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_text_by_an_odd_codec_is_refused(visitor, method, charset):
    response = visitor.generic(method, "/subscribe/", **in_parts(f"; charset={charset}"))
    assert response.status_code == 400
    assert not Subscriber.objects.exists()


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "text/plain", ""])
def test_a_large_body_is_refused_unread(visitor, kind):
    response = visitor.generic(
        "POST", "/subscribe/", b"email=", kind, headers={"content-length": "400000000"}
    )
    assert response.status_code == 413


@pytest.mark.parametrize("length", ["", "many", "-5", "9" * 5_000])
def test_a_length_that_is_none_breaks_nothing(visitor, length):
    response = visitor.generic(
        "POST", "/subscribe/", b"", "text/plain", headers={"content-length": length}
    )
    assert response.status_code == 400


def test_no_file_is_taken(visitor, monkeypatch):
    taken = []
    monkeypatch.setattr(
        MemoryFileUploadHandler, "new_file", lambda self, *args, **kwargs: taken.append(args)
    )
    parts = in_parts(disposition='form-data; name="email"; filename="email.txt"')
    assert visitor.generic("POST", "/subscribe/", **parts).status_code == 400
    assert taken == []


@pytest.mark.parametrize(
    "address",
    [
        *["/admin/digest/paper/?source=%00", "/admin/digest/paper/?q=a%00b", "/subscribe/?%00=a"],
        *["/confirm/a%00b/", "/digests/%00/", "/admin/digest/paper/%00/change/", "/static/%00.css"],
    ],
)
def test_nul_in_an_address_is_refused(visitor, admin_user, address):
    visitor.force_login(admin_user)
    assert visitor.get(address).status_code == 400


@pytest.mark.parametrize("page", ["/preview/", "/subscribe/", "/lost/"])
def test_nul_in_a_form_breaks_no_page(visitor, page):
    """With so much text, a preview is answered by a page, and not by its address."""
    asked = {"topics": ["a\0b"], "interests": "x" * 4_000, "email": "a\0b@example.org"}
    assert visitor.post(page, asked).status_code in (200, 400)


@pytest.mark.parametrize("value", ["abcdefgh\0", '"abcdefgh\\000"'])
def test_nul_in_a_cookie_is_refused(visitor, value):
    response = visitor.get("/admin/", headers={"cookie": f"sessionid={value}"})
    assert response.status_code == 400


@pytest.mark.parametrize("page", ["/", "/admin/login/"])
def test_who_says_that_pages_stand_below_a_path_is_refused(visitor, kept, page):
    """As gunicorn hands it on: GET /topics/admin/login/ with a header SCRIPT_NAME: /topics."""
    assert visitor.get(page, SCRIPT_NAME="/topics").status_code == 400
    assert b"<title>Topics" in visitor.get("/topics/").content
