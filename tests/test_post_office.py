"""The post office: claims, fences, records, and what is left of a letter when something breaks."""

import time
from datetime import timedelta
from functools import partial

import pytest
from django.db import Error, connection, transaction
from django.db.models import QuerySet

from digest import planning
from digest.models import Pick
from subscriptions import mail, registry, signup
from subscriptions.models import Letter, Subscriber, Volley
from subscriptions.post import (
    clock,
    delivery,
    doubts,
    ledger,
    message_ids,
    office,
    sending,
    smtp_server,
)
from subscriptions.post.compression import compress
from subscriptions.post.journal import Entry, Journal
from subscriptions.post.line import Envelope
from subscriptions.post.transports import transport_for
from tests import make
from tests.make import NOW
from tests.promised import broken
from tests.smtp_server import MailServer
from tests.threads import at_once, errors_of

pytestmark = pytest.mark.django_db
DOOR = signup.Door("test")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def server(settings):
    with MailServer() as server:
        settings.EMAIL_URL = server.url
        yield server
        server.shutdown()


@pytest.fixture
def composed(monkeypatch):
    """Compose in a word what takes templates elsewhere; count how often."""
    calls = []

    def compose(letter, now):
        calls.append(letter.pk)
        return mail.Content.of(
            "Papers", "Hello.\n.\n..dots\n", "<p>Hello.</p>", mail.headers("digest", "http://x/")
        )

    monkeypatch.setitem(registry.composers, "digest", make.one_by_one(compose))
    return calls


def letter_to(email="reader@example.org", **fields):
    """Make a digest letter to a reader who wants it, due now, with one pick."""
    subscriber = make.subscriber(email, interests="graphs")
    make.paper("Graphs")
    planning.plan(NOW)
    Letter.objects.filter(subscriber=subscriber).update(**fields)
    return Letter.objects.get(subscriber=subscriber)


def due(now):
    """Return the numbers of the letters that may be claimed now."""
    return [letter.pk for letter in Letter.objects.due(now)]


def claim(letter, now=NOW):
    """Claim the letter as a worker does. Return it, or None."""
    with transaction.atomic():
        claimed, _ = ledger.claim(now, 1, [letter.pk])
    return claimed[0] if claimed else None


def claimed_numbers(limit, **how):
    """Claim so many letters as a worker does. Return their numbers."""
    with transaction.atomic():
        return [letter.pk for letter in ledger.claim(NOW, limit, **how)[0]]


def pass_fence(letter, now=NOW, mime=b"Subject: Papers\r\n\r\nHello.\r\n"):
    """Let a claimed letter pass the fence. Return whether it did."""
    frozen = {letter.pk: ledger.Frozen(mime, f"<{letter.pk}@example.org>", now)}
    with transaction.atomic():
        return bool(ledger.fence([letter], frozen, now).passed)


def states(letter):
    return [event.became for event in letter.events.all()]


def test_a_letter_is_handed_over_once_and_its_bytes_are_dropped(server, composed):
    letter = letter_to()

    assert office.deliver(letter.pk, NOW) is True
    assert office.deliver(letter.pk, NOW) is False

    letter.refresh_from_db()
    assert [recipient for recipient, _ in server.accepted] == ["reader@example.org"]
    assert letter.state == "accepted"
    assert letter.volley is None
    assert states(letter) == ["planned", "claimed", "transmitting", "accepted"]


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


