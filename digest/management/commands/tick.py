"""`manage.py tick`: one pass of planning and delivery, for cron or by hand."""

from django.utils import timezone

from digest import steering
from digest.management import base
from digest.models import ReaderModel
from subscriptions.models import Letter, Subscriber
from subscriptions.post import office


class Command(base.Command):
    help = "Plan the digests that are due and deliver the letters that are due, once."

    def add_arguments(self, parser):
        parser.add_argument("--now", type=base.moment, help="The moment, with zone.")
        parser.add_argument("--dry-run", action="store_true", help="Say what would be done.")

    def handle(self, *, now, dry_run, **options):
        def clock():
            return now or timezone.now()

        if dry_run:
            return self._say_what_would_be(clock())
        if ReaderModel.objects.outdated(clock()).exists():
            steering.learn(clock())
        plan = self._plan(clock())
        office.sweep(clock())
        accepted = tried = 0
        while due := office.due(clock()):
            tried += len(due)
            accepted += sum(office.deliver(letter_id, clock()) for letter_id in due)
        if plan is None:
            self.stdout.write(f"Nobody is due.{_when_next()}")
        else:
            self.stdout.write(
                f"Planned {plan.letters} digests; {plan.quiet} had nothing to say, "
                f"{plan.missed} days were missed."
            )
        self.stdout.write(f"Delivered {accepted} of {tried} letters that were due.")

    def _plan(self, now):
        if not Subscriber.objects.due(now).exists():
            return None
        from digest import planning  # numpy's import, which an idle minute need not pay.

        return planning.plan(now)

    def _say_what_would_be(self, now):
        from digest import planning

        digests = quiet = 0
        for shard in planning.shards(now):
            _, dues = planning.propose(shard, now, may_store=False)
            digests += sum(bool(due.papers) for due in dues)
            quiet += sum(not due.papers for due in dues)
        letters = Letter.objects.due(now).count()
        late = Subscriber.objects.due(now).count()
        self.stdout.write(
            f"{late} subscribers are due: {digests} digests would be planned, {quiet} would have "
            f"nothing to say. {letters} letters that wait already would be delivered. "
            f"Nothing was written."
        )


def _when_next():
    """Return when the next subscriber is due, as a sentence."""
    moments = Subscriber.objects.wanting().filter(next_due_at__isnull=False)
    moment = moments.order_by("next_due_at").values_list("next_due_at", flat=True).first()
    return f" The next is at {moment:%Y-%m-%d %H:%M} UTC." if moment else ""
