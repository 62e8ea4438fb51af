"""What becomes of a letter by what the mail server says, or the outbox."""

import time
from datetime import timedelta

import pytest

from digest.models import Pick
from subscriptions import mail, registry
from subscriptions.models import Letter, Subscriber, Volley
from subscriptions.post import clock, delivery, ledger, office, sending, smtp_server
from subscriptions.post.line import Envelope
from subscriptions.post.transports import transport_for
from tests import make
from tests.make import NOW
from tests.post_office.steps import MINUTE, claim, due, letter_to, pass_fence, states
from tests.threads import at_once

pytestmark = pytest.mark.django_db


def test_a_letter_is_handed_over_once_and_its_bytes_are_dropped(server, composed):
    letter = letter_to()

    assert office.deliver(letter.pk, NOW) is True
    assert office.deliver(letter.pk, NOW) is False

    letter.refresh_from_db()
    assert [recipient for recipient, _ in server.accepted] == ["reader@example.org"]
    assert letter.state == "accepted"
    assert states(letter) == ["planned", "claimed", "transmitting", "accepted"]
    office.sweep(NOW)
    assert not Volley.objects.exists()


def test_dots_at_the_start_of_lines_arrive_as_they_were(server, composed):
    office.deliver(letter_to().pk, NOW)
    ((_, mime),) = server.accepted
    assert b"\r\n=2E\r\n=2E.dots\r\n" in mime
    assert b"\n" not in mime.replace(b"\r\n", b"")


def test_fifty_hints_at_once_deliver_one_letter(server, composed, transactional_db):
    letter = letter_to()

    def deliver():
        return [office.deliver(letter.pk, NOW) for _ in range(5)]

    assert sum(map(sum, at_once(*10 * [deliver]))) == 1
    assert len(server.accepted) == 1
    assert Letter.objects.get().attempt == 1


@pytest.mark.parametrize("stage", ["rcpt", "data", "dot"])
def test_a_server_that_is_busy_is_tried_again_later(server, composed, stage):
    letter = letter_to(f"450-{stage}@example.org")
    office.deliver(letter.pk, NOW)

    letter.refresh_from_db()
    assert (letter.state, letter.stage, letter.stumbles) == ("planned", stage, 0)
    assert NOW + MINUTE <= letter.next_try_at <= NOW + 2 * MINUTE
    assert Pick.objects.count() == 1
    assert due(NOW) == []
    assert due(letter.next_try_at) == [letter.pk]


@pytest.mark.parametrize("stage", ["rcpt", "data", "dot"])
def test_a_refused_letter_fails_with_the_servers_words_and_gives_its_papers_back(
    server, composed, stage
):
    letter = letter_to(f"550-{stage}@example.org")
    office.deliver(letter.pk, NOW)

    letter.refresh_from_db()
    assert letter.state == "failed"
    assert letter.reason == "refused: 550 5.1.1 no"
    assert not Pick.objects.exists()


@pytest.mark.parametrize("code", [530, 534, 535, 538])
@pytest.mark.parametrize("stage", ["mail", "rcpt", "data", "dot"])
def test_having_to_log_in_is_our_fault_and_never_the_end_of_a_letter(server, composed, stage, code):
    server.replies[stage] = b"%d 5.7.0 Authentication required\r\n" % code
    letter = letter_to()
    office.deliver(letter.pk, NOW)

    letter.refresh_from_db()
    assert (letter.state, letter.stage) == ("planned", stage)
    assert letter.last_reply == f"{code} 5.7.0 Authentication required"
    assert Pick.objects.count() == 1

    server.replies.clear()  # The password is mended.
    assert office.deliver(letter.pk, letter.next_try_at) is True


def test_a_server_that_wants_us_to_come_back_later_does_let_us_in(server, composed):
    """Else the panel speaks of a password that is right again, for as long as it greylists."""
    sending.trip("auth", "535 5.7.8 Authentication failed", NOW)
    letter_to("451-rcpt@example.org")
    assert delivery.deliver_due(clock.running_from(NOW + MINUTE))["deferred"] == 1
    assert not sending.current().trouble


@pytest.mark.parametrize("reply", ["451 Greylisted", ""])
def test_only_an_answer_about_a_recipient_says_that_the_trouble_is_over(server, composed, reply):
    sending.trip("unreachable", "421 4.3.2 Going away", NOW)
    address = "drop-rcpt@example.org"
    if reply:
        server.replies["mail"] = f"{reply}\r\n".encode()
        address = "reader@example.org"
    letter_to(address)
    delivery.deliver_due(clock.running_from(NOW + MINUTE))
    assert sending.current().trouble


def test_a_sender_that_is_refused_is_our_fault_and_never_the_end_of_a_letter(server, composed):
    server.replies["mail"] = b"553 5.7.1 Sender address rejected: not owned by user\r\n"
    letter = letter_to()
    office.deliver(letter.pk, NOW)
    letter.refresh_from_db()
    assert (letter.state, letter.stage) == ("planned", "mail")


@pytest.mark.parametrize("stage", ["rcpt", "data"])
def test_a_server_that_hangs_up_before_the_dot_is_tried_again(server, composed, stage):
    letter = letter_to(f"drop-{stage}@example.org")
    office.deliver(letter.pk, NOW)
    letter.refresh_from_db()
    assert letter.state == "planned"
    assert server.accepted == []