@pytest.mark.django_db(transaction=True)
def test_an_acceptance_outlives_a_database_that_is_cut_as_it_is_recorded(
    server, composed, monkeypatch
):
    monkeypatch.setattr(delivery, "RECORD_AGAIN_SECONDS", 0)
    letter = letter_to()
    server.before_dot_reply = cut_the_database()

    assert office.deliver(letter.pk, NOW) is True
    letter.refresh_from_db()
    assert states(letter) == ["planned", "claimed", "transmitting", "accepted"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("code", [450, 550])
def test_a_known_refusal_outlives_it_too_and_is_not_doubted(server, composed, monkeypatch, code):
    monkeypatch.setattr(delivery, "RECORD_AGAIN_SECONDS", 0)
    letter = letter_to(f"{code}-dot@example.org")
    server.before_dot_reply = cut_the_database()

    office.deliver(letter.pk, NOW)
    letter.refresh_from_db()
    assert letter.state == {450: "planned", 550: "failed"}[code]


@pytest.mark.django_db(transaction=True)
def test_a_record_that_is_cut_halfway_is_written_again_as_a_whole(server, composed, monkeypatch):
    monkeypatch.setattr(delivery, "RECORD_AGAIN_SECONDS", 0)
    letter = letter_to("550-dot@example.org")
    cuts = [cut_the_database()]
    cut_once = [lambda letter_ids: cuts and cuts.pop()(letter_ids)]
    monkeypatch.setattr(registry, "on_never_left", [*cut_once, *registry.on_never_left])

    office.deliver(letter.pk, NOW)
    letter.refresh_from_db()
    assert states(letter) == ["planned", "claimed", "transmitting", "failed"]
    assert not Pick.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_acceptance_that_cannot_be_recorded_is_known_from_the_journal(
    server, composed, monkeypatch, caplog
):
    monkeypatch.setattr(delivery, "RECORD_SECONDS", 0)
    letter = letter_to()
    server.before_dot_reply = cut_the_database()

    with pytest.raises(Error):
        office.deliver(letter.pk, NOW)
    assert f"letter {letter.pk}: accepted, not written down" in caplog.messages

    connection.close()
    office.sweep(NOW)
    letter.refresh_from_db()
    assert (letter.state, letter.last_reply) == ("accepted", "250 2.0.0 kept")
    assert states(letter) == ["planned", "claimed", "transmitting", "accepted"]


@pytest.mark.django_db(transaction=True)
def test_without_its_journal_it_is_doubted_and_repeated_with_the_same_bytes(
    server, composed, monkeypatch, data_dir
):
    monkeypatch.setattr(delivery, "RECORD_SECONDS", 0)
    letter = letter_to()
    server.before_dot_reply = cut_the_database()
    with pytest.raises(Error):
        office.deliver(letter.pk, NOW)

    connection.close()
    (journal,) = (data_dir / "journal").iterdir()
    journal.unlink()
    server.before_dot_reply = lambda recipient: None
    for minute in (16, 32):
        office.sweep(NOW + minute * MINUTE)
    assert office.deliver(letter.pk, NOW + 32 * MINUTE) is True
    (_, first), (_, second) = server.accepted
    assert first == second


def cut_the_database():
    """Return what closes this thread's connection to the database, from outside."""
    socket_or_file = connection.connection

    def cut(recipient):
        socket_or_file.close()

    return cut


def test_an_acceptance_is_recorded_once_though_the_database_lost_its_answer(composed):
    """The commit arrives, its confirmation doesn't: so the record is written again."""
    letter = past_the_fence()
    ledger.accept([letter], ["250 kept"], NOW)

    doubts.accept_late(letter.pk, letter.attempt, letter.message_id, "250 kept", NOW)
    assert states(letter) == ["planned", "claimed", "transmitting", "accepted"]


@pytest.mark.parametrize("minutes", [15, 30])
def test_an_acceptance_ends_the_doubt_of_who_took_the_letter_for_lost(composed, minutes):
    letter = past_the_fence()
    for minute in (15, minutes):  # Doubted; then waiting to be repeated.
        office.sweep(NOW + minute * MINUTE)

    now = NOW + minutes * MINUTE
    doubts.accept_late(letter.pk, letter.attempt, letter.message_id, "250 kept", now)

    letter.refresh_from_db()
    assert letter.state == "accepted"
    assert due(now) == []


def test_an_acceptance_that_comes_late_stops_the_repeat_before_its_dot(composed):
    letter = past_the_fence()
    for minute in (15, 30):
        office.sweep(NOW + minute * MINUTE)
    repeating = claim(letter, NOW + 30 * MINUTE)

    doubts.accept_late(letter.pk, letter.attempt, letter.message_id, "250 kept", NOW + 31 * MINUTE)
    assert not pass_fence(repeating, NOW + 31 * MINUTE)
    assert Letter.objects.get().state == "accepted"


def test_an_acceptance_leaves_a_repeat_alone_that_is_past_the_fence(composed):
    letter = past_the_fence()
    for minute in (15, 30):
        office.sweep(NOW + minute * MINUTE)
    assert pass_fence(claim(letter, NOW + 30 * MINUTE), NOW + 30 * MINUTE)

    with pytest.raises(ledger.Overtaken):
        doubts.accept_late(
            letter.pk, letter.attempt, letter.message_id, "250 kept", NOW + 31 * MINUTE
        )
    assert Letter.objects.get().state == "transmitting"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("lost", [("claimed", "transmitting"), ("transmitting",)])
def test_what_was_taken_while_the_database_lost_its_last_commits_is_not_sent_again(
    server, composed, lost
):
    """As where a standby takes over that had not heard of them yet."""
    letter = letter_to()

    def take_over(recipient):
        fields = {"mime_size": 0, "frozen_at": None, "message_id": "", "left_at": None}
        if "claimed" in lost:
            fields |= {"state": "planned", "attempt": 0, "lease_until": None}
        else:
            fields |= {"state": "claimed"}
        Letter.objects.update(volley=None, **fields)
        letter.events.filter(became__in=lost).delete()
        connection.close()

    server.before_dot_reply = take_over
    office.deliver(letter.pk, NOW)
    letter.refresh_from_db()
    assert letter.state == "accepted"
    assert broken(NOW) == {}
    server.before_dot_reply = lambda recipient: None
    office.sweep(NOW + 20 * MINUTE)
    office.deliver(letter.pk, NOW + 40 * MINUTE)
    assert len(server.accepted) == 1


@pytest.mark.django_db(transaction=True)
def test_what_breaks_as_it_is_swept_costs_itself_alone(composed, monkeypatch, caplog):
    def broken(letter_ids):
        raise RuntimeError("a fault of ours")

    letters = [letter_to(f"reader-{number}@example.org") for number in range(5)]
    late, stumbled, again, silent, doubted = [letter.pk for letter in letters]
    Letter.objects.filter(pk__in=[stumbled, again]).update(state="claimed", lease_until=NOW)
    Letter.objects.filter(pk=stumbled).update(stumbles=ledger.MAX_STUMBLES - 1)
    Letter.objects.filter(pk=silent).update(state="transmitting", lease_until=NOW)
    Letter.objects.filter(pk=doubted).update(state="uncertain", next_try_at=NOW, message_id="<m>")
    Letter.objects.filter(pk=late).update(closes_at=NOW)
    monkeypatch.setattr(registry, "on_never_left", [broken])
    monkeypatch.setattr(doubts, "CHUNK", 1)
    office.sweep(NOW)
    states = dict(Letter.objects.values_list("pk", "state"))
    assert states == {
        late: "planned",
        stumbled: "claimed",
        again: "planned",
        silent: "uncertain",
        doubted: "planned",
    }
    assert f"letter {stumbled}: can't be seen to" in caplog.messages


def note_in_a_dead_workers_journal(*entries):
    """Leave a journal of a worker that died. Return the file."""
    journal = Journal(doubts.folder_of_journals())
    journal.write(entries)
    journal.leave()
    return journal.path


@pytest.mark.django_db(transaction=True)
def test_an_entry_that_can_not_be_recorded_keeps_no_other_from_it(composed):
    damaged, letter = (letter_to(f"{name}@example.org") for name in ("damaged", "reader"))
    at = NOW.isoformat()
    file = note_in_a_dead_workers_journal(
        Entry(damaged.pk, 1, message_ids.of(damaged), "250 damaged", at),
        Entry(letter.pk, 1, message_ids.of(letter), "250 kept", at),
    )
    file.write_bytes(file.read_bytes().replace(b'"250 damaged"', b"250"))
    office.sweep(NOW)
    states = Letter.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == ["planned", "accepted"]


@pytest.mark.parametrize("state", ["planned", "uncertain"])
def test_the_journal_is_asked_before_a_letter_is_given_up(composed, state):
    letter = past_the_fence()
    Letter.objects.update(state=state, lease_until=None, next_try_at=NOW, repeats=1, closes_at=NOW)
    note_in_a_dead_workers_journal(
        Entry(letter.pk, 1, letter.message_id, "250 kept", NOW.isoformat())
    )
    office.sweep(NOW)
    letter.refresh_from_db()
    assert letter.state == "accepted"


@pytest.mark.parametrize(("minutes", "state"), [(15, "missed"), (14, "claimed")])
def test_whose_worker_died_as_its_day_ended_is_missed_once_that_is_sure(composed, minutes, state):
    """Before, it may be past the fence, of which a database that was taken over has not heard."""
    letter = claim(letter_to())
    Letter.objects.update(closes_at=NOW + MINUTE)
    office.sweep(NOW + minutes * MINUTE)
    letter.refresh_from_db()
    assert (letter.state, letter.stumbles) == (state, 0)


def test_an_acceptance_does_not_change_how_a_story_has_ended(composed):
    letter = past_the_fence()
    for days in (1, 2):
        office.sweep(NOW + timedelta(days=days))

    with pytest.raises(ledger.Overtaken):
        doubts.accept_late(
            letter.pk, letter.attempt, letter.message_id, "250 kept", NOW + timedelta(days=2)
        )
    assert Letter.objects.get().state == "failed"


def past_the_fence():
    """Return a claimed letter that has just passed the fence."""
    letter = claim(letter_to())
    assert pass_fence(letter)
    return letter


def test_silence_after_the_dot_is_held_then_repeated_once_with_the_same_bytes(server, composed):
    letter = letter_to("drop-dot@example.org")
    seen = []
    server.before_dot_reply = seen.append
    office.deliver(letter.pk, NOW)
    letter.refresh_from_db()
    first = ledger.frozen_bytes(letter)
    assert letter.state == "uncertain"

    office.sweep(NOW + 14 * MINUTE)
    assert due(NOW + 14 * MINUTE) == []
    office.sweep(NOW + 16 * MINUTE)
    letter.refresh_from_db()
    assert (letter.state, letter.repeats) == ("planned", 1)
    assert ledger.frozen_bytes(letter) == first

    office.deliver(letter.pk, NOW + 16 * MINUTE)
    office.sweep(NOW + 40 * MINUTE)
    letter.refresh_from_db()
    assert len(seen) == 2
    assert len(composed) == 1
    assert letter.state == "failed"
    assert letter.reason.startswith("unknown")
    assert Pick.objects.count() == 1  # It may have arrived: its papers are not sent again.


def doubted(repeats, **fields):
    """Return a letter whose hold is over, and which the oracle knows not to be in the outbox."""
    transport_for("file:").open().begin(Envelope("a@b.example", "c@d.example", "link", 0, NOW), b"")
    letter = past_the_fence()
    office.sweep(NOW + 15 * MINUTE)
    Letter.objects.update(repeats=repeats, **fields)
    return letter


@pytest.mark.parametrize("repeats", [0, 1])
def test_who_has_left_is_not_sent_again_what_did_not_arrive_and_a_repeats_papers_stay_hers(
    composed, repeats
):
    letter = doubted(repeats)
    Subscriber.objects.update(unsubscribed_at=NOW)
    office.sweep(NOW + 30 * MINUTE)
    letter.refresh_from_db()
    assert (letter.state, letter.reason) == ("skipped", "unsubscribed")
    assert Pick.objects.count() == repeats


@pytest.mark.parametrize("repeats", [0, 1])
def test_what_surely_never_arrived_is_given_up_at_last_and_a_repeats_papers_stay_hers(
    composed, repeats
):
    letter = doubted(repeats, stumbles=ledger.MAX_STUMBLES - 1)
    office.sweep(NOW + 30 * MINUTE)
    letter.refresh_from_db()
    assert (letter.state, letter.reason) == ("failed", "broken: the mail server does not have it")
    assert Pick.objects.count() == repeats


def test_the_oracle_is_asked_about_the_last_time_that_a_letter_left(composed, settings, data_dir):
    """Of that its log may not tell yet, though it is complete from the first time on."""
    log = data_dir / "mail.log"
    settings.ORACLE = f"postfix:{log}"
    letter, later = past_the_fence(), NOW + 120 * MINUTE
    ledger.put_back(letter, NOW)
    assert pass_fence(claim(letter, later), later)
    said = "mail postfix/anvil[1]: statistics"
    lines = [f"{NOW + minutes * MINUTE:%Y-%m-%dT%H:%M:%S+00:00} {said}\n" for minutes in (-60, 60)]
    log.write_text("".join(lines))
    for minutes in (15, 30):
        office.sweep(later + minutes * MINUTE)
    letter.refresh_from_db()
    assert (letter.state, letter.repeats, letter.stumbles) == ("planned", 1, 0)


def test_where_the_operator_wants_it_silence_is_never_answered_by_a_repeat(
    server, composed, settings
):
    settings.MAX_REPEATS = 0
    letter = letter_to("drop-dot@example.org")
    office.deliver(letter.pk, NOW)
    office.sweep(NOW + 16 * MINUTE)
    letter.refresh_from_db()
    assert (letter.state, letter.repeats) == ("failed", 0)
    assert letter.reason.startswith("unknown")
    assert Pick.objects.count() == 1


def test_a_worker_that_dies_between_claim_and_send_loses_nothing(server, composed, monkeypatch):
    letter = letter_to()
    assert claim(letter)  # And then its worker is no more.

    office.sweep(NOW + 14 * MINUTE)
    assert due(NOW + 14 * MINUTE) == []  # It might still be alive.
    office.sweep(NOW + 15 * MINUTE)
    (again,) = due(NOW + 30 * MINUTE)
    assert office.deliver(again, NOW + 30 * MINUTE) is True
    assert len(server.accepted) == 1


@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_at_once_wait_for_none_of_each_others_letters():
    if connection.vendor != "postgresql":
        pytest.skip("SQLite locks no rows")
    letters = {letter_to().pk, letter_to("other@example.org").pk}

    def claim_one():
        with transaction.atomic():
            return ledger.claim(NOW, 1)[0][0].pk

    with transaction.atomic():
        ours = ledger.claim(NOW, 1)[0][0].pk
        assert at_once(claim_one) == [*(letters - {ours})]


def test_letters_that_have_waited_longest_are_claimed_first():
    two, three, one = [
        letter_to(f"{minutes}@example.org", next_try_at=NOW - minutes * MINUTE).pk
        for minutes in (2, 3, 1)
    ]
    assert [claimed_numbers(1) for _ in range(3)] == [[three], [two], [one]]


def test_letters_that_a_person_waits_for_are_claimed_before_digests_where_they_are_looked_for():
    digests = [
        letter_to(f"{number}@example.org", next_try_at=NOW - (3 - number) * MINUTE).pk
        for number in range(3)
    ]
    awaited = make.subscriber(confirmed=False).letters.create(
        kind="confirm", created_at=NOW, next_try_at=NOW, closes_at=NOW + 60 * MINUTE
    )
    assert claimed_numbers(1, looks_for_awaited=False) == [digests[0]]
    assert claimed_numbers(2) == [awaited.pk, digests[1]]
    assert claimed_numbers(2) == [digests[2]]


def test_no_more_are_claimed_than_asked_for_though_some_turn_out_not_to_be_wanted():
    unwanted = letter_to("left@example.org", next_try_at=NOW - MINUTE)
    Subscriber.objects.update(unsubscribed_at=NOW)  # By nobody who calls her letters off.
    due = [letter_to(f"{number}@example.org").pk for number in range(3)]
    for numbers, is_exhausted in ((due[:2], False), (due[2:], True), ([], True)):
        with transaction.atomic():
            claimed, is_last = ledger.claim(NOW, 2)
        assert ([letter.pk for letter in claimed], is_last) == (numbers, is_exhausted)
    unwanted.refresh_from_db()
    assert (unwanted.state, unwanted.reason) == ("skipped", "unsubscribed")


def test_letters_that_broke_again_and_again_are_claimed_with_no_others():
    suspects = [
        letter_to(f"{number}@example.org", stumbles=ledger.SUSPECT + number) for number in range(2)
    ]
    well = letter_to(stumbles=ledger.SUSPECT - 1)
    assert claimed_numbers(5) == [well.pk]
    assert ledger.suspects(NOW) == [letter.pk for letter in suspects]
    assert claim(suspects[0]) == suspects[0]


def test_a_worker_that_wakes_up_after_its_lease_sends_nothing(server, composed):
    letter = letter_to()
    asleep = claim(letter)
    office.sweep(NOW + 20 * MINUTE)
    office.deliver(letter.pk, NOW + 40 * MINUTE)

    assert not pass_fence(asleep, NOW + 10 * MINUTE)  # Its own clock was asleep, too.
    assert len(server.accepted) == 1


def test_a_lease_that_ran_out_is_not_carried_past_the_fence(server, composed, monkeypatch):
    letter = letter_to()
    fence = ledger.fence
    monkeypatch.setattr(
        ledger, "fence", lambda letters, frozen, now: fence(letters, frozen, now + 15 * MINUTE)
    )

    assert office.deliver(letter.pk, NOW) is False

    letter.refresh_from_db()
    assert letter.state == "claimed"  # Anybody's, as soon as the sweeper comes by.
    assert server.accepted == []
    office.sweep(NOW + 16 * MINUTE)
    letter.refresh_from_db()
    assert letter.state == "planned"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"unsubscribed_at": NOW}, "unsubscribed"),
        ({"suppressed_at": NOW}, "suppressed"),
        ({"paused_until": NOW.date() + timedelta(days=1)}, "paused"),
        ({"confirmed_at": None}, "pending"),
    ],
)
def test_the_fence_looks_itself_whether_a_digest_is_still_wanted(fields, reason):
    """Whatever was changed, and whoever did it without calling her letters off."""
    letter = claim(letter_to())
    Subscriber.objects.update(**fields)
    assert not pass_fence(letter)
    letter.refresh_from_db()
    assert (letter.state, letter.reason) == ("skipped", reason)


