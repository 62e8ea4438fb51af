"""Slow connections, those that are lost, and those that are used again (faults 21, 22 and 27)."""

import threading
import time
from contextlib import closing

import pytest

from digest.models import Pick
from digest.planning import plan
from subscriptions.delivery import circuit_breaker, sweep, transitions, worker
from subscriptions.delivery.transports import smtp
from subscriptions.models import Letter, Subscriber
from tests.factories import make
from tests.factories.make import DAY, HOUR, MINUTE, NOW, SECOND
from tests.faults.proxy import Proxy
from tests.subscriptions.delivery.worker import due_digests

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
def test_lost_connection_costs_one_letter(server, one_connection, monkeypatch, stage, state, how):
    scaled = {at: seconds / 1000 for at, seconds in smtp.SECONDS.items()}
    monkeypatch.setattr(smtp, "SECONDS", scaled)

    def break_it(at, whom, conversation):
        if (at, whom) == (stage, "odd@example.org"):
            if how == "cut":
                one_connection.cut()
            one_connection.is_stalling = how == "stalls"

    server.says = break_it
    names = ["odd"] if how == "stalls" else ["first", "odd", "third"]
    letters = {name: due_digests.digest_to(f"{name}@example.org") for name in names}
    due_digests.deliver()
    for name, letter in letters.items():
        assert make.fresh(letter).state == (state if name == "odd" else "accepted")
    if how == "stalls":
        assert letters["odd"].last_reply == "the mail server did not answer in time"


def test_slow_letter_delays_no_other(server):
    letter = due_digests.digests("slow@elsewhere.example")
    others_done = threading.Event()
    waited = []

    def think(recipient):
        if recipient == "slow@elsewhere.example":
            waited.append(others_done.wait(30))
        elif len(server.accepted) == due_digests.MANY - 1:
            threading.Timer(0.3, others_done.set).start()

    server.before_dot_reply = think
    due_digests.deliver()

    assert waited == [True]
    assert due_digests.states() == {"accepted": due_digests.MANY + 1}
    ends = Letter.objects.exclude(pk=letter.pk).values_list("ended_at", flat=True)
    letter.refresh_from_db()
    # The others were recorded too, not only taken, while the slow one was thought about.
    assert max(ends) < letter.ended_at - 0.1 * SECOND


# ---- Servers that let us have few


def test_server_with_few_connections_is_asked_again_later(server, monkeypatch):
    monkeypatch.setattr(worker, "RECONNECT_SECONDS", 0.3)
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
    due_digests.digests(count=40)
    assert due_digests.deliver()["accepted"] == 40
    assert server.connected > 2


def test_breaker_opens_when_no_connection_is_available(server):
    def says(stage, whom, conversation):
        if stage == "rcpt":
            server.at_connect = b"421 4.3.2 shutting down\r\n"
            return b"550 5.7.1 not you\r\n"

    server.says = says
    due_digests.digests(count=60)
    due_digests.deliver()
    assert circuit_breaker.current().trouble == "unreachable"
    assert Letter.objects.filter(state="planned", attempt=0).exists()
    assert not Letter.objects.filter(state="claimed").exists()


def test_a_few_letters_are_claimed_per_connection(server, written):
    """Others may have the rest, and the leases of those that wait for a line run on."""
    claimed = []
    written["all"] = lambda letter: claimed.append(Letter.objects.filter(state="claimed").count())
    due_digests.digests(count=60)
    assert due_digests.deliver()["accepted"] == 60
    assert max(claimed) == worker.CLAIMS_PER_CONNECTION * 10


# ---- Connections that are used again (fault 27)


def test_connection_is_reused_except_after_a_refusal(server, settings):
    settings.EMAIL_URL = f"{server.url}?connections=1"
    names = ("unasked", "first", "550-rcpt", "third", "fourth")
    _, *asked_for = [due_digests.digest_to(f"{name}@example.org").pk for name in names]
    assert due_digests.deliver(ids=asked_for)["accepted"] == 3
    assert due_digests.states() == {"accepted": 3, "failed": 1, "planned": 1}
    assert server.connected == 2


LIMITS = [
    (4, 5, "mail", b"421 4.7.0 too many messages on this connection\r\n"),
    (1, 1, "mail", b""),  # It hangs up, and says nothing.
    (10, 2, "rcpt", b"421 4.3.2 service is being reloaded\r\n"),  # Whoever the recipient is.
]


