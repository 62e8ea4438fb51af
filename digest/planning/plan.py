"""Plan digests: find who is due, rank for them, and write digests and letters in bulk.

May run at any time, also concurrently: a day is never written twice (UNIQUE(subscriber, day)), and
a subscriber who was planned is no longer due. Ranking is done outside of the transaction that
writes. Subscribers who changed in between are left for the next pass. Leases only keep two planners
from ranking the same subscribers.

The new papers of a subscriber came in since their last completed day was planned. So no paper is
lost by a pause, by days without digests, or by days that failed (see due.new_after).

Nobody gets two digests in a row: of several days on which nothing ran, only the last is planned,
and spacing.py keeps a late digest and the next one apart.

A subscriber gets no digest now for the first of these reasons:

1. they are not subscribed, or `next_due_at`, which knows their hour, days and pause, is ahead;
2. sending is stopped, or another planner has the lease of their part;
3. papers that they added are still looked up, or arXiv's list is awaited (HARVEST_GRACE at most);
4. their day is over (the digest is missed), or the previous one is not sent or too recent;
5. their row is locked or has changed: the next pass plans them;
6. no paper was chosen (skipped, but for a first digest or if they want empty ones), or its
   summaries are awaited;
7. a worker does not send it (transitions.skip_reason, circuit_breaker), or the server
   refuses or defers it (outcomes.record).
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from itertools import batched
from uuid import uuid4

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, Subquery
from django.db.models.functions import Mod

from digest.indexing import candidate_windows, model_store
from digest.indexing.candidate_windows import for_digests, lookback_days
from digest.models import NOTHING_TO_SAY, Digest, Paper, Pick, Recommendation, bulk_insert
from digest.models.locks import Lease
from digest.papers import coverage
from digest.personalization import added_papers
from digest.planning.due import (
    ONE_DAY,
    DueSubscriber,
    due_of,
    last_completed,
    new_after,
    set_next_due,
    skipped_since,
)
from digest.planning.selection import PICK_FIELDS, chosen_ids, pick_values, rank, unsaved_pick
from digest.planning.spacing import due_after_gap, expire_old, lock_days
from digest.planning.summaries import MIN_LEFT, WAIT
from subscriptions import schedule
from subscriptions.delivery import circuit_breaker
from subscriptions.models import Letter, LetterEvent, Subscriber

logger = logging.getLogger(__name__)

BATCH = 2_000  # Subscribers that are ranked together.
SAVE_BATCH = 500  # Subscribers in a transaction, which blocks other writers on SQLite.
#: Longer than a batch takes. After a crash of a planner, the next one waits so long.
LEASE = timedelta(minutes=2)

#: The fields of each model that planning writes.
LETTER = "id", "subscriber_id", "day", "kind", "state", "reason", "closes_at", "ended_at"
EVENT = "letter_id", "new_state", "note"
DIGEST = "id", "letter_id", "subscriber_id", "day", "public_id", "considered", "since", "receipt"

State = Letter.State


@dataclass
class Plan:
    """How many letters, days without papers, missed and counted days a pass has written."""

    letters: int = 0
    quiet: int = 0
    missed: int = 0
    counted: int = 0

    def __add__(self, other):
        return Plan(
            self.letters + other.letters,
            self.quiet + other.quiet,
            self.missed + other.missed,
            self.counted + other.counted,
        )


def plan(now, on_saved: Callable[[], object] = lambda: None) -> Plan:
    """Write the digests of all subscribers who are due. Return the counts.

    Calls `on_saved` after each batch with letters, so that their delivery need not wait for the
    other batches.

    Subscribers are divided into PLANNERS parts by their ids. A part that another planner holds is
    skipped, so several planners share the work. Nothing is planned while sending is stopped: after
    a restored backup, letters that seem to wait may have been sent.
    """
    total = Plan()
    if not Subscriber.objects.due(now).exists() or circuit_breaker.is_stopped():
        return total
    for part in range(settings.PLANNERS):
        lease = Lease(f"planning {part}", LEASE)
        if not lease.acquire():
            logger.info("Another worker is planning part %s", part)
            continue
        try:
            total += _plan(lease, part, now, on_saved)
        finally:
            lease.release()
    return total


def _plan(lease, part, now, on_saved):
    total = Plan()
    expire_old(now)
    candidate_windows.record_arrivals(schedule.local_day(now, UTC), now)
    for dues in due_batches(now, part):
        if not lease.renew():
            logger.warning("The planning lease expired; another worker has taken over")
            break
        ready_dues = due_after_gap(dues, now)
        rank_due(ready_dues, now)
        receipt, batch_plan = coverage.receipt_json(now), Plan()
        for batch in batched(ready_dues, SAVE_BATCH):
            try:
                batch_plan += save_plan(batch, receipt, now)
            except IntegrityError:  # A paper has come in again that was sent long ago.
                rank_due(batch, now, recent_only=False)
                batch_plan += save_plan(batch, receipt, now)
        if batch_plan.letters:
            on_saved()
        total += batch_plan
    candidate_windows.drop_long_windows()
    return total


def plan_now(subscriber: Subscriber, now) -> DueSubscriber:
    """Plan a subscriber's digest of today, whatever their hour. Return what was ranked.

    `next_due_at` must be `now`. A day without papers is not stored.
    """
    candidate_windows.record_arrivals(schedule.local_day(now, UTC), now)
    due = due_of(subscriber, now)
    rank_due([due], now, recent_only=False)
    if due.papers:
        save_plan([due], coverage.receipt_json(now), now)
    return due


def due_batches(now, part: int | None = None) -> Iterator[list[DueSubscriber]]:
    """Yield the subscribers who are due, of one part or all, by id, BATCH at a time.

    Until the day's papers have come in, all but first digests wait, HARVEST_GRACE at most.
    """
    rows = Subscriber.objects.due(now).exclude(added_papers.waiting_condition(now)).order_by("pk")
    last_id = 0
    if part is not None:
        rows = rows.alias(part=Mod("pk", settings.PLANNERS)).filter(part=part)
    if coverage.is_awaited(now):
        is_late = Q(next_due_at__lte=now - settings.HARVEST_GRACE)
        rows = rows.alias(any_digest=_any_of(Digest.objects.all()))
        rows = rows.filter(is_late | Q(any_digest=None))
    while subscribers := list(rows.filter(pk__gt=last_id)[:BATCH]):
        yield [due_of(subscriber, now) for subscriber in subscribers]
        last_id = subscribers[-1].pk


def rank_due(dues: Sequence[DueSubscriber], now, *, may_store=True, recent_only=True) -> None:
    """Set the papers of the dues. Writes no digest. `recent_only` is as for selection.rank.

    Runs a constant number of queries for each length of time, however many subscribers there are.
    """
    dues_with_day = [due for due in dues if due.day is not None]
    if not dues_with_day:
        return
    end_day = max(due.day for due in dues_with_day)
    last_days = last_completed([due.subscriber for due in dues_with_day], end_day)
    model = model_store.current(now, may_store=may_store)
    today = schedule.local_day(now, UTC)
    dues_by_days = defaultdict(list)
    for due in dues_with_day:
        last_day, planned_at = last_days.get(due.subscriber.pk, (None, None))
        due.new_after = new_after(due.subscriber, planned_at, now)
        due.skipped_since = skipped_since(due.subscriber, last_day, due.day)
        is_monthly = due.subscriber.is_monthly
        dues_by_days[lookback_days(today, due.new_after, is_monthly=is_monthly)].append(due)
    for days, batch in sorted(dues_by_days.items()):
        rank(batch, for_digests(model, today, days), recent_only=recent_only)


def digest_of(subscriber: Subscriber, day: date, now) -> tuple[Digest, list[Pick]]:
    """Return the subscriber's digest of this day with its picks: as planned, or else a preview."""
    digest = Digest.objects.filter(subscriber=subscriber, day=day).select_related("letter").first()
    if digest is None:
        return preview(subscriber, day, now)
    return digest, list(digest.picks.with_papers())


