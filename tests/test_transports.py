"""Letters that become files: what is answered when the disk doesn't do what it should."""

import os
import time

import pytest

from subscriptions.post.line import Envelope
from subscriptions.post.transports import FileTransport
from tests.make import NOW

MIME = b"Subject: Papers\r\n\r\n" + b"Graphs.\r\n" * 1000
ENVELOPE = Envelope("digest@example.org", "reader@example.org", "digest", 7, NOW)
NAME = "digest-20260601T120000Z-7.eml"


def hand_over(at_the_fence=lambda: None):
    """Put the letter into the outbox, and let something happen just before the last step."""
    line = FileTransport().open()
    line.begin(ENVELOPE, MIME)
    if line.state == "fence":
        at_the_fence()
        line.finish()
    return line.verdict


@pytest.fixture
def outbox(data_dir):
    (data_dir / "outbox").mkdir()
    return data_dir / "outbox"


def test_a_line_that_is_at_a_letter_has_no_verdict_and_is_not_free(outbox):
    line = FileTransport().open()
    for _ in range(2):
        assert line.is_fresh(0.0)
        line.begin(ENVELOPE, MIME)
        assert line.verdict is None
        assert not line.is_fresh(0.0)
        line.finish()
        assert line.verdict.answer == "accepted"


def test_a_line_that_is_closed_amid_a_letter_leaves_nothing_of_it(outbox):
    line = FileTransport().open()
    line.begin(ENVELOPE, MIME)
    line.close()
    assert list(outbox.iterdir()) == []
    assert not line.is_fresh(0.0)


def draft_in(outbox):
    (draft,) = outbox.glob(".draft-*")
    return draft


def test_a_full_disk_defers_the_letter(outbox):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    passed = []
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(MIME) // 2, hard))
    try:
        verdict = hand_over(lambda: passed.append(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert verdict.answer == "deferred"
    assert verdict.reply == "the outbox folder can't be written to: File too large"
    assert passed == []
    assert list(outbox.iterdir()) == []  # Nor does half a draft take what little room is left.


def test_a_letter_that_surely_is_not_in_place_is_deferred(outbox):
    verdict = hand_over((outbox / NAME).mkdir)
    assert verdict.answer == "deferred"
    assert list(outbox.glob(".draft-*")) == []


def test_a_letter_that_is_in_place_is_accepted_whatever_the_disk_said(outbox):
    """A folder across a network renames, loses the answer, asks again, and finds no draft."""
    verdict = hand_over(lambda: draft_in(outbox).rename(outbox / NAME))
    assert verdict.answer == "accepted"
    assert (outbox / NAME).read_bytes() == MIME


def test_a_letter_that_is_nowhere_to_be_seen_is_unknown(outbox):
    verdict = hand_over(lambda: draft_in(outbox).unlink())
    assert verdict.answer == "unknown"


def test_drafts_of_workers_that_were_killed_are_swept_by_the_next_letter(outbox):
    hour = 3600
    for name, age in ((".draft-killed", 1.1 * hour), (".draft-alive", 0.9 * hour)):
        (outbox / name).write_bytes(b"half a let")
        os.utime(outbox / name, (time.time() - age,) * 2)
    old = outbox / "digest-20260101T120000Z-1.eml"
    old.write_bytes(MIME)
    os.utime(old, (0, 0))

    hand_over()

    assert {file.name for file in outbox.iterdir()} == {".draft-alive", old.name, NAME}
