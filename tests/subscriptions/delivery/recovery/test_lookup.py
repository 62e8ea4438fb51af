"""Lookups: whether a letter arrived, and when that is unknown."""

import gzip
import os
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from subscriptions.delivery.recovery import lookup, postfix_log
from subscriptions.delivery.transports.base import Message
from subscriptions.delivery.transports.registry import hand_over, transport_for
from subscriptions.models import Letter
from tests.factories.make import DAY, HOUR, MINUTE, NOW, SECOND
from tests.helpers import data_files

FROZEN = NOW - MINUTE
BEFORE = NOW - HOUR
AFTER = NOW + lookup.SETTLING_TIME + SECOND
LOGS = data_files.load("postfix_logs.toml")
ID = "<digest.2026-06-01.4ac1@paperboy.example>"


@pytest.fixture(autouse=True)
def in_utc(monkeypatch):
    in_zone(monkeypatch, "UTC")


def in_zone(monkeypatch, name):
    """Let the machine, though not Django, be in this zone."""
    monkeypatch.setattr(postfix_log, "LOCALTIME", Path("/usr/share/zoneinfo") / name)


def question(message_id=ID, *, frozen_at=FROZEN, left_at=NOW):
    return Letter(pk=1, message_id=message_id, kind="digest", frozen_at=frozen_at, left_at=left_at)


def syslog(moment, said, *, daemon="smtpd"):
    return f"{moment:%b} {moment.day:2} {moment:%H:%M:%S} mail postfix/{daemon}[7]: {said}\n"


def iso(moment, said):
    return f"{moment.isoformat()} mail postfix/smtpd[7]: {said}\n"


def connect(moment, line=syslog):
    return line(moment, "connect from localhost[127.0.0.1]")


def begun(moment, queue_id="4F1B2"):
    return syslog(moment, f"{queue_id}: client=localhost[127.0.0.1]")


def named(moment, message_id=ID, queue_id="4F1B2"):
    return syslog(moment, f"{queue_id}: message-id={message_id}", daemon="cleanup")


def queued(moment):
    said = "4F1B2: from=<digest@paperboy.example>, size=23000, nrcpt=1 (queue active)"
    return syslog(moment, said, daemon="qmgr")


def canceled(moment, queue_id="4F1B2"):
    return syslog(moment, f"{queue_id}: removed (canceled)", daemon="cleanup")


@pytest.fixture
def log(tmp_path):
    """Return a function that writes a file of the log, last changed when its last line says."""

    def write(*lines, name="mail.log", at=AFTER, is_torn=False):
        text = b"".join(line if isinstance(line, bytes) else line.encode() for line in lines)
        path = tmp_path / name
        data = gzip.compress(text) if name.endswith(".gz") else text
        path.write_bytes(data[:-9] if is_torn else data)
        os.utime(path, (at.timestamp(), at.timestamp()))

    return write


@pytest.fixture
def ask(tmp_path):
    """Return a function that asks the log about one letter."""

    def look_up(*args, **kwargs):
        asked = question(*args, **kwargs)
        return lookup.PostfixLookup(tmp_path / "mail.log").look_up([asked])[asked.message_id]

    return look_up


# ---- The outbox


def put_into_outbox(message_id, *, at, letter_id=1):
    mime = f"Date: {format_datetime(at)}\r\nMessage-ID: {message_id}\r\n\r\nHello.\r\n".encode()
    whom = "digest@paperboy.example", "reader@example.org"
    hand_over(transport_for("file:"), Message(*whom, mime, "digest", letter_id, at))


def test_outbox_lookup_finds_the_letters_it_has(data_dir):
    put_into_outbox(ID, at=FROZEN)
    other = question("<other@paperboy.example>")
    other.pk = 2
    answers = lookup.OutboxLookup(data_dir / "outbox").look_up([question(), other])
    assert answers == {ID: "yes", other.message_id: "no"}
    assert lookup.OutboxLookup(data_dir / "unmounted").look_up([question()]) == {ID: "unknown"}


def test_outbox_lists_accepted_message_ids(data_dir):
    put_into_outbox(ID, at=FROZEN)
    put_into_outbox("<old@paperboy.example>", at=BEFORE, letter_id=2)
    put_into_outbox("<unasked@paperboy.example>", at=FROZEN, letter_id=3)
    asked = {ID, "<old@paperboy.example>", "<not-there@paperboy.example>"}
    assert lookup.OutboxLookup(data_dir / "outbox").accepted(asked, FROZEN) == {ID: FROZEN}


@pytest.mark.parametrize(("answer", "lines"), LOGS["complete"].values(), ids=LOGS["complete"])
def test_complete_log_answers_by_its_lines(log, ask, lines, answer):
    log(connect(BEFORE), *[f"{line}\n" for line in lines], connect(AFTER))
    assert ask() == answer


