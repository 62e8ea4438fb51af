"""`manage.py doctor`: what is well, what is wrong, and what to do about it."""

from dataclasses import replace

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.crypto import get_random_string

from digest.management import base
from digest.operations import alarms, doctor, invariants
from subscriptions import addresses
from subscriptions.delivery.transports.base import Message
from subscriptions.delivery.transports.registry import hand_over, transport_for
from subscriptions.mail import render

SIGNS = {"ok": "✓", "note": "·", "wrong": "✗"}


class Command(BaseCommand):
    help = "Check the installation. Exits with 1 where something needs doing."
    requires_migrations_checks = False
    requires_system_checks = []  # One of them queries the database.

    def add_arguments(self, parser):
        parser.add_argument(
            "--check-promises", action="store_true", help="Run the queries behind the promises."
        )
        parser.add_argument(
            "--send-to", metavar="EMAIL", type=base.address, help="Send a test letter."
        )
        parser.add_argument(
            "--sound-alarm", action="store_true", help="Tell the alarms' webhook of a test."
        )

    def handle(self, *, check_promises, send_to, sound_alarm, **options):
        now = timezone.now()
        wrong, has_database = 0, True
        for finding in doctor.examine(now):
            wrong += finding.grade == "wrong"
            has_database &= (finding.what, finding.grade) != ("database", "wrong")
            self.stdout.write(f"{SIGNS[finding.grade]} {finding.what + ':':<13} {finding.said}")
        if check_promises and has_database:
            for result in invariants.examine(now):
                wrong += result.count > 0
                sign = SIGNS["wrong" if result.count else "ok"]
                self.stdout.write(f"{sign} {result.invariant.sentence}: {result.text}")
        if send_to:
            wrong += not self._send(send_to, now)
        if sound_alarm:  # Errors are logged.
            is_sent = bool(settings.ALARM_WEBHOOK) and alarms.send(["[test] Nothing is wrong."])
            wrong += not is_sent
            text = "told" if is_sent else "not told: see ALARM_WEBHOOK, and the log"
            self.stdout.write(f"{SIGNS['ok' if is_sent else 'wrong']} {'test alarm:':<13} {text}")
        if wrong:
            raise CommandError(
                f"{wrong} thing{'s need' if wrong > 1 else ' needs'} doing.", returncode=1
            )

    def _send(self, address, now):
        """Send a test email directly: it has no subscriber."""
        # With the headers of a digest, to see whether the mail server signs them.
        headers = render.headers("digest", f"{settings.SITE_URL}/unsubscribe/test/")
        content = replace(render.render("test", {}), headers=headers)
        recipient = addresses.normalise(address)
        message_id = f"<test.{get_random_string(20)}@{settings.MAIL_DOMAIN}>"
        mime = render.as_bytes(content, to=recipient, message_id=message_id, date=now)
        message = Message(render.from_address().addr_spec, recipient, mime, "test", 0, now)
        result = hand_over(transport_for(settings.EMAIL_URL), message)
        is_sent = result.status == "accepted"
        said = f"{result.status} at {result.stage}: {result.reply}"
        self.stdout.write(f"{SIGNS['ok' if is_sent else 'wrong']} {'test letter:':<13} {said}")
        return is_sent