LEFT = {"unsubscribed_at": NOW, "next_due_at": None}
OUT = {"suppressed_at": NOW, "suppressed_by": "complained"}
AWAY = {"paused_until": NOW.date() + timedelta(days=9)}
ASKED = {"confirmed": False}


@pytest.mark.parametrize(
    ("kind", "to"),
    [
        ("digest", [{}]),
        ("welcome", [{}]),
        ("move", [{}, AWAY]),
        ("link", [{}, AWAY, LEFT]),
        ("confirm", [{}, AWAY, LEFT, ASKED]),
    ],
)
def test_which_letters_are_for_whom(kind, to):
    for fields in ({}, AWAY, LEFT, ASKED, OUT):
        reader = make.subscriber(**fields)
        why = ledger.why_unwanted(Letter(kind=kind, created_at=NOW), reader, NOW)
        assert why == ("" if fields in to else reader.state_at(NOW))


def test_a_goodbye_does_not_pass_the_fence_once_she_has_come_back():
    reader = make.subscriber()
    signup.unsubscribe(reader.public_id, door=DOOR, now=NOW)
    goodbye = claim(Letter.objects.get(kind="goodbye"))
    signup.confirm(reader, goodbye.created_at, door=DOOR, now=NOW, kind="goodbye")
    assert not pass_fence(goodbye)
    goodbye.refresh_from_db()
    assert (goodbye.state, goodbye.reason) == ("skipped", "she came back")