@pytest.mark.parametrize("text", LOGS["incomplete"].values(), ids=LOGS["incomplete"])
def test_incomplete_log_answers_unknown(log, ask, text):
    log(text)
    assert ask() == "unknown"


# ---- Postfix: yes


def test_letter_is_found_across_two_rotated_files(log, ask):
    log(named(NOW), name="mail.log.1", at=NOW)
    log(queued(NOW))
    assert ask() == "yes"


def test_letter_in_an_old_compressed_file_is_found(log, ask):
    log(connect(BEFORE), named(NOW), queued(NOW), name="mail.log.2.gz", at=NOW)
    log(connect(AFTER), name="mail.log.1", at=AFTER)
    log(connect(AFTER + DAY), at=AFTER + DAY)
    assert ask() == "yes"


def test_garbage_in_the_log_hides_nothing(log, ask):
    rubbish = b"\xff\xfe\x00\x80 postfix/cleanup[" + b"x" * 100_000 + b"\n\x00\x00\x00"
    log(rubbish, named(NOW), b"Foo 99 99:99:99 mail postfix/qmgr[1]: 4F1B2: \n", queued(NOW))
    assert ask() == "yes"


# ---- Postfix: no


def test_log_is_read_back_to_the_earliest_letter(log, tmp_path):
    log(connect(BEFORE - HOUR), named(BEFORE), queued(BEFORE), name="mail.log.1")
    log(connect(FROZEN - MINUTE), connect(AFTER), at=AFTER + SECOND)
    late = question("<late@paperboy.example>")
    asked = [question(frozen_at=BEFORE, left_at=BEFORE), late]
    assert lookup.PostfixLookup(tmp_path / "mail.log").look_up(asked) == {
        ID: "yes",
        late.message_id: "no",
    }


def test_cancelled_letter_is_found_in_whole_seconds(log, ask):
    log(connect(BEFORE), begun(NOW), named(NOW), canceled(NOW))
    assert ask(left_at=NOW + 0.4 * SECOND) == "no"


def test_connection_cut_in_its_second_letter_delivered_the_first(log, ask):
    second = named(NOW, "<second@paperboy.example>", "5A0C3")
    cut = syslog(NOW, "lost connection after DATA (10 bytes) from localhost[127.0.0.1]")
    log(connect(BEFORE), begun(NOW), named(NOW), begun(NOW, "5A0C3"), cut, second, queued(NOW))
    assert ask() == "yes"
    assert ask("<second@paperboy.example>") == "no"


# ---- Postfix: unknown


def test_other_log_in_the_folder_covers_no_time(log, ask):
    """It tells of errors alone, say."""
    log(connect(BEFORE), name="mail.err", at=BEFORE)
    log(connect(AFTER))
    assert ask() == "unknown"


def test_log_of_that_second_needs_its_older_file(log, ask, tmp_path):
    """It may tell the time in whole seconds, and the letter be from before its first line."""
    assert ask() == "unknown"  # There is none.
    log(connect(FROZEN - 0.5 * SECOND, iso), connect(AFTER, iso))
    assert ask() == "unknown"
    log(connect(BEFORE), name="mail.log.1", at=BEFORE)
    (tmp_path / "mail.log.d").mkdir()  # A folder beside it is no part of it.
    assert ask() == "no"


def test_torn_file_from_before_the_letter_is_not_opened(log, ask):
    log(connect(BEFORE), connect(AFTER))
    log(connect(BEFORE), name="mail.log.1.gz", at=BEFORE, is_torn=True)
    assert ask() == "no"
    log(connect(NOW), name="mail.log.1.gz", at=AFTER + SECOND, is_torn=True)
    assert ask() == "unknown"


def test_repeat_is_waited_for_though_frozen_long_ago(log, ask):
    log(connect(BEFORE), connect(NOW + SECOND))
    assert ask(frozen_at=NOW - 20 * MINUTE) == "unknown"


def test_damaged_log_answers_unknown(log, ask, tmp_path):
    log(*[connect(BEFORE + number * SECOND) for number in range(999)], name="mail.log.gz")
    packed = bytearray((tmp_path / "mail.log.gz").read_bytes())
    packed[10:20] = b"\xff" * 10  # Behind gzip's own header.
    (tmp_path / "mail.log.gz").write_bytes(packed)
    assert ask() == "unknown"


def test_last_of_two_cancelled_attempts_counts(log, ask):
    earlier = NOW - 20 * MINUTE
    lines = [begun(earlier), named(earlier), canceled(earlier)]
    log(connect(BEFORE), *lines)
    assert ask(frozen_at=earlier) == "unknown"
    log(connect(BEFORE), *lines, begun(NOW, "5A"), named(NOW, queue_id="5A"), canceled(NOW, "5A"))
    assert ask(frozen_at=earlier) == "no"


