"""Ten thousand sign-ups in a minute from one network, at a web server as production has it: few
letters, few rows, and other visitors are answered as on any day.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from itertools import count
from statistics import median
from urllib.parse import urlencode

import pytest

pytestmark = [pytest.mark.services, pytest.mark.nightly]

SIGN_UPS, A_MINUTE = 10_000, 60
ROBOTS = 8  # Connections over which they come.
PATIENCE = 2.0  # Seconds for all visitors but one in a hundred. The flood shares our cores.
PAUSE = 0.25  # Between two pages of a visitor.


def ask(installation, method, path, ip, **form) -> tuple[int, float]:
    """Ask as somebody behind our proxy. Return the answer's status, and the seconds it took."""
    host = installation.environment["SITE_URL"].removeprefix("http://")
    headers = {"X-Forwarded-For": ip, "Content-Type": "application/x-www-form-urlencoded"}
    begun = time.monotonic()
    with closing(HTTPConnection(host, timeout=60)) as connection:
        connection.request(method, path, urlencode(form) if form else None, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, time.monotonic() - begun


def flood(installation, numbers, begin) -> list[int]:
    """Sign people up from one network, each at its time or as soon as the server lets us."""
    statuses = []
    for number in numbers:
        time.sleep(max(0, begin + number * A_MINUTE / SIGN_UPS - time.monotonic()))
        victim = {"email": f"victim-{number}@example.org", "interests": "spam"}
        statuses.append(
            ask(installation, "POST", "/subscribe/", f"203.0.113.{number % 256}", **victim)[0]
        )
    return statuses


def visit(installation, is_over) -> list[tuple[int, float]]:
    """Read pages, and now and then sign up, each time from another network."""
    answers = []
    for number in count():
        if is_over():
            return answers
        ip = f"100.64.{number % 256}.1"
        if number % 20 == 19:
            neighbour = {"email": f"neighbour-{number}@example.org", "interests": "graphs"}
            answers.append(ask(installation, "POST", "/subscribe/", ip, **neighbour))
        else:
            answers.append(ask(installation, "GET", ("/", "/topics/")[number % 2], ip))
        time.sleep(PAUSE)


def rows(installation, table) -> int:
    ((found,),) = installation.ask(f"SELECT count(*) FROM subscriptions_{table}")
    return found


def test_flood_of_sign_ups_delays_no_visitor(installation, capsys):
    installation.start_web(TRUSTED_PROXIES="1")
    begin = time.monotonic()
    shares = [range(first, SIGN_UPS, ROBOTS) for first in range(ROBOTS)]
    with ThreadPoolExecutor(ROBOTS + 1) as people:
        robots = [people.submit(flood, installation, share, begin) for share in shares]
        visitor = people.submit(visit, installation, lambda: all(robot.done() for robot in robots))
        statuses = [status for robot in robots for status in robot.result()]
    took = time.monotonic() - begin
    seconds = sorted(waited for _, waited in visitor.result())
    late = seconds[len(seconds) * 99 // 100]
    with capsys.disabled():
        summary = f"median {median(seconds):.3f} s, p99 {late:.3f} s, at most {seconds[-1]:.3f} s"
        print(f"\n{SIGN_UPS:,} in {took:.0f} s; {len(seconds)} visits: {summary}")  # noqa: T201

    assert len(statuses) == SIGN_UPS
    assert statuses.count(200) == 20  # So many a network may ask for in an hour.
    assert statuses.count(429) == SIGN_UPS - 20
    neighbours = len(seconds) // 20
    assert {status for status, _ in visitor.result()} == {200}
    assert rows(installation, "subscriber") == rows(installation, "letter") == 20 + neighbours
    assert rows(installation, "attempt") == 3 * (20 + neighbours)
    assert took < 3 * A_MINUTE  # It is two machines' work, done by one.
    assert late < PATIENCE
