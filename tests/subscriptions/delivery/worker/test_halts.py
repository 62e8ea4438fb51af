"""Nothing leaves: the breaker has tripped, the server is away, the operator has stopped it
(faults 16, 24 and 25).
"""

import time
from datetime import timedelta

import pytest

from digest.models import Pick
from digest.planning import plan
from subscriptions.delivery import circuit_breaker, transitions
from subscriptions.delivery.recovery import sweep
from subscriptions.models import Letter, LetterEvent, Subscriber
from tests.factories import make
from tests.factories.make import NOW
from tests.subscriptions.delivery.worker.due_digests import (
    MINUTE,
    deliver,
    digests,
    recipients,
    states,
)

pytestmark = pytest.mark.django_db

# ---- The breaker (fault 16)


def test_a_wrong_password_waits_for_the_operator_and_is_nobodys_fault(server, settings, caplog):
    host = server.url.removeprefix("smtp://")
    settings.EMAIL_URL = f"smtp://us:secret@{host}?connections=10"
    server.extensions = ("PIPELINING", "AUTH PLAIN")
    server.replies["auth"] = b"535 5.7.8 bad credentials\r\n"
    digests(count=12)

    deliver()

    assert (circuit_breaker.current().trouble, circuit_breaker.current().said) == (
        "auth",
        "535 5.7.8 bad credentials",
    )
    assert set(Letter.objects.values_list("state", "attempt")) == {("planned", 0)}
    assert not Subscriber.objects.exclude(suppressed_at=None).exists()
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) == 1
    assert "secret" not in caplog.text

    tried = server.connected
    deliver(NOW + 0.9 * MINUTE)  # Nobody knocks meanwhile.
    assert server.connected == tried
    deliver(NOW + 2 * MINUTE)  # Then one does, once.
    assert server.connected == tried + 1
    assert circuit_breaker.current().retry_at >= NOW + 7 * MINUTE  # Longer each time.

    server.replies.clear()
    assert deliver(NOW + 8 * MINUTE)["accepted"] == 12
    assert (circuit_breaker.current().failures, circuit_breaker.current().trouble) == (0, "")


def test_a_server_that_has_lost_its_tls_is_told_nothing_and_marks_no_address(server, settings):
    settings.EMAIL_URL = f"{server.url}?connections=10&tls=starttls"
    digests(count=12)
    deliver()
    assert circuit_breaker.current().trouble == "tls"
    assert set(Letter.objects.values_list("state", "attempt")) == {("planned", 0)}
    assert not any(line.startswith(b"MAIL") for line in server.heard)

    settings.EMAIL_URL = f"{server.url}?connections=10"
    assert deliver(NOW + 2 * MINUTE)["accepted"] == 12


@pytest.mark.parametrize("stage", ["mail", "dot"])
def test_being_told_to_log_in_stops_the_round_for_all_and_is_told_once(server, stage, caplog):
    server.replies[stage] = b"530 5.7.0 authentication required\r\n"
    digests(count=12)

    deliver()

    assert circuit_breaker.current().trouble == "auth"
    assert set(Letter.objects.values_list("state", "stumbles")) == {("planned", 0)}
    assert not Subscriber.objects.exclude(suppressed_at=None).exists()
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) == 1
    assert max(Letter.objects.values_list("attempt", flat=True)) == 1

    server.replies.clear()
    assert deliver(NOW + 2 * MINUTE)["accepted"] == 12


def connected_at_rest(server):
    """Return how many lines came in, once those have that were being opened when a round ended."""
    count = -1
    while count != server.connected:
        count = server.connected
        time.sleep(0.2)
    return count


