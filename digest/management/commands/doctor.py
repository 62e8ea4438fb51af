"""`manage.py doctor`: what is OK, what is wrong, and how to fix it."""

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from digest.management import base
from digest.numbers import counted
from digest.operations import alarms, doctor, invariants
from subscriptions.notices.probe import send_test_email

SIGNS = {"ok": "✓", "note": "·", "wrong": "✗", "alarm": "✗"}


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
        self.problem_count = 0
        has_database = True
        for finding in doctor.examine(now):
            self._report(finding.grade, finding.name, finding.text)
            has_database &= (finding.name, finding.grade) != ("database", "alarm")
        if check_invariants and has_database:
            for violation in invariants.examine(now):
                grade = "wrong" if violation.count else "ok"
                self._report(grade, violation.sentence, violation.text)
        if send_to:  # Directly: it has no subscriber.
            is_sent, text = send_test_email(send_to, now)
            self._report("ok" if is_sent else "wrong", "test email", text)
        if sound_alarm:  # Errors are logged.
            if settings.ALARM_WEBHOOK and alarms.send(["[test] Nothing is wrong."]):
                self._report("ok", "test alarm", "accepted")
            else:
                text = "not accepted: check ALARM_WEBHOOK and the log"
                self._report("wrong", "test alarm", text)
        if self.problem_count:
            problems = counted(self.problem_count, "problem")
            raise CommandError(f"{problems} found: see docs/maintenance.md.", returncode=1)

    def _report(self, grade, name, text):
        self.problem_count += SIGNS[grade] == "✗"
        self.stdout.write(f"{SIGNS[grade]} {name + ':':<15} {text}")
