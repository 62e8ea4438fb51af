"""The whole service as one process: its port, its web server, and how it stops."""

import http.client
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from contextlib import ExitStack, closing, contextmanager
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.http import HttpResponse

from digest.management import embedded_server
from digest.management.commands import serve
from digest.topics import starter_topics
from subscriptions import tasks
from subscriptions.models import Topic
from tests.config.environment import ROOT
from tests.faults.ports import free_port
from tests.servers.postfix import wait_until


@pytest.mark.django_db
@pytest.mark.parametrize("command", ["demo", "serve"])
def test_port_is_bound_before_setup(command, capsys, monkeypatch):
    port = free_port()
    refused = pytest.raises(CommandError, match=f"port {port} .* Choose another with --port")
    with socket.create_server(("127.0.0.1", port)), refused:
        call_command(command, port=port)
    assert capsys.readouterr().out == ""
    assert not Topic.objects.exists()

    def take_it():
        assert not is_free(port)
        raise KeyboardInterrupt

    monkeypatch.setenv("SITE_URL", "http://127.0.0.1:8000")  # Or the links of other tests change.
    monkeypatch.setattr(starter_topics, "make_topics", take_it)
    with pytest.raises(KeyboardInterrupt):
        call_command(command, port=port)
    wait_until(lambda: is_free(port), 10)  # Somebody else may happen to have got it for a moment.


@contextmanager
def running(tmp_path, command, **environment):
    """Run a server, which writes no trace of an error into its log. Yield it and its port."""
    port, log = free_port(), tmp_path / "log"
    command = [sys.executable, *(word.format(port=port) for word in command.split())]
    environment = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path)} | environment
    with log.open("wb") as file:
        server = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=file, stderr=file, start_new_session=True
        )
    try:
        wait_until(lambda: answers(port), 60)
        yield server, port
        os.kill(server.pid, signal.SIGTERM)
        assert server.wait(15) == 0
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
    assert "Traceback" not in log.read_text()


@pytest.mark.slow
def test_serve_delivers_from_sign_up_to_digest(tmp_path, outbox):
    """The embedded service as a process, with its own worker and beat, in real time."""
    email, name = "stranger@example.org", "Papers – 论文"  # Which no header can hold as it is.
    environment = {"SOURCES": "", "TRUSTED_PROXIES": "1", "SITE_NAME": name}

    def received():
        return [letter for letter in outbox() if letter["To"] == email]

    with running(tmp_path, "manage.py demo --port {port}", **environment) as (_, port):
        assert refuses_a_large_body(port)
        assert sends_no_body_for_head(port)
        assert refuses_odd_codecs(port)
        with ExitStack() as stack:
            for n in range(40):  # Many more than it has threads hang amid their requests.
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                head = b"POST /subscribe/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                connection.sendall(head + b"Content-Length: 9\r\n\r\ne" * (n % 2))
            post(port, "/subscribe/", email=email, interests="graph neural networks")
        (letter,) = wait_until(received, 10)
        text = letter.get_body(("plain",)).get_content()
        post(port, re.search(r"/confirm/\S+", text)[0])
        wait_until(lambda: len(received()) > 1, 10)
        _, digest = received()
        assert "data-paper-id=" in digest.get_body(("html",)).get_content()
    assert email not in (tmp_path / "log").read_text()
    with closing(sqlite3.connect(tmp_path / "paperboy.sqlite3")) as database:
        addresses = database.execute(
            "SELECT DISTINCT ip FROM subscriptions_consent WHERE ip IS NOT NULL"
        )
        assert addresses.fetchall() == [("198.51.100.9",)]


@pytest.mark.slow
def test_public_service_starts_from_nothing(tmp_path):
    public = {"SITE_URL": "https://papers.example.org", "SECRET_KEY": 40 * "x"}
    account = {
        "ADMIN_EMAIL": "admin@example.org",
        "ADMIN_PASSWORD_FILE": str(tmp_path / "password"),
    }
    (tmp_path / "password").write_text("four loaves of rye\n")
    command = "manage.py serve --host 0.0.0.0 --port {port}"
    with running(tmp_path, command, **public, **account, ALLOWED_HOSTS="127.0.0.1", SOURCES=""):
        log = (tmp_path / "log").read_text()
    assert "Created the admin account of ADMIN_EMAIL." in log
    assert "admin@example.org" not in log