@pytest.mark.slow
@pytest.mark.parametrize("goes_away", [False, True])
def test_a_server_that_lets_us_in_and_takes_nothing_is_asked_more_seldom_each_time(
    server, goes_away
):
    """Also one that closes at the first letter and greets nobody any more."""
    greeting, trouble = server.at_connect, b"530 5.7.0 authentication required\r\n"
    if goes_away:
        trouble = b"421 4.3.2 going down\r\n"

    def take_nothing(stage, whom, conversation):
        if stage == "mail":
            time.sleep(0.1)
            server.at_connect = trouble if goes_away else greeting
            return trouble
        return None

    server.says = take_nothing
    digests(count=12)
    failures, pauses, lines_tried, letters_tried, now = [], [], [], [], NOW
    for _ in range(3):
        server.at_connect = greeting
        tried, claims = connected_at_rest(server), LetterEvent.objects.filter(became="claimed")
        before = claims.count()
        deliver(now)
        letters_tried.append(claims.count() - before)
        lines_tried.append(connected_at_rest(server) - tried)
        failures.append(circuit_breaker.current().failures)
        pauses.append(round((circuit_breaker.current().retry_at - now) / MINUTE))
        now += timedelta(minutes=20)  # All are due again.
    assert failures == [1, 2, 3]
    assert goes_away or pauses == [1, 5, 15]
    # A try is one, until it has succeeded.
    assert letters_tried[1:] == [1, 1]
    assert goes_away or lines_tried[1:] == [1, 1]


# ---- The server is away (faults 24 and 25)


def test_a_server_that_is_away_at_the_due_hour_costs_nobody_a_try(server, settings):
    url, settings.EMAIL_URL = settings.EMAIL_URL, "smtp://127.0.0.1:1"
    digests(count=12)
    for minute in range(37):
        if minute == 31:
            settings.EMAIL_URL = url
        sweep.sweep(NOW + minute * MINUTE)
        deliver(NOW + minute * MINUTE)
    assert states() == {"accepted": 12}
    assert set(Letter.objects.values_list("attempt", flat=True)) == {1}


def test_a_server_that_is_away_past_the_days_end_costs_the_day_and_none_of_its_papers(
    server, settings
):
    url, settings.EMAIL_URL = settings.EMAIL_URL, "smtp://127.0.0.1:1"
    for number in range(2):
        make.subscriber(f"reader-{number}@example.org", interests="graphs")
        make.paper(f"Graphs, part {number}")
    plan.plan(NOW)
    lost = set(Pick.objects.values_list("subscriber_id", "paper_id"))
    assert len(lost) == 4
    for hour in (0, 6, 12, 18, 23):
        sweep.sweep(NOW + timedelta(hours=hour))
        deliver(NOW + timedelta(hours=hour))
    assert states() == {"missed": 2}
    missed = [letter.events.filter(became="missed").count() for letter in Letter.objects.all()]
    assert missed == [1] * 2
    assert not Pick.objects.exists()

    settings.EMAIL_URL = url
    plan.plan(NOW + timedelta(days=1))
    assert set(Pick.objects.values_list("subscriber_id", "paper_id")) == lost
    assert deliver(NOW + timedelta(days=1))["accepted"] == 2


# ---- The switch


def test_a_stop_lets_out_what_is_past_the_fence_alone_and_all_leave_once_it_is_undone(
    server, monkeypatch
):
    digests(count=30)
    stopped = []
    fence = transitions.final_check

    def fence_and_stop(*args):
        fenced = fence(*args)
        if not stopped:
            stopped.append(len(fenced.passed))
            circuit_breaker.stop("Ada", NOW)
        return fenced

    monkeypatch.setattr(transitions, "final_check", fence_and_stop)
    deliver()
    assert len(server.accepted) == stopped[0] < 30
    deliver(NOW + MINUTE)
    assert states() == {"accepted": stopped[0], "planned": 30 - stopped[0]}
    assert not Letter.objects.exclude(stumbles=0).exists()
    assert Letter.objects.filter(events__became="transmitting").count() == stopped[0]
    circuit_breaker.resume("Ada", NOW)
    deliver(NOW + MINUTE)
    assert len(set(recipients(server))) == len(server.accepted) == 30
