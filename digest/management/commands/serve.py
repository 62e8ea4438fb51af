"""`manage.py serve`: the whole service with one command."""

import signal
from contextlib import suppress

from django.conf import settings
from django.utils import timezone

from digest import starter
from digest.management import base


class Command(base.Command):
    help = "Run the whole service in this process: web server on 127.0.0.1, scheduler and worker."

    def add_arguments(self, parser):
        base.add_port(parser)

    def handle(self, *, port, verbosity, **options):
        from digest import embedded

        base.need_port(port)
        embedded.use_port(port)
        if made := starter.make_topics():
            self.stdout.write(f"Made {made} starter topics.")
        self.stdout.write(f"Paperboy serves at {settings.SITE_URL}/ until Ctrl-C.")
        self.stdout.write(f"Admin panel: {settings.SITE_URL}/admin/")
        self.stdout.write(f"{timezone.localtime():%H:%M} UTC: digests are planned each minute.")
        self.stdout.flush()
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # Stop as at Ctrl-C.
        with suppress(KeyboardInterrupt):
            embedded.serve(port)
        self.stdout.write("Stopped.")