@pytest.mark.parametrize(("connections", "letters", "at", "reply"), LIMITS)
def test_limit_of_letters_costs_no_attempt(server, settings, connections, letters, at, reply):
    settings.EMAIL_URL = f"{server.url}?connections={connections}"
    due_digests.digests(count=30)

    def enough(stage, whom, conversation):
        if stage == at and conversation.letters > letters:
            if not reply:
                conversation.connection.shutdown(2)
            return reply

    server.says = enough
    assert due_digests.deliver()["accepted"] == 30
    assert set(Letter.objects.values_list("attempt", flat=True)) == {1}
    assert circuit_breaker.current().failures == 0


def test_relay_refusing_all_recipients_opens_the_breaker(server):
    due_digests.digests(count=60)
    server.says = lambda stage, *args: b"421 4.3.0 no\r\n" if stage == "rcpt" else None
    due_digests.deliver()
    assert circuit_breaker.current().trouble == "unreachable"
    assert Letter.objects.filter(attempt=0).exists()
    server.says = lambda *args: None
    assert due_digests.deliver(NOW + 2 * MINUTE)["accepted"] == 60


def test_relay_rate_limit_opens_the_breaker(server):
    """As Postfix's smtpd_client_message_rate_limit does, before it knows any recipient."""
    due_digests.digests(count=20)
    due_digests.digests(count=20, domain="example.net")
    taken = []

    def limit(stage, whom, conversation):
        if stage == "mail":
            taken.append(whom)
            if len(taken) > 10:
                return b"450 4.7.1 Error: too much mail from 127.0.0.1\r\n"

    server.says = limit
    assert due_digests.deliver()["accepted"] == 10
    assert circuit_breaker.current().trouble == "unreachable"
    assert Letter.objects.filter(last_reply__startswith="450").count() <= 10  # As there are lines.
    server.says = lambda *args: None
    assert due_digests.deliver(NOW + 2 * MINUTE)["accepted"] == 30


# ---- The breaker (fault 16)


def test_wrong_password_opens_the_breaker_and_blames_no_address(server, settings, caplog):
    host = server.url.removeprefix("smtp://")
    settings.EMAIL_URL = f"smtp://us:secret@{host}?connections=10"
    server.extensions = ("PIPELINING", "AUTH PLAIN")
    server.replies["auth"] = b"535 5.7.8 bad credentials\r\n"
    due_digests.digests(count=12)

    due_digests.deliver()

    current = circuit_breaker.current()
    assert (current.trouble, current.reply) == ("auth", "535 5.7.8 bad credentials")
    assert set(Letter.objects.values_list("state", "attempt")) == {("planned", 0)}
    assert not Subscriber.objects.exclude(suppressed_at=None).exists()
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) == 1
    assert "secret" not in caplog.text

    tried = server.connected
    due_digests.deliver(NOW + 0.9 * MINUTE)  # No attempt is made meanwhile.
    assert server.connected == tried
    due_digests.deliver(NOW + 2 * MINUTE)  # Then one does, once.
    assert server.connected == tried + 1
    assert circuit_breaker.current().retry_at >= NOW + 7 * MINUTE  # Longer each time.

    server.replies.clear()
    assert due_digests.deliver(NOW + 8 * MINUTE)["accepted"] == 12
    assert (circuit_breaker.current().failures, circuit_breaker.current().trouble) == (0, "")


def test_server_without_tls_is_sent_nothing(server, settings):
    settings.EMAIL_URL = f"{server.url}?connections=10&tls=starttls"
    due_digests.digests(count=12)
    due_digests.deliver()
    assert circuit_breaker.current().trouble == "tls"
    assert set(Letter.objects.values_list("state", "attempt")) == {("planned", 0)}
    assert not any(line.startswith(b"MAIL") for line in server.heard)

    settings.EMAIL_URL = f"{server.url}?connections=10"
    assert due_digests.deliver(NOW + 2 * MINUTE)["accepted"] == 12


def connected_at_rest(server):
    """Return how many lines came in, once those have that were being opened when a round ended."""
    count = -1
    while count != server.connected:
        count = server.connected
        time.sleep(0.2)
    return count