# ---- The first account


@pytest.mark.django_db
def test_first_account_is_created_once(settings, client):
    lines = []
    serve.make_first_account(lines.append)
    assert "ADMIN_EMAIL and ADMIN_PASSWORD" in lines[0]
    for password in ("four loaves of rye", "five loaves of rye"):
        settings.ADMIN_EMAIL, settings.ADMIN_PASSWORD = "admin@example.org", password
        serve.make_first_account(lines.append)
    assert User.objects.get().is_superuser
    assert len(lines) == 2
    assert client.login(username="admin@example.org", password="four loaves of rye")


@pytest.mark.django_db
@pytest.mark.parametrize("password", ["rye", "password1", "admin@example.org"])
def test_weak_first_password_is_refused(settings, password):
    settings.ADMIN_EMAIL, settings.ADMIN_PASSWORD = "admin@example.org", password
    with pytest.raises(CommandError, match=r"^ADMIN_PASSWORD: .*password"):
        serve.make_first_account(print)
    assert not User.objects.exists()


def test_stopping_service_claims_nothing_more(monkeypatch):
    states = []
    service = SimpleNamespace(
        start=lambda: None,
        stop=lambda **in_sighandler: states.append(tasks.is_stopping()),
        join=lambda patience: None,
    )
    monkeypatch.setattr(tasks, "_stopping", threading.Event())
    for name in ("WorkController", "EmbeddedService"):
        monkeypatch.setattr(embedded_server, name, lambda *args, **options: service)
    with embedded_server.worker_and_beat():
        assert not tasks.is_stopping()
    assert set(states) == {True}


def test_head_response_has_no_body_and_is_closed(rf):
    closed = []
    response = HttpResponse("a page")
    response.close = lambda: closed.append(True)
    app = embedded_server.without_body_for_head(lambda environ, start_response: response)
    assert list(app(rf.head("/").environ, None)) == []
    assert closed == [True]
    assert list(app(rf.get("/").environ, None)) == [b"a page"]


def is_free(port):
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def answers(port):
    try:
        get(port, "/robots.txt", "")
    except OSError:
        return False
    return True


def refuses_a_large_body(port):
    """Return whether its mere announcement is refused, so that nothing of it is kept anywhere."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(
            b"POST /subscribe/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 400000000\r\n\r\n"
        )
        return connection.recv(100).startswith(b"HTTP/1.1 413 ")


def sends_no_body_for_head(port):
    """Return whether what comes next on the connection is the answer to the next request."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"HEAD /search/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        connection.sendall(b"HEAD / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        with connection.makefile("rb") as answers:
            _, _, rest = answers.read().partition(b"\r\n\r\n")
    return rest.startswith(b"HTTP/1.1 200 ") and rest.endswith(b"\r\n\r\n")


def refuses_odd_codecs(port):
    """Return whether requests that name a codec are refused, by the application or the server."""
    for content_type, query in [
        *[("text/plain; charset=hex", "a"), ("text/plain; charset=klingon", "a")],
        *[("text/plain; charset*=utf-8''a%00b", ""), ("text/plain; charset*=foo''abc", "")],
        ("text/plain; charset=punycode", "-" + "a" * 3_000),
    ]:
        status, headers = get(port, f"/?q={query}", content_type)
        if status != 400 or "Content-Security-Policy" not in headers:
            return False
    assert get(port, "/", "a" * 12_000)[0] in (400, 431)
    assert get(port, "/?q=" + "a" * 20_000, "")[0] in (414, 431)
    return get(port, "/robots.txt", "text/plain; charset=utf-8")[0] == 200


def get(port, path, content_type):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path, headers={"Content-Type": content_type})
        answer = connection.getresponse()
        return answer.status, answer.headers


def post(port, path, **fields):
    body = urllib.parse.urlencode(fields).encode()
    proxied = {"X-Forwarded-For": "6.6.6.6, 198.51.100.9"}
    url = f"http://127.0.0.1:{port}{path}"
    request = urllib.request.Request(url, data=body, headers=proxied, method="POST")
    with urllib.request.urlopen(request, timeout=5) as response:
        assert response.status == 200
