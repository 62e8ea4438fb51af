"""After a restored backup: what left in the lost hours stays so, and nothing else is touched."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from django.core.management import CommandError, call_command

from digest import planning
from digest.models import Digest, Paper, Pick
from subscriptions import mail, registry, signup
from subscriptions.models import Letter, LetterEvent, LetterFact, Subscriber
from subscriptions.post import delivery, ledger, message_ids, sending, sweeper
from subscriptions.post import reconcile as reconciling
from subscriptions.post.clock import running_from
from subscriptions.post.journal import Entry, Journal
from subscriptions.post.reconcile import Evidence, Refused, reconcile
from subscriptions.signup import Door
from tests import make
from tests.make import NOW
from tests.promised import broken
from tests.smtp_server import MailServer

pytestmark = pytest.mark.django_db

BACKUP = NOW - timedelta(hours=4)
LATER = NOW + timedelta(hours=2)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture(params=["smtp", "file"])
def sent(request, settings, outbox):
    """Return a function that counts the letters sent, by a server that is asked for in the journal
    afterwards, or into the outbox.
    """
    if request.param == "file":
        yield lambda: len(outbox())
        return
    with MailServer() as server:
        settings.EMAIL_URL = server.url
        yield lambda: len(server.accepted)
        server.shutdown()


@pytest.fixture(autouse=True)
def composed(monkeypatch):
    """Compose in a word what takes templates elsewhere."""

    def compose(letter, now):
        headers = mail.headers("digest", "x")
        content = mail.Content.of("Papers", "Hello.\n", "<p>Hello.</p>", headers)
        return replace(content, item_ids=[pick.paper_id for pick in letter.digest.picks.all()])

    for kind in ("digest", "welcome"):
        monkeypatch.setitem(registry.composers, kind, make.one_by_one(compose))


def readers(count=3, **fields):
    """Make readers who are due, each with a paper to get."""
    make.paper("Graphs")
    return [make.subscriber(interests="graphs", **fields) for _ in range(count)]


def run(now=NOW):
    """Plan and deliver what is due, as each minute does."""
    planning.plan(now)
    delivery.deliver_due(running_from(now))


def lose_rows():
    """Put the database back to before the letters were planned, as a restored backup does."""
    Letter.objects.all().delete()
    Subscriber.objects.update(next_due_at=NOW)


def lose_ends():
    """Put the database back to after planning and before delivery."""
    Letter.objects.update(
        state="planned", attempt=0, message_id="", frozen_at=None, left_at=None, ended_at=None
    )
    LetterEvent.objects.exclude(became="planned").delete()


def restore(lose):
    lose()
    sending.stop("the operator", NOW)


def resume():
    sending.resume("the operator", NOW)
    run(LATER)


def test_letters_whose_rows_were_lost_do_not_leave_again(sent):
    readers(3)
    run()
    restore(lose_rows)
    found = reconcile(LATER, BACKUP)
    resume()
    assert (found.waiting, found.lost) == (0, 3)
    assert sent() == 3
    assert {(one.state, one.reason) for one in Letter.objects.all()} == {
        ("accepted", "found by reconcile")
    }
    assert Digest.objects.count() == 3
    assert [one.became for one in LetterEvent.objects.all()] == ["accepted"] * 3


@pytest.mark.parametrize("lacks_papers", [False, True])
def test_papers_that_were_sent_in_lost_hours_do_not_come_again(sent, lacks_papers):
    readers(2)
    run()
    restore(lose_rows)
    papers = list(Paper.objects.all())
    if lacks_papers:
        Paper.objects.all().delete()
    reconcile(LATER, BACKUP)
    if lacks_papers:
        Paper.objects.bulk_create(papers)  # They are harvested again.
    new = make.paper("Graphs of the next day", day=(NOW + DAY).date())
    resume()
    run(NOW + DAY)
    next_day = Pick.objects.filter(digest__day=new.day)
    assert [pick.paper for pick in next_day] == [new, new]


def test_papers_that_the_journal_names_are_picks_of_the_lost_day(settings):
    with MailServer() as server:
        settings.EMAIL_URL = server.url
        readers(2)
        run()
    had = set(Pick.objects.values_list("subscriber", "paper"))
    restore(lose_rows)
    assert reconcile(LATER, BACKUP).unlisted == 0
    assert set(Pick.objects.values_list("subscriber", "paper")) == had
    assert not Digest.objects.filter(recovered__isnull=False).exists()


def test_of_a_journal_without_items_what_was_new_is_not_picked_again(settings, data_dir):
    """An older version wrote it."""
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    (reader,) = readers(1)
    planning.plan(NOW)
    name = message_ids.of(Letter.objects.get())
    journal = Journal(data_dir / "journal")
    journal.write([Entry(1, 1, name, "250 ok", NOW.isoformat())])
    journal.leave()
    restore(lose_rows)
    assert reconcile(NOW + DAY, BACKUP).unlisted == 1
    assert Digest.objects.get().recovered == {"until": "2026-06-01"}
    new = make.paper("Graphs of the next day", day=(NOW + DAY).date())
    _, planned = planning.preview(reader, new.day, NOW + DAY)
    assert [pick.paper_id for pick in planned] == [new.pk]


def test_without_it_they_would(sent):
    """What the other tests prevent does happen."""
    readers(3)
    run()
    restore(lose_rows)
    resume()
    assert sent() == 6


def test_letters_that_waited_in_the_backup_do_not_leave_again(sent):
    readers(3)
    run()
    ids = set(Letter.objects.values_list("message_id", flat=True))
    restore(lose_ends)
    found = reconcile(LATER, BACKUP)
    resume()
    assert (found.waiting, found.lost) == (3, 0)
    assert sent() == 3
    assert set(Letter.objects.values_list("message_id", "state")) == {
        (message_id, "accepted") for message_id in ids
    }
    assert Pick.objects.count() == 3


def next_day_passes():
    """Plan and sweep on the next day, as beat and cron do whether or not sending is stopped."""
    make.paper("Graphs of the next day", day=(NOW + DAY).date())
    planning.plan(NOW + DAY)
    sweeper.sweep(NOW + DAY)


def test_what_waited_in_the_backup_makes_no_way_before_it_was_looked_for(sent):
    """The next day is due for her while sending is stopped."""
    (reader,) = readers(1)
    run()
    had = set(Pick.objects.values_list("paper", flat=True))
    restore(lose_ends)
    next_day_passes()
    assert reconcile(NOW + DAY, BACKUP).waiting == 1
    sending.resume("the operator", NOW)
    run(NOW + DAY + MINUTE)
    first, second = Letter.objects.filter(subscriber=reader).order_by("day")
    assert (first.state, first.reason) == ("accepted", "found by reconcile")
    assert (second.state, sent()) == ("accepted", 2)
    assert set(Pick.objects.filter(digest__letter=first).values_list("paper", flat=True)) == had
    again = Pick.objects.filter(digest__letter=second)
    assert again.exists()
    assert had.isdisjoint(again.values_list("paper", flat=True))


def test_what_waited_in_the_backup_is_not_closed_before_it_was_looked_for(sent):
    """Her day has ended by then, and she is not due again."""
    readers(1, weekdays=1)
    run()
    restore(lose_ends)
    sweeper.sweep(NOW + 3 * DAY)
    assert reconcile(NOW + 3 * DAY, BACKUP).waiting == 1
    sending.resume("the operator", NOW)
    run(NOW + 3 * DAY)
    assert Letter.objects.get().state == "accepted"
    assert (sent(), Pick.objects.count()) == (1, 1)


def test_a_lost_day_is_not_called_missed_before_it_was_looked_for(sent):
    readers(1)
    run()
    restore(lose_rows)
    next_day_passes()
    assert reconcile(NOW + DAY, BACKUP).lost == 1
    sending.resume("the operator", NOW)
    run(NOW + DAY)
    states = Letter.objects.order_by("day").values_list("state", "reason")
    assert list(states) == [("accepted", "found by reconcile"), ("accepted", "")]
    assert sent() == 2


def test_a_welcome_letter_is_known_again_too(sent):
    """The first letter, of a day without papers."""
    make.subscriber()
    run()
    assert Letter.objects.get().kind == "welcome"
    restore(lose_rows)
    assert reconcile(LATER, BACKUP).lost == 1
    resume()
    assert sent() == 1


def test_a_letter_that_has_a_name_already_is_looked_for_by_it(settings, data_dir):
    """It was frozen under another domain, say."""
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    readers(1)
    planning.plan(NOW)
    name = "<digest.2026-06-01.1f3a@elsewhere.example>"
    Letter.objects.update(state="uncertain", message_id=name, frozen_at=NOW, left_at=NOW)
    noted = Journal(data_dir / "journal")
    noted.write([Entry(1, 1, name, "250 ok", NOW.isoformat())])
    noted.leave()
    sending.stop("the operator", NOW)
    assert reconcile(LATER, BACKUP).waiting == 1
    assert Letter.objects.get().state == "accepted"


def test_one_that_was_given_up_before_it_was_looked_for_is_found(sent):
    """It was in doubt in the backup, and its day ended while sending was stopped."""
    readers(1)
    run()
    Letter.objects.update(state="transmitting", ended_at=None, lease_until=NOW)
    LetterEvent.objects.filter(became="accepted").delete()
    sending.stop("the operator", NOW)
    for hours in (20, 21):
        sweeper.sweep(NOW + hours * HOUR)
    reconcile(NOW + 22 * HOUR)
    letter = Letter.objects.get()
    assert (letter.state, sent(), Pick.objects.count()) == ("accepted", 1, 1)
    assert broken(NOW + 22 * HOUR).keys() <= {"planned"}  # Sending is stopped.
    assert reconcile(NOW + 23 * HOUR).waiting == 0


def test_a_journal_of_the_lost_hours_is_not_replayed_onto_another_letter(settings, data_dir):
    """The restored database gives the numbers of lost letters again."""
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    readers(1)
    planning.plan(NOW)
    letter = Letter.objects.get()
    noted = Journal(data_dir / "journal")
    noted.write([Entry(letter.pk, 0, "<digest.lost@paperboy.example>", "250", NOW.isoformat())])
    noted.leave()
    sweeper.sweep(LATER)
    letter.refresh_from_db()
    assert letter.state == "planned"


def test_letters_that_had_not_left_leave_afterwards(sent):
    readers(1)
    run()
    restore(lose_rows)
    readers(2)
    assert reconcile(LATER, BACKUP).lost == 1
    resume()
    assert sent() == 3


def test_a_memory_that_ends_a_little_earlier_than_was_said_costs_nobody_a_second_letter(sent):
    readers(2)
    run()
    restore(lose_rows)
    assert reconcile(LATER, NOW + timedelta(hours=1)).lost == 2
    resume()
    assert sent() == 2


def test_a_digest_of_the_day_before_that_left_after_midnight_is_found(sent):
    readers(1, hour=23)
    run(NOW + timedelta(hours=13))  # At one o'clock.
    assert Letter.objects.get().day == NOW.date()
    restore(lose_rows)
    midnight = NOW + timedelta(hours=12.5)
    found = reconcile(NOW + timedelta(hours=15), midnight)
    assert found.lost == 1
    assert Letter.objects.get().day == NOW.date()


def test_a_day_that_the_database_remembers_is_not_called_lost(sent):
    readers(1)
    run()
    sending.stop("the operator", NOW)
    assert reconcile(LATER, NOW + timedelta(hours=20)).lost == 0


def test_a_letter_that_came_back_had_left(settings):
    settings.EMAIL_URL = "smtp://127.0.0.1:1"  # No journal, and nobody to ask.
    readers(1)
    planning.plan(NOW)
    name = message_ids.of(Letter.objects.get())
    LetterFact.objects.create(
        kind="bounced", noted_at=NOW, via="mail", key="a report", message_id=name
    )
    restore(lose_rows)
    assert reconcile(LATER, BACKUP).lost == 1


def test_a_reader_who_is_erased_meanwhile_stays_so(sent):
    one, other = readers(2)
    run()
    restore(lose_rows)
    lost = reconciling._lost_days(BACKUP, LATER)
    Subscriber.objects.filter(pk=one.pk).delete()
    known = {name: Evidence(NOW) for name, day in lost.items() if day.day == NOW.date()}
    reconciling._write_down({name: lost[name] for name in known}, known, NOW)
    assert Letter.objects.get().subscriber == other


def test_it_may_be_run_again(sent):
    readers(2)
    run()
    restore(lose_rows)
    reconcile(LATER, BACKUP)
    again = reconcile(LATER, BACKUP)
    assert (again.waiting, again.lost) == (0, 0)
    assert Letter.objects.count() == 2


def test_a_rehearsal_says_what_it_found_and_writes_nothing(sent):
    readers(2)
    run()
    lose_rows()
    assert reconcile(LATER, BACKUP, dry_run=True).lost == 2
    assert not Letter.objects.exists()
    assert not LetterEvent.objects.exists()


def test_it_refuses_while_letters_may_leave(sent):
    readers(1)
    run()
    lose_rows()
    with pytest.raises(Refused, match="Stop sending first"):
        reconcile(LATER, BACKUP)
    assert not Letter.objects.exists()


def test_each_lost_day_of_several_is_found(sent):
    (reader,) = readers(1)
    run()
    make.paper("Graphs again")
    tomorrow = NOW + timedelta(days=1)
    run(tomorrow)
    restore(lose_rows)
    assert reconcile(tomorrow, BACKUP).lost == 2
    days = set(Letter.objects.filter(subscriber=reader).values_list("day", flat=True))
    assert days == {date(2026, 6, 1), date(2026, 6, 2)}


def test_a_reader_who_moved_zones_in_the_lost_hours_is_found(sent):
    (reader,) = readers(1, timezone="Pacific/Auckland")
    run()
    restore(lose_rows)
    Subscriber.objects.update(timezone="Pacific/Honolulu")
    assert reconcile(LATER, BACKUP).lost == 1
    assert Letter.objects.get(subscriber=reader).day == date(2026, 6, 2)


def test_what_was_planned_while_it_looked_does_not_leave_again(sent, monkeypatch):
    """Planning was under way when sending was stopped."""
    readers(1)
    run()
    restore(lose_rows)
    known = reconciling._known

    def plan_meanwhile(expected, since):
        if expected and not Letter.objects.exists():
            sending.resume("the operator", NOW)
            planning.plan(LATER)
            sending.stop("the operator", NOW)
        return known(expected, since)

    monkeypatch.setattr(reconciling, "_known", plan_meanwhile)
    assert reconcile(LATER, BACKUP).lost == 1
    resume()
    assert sent() == 1
    assert Letter.objects.get().state == "accepted"


def test_what_was_let_go_of_while_it_looked_does_not_leave_again(sent, monkeypatch):
    """Sending was stopped while a worker had claimed it."""
    readers(1)
    run()
    lose_ends()
    (claimed,), _ = ledger.claim(NOW, 1)
    sending.stop("the operator", NOW)
    known = reconciling._known

    def let_go_meanwhile(expected, since):
        ledger.release([claimed], NOW, "sending was stopped")
        return known(expected, since)

    monkeypatch.setattr(reconciling, "_known", let_go_meanwhile)
    assert reconcile(LATER, BACKUP).waiting == 1
    resume()
    assert sent() == 1
    assert Letter.objects.get().state == "accepted"


def test_without_a_moment_it_looks_from_the_last_event_on(sent):
    (early, _) = readers(2)
    run()
    restore(lose_ends)
    Letter.objects.exclude(subscriber=early).delete()
    found = reconcile(LATER)
    assert (found.since, found.waiting, found.lost) == (NOW, 1, 1)


def test_what_workers_write_while_sending_is_stopped_is_no_memory_of_the_lost_hours(sent):
    """They let go of what somebody had claimed in the backup."""
    readers(2)
    run()
    restore(lose_ends)
    Letter.objects.filter(pk=Letter.objects.first().pk).update(state="claimed", lease_until=NOW)
    sweeper.sweep(NOW + 2 * DAY)
    assert LetterEvent.objects.last().at == NOW + 2 * DAY
    found = reconcile(NOW + 2 * DAY)
    assert (found.since, found.waiting) == (NOW, 2)


def test_a_database_without_memory_asks_since_when(sent):
    with pytest.raises(Refused, match="Say since when"):
        reconcile(LATER, dry_run=True)


def test_the_command_says_what_it_found(sent, capsys):
    readers(2)
    run()
    restore(lose_rows)
    call_command("reconcile", "--since", "2026-06-01T08:00+00:00", "--dry-run")
    out = capsys.readouterr().out
    assert "since 2026-06-01 08:00 UTC" in out
    assert "of days without a letter, 2." in out
    assert "Nothing was written." in out


def test_the_command_says_how_many_had_unsubscribed_in_the_lost_hours(settings, outbox, capsys):
    with MailServer() as server:
        settings.EMAIL_URL = server.url
        who_left, who_left_before, _ = readers(3)
        signup.unsubscribe(who_left_before.public_id, door=Door("letter"), now=BACKUP)
        delivery.deliver_due(running_from(BACKUP))
        signup.unsubscribe(who_left.public_id, door=Door("letter"), now=NOW)
        run()
        assert len(server.accepted) == 3
    who_left.letters.all().delete()
    Subscriber.objects.filter(pk=who_left.pk).update(unsubscribed_at=None, next_due_at=NOW)
    call_command("reconcile", "--since", BACKUP.isoformat(), "--dry-run")
    assert "1 reader had unsubscribed, as goodbyes tell" in capsys.readouterr().out


def test_the_command_calls_nothing_accepted_where_nothing_was_found(sent, capsys):
    call_command("sending", "stop")
    call_command("reconcile", "--since", "2026-06-01T08:00+00:00")
    assert "Nothing was written." in capsys.readouterr().out


def test_the_command_refuses_in_a_sentence(sent):
    with pytest.raises(CommandError, match="Stop sending first"):
        call_command("reconcile", "--since", "2026-06-01T08:00+00:00")
