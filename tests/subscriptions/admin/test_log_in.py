"""The panel's log-in: locked after guesses, for who guesses, and for a while."""

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from subscriptions.models import Attempt
from tests.factories.make import MINUTE, NOW
from tests.helpers import data_files

pytestmark = pytest.mark.django_db

LOG_INS = data_files.load("log_ins.toml")
HERE, ELSEWHERE = "192.0.2.1", "198.51.100.1"
PANEL = "/admin/"


@pytest.fixture(autouse=True)
def operator(settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # In no time.
    settings.LIMITS = settings.LIMITS | {"passwords": 3, "account": 6}
    return User.objects.create_superuser("ada", password="right")


def log_in(client, password="right", name="ada", ip=HERE, **headers):
    sent = {"username": name, "password": password, "next": PANEL}
    return client.post("/admin/login/", sent, REMOTE_ADDR=ip, headers=headers)


def guess(times, ip=HERE, **more):
    return [log_in(Client(), f"guess {n}", ip=ip, **more).status_code for n in range(times)]


def test_right_password_is_refused_after_guesses(client, clock):
    assert guess(5) == guess(5, ip=ELSEWHERE, name="nobody") == [200] * 3 + [429] * 2
    response = log_in(client)
    assert (response.status_code, response["Retry-After"]) == (429, str(15 * 60))
    assert "Too many wrong passwords" in response.text
    assert client.get(PANEL).status_code == 302
    clock.now = NOW + 15 * MINUTE
    assert log_in(client)["Location"] == PANEL
    assert client.get(PANEL).status_code == 200


def test_guesses_from_one_network_lock_nobody_else_out(client):
    guess(5)
    assert log_in(client, ip=ELSEWHERE)["Location"] == PANEL
    assert Attempt.objects.count() == 3 + 1  # By network, and that it was logged.


def test_guesses_from_many_networks_lock_the_account(client, caplog):
    assert [guess(1, ip=f"10.1.{n}.1") for n in range(8)] == [[200]] * 6 + [[429]] * 2
    assert log_in(client, ip=ELSEWHERE).status_code == 429
    assert caplog.text.count("too many wrong passwords, by account") == 1
    assert "ada" not in caplog.text


@pytest.mark.parametrize("name", ["ADA", " ada ", "ａｄａ"])
def test_spellings_of_a_username_are_one_account(name):
    for n in range(6):
        guess(1, ip=f"10.1.{n}.1", name=name)
    assert guess(1, ip=ELSEWHERE) == [429]


def test_successful_log_ins_are_not_counted(client):
    for _ in range(5):
        assert log_in(client)["Location"] == PANEL
    assert not Attempt.objects.exists()
    assert guess(2) == [200] * 2
    assert log_in(client)["Location"] == PANEL


def test_logged_in_user_may_not_guess_passwords(client):
    User.objects.create_user("eve", password="secret", is_staff=True)
    assert log_in(client, "secret", "eve")["Location"] == PANEL
    guesses = [log_in(client, f"guess {n}").status_code for n in range(5)]
    assert guesses == [200] * 3 + [429] * 2


def test_form_without_csrf_token_is_not_counted():
    for _ in range(5):
        assert log_in(Client(enforce_csrf_checks=True)).status_code == 403
    assert not Attempt.objects.exists()


@pytest.mark.parametrize("whom", [{"account": "Ada", "ip": HERE}, {"account": "ada"}])
def test_command_unlocks_the_named_account(client, whom, capsys):
    guess(3)
    call_command("unlock", **whom)
    said = {2: "6", 1: "3"}[len(whom)]
    assert capsys.readouterr().out == f"Cleared {said} failed log-ins.\n"
    assert (log_in(client).status_code == 302) == (len(whom) == 2)


@pytest.mark.parametrize(("locked", "typed"), LOG_INS["networks"])
def test_command_accepts_any_spelling_of_a_network(locked, typed, capsys):
    guess(3, ip=locked)
    call_command("unlock", "--ip", typed)
    assert capsys.readouterr().out == "Cleared 3 failed log-ins.\n"


@pytest.mark.parametrize("typed", LOG_INS["no_networks"])
def test_command_refuses_an_invalid_ip_address(typed):
    with pytest.raises(CommandError, match="not an IP address such as"):
        call_command("unlock", "--account", "ada", "--ip", typed)


def test_command_refuses_an_unknown_account(client):
    guess(3)
    with pytest.raises(CommandError, match="--account NAME"):
        call_command("unlock")
    with pytest.raises(CommandError, match=r"There is no account named 'adda'\."):
        call_command("unlock", account="adda", ip=HERE)
    assert log_in(client).status_code == 429


def test_session_cookie_is_secure_and_http_only(client, settings):
    settings.SESSION_COOKIE_SECURE = True
    cookie = log_in(client).cookies["sessionid"]
    assert (cookie["httponly"], cookie["samesite"], cookie["secure"]) == (True, "Lax", True)
