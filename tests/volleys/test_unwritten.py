"""What can't be written costs itself alone, or waits until it can."""

from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured

from subscriptions import mail
from subscriptions.models import Letter
from subscriptions.post import ledger
from tests.make import NOW
from tests.volleys.thirty import MANY, ODD, deliver, digests

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("what", "state", "reason"),
    [
        (RuntimeError("a template breaks"), "planned", ""),
        (mail.NothingToSay(), "skipped", "nothing to say"),
        (ImproperlyConfigured("a setting is missing"), "planned", ""),
        ("Two\r\nBcc: lines@example.org", "planned", ""),
        ("A bell \x07", "planned", ""),
        ("A half \ud800", "planned", ""),
    ],
)
def test_a_letter_that_cannot_be_written_costs_itself_alone(server, written, what, state, reason):
    if isinstance(what, str):
        what = mail.Content.of(what, "Hello.", "<p>Hello.</p>", mail.headers("digest", "http://x/"))
    written[ODD] = what
    letter = digests(ODD)
    assert deliver()["accepted"] == len(server.accepted) == MANY
    letter.refresh_from_db()
    assert (letter.state, letter.reason) == (state, reason)
    is_its_own_fault = state == "planned" and not isinstance(what, ImproperlyConfigured)
    assert letter.stumbles == (1 if is_its_own_fault else 0)


def test_letters_that_a_setting_keeps_from_being_written_wait_however_often(server, written):
    written["all"] = ImproperlyConfigured("DKIM_KEY_FILE holds no key")
    digests(count=5)
    now = NOW
    for _ in range(ledger.MAX_STUMBLES + 2):
        deliver(now)
        now += timedelta(minutes=80)
    assert set(Letter.objects.values_list("state", "stumbles")) == {("planned", 0)}
    written.clear()
    assert deliver(now)["accepted"] == 5
