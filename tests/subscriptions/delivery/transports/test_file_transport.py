"""Letters that become files: what is answered when the disk doesn't do what it should."""

import pytest

from subscriptions.delivery.transports.base import Message
from subscriptions.delivery.transports.registry import FileTransport
from tests.factories.make import NOW

MIME = b"Subject: Papers\r\n\r\n" + b"Graphs.\r\n" * 1000
MESSAGE = Message("digest@example.org", "reader@example.org", MIME, "digest", 7, NOW)
NAME = "digest-20260601T120000Z-7.eml"


def hand_over(before_the_last_step=lambda: None):
    """Put the letter into the outbox, and let something happen just before the last step."""
    connection = FileTransport().connect()
    if (result := connection.offer(MESSAGE)) is None:
        before_the_last_step()
        result = connection.finish()
    return result


@pytest.fixture
def outbox(data_dir):
    (data_dir / "outbox").mkdir()
    return data_dir / "outbox"


def test_connection_is_reusable_and_removes_its_draft_when_closed(outbox):
    connection = FileTransport().connect()
    for _ in range(2):
        assert connection.is_usable()
        assert connection.offer(MESSAGE) is None
        assert connection.finish().status == "accepted"
        assert (outbox / NAME).read_bytes() == MIME
    connection.offer(MESSAGE)
    connection.close()
    assert [file.name for file in outbox.iterdir()] == [NAME]


def test_full_disk_defers_the_letter(outbox):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    passed = []
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(MIME) // 2, hard))
    try:
        result = hand_over(lambda: passed.append(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert result.status == "deferred"
    assert result.reply == "the outbox folder can't be written to: File too large"
    assert passed == []
    assert list(outbox.iterdir()) == []  # Nor does half a draft take what little room is left.


def test_letter_whose_draft_cannot_be_renamed_is_unknown(outbox):
    assert hand_over((outbox / NAME).mkdir).status == "unknown"
    assert list(outbox.glob(".draft-*")) == []
