"""`manage.py doctor`: what is OK, what is wrong, and how to fix it."""

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from digest.management import base
from digest.numbers import counted
from digest.operations import alarms, doctor, invariants
from subscriptions.notices.probe import send_test_email

SIGNS = {"ok": "✓", "note": "·", "wrong": "✗"}


class Command(BaseCommand):
    help = "Check the installation and say how to fix problems. Exits with 1 if there are any."
    requires_migrations_checks = False
    requires_system_checks = []  # One of them queries the database.

    def add_arguments(self, parser):
        parser.add_argument(
            "--check-invariants",
            action="store_true",
            help="Check the delivery invariants of all stored emails, too.",
        )
        parser.add_argument(
            "--send-to", metavar="EMAIL", type=base.address, help="Send a test email."
        )
        parser.add_argument(
            "--sound-alarm", action="store_true", help="Post a test alarm to ALARM_WEBHOOK."
        )

    def handle(self, *, check_invariants, send_to, sound_alarm, **options):
        now = timezone.now()
        problem_count, has_database = 0, True
        for finding in doctor.examine(now):
            problem_count += finding.grade == "wrong"
            has_database &= (finding.name, finding.grade) != ("database", "wrong")
            self.stdout.write(f"{SIGNS[finding.grade]} {finding.name + ':':<15} {finding.text}")
        if check_invariants and has_database:
            for result in invariants.examine(now):
                problem_count += result.count > 0
                sign = SIGNS["wrong" if result.count else "ok"]
                self.stdout.write(f"{sign} {result.invariant.sentence}: {result.text}")
        if send_to:  # Directly: it has no subscriber.
            problem_count += self._report_test("test email", *send_test_email(send_to, now))
        if sound_alarm:  # Errors are logged.
            is_sent = bool(settings.ALARM_WEBHOOK) and alarms.send(["[test] Nothing is wrong."])
            text = "accepted" if is_sent else "not accepted: check ALARM_WEBHOOK and the log"
            problem_count += self._report_test("test alarm", is_sent, text)
        if problem_count:
            raise CommandError(f"{counted(problem_count, 'problem')} found.", returncode=1)

    def _report_test(self, label, is_sent, text):
        """Print the result of a test. Return the number of problems."""
        self.stdout.write(f"{SIGNS['ok' if is_sent else 'wrong']} {label + ':':<15} {text}")
        return int(not is_sent)
