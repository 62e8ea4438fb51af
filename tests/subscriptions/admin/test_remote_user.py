"""Log-in to the panel by a header of a trusted proxy."""

import socket
from ipaddress import ip_network
from queue import Queue

import pytest
import waitress
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.test import Client
from gunicorn.config import Config
from gunicorn.http import RequestParser, wsgi
from waitress import wasyncore

from config import client_ip
from tests.helpers import data_files

pytestmark = pytest.mark.django_db

PROXY, VISITOR, PANEL = "10.0.0.5", "198.51.100.1", "/admin/"
VIEWS = "subscriptions.admin.log_in"
BACKENDS = ["django.contrib.auth.backends.ModelBackend", f"{VIEWS}.RemoteUserBackend"]


@pytest.fixture(autouse=True)
def operator(settings):
    settings.TRUSTED_PROXIES = (ip_network("10.0.0.5/32"),)
    settings.REMOTE_USER_HEADER = client_ip.header_key("Remote-User", settings.TRUSTED_PROXIES)
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{VIEWS}.RemoteUserMiddleware"]
    settings.AUTHENTICATION_BACKENDS = BACKENDS
    return User.objects.create_superuser("ada", password="right")


def ask(client, name, peer=PROXY, path=PANEL, forwarded=VISITOR):
    headers = {"x-forwarded-for": forwarded} | ({} if name is None else {"remote-user": name})
    return client.get(path, REMOTE_ADDR=peer, REQUEST_URI=path, headers=headers)


REFUSED = data_files.load("log_ins.toml")["refused"]


@pytest.mark.parametrize(("name", "peer"), [*REFUSED, (None, PROXY)])
def test_strangers_and_wrong_names_lose_their_session(client, name, peer):
    for _ in range(2):
        assert ask(client, name, peer, forwarded=PROXY).status_code == 302
        assert "_auth_user_id" not in client.session
        ask(client, "ada")
    assert User.objects.count() == 1


@pytest.mark.parametrize("fields", [{"is_active": False}, {"is_staff": False}])
def test_accounts_without_panel_access_are_refused(client, fields):
    User.objects.update(**fields)
    assert ask(client, "ada").status_code == 302


def test_a_named_user_keeps_their_role_and_replaces_another(client):
    assert [ask(client, "ada").status_code for _ in "12"] == [200, 200]
    note = LogEntry.objects.get().change_message
    assert note == "Logged in by the proxy, from 198.51.100.0/24."
    curator = User.objects.create_user("cleo", is_staff=True)
    curator.groups.add(Group.objects.get(name="curator"))
    paths = ("/admin/subscriptions/topic/", "/admin/auth/user/")
    assert [ask(client, "cleo", path=path).status_code for path in paths] == [200, 403]


def test_public_pages_ignore_the_header(client):
    response = ask(client, "ada", path="/topics/")
    assert (response.status_code, len(response.cookies)) == (200, 0)
    assert "Cookie" not in response.get("Vary", "")


@pytest.mark.parametrize("has_passwords", [True, False])
def test_password_log_in_works_unless_switched_off(client, settings, has_passwords):
    client.force_login(User.objects.get(), BACKENDS[0])
    settings.PASSWORD_LOG_IN = has_passwords
    settings.AUTHENTICATION_BACKENDS = BACKENDS[not has_passwords :]
    assert client.get(PANEL).status_code == (200 if has_passwords else 302)
    client.logout()
    sent = {"username": "ada", "password": "right", "next": PANEL}
    assert client.post("/admin/login/", sent).status_code == (302 if has_passwords else 403)
    assert ('type="password"' in Client().get("/admin/login/").text) == has_passwords
    assert ask(client, "ada").status_code == 200


def by_waitress(request):
    """Return the environ that waitress makes of a request."""
    environs = Queue()

    def app(environ, start_response):
        environs.put(environ)
        start_response("200 OK", [])
        return []

    sockets = {}
    server = waitress.create_server(app, port=0, map=sockets, clear_untrusted_proxy_headers=False)
    with socket.create_connection(("127.0.0.1", server.effective_port)) as sock:
        sock.sendall(request)
        while environs.empty():
            wasyncore.loop(0.01, map=sockets, count=1)
    server.task_dispatcher.shutdown()
    wasyncore.close_all(sockets)
    return environs.get()


def by_gunicorn(request):
    """Return the environ that gunicorn makes of a request."""
    sock, peer = socket.socketpair()
    with sock, peer:
        peer.sendall(request)
        parsed = next(RequestParser(Config(), sock, ("127.0.0.1", 1)))
        return wsgi.create(parsed, sock, ("127.0.0.1", 1), ("127.0.0.1", 8000), Config())[1]


SPELLINGS = ["//admin/", "/%61dmin/", "/admin%2F", "http://testserver/admin/", "/x/../admin/"]


@pytest.mark.parametrize("environ_of", [by_waitress, by_gunicorn])
@pytest.mark.parametrize("path", [PANEL, f"{PANEL}?a=b", *SPELLINGS])
def test_other_spellings_of_the_path_ignore_the_header(client, settings, environ_of, path):
    settings.TRUSTED_PROXIES = (ip_network("127.0.0.1/32"),)
    head = f"GET {path} HTTP/1.1\r\nHost: testserver\r\nRemote-User: ada\r\n\r\n"
    response = client.request(**environ_of(head.encode()))
    assert (response.status_code == 200) == path.startswith(PANEL)
    assert LogEntry.objects.exists() == path.startswith(PANEL)


def test_header_is_ignored_where_the_server_does_not_tell_the_path(client):
    headers = {"x-forwarded-for": VISITOR, "remote-user": "ada"}
    assert client.get(PANEL, REMOTE_ADDR=PROXY, headers=headers).status_code == 302
