"""Slow connections, those that are lost, and those that are used again (faults 21, 22 and 27)."""

import threading
import time
from contextlib import closing
from datetime import timedelta

import pytest

from subscriptions.delivery import circuit_breaker
from subscriptions.delivery.transports import smtp_connection
from subscriptions.delivery.worker import connection_pool
from subscriptions.delivery.worker import deliver as worker
from subscriptions.models import Letter, Provider
from tests.factories.make import NOW
from tests.faults.proxy import Proxy
from tests.subscriptions.delivery.worker.due_digests import (
    MANY,
    deliver,
    digest_to,
    digests,
    states,
)

pytestmark = pytest.mark.django_db

# ---- Slow ones (faults 21 and 22)


@pytest.fixture
def one_connection(server, settings):
    """Return a proxy over which the letters reach the server, one after the other."""
    with closing(Proxy(server.server_address[1])) as proxy:
        settings.EMAIL_URL = f"smtp://127.0.0.1:{proxy.port}?connections=1"
        yield proxy


@pytest.mark.parametrize("how", ["stalls", "cut"])
@pytest.mark.parametrize(("stage", "state"), [("rcpt", "planned"), ("dot", "uncertain")])
def test_a_connection_that_stalls_or_is_cut_costs_its_own_letter_alone(
    server, one_connection, monkeypatch, stage, state, how
):
    scaled = {at: seconds / 1000 for at, seconds in smtp_connection.SECONDS.items()}
    monkeypatch.setattr(smtp_connection, "SECONDS", scaled)

    def break_it(at, whom, conversation):
        if (at, whom) == (stage, "odd@example.org"):
            if how == "cut":
                one_connection.cut()
            one_connection.is_stalling = how == "stalls"

    server.says = break_it
    names = ["odd"] if how == "stalls" else ["first", "odd", "third"]
    letters = {name: digest_to(f"{name}@example.org") for name in names}
    deliver()
    for name, letter in letters.items():
        letter.refresh_from_db()
        assert letter.state == (state if name == "odd" else "accepted")
    if how == "stalls":
        assert letters["odd"].last_reply == "the mail server did not answer in time"


def test_a_server_that_thinks_long_about_one_letter_delays_no_other(server):
    letter = digests("slow@elsewhere.example")
    others_done = threading.Event()
    waited = []

    def think(recipient):
        if recipient == "slow@elsewhere.example":
            waited.append(others_done.wait(30))
        elif len(server.accepted) == MANY - 1:
            threading.Timer(0.3, others_done.set).start()

    server.before_dot_reply = think
    deliver()

    assert waited == [True]
    assert states() == {"accepted": MANY + 1}
    ends = Letter.objects.exclude(pk=letter.pk).values_list("ended_at", flat=True)
    letter.refresh_from_db()
    # The others were recorded too, not only taken, while the slow one was thought about.
    assert max(ends) < letter.ended_at - timedelta(seconds=0.1)


# ---- Servers that let us have few


def test_a_server_that_lets_us_have_one_connection_gets_all_letters_over_it(server):
    def says(stage, whom, conversation):
        if stage == "mail":
            server.at_connect = b"421 4.7.0 too many connections\r\n"

    server.says = says
    digests(count=30)
    assert deliver()["accepted"] == 30
    assert circuit_breaker.current().failures == 0
    assert server.connected <= 1 + connection_pool.OPENERS  # It is not asked again so soon.


def test_a_server_that_lets_us_have_few_connections_is_asked_again_after_a_while(
    server, monkeypatch
):
    monkeypatch.setattr(connection_pool, "RECONNECT_SECONDS", 0.3)
    greeting, dots = server.at_connect, []

    def be_slow(recipient):
        dots.append(recipient)
        time.sleep(0.1)
        if len(dots) == 10:
            server.at_connect = greeting

    def says(stage, whom, conversation):
        if stage == "mail" and not dots:
            server.at_connect = b"421 4.7.0 too many connections\r\n"

    server.says, server.before_dot_reply = says, be_slow
    digests(count=40)
    assert deliver()["accepted"] == 40
    assert server.connected > 1 + connection_pool.OPENERS