def test_nobody_listening_is_tried_again(settings, composed):
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    letter = letter_to()
    office.deliver(letter.pk, NOW)
    letter.refresh_from_db()
    assert (letter.state, letter.attempt) == ("planned", 0)
    assert "Connection refused" in sending.current().why_not(NOW)


@pytest.mark.parametrize("greeting", [b"421 not now\r\n", b"554 go away\r\n", b"\xff\r\n", b""])
def test_a_server_that_greets_badly_marks_no_address(server, composed, greeting, monkeypatch):
    monkeypatch.setattr(smtp_server, "CONNECT_SECONDS", 0.2)
    server.at_connect = greeting
    letter = letter_to()
    office.deliver(letter.pk, NOW)
    letter.refresh_from_db()
    assert letter.state == "planned"
    assert Subscriber.objects.get().suppressed_at is None


@pytest.mark.parametrize("how", ["garble-quit", "drop-quit", "550-quit"])
def test_what_is_said_to_quit_does_not_unsend_a_letter(server, composed, how):
    letter = letter_to(f"{how}@example.org")
    assert office.deliver(letter.pk, NOW) is True
    office.sweep(NOW + timedelta(hours=1))
    assert len(due(NOW + timedelta(hours=1))) == 0


@pytest.mark.parametrize("how", ["silent-quit", "endless-quit"])
def test_an_acceptance_is_recorded_however_long_the_server_says_goodbye(server, composed, how):
    letter = letter_to(f"{how}@example.org")
    began = time.monotonic()
    assert office.deliver(letter.pk, NOW) is True
    assert time.monotonic() - began < 1


def test_a_letter_that_cannot_be_written_is_given_up_and_its_neighbour_sent(
    server, monkeypatch, caplog
):
    bad, good = letter_to("bad@example.org"), letter_to("good@example.org")

    def compose(letter, now):
        if letter.pk == bad.pk:
            raise RuntimeError("a poisonous paper")
        return mail.Content.of(
            "Papers", "Hello.", "<p>Hello.</p>", mail.headers("digest", "http://x/")
        )

    monkeypatch.setitem(registry.composers, "digest", make.one_by_one(compose))
    now = NOW
    for _ in range(8):
        for letter_id in due(now):
            office.deliver(letter_id, now)
        now += timedelta(minutes=90)

    bad.refresh_from_db()
    good.refresh_from_db()
    assert good.state == "accepted"
    assert (bad.state, bad.attempt) == ("failed", ledger.MAX_STUMBLES)
    assert bad.reason.startswith("broken")


def test_an_outage_of_half_an_hour_costs_nobody_her_letter(server, composed, settings):
    for number in range(5):
        letter_to(f"reader-{number}@example.org")
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    now = NOW
    while due(now + timedelta(minutes=10)) or Letter.objects.open().exists():
        if now > NOW + timedelta(minutes=30):
            settings.EMAIL_URL = server.url
        office.sweep(now)
        for letter_id in due(now):
            office.deliver(letter_id, now)
        now += MINUTE
        assert now < NOW + timedelta(hours=3)
    assert len(server.accepted) == 5


def test_a_failed_letter_says_so_to_people(server, composed):
    letter = letter_to("550-rcpt@example.org")
    office.deliver(letter.pk, NOW)
    letter.refresh_from_db()
    assert letter.said == "could not be sent: refused: 550 5.1.1 no"


def test_the_outbox_has_a_file_of_the_very_bytes_and_no_drafts(composed, data_dir):
    letter = letter_to()
    office.deliver(letter.pk, NOW)
    (file,) = (data_dir / "outbox").iterdir()
    assert file.name == f"digest-20260601T120000Z-{letter.pk}.eml"
    assert b"\n" not in file.read_bytes().replace(b"\r\n", b"")


def test_a_repeat_into_the_outbox_falls_on_the_same_file(composed, data_dir, settings):
    settings.ORACLE = "none"  # The outbox would say that the letter is there.
    letter = letter_to()
    mime = b"Subject: Papers\r\n\r\nHello.\r\n"
    assert pass_fence(claim(letter), mime=mime)
    line = transport_for("file:").open()
    line.begin(Envelope("a@example.org", letter.subscriber.email, "digest", letter.pk, NOW), mime)
    line.finish()  # And the worker dies before it can write down that it was accepted.
    office.sweep(NOW + 15 * MINUTE)
    office.sweep(NOW + 30 * MINUTE)
    office.deliver(letter.pk, NOW + 30 * MINUTE)

    letter.refresh_from_db()
    assert letter.state == "accepted"
    assert len(list((data_dir / "outbox").iterdir())) == 1


def test_an_outbox_that_cannot_be_written_to_defers_the_letter_however_often(composed, data_dir):
    in_the_way = data_dir / "outbox"
    in_the_way.write_text("no folder")
    letter = letter_to()
    now = NOW
    for _ in range(ledger.MAX_STUMBLES + 1):
        office.deliver(letter.pk, now)
        letter.refresh_from_db()
        now = letter.next_try_at

    assert (letter.state, letter.stumbles) == ("planned", 0)
    assert letter.last_reply == "the outbox folder can't be written to: File exists"
    assert Pick.objects.count() == 1

    in_the_way.unlink()
    assert office.deliver(letter.pk, now) is True