def preview(subscriber: Subscriber, day: date, now) -> tuple[Digest, list[Pick]]:
    """Return the digest that the subscriber would get that day, with its picks. Writes nothing."""
    due, end_day = due_on(subscriber, day, now)
    model = model_store.current(now, may_store=False)
    days = lookback_days(end_day, due.new_after, is_monthly=subscriber.is_monthly)
    rank([due], for_digests(model, end_day, days))
    candidate_windows.drop_long_windows()
    fields = {"considered": due.considered, "since": due.skipped_since}
    digest = Digest(subscriber=subscriber, day=day, **fields)
    papers = Paper.objects.in_bulk(chosen_ids(due.papers))
    return digest, [
        unsaved_pick(choice, papers, position, digest=digest, subscriber=subscriber)
        for position, choice in enumerate(due.papers, start=1)
    ]


def due_on(subscriber: Subscriber, day: date, now) -> tuple[DueSubscriber, date]:
    """Return the subscriber as if due on a local day, and the day (UTC) until which papers are
    dated.
    """
    last_day, planned_at = last_completed([subscriber], day).get(subscriber.pk, (None, None))
    due = DueSubscriber(subscriber, day, new_after=new_after(subscriber, planned_at, now))
    due.skipped_since = skipped_since(subscriber, last_day, day)
    is_today = day == schedule.local_day(now, subscriber.zone)
    return due, schedule.local_day(now, UTC) if is_today else day