def test_where_no_connection_can_be_had_any_more_the_round_ends_and_the_breaker_opens(server):
    def says(stage, whom, conversation):
        if stage == "rcpt":
            server.at_connect = b"421 4.3.2 shutting down\r\n"
            return b"550 5.7.1 not you\r\n"

    server.says = says
    digests(count=30)
    deliver()
    assert circuit_breaker.current().trouble == "unreachable"
    assert Letter.objects.filter(state="planned", attempt=0).exists()
    assert not Letter.objects.filter(state="claimed").exists()


def test_no_more_letters_are_claimed_at_once_than_two_to_a_line(server, written):
    """Others may have the rest, and the leases of those that wait for a line run on."""
    claimed = []
    written["all"] = lambda letter: claimed.append(Letter.objects.filter(state="claimed").count())
    digests(count=40)
    assert deliver()["accepted"] == 40
    assert max(claimed) == worker.CLAIMS_PER_CONNECTION * 10


def test_a_connection_that_opens_late_holds_nobody_up_and_is_closed_after_a_round(server):
    late, greeted = threading.Event(), []

    def says(stage, whom, conversation):
        if stage == "ehlo":
            greeted.append(whom)
            if len(greeted) > 1:
                late.wait(10)

    server.says = says
    digests(count=20)
    assert deliver()["accepted"] == 20
    quits = server.heard.count(b"QUIT\r\n")
    assert not late.is_set()
    late.set()
    until = time.monotonic() + 3
    while server.heard.count(b"QUIT\r\n") <= quits and time.monotonic() < until:
        time.sleep(0.01)
    assert server.heard.count(b"QUIT\r\n") > quits


# ---- Connections that are used again (fault 27)


def test_all_letters_that_are_asked_for_leave_over_one_line_or_a_fresh_one_after_a_refusal(
    server, settings
):
    settings.EMAIL_URL = f"{server.url}?connections=1"
    names = ("unasked", "first", "550-rcpt", "third", "fourth")
    _, *asked_for = [digest_to(f"{name}@example.org").pk for name in names]
    assert deliver(ids=asked_for)["accepted"] == 3
    assert states() == {"accepted": 3, "failed": 1, "planned": 1}
    assert server.connected == 2


@pytest.mark.parametrize(
    ("connections", "letters", "at", "reply"),
    [
        (4, 5, "mail", b"421 4.7.0 too many messages on this connection\r\n"),
        (1, 1, "mail", b""),  # It hangs up, and says nothing.
        (10, 2, "rcpt", b"421 4.3.2 service is being reloaded\r\n"),  # Whoever the recipient is.
    ],
)
def test_a_server_that_takes_some_letters_a_connection_costs_nobody_a_try_and_slows_no_provider(
    server, settings, connections, letters, at, reply
):
    settings.EMAIL_URL = f"{server.url}?connections={connections}"
    digests(count=30)

    def enough(stage, whom, conversation):
        if stage == at and conversation.letters > letters:
            if not reply:
                conversation.connection.shutdown(2)
            return reply

    server.says = enough
    assert deliver()["accepted"] == 30
    assert set(Letter.objects.values_list("attempt", flat=True)) == {1}
    assert not Provider.objects.exists()
    assert circuit_breaker.current().failures == 0


def test_a_relay_that_takes_no_recipient_at_all_trips_the_breaker_and_slows_no_provider(server):
    digests(count=30)
    server.says = lambda stage, *told: b"421 4.3.0 no\r\n" if stage == "rcpt" else None
    deliver()
    assert circuit_breaker.current().trouble == "unreachable"
    assert Letter.objects.filter(attempt=0).exists()
    assert not Provider.objects.exists()
    server.says = lambda *told: None
    assert deliver(NOW + timedelta(minutes=2))["accepted"] == 30


def test_a_relay_that_takes_so_many_letters_a_minute_slows_no_provider_and_costs_few_a_try(server):
    """As Postfix's smtpd_client_message_rate_limit does, before it knows any recipient."""
    digests(count=20)
    digests(count=20, domain="example.net")
    taken = []

    def limit(stage, whom, conversation):
        if stage == "mail":
            taken.append(whom)
            if len(taken) > 10:
                return b"450 4.7.1 Error: too much mail from 127.0.0.1\r\n"

    server.says = limit
    assert deliver()["accepted"] == 10
    assert not Provider.objects.exists()
    assert circuit_breaker.current().trouble == "unreachable"
    assert Letter.objects.filter(state="planned", attempt=1).count() <= 20  # As there are lines.
    server.says = lambda *told: None
    assert deliver(NOW + timedelta(minutes=2))["accepted"] == 30
