"""`manage.py inbound`: read bounces from a mail server's pipe or a mailbox."""

import os
import sys

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone

from digest.management import base
from subscriptions.bounces import inbound, mailboxes
from subscriptions.bounces.parse import MAX_OCTETS

#: Environment variables with the recipient, by Postfix's local(8).
RECIPIENT_VARIABLES = ("ORIGINAL_RECIPIENT", "RECIPIENT")
CHUNK = 65_536


class Command(base.Command):
    help = (
        "Read one bounce from standard input or, with --mailbox, all messages in BOUNCE_MAILBOX. "
        "Exits with 75 (try again later) if a message could not be recorded."
    )

    def add_arguments(self, parser):
        parser.add_argument(
            "--recipient",
            metavar="ADDRESS",
            action="append",
            default=[],
            help="The address that received the bounce, if known.",
        )
        parser.add_argument("--mailbox", action="store_true", help="Read and empty BOUNCE_MAILBOX.")

    def execute(self, *args, **options):
        try:
            return super().execute(*args, **options)
        except Exception as error:  # The mail server keeps the message and tries again.
            reason = str(error) if isinstance(error, CommandError) else type(error).__name__
            raise CommandError(f"Not recorded: {reason}", returncode=os.EX_TEMPFAIL) from error

    def handle(self, *, recipient, mailbox, **options):
        if mailbox:
            self._empty_mailbox()
        else:
            recipients = (*recipient, *filter(None, map(os.environ.get, RECIPIENT_VARIABLES)))
            mime = sys.stdin.buffer.read(MAX_OCTETS)
            while sys.stdin.buffer.read(CHUNK):  # The writer must not get an error.
                pass
            self.stdout.write(inbound.receive(mime, timezone.now(), recipients))

    def _empty_mailbox(self):
        if not settings.BOUNCE_MAILBOX:
            raise CommandError("BOUNCE_MAILBOX is not set: see docs/email.md.")
        box = mailboxes.mailbox_for(settings.BOUNCE_MAILBOX)
        try:
            counts = mailboxes.empty(box, timezone.now())
        except mailboxes.MailboxError as error:
            raise CommandError(f"{error}.") from None
        outcome_counts = [f"{count} {outcome}" for outcome, count in counts.items()]
        self.stdout.write(", ".join(outcome_counts) or "No messages.")