def test_log_rotated_during_reading_is_read_whole(log, ask, tmp_path, monkeypatch):
    log(connect(BEFORE), named(NOW), queued(NOW), name="mail.log")
    rewind = postfix_log.LogFile.rewind

    def rotate_first(file, since):
        monkeypatch.setattr(postfix_log.LogFile, "rewind", rewind)
        os.rename(tmp_path / "mail.log", tmp_path / "mail.log.1")
        log(connect(AFTER))
        return rewind(file, since)

    monkeypatch.setattr(postfix_log.LogFile, "rewind", rotate_first)
    assert ask("<never-seen@paperboy.example>") == "no"
    assert ask() == "yes"


def test_log_emptied_during_reading_answers_unknown(log, ask, tmp_path, monkeypatch):
    log(connect(BEFORE), connect(AFTER))
    take = postfix_log.Reading.take

    def empty(*args):
        os.truncate(tmp_path / "mail.log", 0)
        return take(*args)

    monkeypatch.setattr(postfix_log.Reading, "take", empty)
    assert ask() == "unknown"


# ---- Time


def test_time_without_a_zone_is_the_machines(log, ask, monkeypatch):
    """Asked in Tokyo, by a Django that believes to be in UTC."""
    in_zone(monkeypatch, "Asia/Tokyo")
    tokyo = 9 * HOUR
    log(connect(BEFORE + tokyo), connect(AFTER + tokyo))
    assert ask() == "no"
    log(*(connect((at + tokyo).replace(tzinfo=None), iso) for at in (BEFORE, AFTER)))
    assert ask() == "no"
    log(connect(BEFORE + tokyo), connect(NOW + tokyo), at=NOW)
    assert ask() == "unknown"
    in_zone(monkeypatch, "Nowhere/None")  # A machine without one is in UTC.
    log(connect(BEFORE), connect(AFTER))
    assert ask() == "no"


def test_lines_ahead_of_the_files_own_time_prove_nothing(log, ask):
    """As where Postfix's container is in another zone than ours."""
    log(connect(BEFORE), connect(NOW + HOUR), at=NOW)
    assert ask() == "unknown"


def test_missing_year_is_found_over_new_year(log, ask):
    new_year = datetime(2027, 1, 1, tzinfo=UTC)
    left_at = new_year - MINUTE
    log(
        connect(new_year - DAY),
        connect(new_year + lookup.SETTLING_TIME),
        at=new_year + lookup.SETTLING_TIME,
    )
    assert ask(frozen_at=left_at, left_at=left_at) == "no"


def test_leap_day_is_read_a_year_later(log, ask):
    leap = datetime(2028, 2, 29, 7, tzinfo=UTC)
    log(connect(leap - HOUR), connect(leap + HOUR), at=leap.replace(2029, 1, 2))
    assert ask(frozen_at=leap, left_at=leap) == "no"


# ---- Size


def test_only_the_end_of_a_big_log_is_read(log, ask, monkeypatch):
    monkeypatch.setattr(postfix_log, "FIRST_READ_BYTES", 64)
    old = [connect(BEFORE - number * MINUTE) for number in range(500, 0, -1)]
    log(*old, connect(FROZEN), named(NOW), queued(NOW), connect(AFTER))
    taken = []
    take = postfix_log.Reading.take
    monkeypatch.setattr(postfix_log.Reading, "take", lambda *its: taken.append(its) or take(*its))
    assert ask() == "yes"
    assert len(taken) < 100
    assert ask("<never-seen@paperboy.example>") == "no"


# ---- The setting


def test_setting_names_the_lookup(settings):
    assert isinstance(lookup.configured_lookup(), lookup.OutboxLookup)
    settings.EMAIL_URL = "smtp://mail.example.org"
    assert type(lookup.configured_lookup()) is lookup.DeliveryLookup
    settings.DELIVERY_LOOKUP = "postfix:/var/log/mail.log"
    assert lookup.configured_lookup().path == Path("/var/log/mail.log")
    for name in ("delphi", "postfix", "postfix:", "postfix:mail.log", "exim:/mail.log"):
        settings.DELIVERY_LOOKUP = name
        with pytest.raises(ImproperlyConfigured, match="DELIVERY_LOOKUP"):
            lookup.configured_lookup()


def test_log_lists_accepted_message_ids(log, tmp_path):
    log(named(NOW), queued(NOW), named(NOW, "<cut@paperboy.example>", "5A0C3"))
    asked = {ID, "<cut@paperboy.example>", "<not-there@paperboy.example>"}
    assert lookup.PostfixLookup(tmp_path / "mail.log").accepted(asked, BEFORE) == {ID: NOW}
    assert lookup.PostfixLookup(tmp_path / "mail.log").look_up([]) == {}
