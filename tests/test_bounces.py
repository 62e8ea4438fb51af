"""What comes back by mail, and what it does: facts about letters, and letters kept from readers."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, connection

from subscriptions import operating, returns, signup
from subscriptions.models import Letter, LetterFact, Seal, UselessMail
from subscriptions.post import (
    aside,
    inbound,
    message_ids,
    office,
    reports,
    retention,
    suppression,
    verp,
)
from tests import came_back, make
from tests.came_back import address_of, answer, complaint, group, report
from tests.make import NOW
from tests.threads import uncommitted
from tests.volleys.held import another_session, on_postgresql

pytestmark = pytest.mark.django_db

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
def reader():
    return make.subscriber("reader@example.org", now=NOW - 30 * DAY)


@pytest.fixture
def letter(reader):
    return came_back.letter(reader)


def receive(mime, now=NOW + HOUR, to=()):
    return inbound.receive(mime, now, to)


def state_of(reader):
    reader.refresh_from_db()
    return reader.suppressed_by or "written to"


def useless():
    return dict(UselessMail.objects.values_list("why", "count"))


# ---- Bounces


@pytest.mark.parametrize("status", ["5.1.1", "5.1.2", "5.1.6", "5.1.10", "5.2.1"])
def test_an_address_that_is_none_is_written_to_no_more(reader, letter, status):
    assert receive(report(address_of(letter), group(status=status))) == "recorded"
    assert state_of(reader) == "bounced"
    assert reader.suppressed_at == NOW + HOUR
    assert reader.suppressed_reason == f"550 {status} <…>: no"
    letter.refresh_from_db()
    assert letter.state == Letter.State.ACCEPTED
    fact = letter.facts.get()
    assert (fact.kind, fact.grade, fact.status) == ("bounced", "hard", status)


@pytest.mark.parametrize("status", ["5.7.1", "5.7.26", "5.2.2", "5.4.4", "4.4.1", "5.0.0", "4.2.2"])
def test_what_may_pass_is_noted_and_no_more(reader, letter, status):
    """Policy, a full mailbox, a domain or a server that is away."""
    assert receive(report(address_of(letter), group(status=status))) == "recorded"
    assert state_of(reader) == "written to"
    assert letter.facts.get().grade == ("policy" if ".7." in status else "soft")


@pytest.mark.parametrize("action", ["delayed", "delivered", "relayed", "expanded"])
def test_news_of_a_letter_is_no_bounce(reader, letter, action):
    assert receive(report(address_of(letter), group(action, "2.1.5"))) == "recorded"
    assert state_of(reader) == "written to"
    fact = letter.facts.get()
    assert (fact.kind, fact.grade) == ({"expanded": "relayed"}.get(action, action), "")


def test_a_report_whose_actions_nobody_knows_reports_nothing(letter):
    receive(report(address_of(letter), group("vanished")))
    assert useless() == {"no-report": 1}


@pytest.mark.parametrize("status", ["5.0.0", ""])
def test_an_open_status_is_taken_from_the_servers_words(reader, letter, status):
    said = "smtp; 550-5.1.1 The account does not exist. See 5.7.1"
    receive(report(address_of(letter), group(status=status, said=said)))
    assert state_of(reader) == "bounced"
    assert letter.facts.get().status == "5.1.1"


def test_a_clear_status_counts_more_than_the_servers_words(reader, letter):
    receive(report(address_of(letter), group(status="5.7.1", said="smtp; 550 5.1.1 who?")))
    assert state_of(reader) == "written to"


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        ([group("delivered", "2.1.5"), group(status="4.2.2")], ("bounced", "soft", "4.2.2")),
        ([group(status="4.2.2"), group(status="5.1.1")], ("bounced", "hard", "5.1.1")),
        ([group(status="5.0.0", said="smtp; 421 4.2.1 later")], ("bounced", "soft", "5.0.0")),
    ],
)
def test_what_befell_the_worst_off_of_several_recipients_counts(groups, told):
    read = reports.read(report("x@x.example", *groups))
    assert (read.kind, read.grade, read.status) == told


def test_one_of_those_behind_a_shared_address_may_be_gone(reader, letter):
    groups = [group("delivered", "2.1.5"), group("failed", "5.1.1", recipient="old@example.org")]
    receive(report(address_of(letter), *groups))
    assert state_of(reader) == "written to"
    fact = letter.facts.get()
    assert (fact.kind, fact.grade) == ("bounced", "soft")


def test_a_letter_without_an_address_of_its_own_is_known_by_its_name(settings, reader, letter):
    settings.RECIPIENT_DELIMITER = ""
    receive(report("bounces@paperboy.example", message_id=letter.message_id))
    assert state_of(reader) == "bounced"


@pytest.mark.parametrize("returned", ["text/rfc822-headers", "message/rfc822-headers"])
def test_the_header_of_a_letter_is_enough_to_know_it(settings, reader, letter, returned):
    settings.RECIPIENT_DELIMITER = ""
    mime = report("bounces@x.example", message_id=letter.message_id, returned=returned)
    receive(mime)
    assert state_of(reader) == "bounced"


def test_what_letters_wait_are_called_off(reader, letter):
    waiting = office.write(reader, "goodbye", now=NOW, closes_at=NOW + DAY)
    receive(report(address_of(letter)))
    waiting.refresh_from_db()
    assert (waiting.state, waiting.reason) == (Letter.State.SKIPPED, "suppressed")


def test_letters_to_others_go_on(reader, letter):
    waiting = office.write(make.subscriber(), "link", now=NOW, closes_at=NOW + DAY)
    receive(report(address_of(letter)))
    waiting.refresh_from_db()
    assert waiting.state == Letter.State.PLANNED


def test_the_envelope_says_to_which_letter_it_came_back(reader, letter):
    """Some servers address a report to nobody in particular."""
    assert receive(report("postmaster@paperboy.example"), to=(address_of(letter),)) == "recorded"
    assert state_of(reader) == "bounced"


def test_words_of_a_server_are_kept_without_addresses_and_oddities(letter):
    said = "smtp; 550 5.7.1 <reader@example.org>\x00 \x1b[31m not\u202e here" + "!" * 400
    receive(report(address_of(letter), group(status="5.7.1", said=said)))
    fact = letter.facts.get()
    assert "reader@" not in fact.said
    assert fact.said.isprintable()
    assert len(fact.said) <= 300


# ---- Too many in a row


def letters_of_days(reader, count, now=NOW):
    days = range(count - 1, -1, -1)
    return [came_back.letter(reader, left_at=now - days_ago * DAY) for days_ago in days]


def bounce_softly(letters, status="4.2.2"):
    for one in letters:
        receive(report(address_of(one), group(status=status)), now=NOW + HOUR)


def test_letters_from_before_she_could_be_reached_again_do_not_count(reader):
    letters = letters_of_days(reader, 5)
    bounce_softly(letters[:4])
    reader.lifted_at = letters[4].left_at
    reader.save()
    bounce_softly(letters[4:])
    assert state_of(reader) == "written to"


def test_a_letter_that_never_left_ends_no_row(reader):
    """It passed the fence, and was refused at the dot."""
    letters = letters_of_days(reader, 6)
    Letter.objects.filter(pk=letters.pop(3).pk).update(state="failed", reason="refused: 554")
    bounce_softly(letters)
    assert state_of(reader) == "bounced"


def test_a_letter_that_came_back_counts_though_nobody_knows_when_it_left(reader, letter):
    """As one that was found by reconcile."""
    Letter.objects.update(left_at=None)
    assert receive(report(address_of(letter))) == "recorded"
    assert state_of(reader) == "bounced"


def test_five_letters_in_a_row_that_come_back_end_it(reader):
    letters = letters_of_days(reader, 5)
    bounce_softly(letters[:4])
    assert state_of(reader) == "written to"
    bounce_softly(letters[4:])
    assert state_of(reader) == "bounced"
    assert reader.suppressed_reason.startswith("5 letters in a row came back: 550 4.2.2")


def test_they_may_come_back_in_any_order(reader):
    letters = letters_of_days(reader, 5)
    bounce_softly(reversed(letters))
    assert state_of(reader) == "bounced"


def test_a_letter_between_that_stayed_begins_the_count_anew(reader):
    letters = letters_of_days(reader, 8)
    bounce_softly(letters[:4] + letters[5:])
    assert state_of(reader) == "written to"


def test_a_letter_that_was_delivered_in_the_end_did_not_come_back(reader):
    letters = letters_of_days(reader, 5)
    receive(report(address_of(letters[2]), group("delivered", "2.1.5")))
    bounce_softly(letters)
    assert state_of(reader) == "written to"


def test_newer_letters_of_which_nothing_is_known_yet_break_no_row(reader):
    letters = letters_of_days(reader, 7)
    bounce_softly(letters[:5])
    assert state_of(reader) == "bounced"


def test_a_newer_letter_that_surely_arrived_ends_the_row(reader):
    letters = letters_of_days(reader, 6)
    receive(report(address_of(letters[5]), group("delivered", "2.1.5")))
    bounce_softly(letters[:5])
    assert state_of(reader) == "written to"


@pytest.mark.parametrize(("own", "state"), [(4, "written to"), (5, "bounced")])
def test_what_went_to_another_address_is_no_part_of_a_row(reader, own, state):
    letters = letters_of_days(reader, own)
    elsewhere = came_back.letter(reader, left_at=NOW - 2 * DAY, kind="move", to="you@example.org")
    if own < 5:
        bounce_softly([elsewhere])
    bounce_softly(letters)
    assert state_of(reader) == state
    assert not Seal.objects.exists()


def test_what_comes_back_from_another_makes_no_row(reader):
    other = make.subscriber("other@example.org")
    bounce_softly(letters_of_days(other, 4) + letters_of_days(reader, 1))
    assert state_of(reader) == state_of(other) == "written to"


def test_letters_of_long_ago_are_not_counted(reader):
    bounce_softly(letters_of_days(reader, 3, NOW - 15 * DAY) + letters_of_days(reader, 3))
    assert state_of(reader) == "written to"


# ---- In any order, and again


def test_the_same_report_again_changes_nothing(reader, letter):
    mime = report(address_of(letter))
    assert receive(mime) == "recorded"
    operating.lift(reader, now=NOW + 2 * HOUR)
    assert receive(b"Received: again\n" + mime, now=NOW + 3 * HOUR) == "known"
    assert state_of(reader) == "written to"
    assert letter.facts.count() == 1


def test_a_complaint_that_she_took_back_is_not_made_again_by_its_copy(reader, letter):
    mime = complaint("feedback@paperboy.example", message_id=letter.message_id)
    receive(mime)
    assert state_of(reader) == "complained"
    assert signup.lift(reader, door=signup.Door(via="a test"), now=NOW + 2 * HOUR)
    assert receive(mime, now=NOW + 3 * HOUR) == "known"
    assert state_of(reader) == "written to"


def test_a_report_may_come_before_we_know_that_the_letter_was_accepted(reader):
    """The server was faster than our own commit."""
    letter = came_back.letter(reader, state=Letter.State.TRANSMITTING)
    assert receive(report(address_of(letter))) == "recorded"
    assert state_of(reader) == "bounced"
    letter.refresh_from_db()
    assert letter.state == Letter.State.TRANSMITTING


def test_what_is_told_of_an_unknown_letter_waits_for_it(settings, reader):
    """As after a restored backup, until reconcile has found the lost letters."""
    settings.RECIPIENT_DELIMITER = ""
    lost = came_back.letter(reader)
    message_id = lost.message_id
    lost.delete()
    assert receive(report("bounces@x.example", message_id=message_id)) == "recorded"
    assert state_of(reader) == "written to"
    assert returns.match_again(NOW + HOUR) == 0
    found = came_back.letter(reader)
    assert found.message_id == message_id
    assert returns.match_again(NOW + 2 * HOUR) == 1
    assert state_of(reader) == "bounced"
    assert found.facts.get().message_id == ""
    assert returns.match_again(NOW + 2 * HOUR) == 0


def test_of_two_who_find_a_letter_one_acts(settings, reader, letter, monkeypatch):
    settings.RECIPIENT_DELIMITER = ""
    message_id = letter.message_id
    letter.delete()
    receive(report("bounces@x.example", message_id=message_id))
    named = returns.named

    def meanwhile(message_id):
        found = named(message_id)
        LetterFact.objects.update(letter=found, message_id="")
        return found

    monkeypatch.setattr(returns, "named", meanwhile)
    came_back.letter(reader)
    assert returns.match_again(NOW + HOUR) == 0
    assert state_of(reader) == "written to"


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_reader_whose_row_is_held_keeps_no_other_fact_from_its_letter(settings):
    settings.RECIPIENT_DELIMITER = ""
    readers = [make.subscriber(), make.subscriber()]
    for one in readers:
        message_id = came_back.letter(one).message_id
        Letter.objects.all().delete()
        receive(report("bounces@x.example", message_id=message_id))
    held, other = [came_back.letter(one).subscriber for one in readers]
    with another_session() as session:
        session.execute(
            "SELECT 1 FROM subscriptions_subscriber WHERE id = %s FOR UPDATE", [held.pk]
        )
        assert returns.match_again(NOW + HOUR) == 1
    assert [state_of(held), state_of(other)] == ["written to", "bounced"]
    assert returns.match_again(NOW + HOUR) == 1
    assert state_of(held) == "bounced"


def test_what_else_is_wrong_with_the_database_is_no_row_that_is_held(settings, reader, monkeypatch):
    settings.RECIPIENT_DELIMITER = ""
    message_id = came_back.letter(reader).message_id
    Letter.objects.all().delete()
    receive(report("bounces@x.example", message_id=message_id))

    def away(*told):
        raise OperationalError("the disk is full")

    monkeypatch.setattr(returns, "named", away)
    with pytest.raises(OperationalError, match="full"):
        returns.match_again(NOW + HOUR)


@pytest.mark.parametrize("off", [-DAY, 6 * DAY])
def test_a_letter_is_found_though_it_was_not_written_on_the_day_of_its_name(letter, off):
    Letter.objects.update(created_at=message_ids.moment_of(letter.message_id) + off)
    assert returns.named(letter.message_id) == letter


def test_what_finds_no_letter_is_forgotten(settings, reader, letter):
    settings.RECIPIENT_DELIMITER = ""
    message_id = letter.message_id
    letter.delete()
    receive(report("bounces@x.example", message_id=message_id))
    returns.match_again(NOW + 40 * DAY)
    assert not LetterFact.objects.exists()


def test_no_more_than_so_many_unknown_letters_are_remembered(settings, letter, monkeypatch):
    monkeypatch.setattr(returns, "MOST_UNMATCHED", 2)
    settings.RECIPIENT_DELIMITER = ""
    for number in range(4):
        made_up = f"<digest.2026-06-01.{number:032x}@{settings.MAIL_DOMAIN}>"
        receive(report("bounces@x.example", message_id=made_up))
    assert LetterFact.objects.count() == 2
    assert useless() == {"too-many": 2}
    assert receive(report("bounces@x.example", message_id=letter.message_id)) == "recorded"


def test_a_number_that_is_another_letters_by_now_is_not_believed(reader, letter):
    """After a restored backup, numbers are given anew."""
    other = came_back.letter(make.subscriber("other@example.org"))
    receive(report(address_of(other), message_id=letter.message_id))
    assert state_of(reader) == "bounced"
    assert not other.facts.exists()


def test_what_came_back_before_she_was_reached_again_counts_no_more(reader, letter):
    operating.lift(make_suppressed(reader), now=NOW + HOUR)
    receive(report(address_of(letter)), now=NOW + 2 * HOUR)
    assert state_of(reader) == "written to"
    assert letter.facts.count() == 1


def make_suppressed(reader):
    reader.suppressed_at, reader.suppressed_by = NOW, "bounced"
    reader.suppressed_reason = "5.1.1 no"
    reader.save()
    return reader


# ---- Forged, old, strange


def forged(address):
    local, _, domain = address.partition("@")
    return f"{local[:-1]}{'0' if local[-1] != '0' else '1'}@{domain}"


def test_a_forged_address_changes_nothing_whatever_else_is_right(reader, letter):
    assert receive(report(forged(address_of(letter)), message_id=letter.message_id)) == "useless"
    assert state_of(reader) == "written to"
    assert not LetterFact.objects.exists()
    assert useless() == {"forged": 1}


def test_an_address_of_long_ago_changes_nothing(reader, letter):
    mime = report(address_of(letter), message_id=letter.message_id)
    assert receive(mime, now=NOW + 16 * DAY) == "useless"
    assert state_of(reader) == "written to"
    assert useless() == {"forged": 1}


def test_a_letter_of_long_ago_does_not_come_back_by_its_name_either(settings, reader, letter):
    settings.RECIPIENT_DELIMITER = ""
    mime = report("bounces@x.example", message_id=letter.message_id)
    assert receive(mime, now=NOW + 30 * DAY) == "useless"
    assert state_of(reader) == "written to"


@pytest.mark.parametrize(
    "message_id",
    ["", "<x@y>", "<digest.2026-13-45.0123456789abcdef0123456789abcdef@paperboy.example>"],
)
def test_a_letter_of_somebody_else_is_none_of_ours(reader, letter, message_id):
    assert receive(report("someone@paperboy.example", message_id=message_id)) == "useless"
    assert useless() == {"foreign": 1}


def test_a_key_that_was_ours_is_believed(settings, reader, letter):
    address = address_of(letter)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", [settings.SECRET_KEY]
    assert receive(report(address)) == "recorded"


# ---- Answers, and what is no report


@pytest.mark.parametrize(
    "headers",
    [
        {"Auto_Submitted": "auto-replied"},
        {"Auto_Submitted": "Auto-Generated; why"},
        {"X_Autoreply": "yes"},
        {"Precedence": "auto_reply"},
    ],
)
def test_who_is_out_of_office_is_written_to(reader, letter, headers):
    assert receive(answer(address_of(letter), **headers)) == "useless"
    assert state_of(reader) == "written to"
    assert useless() == {"autoreply": 1}


def test_a_message_of_a_person_is_counted_and_no_more(reader, letter):
    for _ in range(2):
        assert receive(answer(address_of(letter), Auto_Submitted="no")) == "useless"
    assert useless() == {"no-report": 2}


def test_a_report_within_a_forwarded_message_is_not_read(reader, letter):
    inner = report(address_of(letter))
    mime = b"To: x@example.org\nMIME-Version: 1.0\nContent-Type: message/rfc822\n\n" + inner
    assert receive(mime) == "useless"


# ---- Complaints


def test_who_reports_a_letter_as_unwanted_gets_no_more(reader, letter):
    mime = complaint("feedback@paperboy.example", message_id=letter.message_id)
    assert receive(mime) == "recorded"
    assert state_of(reader) == "complained"
    assert receive(mime) == "known"


def test_a_complaint_is_known_by_the_letters_return_path(reader, letter):
    """Providers take out whatever may name a reader, the Message-ID at times among it."""
    receive(complaint("feedback@paperboy.example", return_path=address_of(letter)))
    assert state_of(reader) == "complained"


def test_a_complaint_outweighs_that_letters_came_back(reader, letter):
    make_suppressed(reader)
    receive(complaint("feedback@paperboy.example", message_id=letter.message_id))
    assert state_of(reader) == "complained"
    assert not reader.may_vouch(NOW + 9 * DAY)


@pytest.mark.django_db(transaction=True)
def test_a_complaint_is_not_replaced_by_a_bounce_that_comes_in_the_same_moment(reader, letter):
    if connection.vendor != "postgresql":
        pytest.skip("on SQLite, writers come one after the other")
    thread, commit = uncommitted(lambda: suppression.after_complaint(reader.pk, "abuse", NOW))
    threading.Timer(0.5, commit.set).start()
    assert receive(report(address_of(letter))) == "recorded"
    thread.join(30)
    assert state_of(reader) == "complained"


@pytest.mark.parametrize("by", suppression.FOR_GOOD)
@pytest.mark.parametrize("status", ["5.1.1", "4.2.2"])
def test_what_comes_back_later_makes_nobody_an_address_that_may_be_tried_again(reader, by, status):
    """Who complained, or was left out by the operator, would be asked again by a sign-up."""
    letters = letters_of_days(reader, suppression.MOST_IN_A_ROW)
    reader.suppressed_at, reader.suppressed_by = NOW, by
    reader.save()
    bounce_softly(letters, status)
    suppression.suppress_bounced(reader.pk, reader.email, "550 5.1.1 no such user", NOW + HOUR)
    assert state_of(reader) == by
    assert reader.suppressed_at == NOW


def test_a_complaint_from_an_address_that_was_forgotten_seals_nothing(reader):
    elsewhere = came_back.letter(reader, kind="move", to=Letter.ELSEWHERE)
    receive(complaint("feedback@paperboy.example", message_id=elsewhere.message_id))
    assert elsewhere.facts.get().kind == "complained"
    assert not Seal.objects.exists()
    assert state_of(reader) == "written to"


@pytest.mark.parametrize("kind", ["not-spam", "auth-failure", "virus", ""])
def test_other_feedback_is_no_complaint(reader, letter, kind):
    mime = complaint("feedback@paperboy.example", kind=kind, message_id=letter.message_id)
    assert receive(mime) == "useless"
    assert state_of(reader) == "written to"


# ---- Hostile messages


def test_a_message_that_breaks_its_reader_is_set_aside_once(reader, letter, monkeypatch, data_dir):
    monkeypatch.setattr(reports, "_addresses", lambda *_: 1 / 0)
    mime = report(address_of(letter))
    assert [receive(mime), receive(mime)] == ["aside", "aside"]
    (kept,) = (data_dir / "returned").iterdir()
    assert kept.read_bytes() == mime
    assert kept.stat().st_mode & 0o077 == 0
    assert useless() == {"unreadable": 2}


def test_no_more_than_so_many_are_set_aside(monkeypatch, data_dir):
    monkeypatch.setattr(reports, "read", lambda *_: 1 / 0)
    monkeypatch.setattr(aside, "MOST", 3)
    for number in range(5):
        receive(b"%d" % number, now=NOW + number * HOUR)
    kept = sorted(path.read_bytes() for path in (data_dir / "returned").iterdir())
    assert kept == [b"2", b"3", b"4"]
    retention.purge(NOW + aside.KEEP + 3.5 * HOUR)
    assert [path.read_bytes() for path in (data_dir / "returned").iterdir()] == [b"4"]


def nested(depth):
    parts = [
        f'Content-Type: multipart/mixed; boundary="{n}"\n\n--{n}\n'.encode() for n in range(depth)
    ]
    return b"MIME-Version: 1.0\n" + b"".join(parts)


@pytest.mark.parametrize(
    "mime",
    [
        b"",
        b"\0" * 100,
        b"\xff\xfe" * 5000,
        b"Content-Type: multipart/report; report-type=delivery-status\n\n--\n",
        b"Content-Type: multipart/report; boundary=" + b"b" * 100_000 + b"\n\n",
        b"Content-Type: message/delivery-status\n\nAction: failed\nStatus: 5.1.1\n",
        b"Content-Type: message/feedback-report\n\n",
        b"To: " + b"a@b," * 100_000 + b"\n\n",
        b"To: " + b"<" * 200_000 + b"\nMessage-ID: [[[\n\n",
        nested(40),
        nested(3000),
        b"Content-Type: multipart/report; boundary=b\n\n" + b"--b\n\nx\n" * 100_000,
        b"Content-Type: text/plain; charset=nonsense\nContent-Transfer-Encoding: base64\n\n???",
    ],
    ids=range(13),
)
def test_whatever_is_sent_does_no_harm(mime):
    assert receive(mime) in ("useless", "aside")
    assert not LetterFact.objects.exists()


@pytest.mark.parametrize(
    "mime",
    [
        nested(60),
        b"To: x@y\n" + b"\n--b\n\nx" * 2_000,
        b"To: x@y\r" + b"\r--b\r\rx" * 2_000,
        b"Content-Type: message/delivery-status\n\n" + b"x\n\n" * 300_000,
    ],
    ids=["nested", "parts", "parts behind carriage returns", "groups of fields"],
)
def test_more_parts_than_any_report_has_are_not_parsed(mime):
    """It would take seconds."""
    with pytest.raises(ValueError, match="more parts"):
        reports.read(mime)


@pytest.mark.parametrize(
    "mime",
    [
        b"Content-Type: text/plain" + b";" * 20_000 + b"\n\n",
        b'Content-Type: multipart/report; boundary="' + b'"' * 20_000 + b"\n\n",
        b"Content-Type: text/rfc822-headers; charset=punycode\n\n" + b"a9" * 100_000,
    ],
    ids=["parameters", "quotes", "a charset"],
)
def test_no_message_takes_long_to_be_read(mime):
    begun = time.monotonic()
    receive(mime)
    assert time.monotonic() - begun < 1


def test_of_a_field_only_so_much_is_read(letter):
    """What stands behind is nobody's, also where it would name another letter."""
    padded = f"x@example.org, {' ' * reports.FIELD_CHARACTERS}{address_of(letter)}"
    assert receive(report(padded)) == "useless"
    assert receive(report(padded[-reports.FIELD_CHARACTERS :].strip())) == "recorded"


