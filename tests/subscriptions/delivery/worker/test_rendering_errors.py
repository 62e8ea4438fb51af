"""What can't be written costs itself alone, or waits until it can."""

import weakref

import pytest
from django.core.exceptions import ImproperlyConfigured

from subscriptions import hooks
from subscriptions.delivery import transitions
from subscriptions.mail import render
from subscriptions.models import Letter
from tests.factories import make
from tests.factories.make import MINUTE, NOW
from tests.subscriptions.delivery.worker.due_digests import MANY, ODD, deliver, digests

pytestmark = pytest.mark.django_db


UNWRITABLE = [
    (RuntimeError("a template breaks"), "planned", ""),
    (render.NoContent(), "skipped", "nothing to say"),
    (ImproperlyConfigured("a setting is missing"), "planned", ""),
    ("Two\r\nBcc: lines@example.org", "planned", ""),
    ("A bell \x07", "planned", ""),
    ("A half \ud800", "planned", ""),
]


@pytest.mark.parametrize(("what", "state", "reason"), UNWRITABLE)
def test_unrenderable_letter_costs_itself_only(server, written, what, state, reason):
    written[ODD] = make.content(what) if isinstance(what, str) else what
    letter = digests(ODD)
    assert deliver()["accepted"] == len(server.accepted) == MANY
    assert (make.fresh(letter).state, letter.reason) == (state, reason)
    is_its_own_fault = state == "planned" and not isinstance(what, ImproperlyConfigured)
    assert letter.failed_attempts == (1 if is_its_own_fault else 0)


def test_letters_wait_without_limit_for_a_missing_setting(server, written):
    written["all"] = ImproperlyConfigured("a setting is missing")
    digests(count=5)
    now = NOW
    for _ in range(transitions.MAX_FAILED_ATTEMPTS + 1):
        deliver(now)
        now += 80 * MINUTE
    assert set(Letter.objects.values_list("state", "failed_attempts")) == {("planned", 0)}
    written.clear()
    assert deliver(now)["accepted"] == 5


def test_letter_of_a_new_kind_waits_for_new_workers(server, monkeypatch):
    """While a new version is installed, old workers run on."""
    letter = digests(ODD)
    Letter.objects.filter(pk=letter.pk).update(kind="new")
    now = NOW
    for _ in range(transitions.MAX_FAILED_ATTEMPTS + 2):
        deliver(now)
        now += 80 * MINUTE
    assert (make.fresh(letter).state, letter.failed_attempts) == ("planned", 0)
    assert len(server.accepted) == MANY
    monkeypatch.setitem(hooks.composers, "new", hooks.composers["digest"])
    assert deliver(now)["accepted"] == 1


def test_failed_letters_memory_is_freed():
    """It may have been all memory, and the error remembers where it was."""

    class Hoard:
        pass

    taken = []

    def take(letter, now):
        hoard = Hoard()
        taken.append(weakref.ref(hoard))
        raise MemoryError

    error, _ = hooks.one_by_one(take)(["first", "second"], NOW)
    assert isinstance(error, MemoryError)
    assert [hoard() for hoard in taken] == [None, None]
