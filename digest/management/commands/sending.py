"""`manage.py sending`: show, stop or resume the sending of emails."""

import getpass
import os

from django.utils import timezone

from digest.management import base
from subscriptions.delivery import circuit_breaker, status


class Command(base.Command):
    help = "Show the state of sending; stop all sending at once, or resume it."

    def add_arguments(self, parser):
        actions = ["status", "stop", "resume"]
        parser.add_argument("act", nargs="?", choices=actions, default="status")
        parser.add_argument("--by", metavar="NAME", help="Your name (default: the system user).")

    def handle(self, *, act, by, **options):
        now = timezone.now()
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
        for provider, text in status.slowed_providers(now):
            self.stdout.write(f"{provider}: {text}")


def _system_user() -> str:
    """Return the name of the system's user, or the number if there is none, as in a container."""
    try:
        return getpass.getuser()
    except OSError:
        return f"user {os.getuid()}"
