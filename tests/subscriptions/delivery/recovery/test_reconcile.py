"""After a restored backup: what left in the lost hours stays so, and nothing else is touched."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from django.core.management import CommandError, call_command

from digest.models import Digest, Paper, Pick
from digest.planning import plan
from subscriptions import hooks
from subscriptions.actions import signup
from subscriptions.actions.signup import ConsentSource
from subscriptions.delivery import circuit_breaker, message_ids, transitions
from subscriptions.delivery.clock import running_from
from subscriptions.delivery.recovery import reconcile as reconciling
from subscriptions.delivery.recovery import sweep
from subscriptions.delivery.recovery.journal import Entry
from subscriptions.delivery.recovery.reconcile import Evidence, Refused, reconcile
from subscriptions.delivery.worker import rounds
from subscriptions.models import Letter, LetterEvent, LetterFact, Subscriber
from tests.factories import make
from tests.factories.make import DAY, HOUR, MINUTE, NOW
from tests.helpers.invariants import broken
from tests.servers.smtp import MailServer
from tests.subscriptions.delivery.steps import note_in_a_dead_workers_journal

pytestmark = pytest.mark.django_db

BACKUP = NOW - timedelta(hours=4)
LATER = NOW + timedelta(hours=2)


@pytest.fixture
def sent(request, settings, outbox):
    """Return a function that counts the letters sent: into the outbox, or by a server that is
    asked for in the journal afterwards.
    """
    if getattr(request, "param", "file") == "file":
        yield lambda: len(outbox())
        return
    with MailServer() as server:
        settings.EMAIL_URL = server.url
        yield lambda: len(server.accepted)


@pytest.fixture(autouse=True)
def composed(monkeypatch):
    """Compose in a word what takes templates elsewhere."""

    def compose(letter, now):
        ids = [pick.paper_id for pick in letter.digest.picks.all()]
        return replace(make.content(), item_ids=ids)

    for kind in ("digest", "welcome"):
        monkeypatch.setitem(hooks.composers, kind, make.one_by_one(compose))


def subscribers(count=3, **fields):
    """Make subscribers who are due, each with a paper to get."""
    make.paper("Graphs")
    return [make.subscriber(interests="graphs", **fields) for _ in range(count)]


def run(now=NOW):
    """Plan and deliver what is due, as each minute does."""
    plan.plan(now)
    rounds.deliver_due(running_from(now))


def lose_rows():
    """Put the database back to before the letters were planned, as a restored backup does."""
    Letter.objects.all().delete()
    Subscriber.objects.update(next_due_at=NOW)


def lose_ends():
    """Put the database back to after planning and before delivery."""
    Letter.objects.update(
        state="planned", attempt=0, message_id="", frozen_at=None, left_at=None, ended_at=None
    )
    LetterEvent.objects.exclude(new_state="planned").delete()


def restore(lose):
    lose()
    circuit_breaker.stop("the operator", NOW)


@pytest.fixture
def planned(settings):
    """Plan a digest where no server is asked, nor anybody else. Return its letter."""
    settings.EMAIL_URL = "smtp://127.0.0.1:1"
    subscribers(1)
    plan.plan(NOW)
    return Letter.objects.get()


def keep_journal(message_id, number=1, attempt=1):
    """Leave a journal that tells that a letter was accepted."""
    entry = Entry(number, attempt, message_id, "250 ok", NOW.isoformat())
    note_in_a_dead_workers_journal(entry)


def resume():
    circuit_breaker.resume("the operator", NOW)
    run(LATER)


LOST_SINCE = [("smtp", BACKUP), ("file", NOW + HOUR)]


@pytest.mark.parametrize(("sent", "since"), LOST_SINCE, indirect=["sent"])
def test_letters_with_lost_rows_are_not_sent_again(sent, since):
    subscribers(2)
    run()
    restore(lose_rows)
    subscribers(2)
    assert reconcile(LATER, since, dry_run=True).lost == 2
    assert not Letter.objects.exists()
    assert not LetterEvent.objects.exists()
    found, again = reconcile(LATER, since), reconcile(LATER, since)
    assert (found.waiting, found.lost, again.waiting, again.lost) == (0, 2, 0, 0)
    known = Letter.objects.values_list("state", "reason", "events__new_state")
    assert list(known) == [("accepted", "found by reconcile", "accepted")] * 2
    resume()
    assert sent() == 4
    assert Digest.objects.count() == 4


@pytest.mark.parametrize(
    ("sent", "lacks_papers"), [("smtp", False), ("file", False), ("smtp", True)], indirect=["sent"]
)
def test_papers_sent_in_lost_hours_are_not_sent_again(sent, lacks_papers, settings):
    subscribers(2)
    run()
    had = set(Pick.objects.values_list("subscriber", "paper"))
    restore(lose_rows)
    papers = list(Paper.objects.all())
    if lacks_papers:
        Paper.objects.all().delete()
    unlisted = reconcile(LATER, BACKUP).unlisted
    if settings.EMAIL_URL.startswith("smtp:") and not lacks_papers:  # The journal names them.
        assert unlisted == Digest.objects.filter(recovered__isnull=False).count() == 0
        assert set(Pick.objects.values_list("subscriber", "paper")) == had
    if lacks_papers:
        Paper.objects.bulk_create(papers)  # They are harvested again.
    new = make.paper("Graphs of the next day", day=(NOW + DAY).date())
    resume()
    run(NOW + DAY)
    assert [pick.paper for pick in Pick.objects.filter(digest__day=new.day)] == [new, new]


def test_new_papers_are_not_repeated_without_journaled_items(planned):
    """An older version wrote it."""
    keep_journal(message_ids.for_letter(planned))
    restore(lose_rows)
    assert reconcile(NOW + DAY, BACKUP).unlisted == 1
    assert Digest.objects.get().recovered == {"until": "2026-06-01"}
    new = make.paper("Graphs of the next day", day=(NOW + DAY).date())
    _, planned = plan.preview(planned.subscriber, new.day, NOW + DAY)
    assert [pick.paper_id for pick in planned] == [new.pk]


def test_day_without_papers_after_a_recovered_one_is_planned(sent):
    """The first paper was sent, and is older than what the recovered digest may have had."""
    (subscriber,) = subscribers(1)
    run()
    keep_journal(message_ids.for_digest(subscriber.public_id, date(2026, 6, 2)))
    circuit_breaker.stop("the operator", NOW)
    assert reconcile(NOW + DAY, BACKUP).unlisted == 1
    circuit_breaker.resume("the operator", NOW)
    plan.plan(NOW + 2 * DAY)
    assert Digest.objects.get(day=date(2026, 6, 3)).considered == 0


@pytest.mark.parametrize("lose", [lose_rows, lose_ends])
def test_lost_day_keeps_its_papers_until_reconcile(sent, lose):
    (subscriber,) = subscribers(1)
    run()
    had = set(Pick.objects.values_list("paper", flat=True))
    restore(lose)
    # Beat and cron plan and sweep on the next day, whether or not sending is stopped.
    make.paper("Graphs of the next day", day=(NOW + DAY).date())
    plan.plan(NOW + DAY)
    sweep.sweep(NOW + DAY)
    found = reconcile(NOW + DAY, BACKUP)
    assert (found.waiting, found.lost) == ((1, 0) if lose is lose_ends else (0, 1))
    circuit_breaker.resume("the operator", NOW)
    run(NOW + DAY + MINUTE)
    first, second = Letter.objects.filter(subscriber=subscriber).order_by("day")
    assert (first.state, first.reason) == ("accepted", "found by reconcile")
    assert (second.state, sent()) == ("accepted", 2)
    if lose is lose_ends:
        assert set(Pick.objects.filter(digest__letter=first).values_list("paper", flat=True)) == had
    again = Pick.objects.filter(digest__letter=second)
    assert again.exists()
    assert had.isdisjoint(again.values_list("paper", flat=True))


def test_waiting_letter_stays_open_until_reconcile(sent):
    """Their day has ended by then, and they are not due again."""
    subscribers(1, weekdays=1)
    run()
    restore(lose_ends)
    sweep.sweep(NOW + 3 * DAY)
    assert reconcile(NOW + 3 * DAY, BACKUP).waiting == 1
    circuit_breaker.resume("the operator", NOW)
    run(NOW + 3 * DAY)
    assert Letter.objects.get().state == "accepted"
    assert (sent(), Pick.objects.count()) == (1, 1)


def test_letter_with_a_message_id_is_found_by_it(planned):
    """It was frozen under another domain, say."""
    name = "<digest.2026-06-01.1f3a@elsewhere.example>"
    Letter.objects.update(state="uncertain", message_id=name, frozen_at=NOW, left_at=NOW)
    keep_journal(name)
    circuit_breaker.stop("the operator", NOW)
    assert reconcile(LATER, BACKUP).waiting == 1
    assert Letter.objects.get().state == "accepted"


def test_letter_given_up_before_reconcile_is_found(sent):
    """It was uncertain in the backup, and its day ended while sending was stopped."""
    subscribers(1)
    run()
    Letter.objects.update(state="transmitting", ended_at=None, lease_until=NOW)
    LetterEvent.objects.filter(new_state="accepted").delete()
    circuit_breaker.stop("the operator", NOW)
    for hours in (20, 21):
        sweep.sweep(NOW + hours * HOUR)
    reconcile(NOW + 22 * HOUR)
    assert (Letter.objects.get().state, sent(), Pick.objects.count()) == ("accepted", 1, 1)
    assert broken(NOW + 22 * HOUR).keys() <= {"planned"}  # Sending is stopped.
    assert reconcile(NOW + 23 * HOUR).waiting == 0


def test_lost_journal_is_not_replayed_onto_another_letter(planned):
    """The restored database gives the numbers of lost letters again."""
    keep_journal("<digest.lost@paperboy.example>", planned.pk, 0)
    sweep.sweep(LATER)
    assert make.fresh(planned).state == "planned"


def test_yesterdays_digest_sent_after_midnight_is_found(sent):
    subscribers(1, hour=23)
    run(NOW + timedelta(hours=13))  # At one o'clock.
    assert Letter.objects.get().day == NOW.date()
    restore(lose_rows)
    midnight = NOW + timedelta(hours=12.5)
    assert reconcile(NOW + timedelta(hours=15), midnight).lost == 1
    assert Letter.objects.get().day == NOW.date()


def test_bounced_letter_counts_as_sent(planned):
    name = message_ids.for_letter(planned)
    defaults = {"noted_at": NOW, "via": "mail", "key": "a report"}
    LetterFact.objects.create(kind="bounced", message_id=name, **defaults)
    restore(lose_rows)
    assert reconcile(LATER, BACKUP).lost == 1


def test_subscriber_erased_meanwhile_stays_erased(sent):
    one, other = subscribers(2)
    run()
    restore(lose_rows)
    lost = reconciling._lost_days(BACKUP, LATER)
    Subscriber.objects.filter(pk=one.pk).delete()
    known = {name: Evidence(NOW) for name, (_, day) in lost.items() if day == NOW.date()}
    reconciling._create_letters({name: lost[name] for name in known}, known, NOW)
    assert Letter.objects.get().subscriber == other


def test_lost_welcome_letter_is_found(sent):
    """The first letter, of a day without papers."""
    make.subscriber()
    run()
    assert Letter.objects.get().kind == "welcome"
    restore(lose_rows)
    assert reconcile(LATER, BACKUP).lost == 1
    resume()
    assert sent() == 1


def test_each_of_several_lost_days_is_found(sent):
    (subscriber,) = subscribers(1)
    run()
    make.paper("Graphs again")
    run(NOW + DAY)
    restore(lose_rows)
    assert reconcile(NOW + DAY, BACKUP).lost == 2
    days = Letter.objects.filter(subscriber=subscriber).values_list("day", flat=True)
    assert set(days) == {date(2026, 6, 1), date(2026, 6, 2)}


def test_recovered_monthly_digest_is_the_months_only_one(sent):
    (subscriber,) = subscribers(1, is_monthly=True)
    run()
    restore(lose_rows)
    reconcile(NOW + 2 * DAY, BACKUP)
    circuit_breaker.resume("the operator", NOW)
    make.paper("Graphs again", day=(NOW + 2 * DAY).date())
    run(NOW + 2 * DAY)
    assert (sent(), make.fresh(subscriber).next_due_at.date()) == (1, date(2026, 7, 1))


def test_lost_digest_is_found_after_a_change_of_zones(sent):
    (subscriber,) = subscribers(1, timezone="Pacific/Auckland")
    run()
    restore(lose_rows)
    Subscriber.objects.update(timezone="Pacific/Honolulu")
    assert reconcile(LATER, BACKUP).lost == 1
    assert Letter.objects.get(subscriber=subscriber).day == date(2026, 6, 2)


@pytest.mark.parametrize("lose", [lose_rows, lose_ends])
def test_letters_planned_or_released_during_reconcile_are_not_resent(sent, monkeypatch, lose):
    """Planning was under way when sending was stopped, or a worker had claimed it."""
    subscribers(1)
    run()
    lose()
    claimed, _ = transitions.claim(NOW, 1)
    circuit_breaker.stop("the operator", NOW)
    known = reconciling._find_evidence

    def look_meanwhile(expected, since):
        if claimed:
            transitions.release(claimed, NOW, "sending was stopped")
        elif expected and not Letter.objects.exists():
            circuit_breaker.resume("the operator", NOW)
            plan.plan(LATER)
            circuit_breaker.stop("the operator", NOW)
        return known(expected, since)

    monkeypatch.setattr(reconciling, "_find_evidence", look_meanwhile)
    found = reconcile(LATER, BACKUP)
    assert (found.waiting, found.lost) == ((1, 0) if claimed else (0, 1))
    resume()
    assert sent() == 1
    assert Letter.objects.get().state == "accepted"


def test_default_since_is_the_last_event_before_the_stop(sent):
    """What workers write while sending is stopped is no memory of the lost hours."""
    with pytest.raises(Refused, match="with --since"):
        reconcile(LATER, dry_run=True)
    (early, _) = subscribers(2)
    run()
    restore(lose_ends)
    Letter.objects.exclude(subscriber=early).delete()
    Letter.objects.update(state="claimed", lease_until=NOW)
    sweep.sweep(LATER)
    assert LetterEvent.objects.last().at == LATER
    found = reconcile(LATER)
    assert (found.since, found.waiting, found.lost) == (NOW, 1, 1)


def test_command_prints_its_findings(sent, capsys):
    since = ("--since", "2026-06-01T08:00+00:00")
    with pytest.raises(CommandError, match="sending stop` first"):
        call_command("reconcile", *since)
    call_command("sending", "stop")
    call_command("reconcile", *since)
    assert "Nothing was changed." in capsys.readouterr().out
    circuit_breaker.resume("the operator", NOW)
    subscribers(2)
    run()
    restore(lose_rows)
    call_command("reconcile", *since, "--dry-run")
    out = capsys.readouterr().out
    assert "since 2026-06-01 08:00 UTC" in out
    assert "and 2 digests missing from this database." in out
    assert "Nothing was changed." in out


def test_command_counts_unsubscribes_in_the_lost_hours(settings, outbox, capsys):
    with MailServer() as server:
        settings.EMAIL_URL = server.url
        who_left, who_left_before, _ = subscribers(3)
        signup.unsubscribe(who_left_before.public_id, source=ConsentSource("letter"), now=BACKUP)
        rounds.deliver_due(running_from(BACKUP))
        signup.unsubscribe(who_left.public_id, source=ConsentSource("letter"), now=NOW)
        run()
        assert len(server.accepted) == 3
    who_left.letters.all().delete()
    Subscriber.objects.filter(pk=who_left.pk).update(unsubscribed_at=None, next_due_at=NOW)
    call_command("reconcile", "--since", BACKUP.isoformat(), "--dry-run")
    assert "1 subscriber had unsubscribed since" in capsys.readouterr().out
