"""One request at a time to a source, for all workers together."""

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from digest.http.client import Entry
from digest.models import Lock
from digest.papers.http_throttle import DatabaseCache, DatabaseGate

pytestmark = pytest.mark.django_db(transaction=True)


def test_sources_do_not_wait_for_each_other():
    with DatabaseGate("arxiv", 60, time.sleep).turn():
        pass
    began = time.monotonic()
    with DatabaseGate("huggingface", 60, time.sleep).turn():
        pass
    assert time.monotonic() - began < 1


def test_turn_of_dead_worker_expires():
    past = timezone.now() - timedelta(days=365 * 30)
    Lock.objects.create(source="arxiv", holder="11111111-1111-1111-1111-111111111111", free_at=past)
    with DatabaseGate("arxiv", 0, time.sleep).turn():
        assert str(Lock.objects.get().holder) != "11111111-1111-1111-1111-111111111111"


def test_failed_request_releases_its_turn():
    gate = DatabaseGate("arxiv", 0, time.sleep)
    with pytest.raises(OSError, match="cut"), gate.turn():
        raise OSError("cut")
    assert Lock.objects.get().holder is None


def test_cached_response_is_returned_unchanged():
    cache = DatabaseCache()
    assert cache.get("https://example.org/a") is None
    for body in (b"\x00\xff first", b"second"):
        entry = Entry(body, {"etag": '"1"'}, timezone.now())
        cache.put("https://example.org/a", entry)
        assert cache.get("https://example.org/a") == entry