def test_from_its_closing_on_a_letter_is_neither_claimed_nor_let_past_the_fence():
    letter = letter_to()
    assert claim(letter, letter.closes_at) is None
    letter.refresh_from_db()
    assert letter.state == "missed"

    other = claim(letter_to("other@example.org"), letter.closes_at - MINUTE)
    assert not pass_fence(other, other.closes_at)
    other.refresh_from_db()
    assert other.state == "missed"


def test_a_lease_has_run_out_at_its_last_moment():
    letter = claim(letter_to())
    assert not pass_fence(letter, letter.lease_until)
    letter.refresh_from_db()
    assert letter.state == "claimed"


def test_words_that_are_too_long_for_the_ledger_are_cut():
    words = "not now, " * 50
    letter, other = letter_to(), letter_to("other@example.org")
    ledger.release([claim(letter)], NOW, words)
    again = claim(letter)
    assert pass_fence(again)
    assert ledger.accept([again], [words], NOW)
    assert ledger.end([claim(other)], Letter.State.FAILED, words, NOW)
    letter.refresh_from_db()
    other.refresh_from_db()
    told = [
        letter.last_reply,
        other.reason,
        letter.events.get(was="claimed", became="planned").note,
    ]
    assert told == [words[:300]] * 3


def test_bytes_are_kept_while_their_letter_waits_and_dropped_once_it_has_ended():
    letter = past_the_fence()
    hours = [NOW + timedelta(hours=hour) for hour in (2, 4)]
    ledger.put_back(letter, NOW, until=hours[1])
    office.sweep(hours[0])
    letter.refresh_from_db()
    assert ledger.frozen_bytes(letter).endswith(b"Hello.\r\n")
    ledger.end([letter], Letter.State.SKIPPED, "paused", hours[0])
    office.sweep(hours[1])
    assert not Volley.objects.exists()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (QuerySet.delete, "its bytes are gone"),
        (partial(QuerySet.update, mime=b"What no frame begins with."), "its bytes can't be read: "),
        (partial(QuerySet.update, mime=compress([b"Subject: Pap"])), "its bytes are not all there"),
    ],
)
def test_a_letter_whose_bytes_are_damaged_is_sent_again_neither_in_part_nor_written_anew(
    server, composed, caplog, damage, why
):
    """She may have it already, as it was."""
    letter = past_the_fence()
    for minute in (16, 32):
        office.sweep(NOW + minute * MINUTE)
    damage(Volley.objects.all())
    now = NOW + 32 * MINUTE
    for _ in range(ledger.MAX_STUMBLES):
        office.deliver(letter.pk, now)
        now += 80 * MINUTE
    letter.refresh_from_db()
    assert (letter.state, letter.repeats) == ("failed", 1)
    assert why in caplog.text
    assert server.accepted == composed == []
    assert Pick.objects.count() == 1