@pytest.mark.slow
@pytest.mark.parametrize("goes_away", [False, True])
def test_server_accepting_nothing_is_retried_less_often(server, goes_away):
    """Also one that closes at the first letter and greets nobody any more."""
    greeting, trouble = server.at_connect, b"530 5.7.0 authentication required\r\n"
    if goes_away:
        trouble = b"421 4.3.2 going down\r\n"

    def take_nothing(stage, whom, conversation):
        if stage == "mail":
            offered.append(whom)
            time.sleep(0.1)
            server.at_connect = trouble if goes_away else greeting
            return trouble
        return None

    server.says = take_nothing
    due_digests.digests(count=12)
    offered, failures, pauses, lines_tried, letters_tried, now = [], [], [], [], [], NOW
    for _ in range(3):
        server.at_connect = greeting
        tried, letters = connected_at_rest(server), len(offered)
        due_digests.deliver(now)
        letters_tried.append(len(offered) - letters)
        lines_tried.append(connected_at_rest(server) - tried)
        failures.append(circuit_breaker.current().failures)
        pauses.append(round((circuit_breaker.current().retry_at - now) / MINUTE))
        now += 20 * MINUTE  # All are due again.
    assert failures == [1, 2, 3]
    assert goes_away or pauses == [1, 5, 15]
    # A try is one letter, until one has succeeded. Before the round ends, its connection may open
    # once more, and offer the next.
    assert max(letters_tried[1:]) <= 2
    assert goes_away or max(lines_tried[1:]) <= 2


# ---- The server is away (faults 24 and 25)


def test_outage_at_the_due_hour_costs_no_attempt(server, settings):
    url, settings.EMAIL_URL = settings.EMAIL_URL, "smtp://127.0.0.1:1"
    due_digests.digests(count=12)
    for minute in range(37):
        if minute == 31:
            settings.EMAIL_URL = url
        sweep.sweep(NOW + minute * MINUTE)
        due_digests.deliver(NOW + minute * MINUTE)
    assert due_digests.states() == {"accepted": 12}
    assert set(Letter.objects.values_list("attempt", flat=True)) == {1}


def test_outage_past_the_days_end_loses_no_paper(server, settings):
    url, settings.EMAIL_URL = settings.EMAIL_URL, "smtp://127.0.0.1:1"
    for number in range(2):
        make.subscriber(f"reader-{number}@example.org", interests="graphs")
        make.paper(f"Graphs, part {number}")
    plan.plan(NOW)
    lost = set(Pick.objects.values_list("subscriber_id", "paper_id"))
    assert len(lost) == 4
    for hour in (0, 6, 12, 18, 23):
        sweep.sweep(NOW + hour * HOUR)
        due_digests.deliver(NOW + hour * HOUR)
    assert due_digests.states() == {"missed": 2}
    missed = [letter.events.filter(new_state="missed").count() for letter in Letter.objects.all()]
    assert missed == [1] * 2
    assert not Pick.objects.exists()

    settings.EMAIL_URL = url
    plan.plan(NOW + DAY)
    assert set(Pick.objects.values_list("subscriber_id", "paper_id")) == lost
    assert due_digests.deliver(NOW + DAY)["accepted"] == 2


# ---- The switch


def test_stop_holds_letters_before_the_final_check(server, monkeypatch):
    due_digests.digests(count=30)
    stopped = []
    final_check = transitions.final_check

    def final_check_and_stop(*args):
        checked = final_check(*args)
        if not stopped:
            stopped.append(len(checked.passed))
            circuit_breaker.stop("Ada", NOW)
        return checked

    monkeypatch.setattr(transitions, "final_check", final_check_and_stop)
    due_digests.deliver()
    assert len(server.accepted) == stopped[0] < 30
    due_digests.deliver(NOW + MINUTE)
    assert due_digests.states() == {"accepted": stopped[0], "planned": 30 - stopped[0]}
    assert not Letter.objects.exclude(failed_attempts=0).exists()
    assert Letter.objects.filter(events__new_state="transmitting").count() == stopped[0]
    circuit_breaker.resume("Ada", NOW)
    due_digests.deliver(NOW + MINUTE)
    assert len(set(due_digests.recipients(server))) == len(server.accepted) == 30
