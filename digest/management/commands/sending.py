"""`manage.py sending`: show, stop or resume the sending of emails, or count days as sent."""

import getpass
import os

from django.core.management.base import CommandError
from django.utils import timezone

from digest.management import base
from digest.numbers import counted
from digest.planning import restoring
from subscriptions.delivery import circuit_breaker, status


class Command(base.Command):
    help = (
        "Show the state of sending; stop all sending at once, or resume it. After a restored "
        "backup, `skip` counts the days since then as sent."
    )

    def add_arguments(self, parser):
        actions = ["status", "stop", "resume", "skip"]
        parser.add_argument("act", nargs="?", choices=actions, default="status")
        parser.add_argument("--by", metavar="NAME", help="Your name (default: the system user).")

        parser.add_argument(
            "--since", type=base.moment, help="For skip: time of the backup, with time zone."
        )

    def handle(self, *, act, by, since, **options):
        now = timezone.now()
        if (act == "skip") != (since is not None):
            raise CommandError("Write `sending skip --since MOMENT`, the time of the backup.")
        if act == "skip":
            self._skip(since, now)
        if act == "stop":
            circuit_breaker.stop(by or _system_user(), now)
        elif act == "resume":
            circuit_breaker.resume(by or _system_user(), now)
        self.stdout.write(status.sending_status(now).text)
        if act == "stop":
            self.stdout.write(
                "Emails already handed to the mail server may still arrive. No others are planned "
                "or sent until you run `manage.py sending resume`."
            )
        for queue in status.queues(now):
            self.stdout.write(f"{queue.count:>9,} {queue.label}: {queue.text}")

    def _skip(self, since, now):
        try:
            waiting_count, digest_count = restoring.skip(since, now)
        except restoring.Refused as reason:
            raise CommandError(str(reason)) from None
        self.stdout.write(
            f"Counted as sent: {counted(digest_count, 'digest')} that came due since, and "
            f"{counted(waiting_count, 'waiting email')}. These subscribers get no paper that was "
            f"announced by then."
        )


def _system_user() -> str:
    """Return the name of the system's user, or the number if there is none, as in a container."""
    try:
        return getpass.getuser()
    except OSError:
        return f"user {os.getuid()}"