def test_papers_of_a_letter_that_is_being_repeated_stay_hers_when_she_leaves():
    letter = past_the_fence()
    for minute in (16, 32):
        office.sweep(NOW + minute * MINUTE)
    letter.refresh_from_db()
    assert (letter.state, letter.repeats) == ("planned", 1)
    signup.unsubscribe(letter.subscriber.public_id, door=DOOR, now=NOW + 32 * MINUTE)
    letter.refresh_from_db()
    assert letter.state == "skipped"
    assert Pick.objects.count() == 1


def test_who_was_overtaken_gives_no_papers_back():
    """The letter that another has claimed since may arrive with them."""
    letter = letter_to()
    asleep = claim(letter)
    office.sweep(NOW + 20 * MINUTE)
    assert pass_fence(claim(letter, NOW + 40 * MINUTE), NOW + 40 * MINUTE)
    assert ledger.end([asleep], Letter.State.FAILED, "refused", NOW + 40 * MINUTE) == []
    assert Pick.objects.count() == 1


def test_letters_that_pass_the_fence_together_have_each_their_own_bytes_again():
    again = past_the_fence()
    first = ledger.frozen_bytes(again)
    ledger.put_back(again, NOW)
    later = NOW + 10 * MINUTE
    letters = [claim(letter_to(f"{number}@example.org"), later) for number in range(2)]
    letters.insert(0, claim(again, later))
    frozen = {
        letter.pk: ledger.Frozen(b"To: %d\r\n" % letter.pk, f"<{letter.pk}@x>", later)
        for letter in letters
    }
    with transaction.atomic():
        passed = ledger.fence(letters, frozen, later).passed
    assert sorted(letter.pk for letter in passed) == sorted(frozen)
    for letter in Letter.objects.all():
        own = first if letter == again else frozen[letter.pk].mime
        assert (letter.state, ledger.frozen_bytes(letter)) == ("transmitting", own)


