"""`manage.py digest EMAIL`: one subscriber's digest, with scores and reasons. Writes nothing."""

from pathlib import Path

from django.core.management.base import CommandError
from django.utils import timezone
from rich.console import Console
from rich.text import Text

from digest.letters import compose
from digest.management import base
from digest.numbers import counted
from digest.planning import plan
from digest.wording import reason_of
from subscriptions import schedule
from subscriptions.mail import render
from subscriptions.models import Subscriber


class Command(base.Command):
    help = "Show a subscriber's digest with scores and reasons. Sends and stores nothing."

    def add_arguments(self, parser):
        parser.add_argument("email")
        parser.add_argument("--date", type=base.day, help="Local day (default: today).")
        parser.add_argument("--output", type=Path, help="Write the message to this .eml file.")

    def handle(self, *, email, date, output, **options):
        subscriber = Subscriber.objects.with_address(email).first()
        if subscriber is None:
            raise CommandError("No subscriber has this address. Check the spelling.")
        now = timezone.now()
        day = date or schedule.local_day(now, subscriber.zone)
        digest, picks = plan.digest_of(subscriber, day, now)
        if digest.pk:
            note = f"planned; email: {digest.letter.state_text}"
        else:
            note = "preview, not planned yet"
        self._show(digest, picks, note)
        if output is not None:
            content = compose.preview(digest, picks)
            message_id = f"<preview@{render.from_address().domain}>"
            message = render.as_bytes(content, to=subscriber.email, message_id=message_id, date=now)
            with base.explained_write_errors(output):
                output.write_bytes(message)
            self.stdout.write(f"Email written to {output}.")

    def _show(self, digest, picks, note):
        console = Console(file=self.stdout, highlight=False, soft_wrap=True)
        console.print(Text(f"Digest of {digest.day} ({note})"))
        console.print(Text(f"{len(picks)} of {counted(digest.considered, 'new paper')} picked"))
        for pick in picks:
            console.print()
            console.print(Text(f"{pick.position:>3}. {pick.paper.title}", style="bold"))
            console.print(Text(f"     {pick.score:.3f}  {reason_of(pick)}"))
            if pick.terms and ", ".join(pick.terms) not in reason_of(pick):
                console.print(Text(f"     matched terms: {', '.join(pick.terms)}"))
            for paper in pick.folded:
                console.print(Text(f"     similar: {paper.title}"))
            console.print(Text(f"     {pick.paper_id}  {pick.paper.day}  {pick.paper.link}"))
