"""Log-in to the panel by a header of a trusted proxy."""

from ipaddress import ip_network

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, User
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from config import client_ip

pytestmark = pytest.mark.django_db

PROXY, VISITOR = "10.0.0.5", "198.51.100.1"
PANEL, USERS = "/admin/", "/admin/auth/user/"
BACKEND = "subscriptions.views.admin_login.RemoteUserBackend"
PASSWORD_BACKEND = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture(autouse=True)
def operator(settings):
    settings.TRUSTED_PROXIES = (ip_network("10.0.0.5/32"),)
    settings.REMOTE_USER_HEADER = client_ip.header_key("Remote-User", settings.TRUSTED_PROXIES)
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "subscriptions.views.admin_login.RemoteUserMiddleware",
    ]
    settings.AUTHENTICATION_BACKENDS = [PASSWORD_BACKEND, BACKEND]
    return User.objects.create_superuser("ada", password="right")


def ask(client, name, peer=PROXY, path=PANEL, **headers):
    headers = {"x-forwarded-for": VISITOR, **headers}
    if name is not None:
        headers["remote-user"] = name
    return client.get(path, REMOTE_ADDR=peer, headers=headers)


def test_proxy_logs_in_the_named_user_with_a_note(client):
    assert ask(client, "ada").status_code == 200
    assert ask(client, "ada").status_code == 200
    assert LogEntry.objects.get().change_message == (
        "Logged in by the proxy, from 198.51.100.0/24."
    )


@pytest.mark.parametrize("peer", [VISITOR, "10.0.0.6", "127.0.0.1", "", "::1"])
def test_header_is_refused_from_other_peers(client, peer):
    assert ask(client, "ada", peer, **{"x-forwarded-for": PROXY}).status_code == 302
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("name", ["ada,ada", "ada, eve", "", " ", "ada ", "a\0da", "äda", "nobody"])
def test_doubled_and_unknown_names_are_refused(client, name):
    assert ask(client, name).status_code == 302
    assert User.objects.count() == 1


@pytest.mark.parametrize("fields", [{"is_active": False}, {"is_staff": False}])
def test_accounts_without_panel_access_are_refused(client, fields):
    User.objects.update(**fields)
    assert ask(client, "ada").status_code == 302


def test_roles_stay_with_a_named_user(client):
    curator = User.objects.create_user("cleo", is_staff=True)
    curator.groups.add(Group.objects.get(name="curator"))
    assert ask(client, "cleo").status_code == 200
    assert ask(client, "cleo", path="/admin/subscriptions/topic/").status_code == 200
    assert ask(client, "cleo", path=USERS).status_code == 403
    assert not User.objects.get(username="cleo").is_superuser


@pytest.mark.parametrize(("name", "peer"), [(None, PROXY), ("ada", VISITOR), ("ada,eve", PROXY)])
def test_session_ends_without_a_valid_header(client, name, peer):
    ask(client, "ada")
    assert ask(client, name, peer).status_code == 302
    assert "_auth_user_id" not in client.session


def test_another_name_replaces_the_user_of_a_session(client):
    eve = User.objects.create_user("eve", is_staff=True)
    ask(client, "ada")
    ask(client, "eve")
    assert client.session["_auth_user_id"] == str(eve.pk)


def test_public_pages_ignore_the_header(client):
    response = ask(client, "ada", path="/topics/")
    assert response.status_code == 200
    assert not response.cookies
    assert "Cookie" not in response.get("Vary", "")
    assert not LogEntry.objects.exists()


def test_passwords_still_work_beside_the_header(client):
    sent = {"username": "ada", "password": "right", "next": PANEL}
    assert client.post("/admin/login/", sent, REMOTE_ADDR=VISITOR)["Location"] == PANEL
    assert ask(client, None, VISITOR).status_code == 200


def test_password_log_in_can_be_switched_off(client, settings):
    client.force_login(User.objects.get(), PASSWORD_BACKEND)
    settings.PASSWORD_LOG_IN, settings.AUTHENTICATION_BACKENDS = False, [BACKEND]
    assert client.get(PANEL).status_code == 302  # The session began with a password.
    sent = {"username": "ada", "password": "right", "next": PANEL}
    for response in (Client().get("/admin/login/"), Client().post("/admin/login/", sent)):
        assert response.status_code == 403
        assert 'type="password"' not in response.text
    assert ask(client, "ada").status_code == 200
    assert ask(client, "ada", path="/admin/login/").status_code == 302


@pytest.mark.parametrize("name", ["Remote_User", "Remote-User:", "1", "a b"])
def test_odd_header_names_are_refused_at_the_start(name):
    with pytest.raises(ImproperlyConfigured, match="must be like Remote-User"):
        client_ip.header_key(name, (ip_network("10.0.0.0/8"),))