def test_bytes_whose_letters_are_about_to_be_written_are_not_dropped():
    Volley.objects.create(created_at=NOW, mime=b"")
    ledger.drop_volleys(NOW + MINUTE, older_than=MINUTE)
    assert Volley.objects.exists()
    ledger.drop_volleys(NOW + 2 * MINUTE, older_than=MINUTE)
    assert not Volley.objects.exists()


@pytest.mark.parametrize("minutes", [1, 300])
def test_a_letter_waits_for_its_provider_and_for_its_own_turn_whichever_is_longer(minutes):
    letter = letter_to(attempt=3)  # The next wait is an hour.
    letter = claim(letter)
    ledger.put_back(letter, NOW, until=NOW + minutes * MINUTE)
    letter.refresh_from_db()
    own = ledger.next_try(letter, NOW)
    assert own >= NOW + 60 * MINUTE
    assert letter.next_try_at == max(own, NOW + minutes * MINUTE)


def test_a_letter_that_is_written_anew_has_tries_left_and_is_told_as_one_that_never_left():
    letter = letter_to(state="failed", stumbles=4, left_at=NOW, ended_at=NOW, message_id="<x@y>")
    ledger.reopen(letter, "digest", NOW, "planned anew")
    letter.refresh_from_db()
    assert (letter.stumbles, letter.left_at, letter.message_id) == (ledger.SUSPECT, None, "")
    assert ledger.suspects(NOW) == [letter.pk]


