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
from tests.subscriptions.delivery.worker.thirty_letters import (
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
    digests(count=30)

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
    assert deliver(NOW + 8 * MINUTE)["accepted"] == 30
    assert (circuit_breaker.current().failures, circuit_breaker.current().trouble) == (0, "")


def test_a_server_that_has_lost_its_tls_is_told_nothing_and_marks_no_address(server, settings):
    settings.EMAIL_URL = f"{server.url}?connections=10&tls=starttls"
    digests(count=30)
    deliver()
    assert circuit_breaker.current().trouble == "tls"
    assert set(Letter.objects.values_list("state", "attempt")) == {("planned", 0)}
    assert not any(line.startswith(b"MAIL") for line in server.heard)

    settings.EMAIL_URL = f"{server.url}?connections=10"
    assert deliver(NOW + 2 * MINUTE)["accepted"] == 30


@pytest.mark.parametrize("stage", ["mail", "rcpt", "dot"])
def test_being_told_to_log_in_stops_the_round_for_all_and_is_told_once(server, stage, caplog):
    server.replies[stage] = b"530 5.7.0 authentication required\r\n"
    digests(count=30)

    deliver()

    assert circuit_breaker.current().trouble == "auth"
    assert set(Letter.objects.values_list("state", "stumbles")) == {("planned", 0)}
    assert not Subscriber.objects.exclude(suppressed_at=None).exists()
    assert len([one for one in caplog.records if one.levelname == "ERROR"]) == 1
    assert max(Letter.objects.values_list("attempt", flat=True)) == 1

    server.replies.clear()
    assert deliver(NOW + 2 * MINUTE)["accepted"] == 30


def connected_at_rest(server):
    """Return how many lines came in, once those have that were being opened when a round ended."""
    count = -1
    while count != server.connected:
        count = server.connected
        time.sleep(0.2)
    return count


def test_a_server_that_lets_us_in_and_takes_nothing_is_asked_more_seldom_each_time(server):
    server.replies["mail"] = b"530 5.7.0 authentication required\r\n"
    server.says = lambda stage, *told: time.sleep(0.1) if stage == "mail" else None
    digests(count=30)
    pauses, lines_tried, letters_tried, now = [], [], [], NOW
    for _ in range(3):
        tried, claims = connected_at_rest(server), LetterEvent.objects.filter(became="claimed")
        before = claims.count()
        deliver(now)
        letters_tried.append(claims.count() - before)
        lines_tried.append(connected_at_rest(server) - tried)
        pauses.append(round((circuit_breaker.current().retry_at - now) / MINUTE))
        now += timedelta(minutes=20)  # All are due again.
    assert pauses == [1, 5, 15]
    # A try is one, until it has succeeded.
    assert lines_tried[1:] == letters_tried[1:] == [1, 1]


def test_a_server_that_goes_away_amid_its_trial_is_asked_more_seldom_each_time(server):
    """It lets us in, closes at the first letter, and greets nobody any more."""

    def go_away(stage, whom, conversation):
        if stage == "mail":
            server.at_connect = b"421 4.3.2 going down\r\n"
            return b"421 4.3.2 going down\r\n"
        return None

    server.says, greeting = go_away, server.at_connect
    circuit_breaker.trip("unreachable", "away", NOW)
    digests(count=3)
    failures, now = [], NOW + MINUTE
    for _ in range(3):
        server.at_connect = greeting
        deliver(now)
        failures.append(circuit_breaker.current().failures)
        now += timedelta(minutes=20)
    assert failures == [2, 3, 4]
    assert circuit_breaker.current().trouble == "unreachable"


# ---- The server is away (faults 24 and 25)


def test_a_server_that_is_away_at_the_due_hour_costs_nobody_a_try(server, settings):
    url, settings.EMAIL_URL = settings.EMAIL_URL, "smtp://127.0.0.1:1"
    digests(count=30)
    for minute in range(31):
        sweep.sweep(NOW + minute * MINUTE)
        deliver(NOW + minute * MINUTE)
    settings.EMAIL_URL = url
    for minute in range(31, 37):
        sweep.sweep(NOW + minute * MINUTE)
        deliver(NOW + minute * MINUTE)
    assert states() == {"accepted": 30}
    assert set(Letter.objects.values_list("attempt", flat=True)) == {1}


def test_a_server_that_is_away_past_the_days_end_costs_the_day_and_none_of_its_papers(
    server, settings
):
    url, settings.EMAIL_URL = settings.EMAIL_URL, "smtp://127.0.0.1:1"
    for number in range(5):
        make.subscriber(f"reader-{number}@example.org", interests="graphs")
    for number in range(3):
        make.paper(f"Graphs, part {number}")
    plan.plan(NOW)
    lost = set(Pick.objects.values_list("subscriber_id", "paper_id"))
    assert len(lost) == 15
    for hour in range(24):
        sweep.sweep(NOW + timedelta(hours=hour))
        deliver(NOW + timedelta(hours=hour))
    assert states() == {"missed": 5}
    missed = [letter.events.filter(became="missed").count() for letter in Letter.objects.all()]
    assert missed == [1] * 5
    assert not Pick.objects.exists()

    settings.EMAIL_URL = url
    plan.plan(NOW + timedelta(days=1))
    assert set(Pick.objects.values_list("subscriber_id", "paper_id")) == lost
    assert deliver(NOW + timedelta(days=1))["accepted"] == 5


# ---- The switch


def test_a_stop_between_claim_and_fence_lets_no_dot_out_and_all_leave_once_it_is_undone(
    server, written
):
    digests(count=30)
    written["all"] = lambda letter: circuit_breaker.stop("Ada", NOW)

    deliver()

    assert server.accepted == []
    assert set(Letter.objects.values_list("state", "stumbles")) == {("planned", 0)}
    assert not Letter.objects.filter(events__became="transmitting").exists()
    deliver(NOW + MINUTE)
    assert server.accepted == []

    written.clear()
    circuit_breaker.resume("Ada", NOW)
    assert deliver(NOW + MINUTE)["accepted"] == 30
    assert len(set(recipients(server))) == len(server.accepted) == 30


def test_a_stop_amid_a_round_ends_it_with_what_is_past_the_fence(server):
    digests(count=60)
    stopped = []
    fence = transitions.final_check

    def fence_and_stop(*args):
        fenced = fence(*args)
        if not stopped:
            stopped.append(len(fenced.passed))
            circuit_breaker.stop("Ada", NOW)
        return fenced

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transitions, "final_check", fence_and_stop)
        deliver()
    assert len(server.accepted) == stopped[0] < 60
    assert states() == {"accepted": stopped[0], "planned": 60 - stopped[0]}
    circuit_breaker.resume("Ada", NOW)
    deliver(NOW + MINUTE)
    assert len(set(recipients(server))) == len(server.accepted) == 60
