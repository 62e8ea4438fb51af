"""`manage.py serve`: the whole service with one command."""

import signal
from contextlib import suppress

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.utils import timezone

from digest.management import base, embedded_server
from digest.operations import upgrade


class Command(base.Command):
    help = "Run the whole service in one process: web server, scheduler and worker."

    def add_arguments(self, parser):
        parser.add_argument("--host", default="127.0.0.1", help="Default: 127.0.0.1.")
        base.add_port(parser)

    def execute(self, *args, host, port, **options):
        with base.listening_socket(port, host) as listener:
            if settings.IS_PUBLIC:  # Other commands leave its migrations to `upgrade`.
                call_command("upgrade", stdout=self.stdout)
            return super().execute(*args, listener=listener, port=port, **options)

    def handle(self, *, listener, port, **options):
        embedded_server.use_port(port)
        upgrade.prepare_topics(self.stdout.write)
        make_first_account(self.stdout.write)
        serve(listener, self.stdout)


def make_first_account(write) -> None:
    """Create the account of ADMIN_EMAIL, unless there is a superuser. Raises CommandError."""
    users, email, password = get_user_model().objects, settings.ADMIN_EMAIL, settings.ADMIN_PASSWORD
    if users.filter(is_superuser=True).exists():
        return
    if not email:
        write("No admin account yet. Start again with ADMIN_EMAIL and ADMIN_PASSWORD to make one.")
        return
    try:
        validate_password(password, users.model(username=email, email=email))
    except ValidationError as error:
        raise CommandError(f"ADMIN_PASSWORD: {' '.join(error.messages)}") from error
    users.create_superuser(email, email, password)
    write("Created the admin account of ADMIN_EMAIL.")


def serve(listener, out):
    """Print the addresses and serve until interrupted."""
    out.write(f"Paperboy runs at {settings.SITE_URL}/ (stop with Ctrl-C).")
    out.write(f"Admin panel: {settings.SITE_URL}/admin/")
    out.write(f"Time: {timezone.localtime():%H:%M} UTC. Digests are planned every minute.")
    out.flush()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Like Ctrl-C.
    with suppress(KeyboardInterrupt):
        embedded_server.serve(listener)
    out.write("Stopped.")