def test_who_would_have_a_letter_written_anew_that_another_has_changed_is_overtaken():
    letter = letter_to(state="failed", ended_at=NOW)
    Letter.objects.update(state="accepted")
    with pytest.raises(ledger.Overtaken):
        ledger.reopen(letter, "digest", NOW, "planned anew")
    assert Letter.objects.get().state == "accepted"


def test_a_server_may_think_for_its_ten_minutes_however_late_the_fence_was_passed(composed):
    assert pass_fence(claim(letter_to()), NOW + 14 * MINUTE)

    office.sweep(NOW + 25 * MINUTE)
    assert Letter.objects.get().state == "transmitting"
    office.sweep(NOW + 29 * MINUTE)
    assert Letter.objects.get().state == "uncertain"


def test_whose_letter_was_claimed_by_another_leaves_it_alone_when_it_breaks(monkeypatch, caplog):
    letter = letter_to()

    def compose(composing, now):
        office.sweep(NOW + 20 * MINUTE)
        assert claim(letter, NOW + 40 * MINUTE)
        raise RuntimeError("woken up, and broken")

    monkeypatch.setitem(registry.composers, "digest", make.one_by_one(compose))
    office.deliver(letter.pk, NOW)

    letter.refresh_from_db()
    assert (letter.state, letter.attempt, letter.stumbles) == ("claimed", 2, 1)


def test_a_sweeper_that_comes_late_leaves_the_next_claim_alone(composed):
    letter = letter_to()
    seen = claim(letter)  # As a sweeper read it, before another came first.
    office.sweep(NOW + 20 * MINUTE)
    claim(letter, NOW + 40 * MINUTE)

    with pytest.raises(ledger.Overtaken):
        ledger.stumble(seen, NOW + 40 * MINUTE)
    letter.refresh_from_db()
    assert (letter.state, letter.attempt) == ("claimed", 2)


@pytest.mark.parametrize(
    ("repeats", "is_repeat", "then"), [(0, False, 0), (0, True, 1), (1, False, 1), (1, True, 1)]
)
def test_that_a_letter_may_have_arrived_is_remembered_however_its_attempts_break(
    repeats, is_repeat, then
):
    """Else its papers would be given back, and come once more."""
    letter = claim(letter_to(repeats=repeats))
    ledger.stumble(letter, NOW, is_repeat=is_repeat)
    letter.refresh_from_db()
    assert (letter.state, letter.repeats) == ("planned", then)


def test_who_would_give_up_a_letter_that_another_has_is_overtaken(caplog):
    seen = claim(letter_to(stumbles=ledger.MAX_STUMBLES - 1))
    Letter.objects.update(attempt=2)
    with pytest.raises(ledger.Overtaken):
        ledger.stumble(seen, NOW)
    assert Letter.objects.get().state == "claimed"
    assert "given up" not in caplog.text