def test_of_many_addresses_and_recipients_the_first_are_read():
    everyone = ", ".join(f"{n}@example.org" for n in range(reports.MOST_ADDRESSES + 5))
    groups = [group("delivered", "2.1.5")] * reports.MOST_GROUPS
    read = [
        reports.read(mime) for mime in (report(everyone, *groups, group()), complaint(everyone))
    ]
    assert [one.kind for one in read] == ["delivered", "complained"]
    assert [len(one.addresses) for one in read] == [reports.MOST_ADDRESSES] * 2


def test_what_stands_behind_so_much_is_not_read(letter):
    head, blank, body = report(address_of(letter)).partition(b"\n\n")
    mime = head + blank + b"x" * reports.MOST_OCTETS + b"\n" + body
    assert receive(mime) == "useless"


def test_a_huge_message_is_read_as_far_as_the_report_goes(reader, letter):
    mime = report(address_of(letter)).replace(b"--=_b--", b"x" * 3_000_000 + b"\n--=_b--")
    assert receive(mime) == "recorded"
    assert state_of(reader) == "bounced"


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 99 Foo 0000",
        "Mon, 01 Jan 99999 00:00:00 +0000",
        "Mon, 01 Jan 1999 00:00:00 +0000",
        "\x00",
    ],
)
def test_a_report_may_tell_no_time_that_can_be(letter, date):
    mime = report(address_of(letter))
    mime = mime.replace(b"Date: Mon, 01 Jun 2026 12:05:00 +0000", f"Date: {date}".encode())
    assert receive(mime) == "recorded"
    assert letter.facts.get().at is None