def save_plan(
    dues: Sequence[DueSubscriber], receipt: dict, now, *, sent_from: date | None = None
) -> Plan:
    """Write the letters, digests and picks of these dues in one transaction.

    Missed days from `sent_from` on count as sent (see restoring.py).
    """
    letters, events, digests, planned_digests, waiting_ids = [], [], [], [], []
    with transaction.atomic():
        locked_dues = lock_days(dues, now)
        days = [(due, day) for due, unplanned_days in locked_dues for day in unplanned_days]
        # Subscribers without papers who have had no digest yet get a welcome.
        empty_ids = [due.subscriber.pk for due, day in days if day == due.day and not due.papers]
        new = Subscriber.objects.filter(bulk_insert.among("pk", empty_ids))
        new = new.alias(any_digest=_any_of(Digest.objects.not_missed())).filter(any_digest=None)
        welcomed_ids = set(new.values_list("pk", flat=True))
        letter_ids = bulk_insert.reserve_ids(Letter, len(days))
        digest_ids = bulk_insert.reserve_ids(Digest, len(days))
        ids = zip(letter_ids, digest_ids, strict=True)
        for (due, day), (letter_id, digest_id) in zip(days, ids, strict=True):
            subscriber = due.subscriber
            kind, state, reason, ended_at = Letter.Kind.DIGEST, State.PLANNED, "", None
            digest_fields = 0, None, {}
            if day != due.day and sent_from is not None and day >= sent_from:
                state, reason, ended_at = State.ACCEPTED, Letter.COUNTED_AS_SENT, now
            elif day != due.day:
                state, reason, ended_at = State.MISSED, "its day ended first", now
            else:
                digest_fields = due.considered, due.skipped_since, receipt
                planned_digests.append((digest_id, due))
                if subscriber.pk in welcomed_ids:
                    kind = Letter.Kind.WELCOME
                elif not due.papers and not subscriber.wants_quiet_days:
                    state, reason, ended_at = State.SKIPPED, NOTHING_TO_SAY, now
                elif due.papers and subscriber.summary_language and settings.LLM_URL:
                    waiting_ids.append(letter_id)
            closes_at = schedule.send_deadline(day, subscriber.zone)
            row = letter_id, subscriber.pk, day, kind, state, reason, closes_at, ended_at
            letters.append(row)
            events.append((letter_id, state, reason))
            digests.append((digest_id, letter_id, subscriber.pk, day, uuid4(), *digest_fields))
        bulk_insert.insert(Letter, LETTER, letters, created_at=now, next_try_at=now)
        if waiting_ids:
            waiting_letters = Letter.objects.filter(bulk_insert.among("pk", waiting_ids))
            waiting_letters.filter(closes_at__gt=now + MIN_LEFT).update(next_try_at=now + WAIT)
        bulk_insert.insert(LetterEvent, EVENT, events, at=now, attempt=0)
        bulk_insert.insert(Digest, DIGEST, digests)
        _save_picks(planned_digests)
        _forget_senders(planned_digests)
        for due, _ in locked_dues:  # To the next digest day: after a missed one, in the same month.
            day, subscriber = due.day, due.subscriber
            next_day = due.days[-1] + ONE_DAY if day is None else subscriber.first_day_after(day)
            subscriber.schedule_from(next_day)
        set_next_due({due.subscriber.pk: due.subscriber.next_due_at for due, _ in locked_dues})
    states = Counter(state for _, state, _ in events)
    names = State.PLANNED, State.SKIPPED, State.MISSED, State.ACCEPTED
    return Plan(*(states[state] for state in names))


def _forget_senders(digests):
    """Remove names and notes of recommendations that ended since the papers were ranked."""
    ids = [pk for pk, due in digests if "advice" in {choice.basis for choice in due.papers}]
    if ids:
        fields = {"paper": "paper", "receiver": "subscriber", "sender_name": "topic_name"}
        matches_pick = {name: OuterRef(field) for name, field in fields.items()}
        picks = Pick.objects.filter(bulk_insert.among("digest", ids), basis=Pick.Basis.ADVICE)
        ended_picks = picks.filter(~Exists(Recommendation.objects.valid().filter(**matches_pick)))
        ended_picks.update(topic_name="", terms=[])


def _any_of(digests):
    """Return a subquery for one of each subscriber's digests.

    Not EXISTS, because PostgreSQL may turn it into a join that reads all digests.
    """
    return Subquery(digests.order_by().filter(subscriber=OuterRef("pk")).values("pk")[:1])


def _save_picks(digests):
    """Write the picks of digests, each followed by those that are folded into it."""
    rows = []
    for digest_id, due in digests:
        keys = digest_id, due.subscriber.pk
        for position, choice in enumerate(due.papers, start=1):
            leader_row = len(rows)
            rows.append((None, *keys, *pick_values(choice, position)))
            rows += [(leader_row, *keys, *pick_values(choice, None, pk)) for pk in choice.relatives]
    ids = bulk_insert.reserve_ids(Pick, len(rows))
    leader_ids = [None if row[0] is None else ids[row[0]] for row in rows]
    picks = ((pk, leader, *row[1:]) for pk, leader, row in zip(ids, leader_ids, rows, strict=True))
    columns = ("id", "leader_id", "digest_id", "subscriber_id", *PICK_FIELDS)
    bulk_insert.insert(Pick, columns, picks)