def test_events_carry_their_attempt_and_with_the_next_try_their_own_moment_not_the_claims(
    server, composed
):
    letter = letter_to("450-dot@example.org")
    slow = timedelta(milliseconds=50)
    server.before_dot_reply = lambda recipient: time.sleep(slow.total_seconds())

    office.deliver(letter.pk, NOW)

    claimed, fenced, put_back = letter.events.all()[1:]
    assert NOW <= claimed.at < fenced.at < put_back.at
    assert put_back.at - fenced.at >= slow
    assert [event.attempt for event in (claimed, fenced, put_back)] == [1, 1, 1]
    letter.refresh_from_db()
    assert letter.next_try_at == ledger.next_try(letter, put_back.at)


def test_a_worker_that_dies_past_the_fence_leaves_a_letter_that_is_repeated(server, composed):
    letter = letter_to()
    assert pass_fence(claim(letter))

    office.sweep(NOW + 15 * MINUTE)
    letter.refresh_from_db()
    assert letter.state == "uncertain"
    office.sweep(NOW + 30 * MINUTE)
    assert office.deliver(letter.pk, NOW + 30 * MINUTE) is True
    assert len(server.accepted) == 1


def test_who_unsubscribes_between_planning_and_sending_gets_nothing(server, composed):
    letter = letter_to()
    signup.unsubscribe(letter.subscriber.public_id, door=DOOR, now=NOW)

    assert office.deliver(letter.pk, NOW) is False

    letter.refresh_from_db()
    assert (letter.state, letter.reason) == ("skipped", "unsubscribed")
    assert server.accepted == []
    assert not Pick.objects.exists()


def test_who_unsubscribes_while_the_server_reads_is_not_sent_the_dot(server, composed, monkeypatch):
    letter = letter_to()
    fence = ledger.fence

    def leave_and_pass(letters, frozen, now):
        signup.unsubscribe(letter.subscriber.public_id, door=DOOR, now=NOW)
        return fence(letters, frozen, now)

    monkeypatch.setattr(ledger, "fence", leave_and_pass)
    assert office.deliver(letter.pk, NOW) is False

    letter.refresh_from_db()
    assert letter.state == "skipped"
    assert "transmitting" not in states(letter)
    assert server.accepted == []


def test_who_unsubscribes_past_the_fence_is_told_that_one_may_be_on_its_way(server, composed):
    letter = letter_to()
    assert pass_fence(claim(letter))
    assert signup.unsubscribe(letter.subscriber.public_id, door=DOOR, now=NOW) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("leave", ["unsubscribe", "erase"])
def test_leaving_while_a_worker_claims_never_fails(server, composed, leave):
    """A race; on SQLite its orders are few, on PostgreSQL many."""
    came_of = []
    for number in range(12):
        letter = letter_to(f"reader-{number}@example.org")
        reader = letter.subscriber
        leaving = (
            partial(signup.erase, reader, now=NOW)
            if leave == "erase"
            else partial(signup.unsubscribe, reader.public_id, door=DOOR, now=NOW)
        )
        came_of += at_once(leaving, partial(office.deliver, letter.pk, NOW))
    assert errors_of(came_of) == []
    assert not Letter.objects.filter(kind="digest", state__in=Letter.NOT_LEFT).exists()


def test_an_uncertain_letter_of_who_unsubscribed_is_never_repeated(server, composed):
    letter = letter_to("drop-dot@example.org")
    office.deliver(letter.pk, NOW)
    signup.unsubscribe(letter.subscriber.public_id, door=DOOR, now=NOW)
    office.sweep(NOW + timedelta(hours=1))
    letter.refresh_from_db()
    assert letter.state == "failed"


def test_who_is_erased_while_the_server_reads_is_not_sent_the_dot(server, composed, monkeypatch):
    letter = letter_to()
    fence = ledger.fence

    def erase_and_pass(letters, frozen, now):
        signup.erase(letter.subscriber, now=NOW)
        return fence(letters, frozen, now)

    monkeypatch.setattr(ledger, "fence", erase_and_pass)
    assert office.deliver(letter.pk, NOW) is False
    assert server.accepted == []
    assert not Letter.objects.exists()


def test_a_letter_whose_day_has_ended_is_missed_and_its_papers_come_the_next_day(server, composed):
    letter = letter_to()
    tomorrow = NOW + timedelta(days=1)

    office.sweep(tomorrow)
    planning.plan(tomorrow)

    letter.refresh_from_db()
    assert (letter.state, letter.reason) == ("missed", "its day ended first")
    assert [pick.paper.title for pick in Pick.objects.all()] == ["Graphs"]
    assert Pick.objects.get().digest.day == tomorrow.date()


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
