"""How many attempts an endpoint accepts, from whom, and what is stored."""

import pytest
from django.db import OperationalError
from hypothesis import given, settings
from hypothesis import strategies as st

from subscriptions import addresses
from subscriptions.models import Attempt, Letter, Subscriber
from subscriptions.security import rate_limits
from subscriptions.security.rate_limits import Limit, TooManyAttempts
from tests.factories import make
from tests.factories.make import DAY, HOUR, MINUTE, NOW, SECOND
from tests.helpers import data_files
from tests.helpers.threads import at_once

pytestmark = pytest.mark.django_db
DATA = data_files.load("addresses.toml")


@pytest.fixture(autouse=True)
def few(settings):
    """Let in so few that a test soon has them all."""
    settings.LIMITS = settings.LIMITS | {"network": 3, "all": 5, "mailbox": 2}
    settings.TRUSTED_PROXIES = 0


def sign_up(client, email="you@example.org", ip="192.0.2.1"):
    return client.post("/subscribe/", {"email": email}, REMOTE_ADDR=ip)


def is_let_in(*spent, now=NOW):
    try:
        rate_limits.hit("an endpoint", spent, now)
    except TooManyAttempts:
        return False
    return True


# ---- Counting


@settings(max_examples=15)
@given(
    most=st.integers(1, 4),
    waits=st.lists(st.integers(0, 50).map(lambda minutes: minutes * MINUTE), max_size=20),
)
def test_attempts_within_the_window_are_limited(most, waits):
    Attempt.objects.all().delete()
    now, let_in = NOW, []
    for wait in waits:
        now += wait
        free = sum(now - at < HOUR for at in let_in) < most
        assert is_let_in(Limit("network", "a", most, HOUR), now=now) == free
        let_in += [now] * free
    assert Attempt.objects.count() == len(let_in)


def test_refusal_gives_the_seconds_to_wait():
    limit = Limit("network", "a", 2, HOUR)
    rate_limits.hit("an endpoint", [limit], NOW)
    rate_limits.hit("an endpoint", [limit], NOW + 10 * MINUTE)
    with pytest.raises(TooManyAttempts) as refusal:
        rate_limits.hit("an endpoint", [limit], NOW + 30 * MINUTE + SECOND / 2)
    assert (refusal.value.kind, refusal.value.retry_after) == ("network", 30 * 60)
    assert is_let_in(limit, now=NOW + HOUR)


def test_refused_attempt_counts_under_no_other_limit():
    small, large = Limit("network", "a", 1, HOUR), Limit("all", "", 5, HOUR)
    assert is_let_in(small, large)
    assert not any(is_let_in(large, small) for _ in range(9))
    assert [is_let_in(large) for _ in range(5)] == [True, True, True, True, False]


def test_endpoints_and_values_are_counted_apart():
    limit = Limit("network", "a", 1, HOUR)
    rate_limits.hit("an endpoint", [limit], NOW)
    rate_limits.hit("another", [limit], NOW)
    rate_limits.hit("an endpoint", [Limit("network", "b", 1, HOUR)], NOW)
    rate_limits.hit("an endpoint", [Limit("mailbox", "a", 1, HOUR)], NOW)


@pytest.mark.django_db(transaction=True)
def test_concurrent_attempts_respect_the_limit():
    def come():
        return is_let_in(Limit("network", "a", 3, HOUR), Limit("all", "", 5, HOUR))

    assert sorted(at_once(*8 * [come])) == [False] * 5 + [True] * 3


def test_endpoints_close_when_attempts_cannot_be_counted(client, monkeypatch, caplog):
    def fail(*args, **kwargs):
        raise OperationalError("no such host you@example.org")

    monkeypatch.setattr(Attempt.objects, "filter", fail)
    response = sign_up(client)
    assert (response.status_code, response["Retry-After"]) == (503, "60")
    assert not rate_limits.check_mailbox("sign-up", "you@example.org", NOW)
    assert not Letter.objects.exists()
    assert "Cannot count attempts: OperationalError" in caplog.text
    assert "example.org" not in caplog.text


