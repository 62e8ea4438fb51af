"""`manage.py serve`: the whole service with one command."""

import signal
from contextlib import suppress

from django.conf import settings
from django.utils import timezone

from digest.management import base, embedded_server
from digest.operations import upgrade


class Command(base.Command):
    help = "Run the whole service in one process: web server on 127.0.0.1, scheduler and worker."

    def add_arguments(self, parser):
        base.add_port(parser)

    def handle(self, *, port, **options):
        with base.listening_socket(port) as listener:
            embedded_server.use_port(port)
            upgrade.prepare_topics(self.stdout.write)
            serve(listener, self.stdout)


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