def test_a_report_tells_when_it_was_or_else_when_it_was_written():
    last = "\nLast-Attempt-Date: Mon, 01 Jun 2026 12:03:00 +0000"
    unwanted = complaint("x@x.example")
    arrived = b"Arrival-Date: Mon, 01 Jun 2026 12:00:01 +0000\nFeedback-Type:"
    told = [
        report("x@x.example", group() + last),
        report("x@x.example", group()),
        unwanted.replace(b"Feedback-Type:", arrived),
        unwanted,
    ]
    times = [reports.read(mime).at for mime in told]
    assert [f"{at:%H:%M:%S}" for at in times] == ["12:03:00", "12:05:00", "12:00:01", "13:00:00"]


def test_old_facts_and_counts_go_with_the_events(reader, letter, settings):
    receive(report(address_of(letter)))
    receive(answer("x@paperboy.example"))
    retention.purge(NOW + settings.KEEP_EVENTS + 2 * DAY)
    assert not LetterFact.objects.exists()
    assert not UselessMail.objects.exists()


def test_old_facts_all_go_however_many(letter, settings, monkeypatch):
    monkeypatch.setattr(retention, "EVENTS", 2)
    for number in range(5):
        LetterFact.objects.create(letter=letter, kind="delayed", noted_at=NOW, key=f"{number}")
    assert retention.purge(NOW + settings.KEEP_EVENTS + DAY).facts == 5


def test_verp_is_asked_for_the_delimiter_of_the_operator(settings, reader):
    settings.RECIPIENT_DELIMITER, settings.BOUNCE_ADDRESS = "-", "returned@bounces.example"
    letter = came_back.letter(reader)
    assert verp.names_a_letter(forged(address_of(letter)))
    assert receive(report(forged(address_of(letter)), message_id=letter.message_id)) == "useless"
    assert receive(report(address_of(letter))) == "recorded"