def test_attempts_are_stored_hashed_for_a_day(client):
    sign_up(client)
    rows = list(Attempt.objects.values_list("key", flat=True))
    assert len(set(rows)) == 3
    assert all(len(key) == 32 and set(key) <= set("0123456789abcdef") for key in rows)
    assert rate_limits.purge(NOW + DAY) == 0
    assert rate_limits.purge(NOW + DAY + SECOND) == 3


# ---- What counts as one


@pytest.mark.parametrize(("spelling", "mailbox"), DATA["mailboxes"])
def test_spellings_of_a_mailbox_are_one(spelling, mailbox):
    assert addresses.mailbox(spelling) == mailbox


@pytest.mark.parametrize(("ip", "network"), [*DATA["networks"], (None, "")])
def test_network_is_a_customers_prefix(ip, network):
    assert rate_limits.network_of(ip) == network


# ---- Signing up


def test_sign_ups_are_limited_per_network(client, caplog):
    assert sign_up(client, "you at example").status_code == 400  # A mistake is not counted.
    statuses = [sign_up(client, f"{n}@example.org", f"192.0.2.{n}").status_code for n in range(5)]
    assert statuses == [200] * 3 + [429] * 2
    assert "emails were requested" not in caplog.text
    assert Letter.objects.count() == Subscriber.objects.count() == 3
    assert sign_up(client, "other@example.org", "198.51.100.1").status_code == 200


def test_refused_visitor_is_told_when_to_return(client, clock):
    for n in range(3):
        sign_up(client, f"you-{n}@example.org")
    clock.now = NOW + 20 * MINUTE
    response = sign_up(client)
    assert (response.status_code, response["Retry-After"]) == (429, str(40 * 60))
    assert "Try again in 40 minutes." in response.text
    assert "no-store" in response["Cache-Control"]
    assert "you@example.org" not in response.text


def test_sign_ups_are_limited_per_mailbox_silently(client):
    spellings = ["you@example.org", "y.ou@example.org", "you+a@example.org", "YOU+b@example.org"]
    answers = [sign_up(client, address, f"198.51.{n}.1") for n, address in enumerate(spellings)]
    assert Letter.objects.count() == Subscriber.objects.count() == 2
    assert {answer.status_code for answer in answers} == {200}
    pages = [a.text.replace(s, "…") for a, s in zip(answers, spellings, strict=True)]
    assert len(set(pages)) == 1


def test_form_closes_with_an_alarm_after_many_attempts(client, caplog):
    statuses = [sign_up(client, f"{n}@example.org", f"10.1.{n}.1").status_code for n in range(8)]
    assert statuses == [200] * 5 + [429] * 3
    assert Letter.objects.count() == 5
    (alarm,) = [record for record in caplog.records if "More than 5" in record.message]
    assert alarm.levelname == "ERROR"
    assert rate_limits.closed_endpoints(NOW) == ["sign-up"]
    assert rate_limits.closed_endpoints(NOW + HOUR) == []


def test_limit_is_the_same_for_blocked_addresses(client):
    """Or it would tell who they are."""
    suppressed = make.subscriber("you@example.org", suppressed_at=NOW, suppressed_by="complained")
    statuses = [sign_up(client, suppressed.email).status_code for n in range(5)]
    assert statuses == [200] * 3 + [429] * 2


PROXIES = [
    ("127.0.0.1", 0, False, 5),
    ("::1", 0, False, 5),
    ("192.0.2.1", 0, True, 5),
    ("192.0.2.1", 0, False, 1),
    ("127.0.0.1", 1, True, 1),  # Then the visitor is known, and this is one visitor.
]


@pytest.mark.parametrize(("ip", "proxies", "is_https", "let_in"), PROXIES)
def test_undeclared_proxy_has_higher_limits(client, settings, ip, proxies, is_https, let_in):
    settings.LIMITS = settings.LIMITS | {"all": 500, "network": 1}
    settings.TRUSTED_PROXIES, settings.IS_HTTPS = proxies, is_https
    statuses = [sign_up(client, f"you-{n}@example.org", ip).status_code for n in range(6)]
    assert statuses == [200] * let_in + [429] * (6 - let_in)
