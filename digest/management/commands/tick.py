"""`manage.py tick`: one pass of planning and delivery, for cron or by hand."""

from django.conf import settings

from digest.management import base
from digest.models import ReaderModel
from digest.numbers import counted
from digest.operations import alarms, heartbeats
from digest.personalization import feedback
from subscriptions.delivery import circuit_breaker, clock, messages, queue, worker
from subscriptions.models import Letter, Subscriber


class Command(base.Command):
    help = "Plan the digests and send the emails that are due, once."

    def add_arguments(self, parser):
        parser.add_argument("--now", type=base.moment, help="Act as if it were this time.")
        parser.add_argument("--dry-run", action="store_true", help="Only say what would be done.")

    def handle(self, *, now, dry_run, **options):
        clock_now = clock.running_from(now) if now else clock.database_now
        if dry_run:
            return self._dry_run(clock_now())
        if now is None:
            heartbeats.beat(heartbeats.TICK, clock_now())
            heartbeats.record_key(clock_now())
        if ReaderModel.objects.outdated(clock_now()).exists():
            feedback.learn(clock_now())
        queue.sweep(clock_now())  # First: letters that expire release their papers.
        messages.write_due(clock_now())
        try:
            self._plan(clock_now())
        except OSError:  # For example a full disk. Waiting emails are sent all the same.
            self._deliver(clock_now)
            raise
        self._deliver(clock_now)
        if now is None:  # Cron can replace beat.
            alarms.check_rarely(clock_now())

    def _plan(self, now):
        if not Subscriber.objects.due(now).exists():
            scheduled = Subscriber.objects.subscribed().filter(next_due_at__isnull=False)
            due_at = scheduled.order_by("next_due_at").values_list("next_due_at", flat=True).first()
            next_text = f" The next one is at {due_at:%Y-%m-%d %H:%M} UTC." if due_at else ""
            self.stdout.write(f"No digests due.{next_text}")
            return
        from digest.planning import plan, summaries  # numpy, which an idle minute need not import.

        totals = plan.plan(now)
        if settings.LLM_URL:
            summaries.write_due(lambda: now)
        self.stdout.write(
            f"Planned {counted(totals.letters, 'digest')}; {totals.quiet:,} had no matches, "
            f"{counted(totals.missed, 'missed day')}."
        )

    def _deliver(self, clock_now):
        counts = worker.deliver_due(clock_now)
        due_text = counted(sum(counts.values()), "due email")
        self.stdout.write(f"Sent {counts['accepted']:,} of {due_text}.")
        self._print_stop_reason(clock_now())

    def _dry_run(self, now):
        digests = counted(Subscriber.objects.due(now).count(), "digest")
        plan = "none is planned" if circuit_breaker.is_stopped() else _describe_plan(now)
        emails = counted(Letter.objects.due(now).count(), "queued email")
        verb = "wait" if circuit_breaker.current().wait_reason(now) else "be sent"
        self.stdout.write(f"{digests} due: {plan}. {emails} would {verb}. Nothing was changed.")
        self._print_stop_reason(now)

    def _print_stop_reason(self, now):
        if reason := circuit_breaker.current().wait_reason(now):
            or_planned = " or planned" if circuit_breaker.is_stopped() else ""
            self.stdout.write(f"No emails are sent{or_planned}: {reason}.")


def _describe_plan(now) -> str:
    """Return how many digests would be planned now, and how many of them would be empty."""
    from digest.planning import plan

    digest_count = quiet_count = 0
    for batch in plan.due_batches(now):
        plan.rank_due(batch, now, may_store=False)
        digest_count += sum(bool(entry.papers) for entry in batch)
        quiet_count += sum(not entry.papers for entry in batch)
    return f"{digest_count:,} would be planned, {quiet_count:,} would have no matches"
