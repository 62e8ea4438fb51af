"""What becomes of a letter by what the mail server says, or the outbox."""

import pytest

from digest.models import Pick
from subscriptions.delivery import circuit_breaker, clock, queue, transitions
from subscriptions.delivery.transports.base import Message
from subscriptions.delivery.transports.registry import hand_over, transport_for
from subscriptions.delivery.worker import rounds
from subscriptions.models import Letter, Volley
from tests.factories.make import NOW
from tests.helpers.threads import at_once
from tests.subscriptions.delivery.steps import MINUTE, claim, due, letter_to, pass_fence, states

pytestmark = pytest.mark.django_db


def test_a_letter_is_handed_over_once_and_its_bytes_are_dropped(server, composed):
    letter = letter_to()

    assert queue.deliver(letter.pk, NOW) is True
    assert queue.deliver(letter.pk, NOW) is False

    letter.refresh_from_db()
    assert [recipient for recipient, _ in server.accepted] == ["reader@example.org"]
    assert letter.state == "accepted"
    assert states(letter) == ["planned", "claimed", "transmitting", "accepted"]
    queue.sweep(NOW)
    assert not Volley.objects.exists()


def test_twenty_hints_at_once_deliver_one_letter(server, composed, transactional_db):
    letter = letter_to()

    def deliver():
        return [queue.deliver(letter.pk, NOW) for _ in range(4)]

    assert sum(map(sum, at_once(*5 * [deliver]))) == 1
    assert len(server.accepted) == 1
    assert Letter.objects.get().attempt == 1


def test_a_server_that_is_busy_is_tried_again_later(server, composed):
    letter = letter_to("450-dot@example.org")
    queue.deliver(letter.pk, NOW)

    letter.refresh_from_db()
    assert (letter.state, letter.stage, letter.stumbles) == ("planned", "dot", 0)
    assert NOW + MINUTE <= letter.next_try_at <= NOW + 2 * MINUTE
    assert Pick.objects.count() == 1
    assert due(NOW) == []
    assert due(letter.next_try_at) == [letter.pk]


def test_a_refused_letter_fails_with_the_servers_words_and_gives_its_papers_back(server, composed):
    letter = letter_to("550-rcpt@example.org")
    queue.deliver(letter.pk, NOW)

    letter.refresh_from_db()
    assert letter.state == "failed"
    assert letter.state_text == "could not be sent: refused: 550 5.1.1 no"
    assert not Pick.objects.exists()


@pytest.mark.parametrize(
    ("name", "at_mail", "is_over"),
    [
        # Else the panel speaks of a password that is right again, for as long as it greylists.
        ("451-rcpt", "", True),
        ("reader", "451 Greylisted", False),
        ("drop-rcpt", "", False),
    ],
)
def test_an_answer_about_a_recipient_alone_says_that_the_trouble_is_over(
    server, composed, name, at_mail, is_over
):
    circuit_breaker.open("unreachable", "421 4.3.2 Going away", NOW)
    if at_mail:
        server.replies["mail"] = f"{at_mail}\r\n".encode()
    letter_to(f"{name}@example.org")
    rounds.deliver_due(clock.running_from(NOW + MINUTE))
    assert (not circuit_breaker.current().trouble) == is_over


def test_the_outbox_has_a_file_of_the_very_bytes_and_no_drafts(composed, data_dir):
    letter = letter_to()
    queue.deliver(letter.pk, NOW)
    (file,) = (data_dir / "outbox").iterdir()
    assert file.name == f"digest-20260601T120000Z-{letter.pk}.eml"
    assert b"\n" not in file.read_bytes().replace(b"\r\n", b"")


def test_a_repeat_into_the_outbox_falls_on_the_same_file(composed, data_dir, settings):
    settings.ORACLE = "none"  # The outbox would say that the letter is there.
    letter = letter_to()
    mime = b"Subject: Papers\r\n\r\nHello.\r\n"
    assert pass_fence(claim(letter), mime=mime)
    whom = "a@example.org", letter.subscriber.email
    hand_over(transport_for("file:"), Message(*whom, mime, "digest", letter.pk, NOW))
    # And the worker dies before it can write down that it was accepted.
    queue.sweep(NOW + 15 * MINUTE)
    queue.sweep(NOW + 30 * MINUTE)
    queue.deliver(letter.pk, NOW + 30 * MINUTE)

    letter.refresh_from_db()
    assert letter.state == "accepted"
    assert len(list((data_dir / "outbox").iterdir())) == 1


def test_an_outbox_that_cannot_be_written_to_defers_the_letter_however_often(composed, data_dir):
    in_the_way = data_dir / "outbox"
    in_the_way.write_text("no folder")
    letter = letter_to()
    now = NOW
    for _ in range(transitions.MAX_FAILED_ATTEMPTS + 1):
        queue.deliver(letter.pk, now)
        letter.refresh_from_db()
        now = letter.next_try_at

    assert (letter.state, letter.stumbles) == ("planned", 0)
    assert letter.last_reply == "the outbox folder can't be written to: File exists"
    assert Pick.objects.count() == 1

    in_the_way.unlink()
    assert queue.deliver(letter.pk, now) is True
