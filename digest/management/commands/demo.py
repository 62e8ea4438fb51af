"""`manage.py demo`: set everything up, up to a digest in the outbox."""

import os
import secrets
from pathlib import Path

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.utils import timezone

from digest import samples
from digest.indexing import index_store
from digest.management import base, embedded_server
from digest.management.commands import serve
from digest.models import Digest
from digest.operations import daily_stats, upgrade
from digest.personalization import interests
from digest.planning import plan
from digest.topics import starter_topics
from subscriptions import schedule
from subscriptions.actions import signup
from subscriptions.actions.preferences import TopicSelection
from subscriptions.delivery import circuit_breaker, clock, queue, worker
from subscriptions.models import Subscriber, Topic
from subscriptions.security import tokens

USERNAME = "admin"
ADDRESS = "demo@paperboy.example"
FIELD = "computer-science"
TOPIC_COUNT = 3  # The first topics of the field are followed, and:
CONSENT_SOURCE = signup.ConsentSource(via="manage.py demo")
INTERESTS = ["diffusion models for graph generation", "reinforcement learning for reasoning"]


class Command(base.Command):
    help = "Set everything up with sample papers, deliver a digest to the outbox, then serve."

    def add_arguments(self, parser):
        parser.add_argument("--no-serve", action="store_true", help="Stop before serving.")
        base.add_port(parser)

    def handle(self, *, no_serve, port, **options):
        if settings.IS_PUBLIC and Subscriber.objects.exclude(email=ADDRESS).exists():
            raise CommandError(
                "The demo adds sample papers and a subscriber. It does not run on a public site "
                "that has subscribers."
            )
        if no_serve:
            self._set_up(port)
            self._say("Next", "run `manage.py demo` to start the site")
        else:
            with base.listening_socket(port) as listener:  # The emails link to it.
                self._set_up(port)
                serve.serve(listener, self.stdout)

    def _set_up(self, port):
        """Create what is missing. Of two runs at once, the second finds what the first created."""
        embedded_server.use_port(port)
        self.sent = 0
        with upgrade.file_lock():
            now = timezone.now()
            self._prepare(now)
            subscriber = self._subscribe(now)
            self._deliver(subscriber, now)
            daily_stats.count_days(now)  # For the panel's plots.
            self._say("Preferences", tokens.preferences_url(subscriber))
            self._say("Admin panel", f"{settings.SITE_URL}/admin/, {how_to_log_in()}")

    def _prepare(self, now):
        self._say("Database", settings.DATABASES["default"]["NAME"])
        make_admin()
        if not Topic.objects.exists():
            starter_topics.use_fields([FIELD])
        starter_topics.make_topics()
        self._say("Topics", f"{Topic.objects.curated().count()}, including categories of sources")
        count = samples.store_samples(timezone.localdate(now), now)
        days = f"{samples.DAYS} days until today and {samples.DAYS_AHEAD} to come"
        self._say("Papers", f"{count} sample papers, of {days}")
        model = index_store.renew(now)
        self._say("Ranking", f"fitted on {model.size_text}")

    def _subscribe(self, now):
        """Return the demo's subscriber, signed up and confirmed as a person would be."""
        subscriber = Subscriber.objects.with_address(ADDRESS).first()
        if subscriber is None:
            slugs = [topic.slug for topic in starter_topics.topics_of(FIELD)[:TOPIC_COUNT]]
            topics = list(Topic.objects.filter(slug__in=slugs))
            entries = interests.read("\n".join(INTERESTS))
            request = signup.SignUpRequest(TopicSelection.of(entries, topics, []))
            letter = signup.subscribe(ADDRESS, request, source=CONSENT_SOURCE, now=now)
            self.sent += queue.deliver(letter.pk, now)
            subscriber = Subscriber.objects.with_address(ADDRESS).get()
        if subscriber.state_at(now) == "pending":  # Also if an earlier run was killed here.
            signup.confirm(subscriber, subscriber.asked_at, source=CONSENT_SOURCE, now=now)
            self._say("Subscriber", f"{ADDRESS}, signed up and confirmed")
        return Subscriber.objects.get(pk=subscriber.pk)

    def _deliver(self, subscriber, now):
        """Plan and deliver today's digest now, whatever the hour, but only once a day."""
        today = schedule.local_day(now, subscriber.zone)
        has_digest = Digest.objects.filter(subscriber=subscriber, day=today).exists()
        if not has_digest:
            Subscriber.objects.subscribed().filter(pk=subscriber.pk).update(next_due_at=now)
        plan.plan(now)
        queue.sweep(now)
        self.sent += worker.deliver_due(clock.running_from(now))["accepted"]
        letter = subscriber.letters.filter(day=today).first()
        outcome = letter.state_text if letter else _why_no_digest(subscriber, now)
        self._say("Today's digest", f"{outcome}{' (in an earlier run)' if has_digest else ''}")
        outbox = Path(settings.DATA_DIR) / "outbox"
        destination = outbox if settings.EMAIL_URL.startswith("file:") else "the mail server"
        self._say("Emails", f"{self.sent} delivered in this run, to {destination}")

    def _say(self, label, text):
        self.stdout.write(f"{label + ':':<17}{text}")


def _why_no_digest(subscriber, now):
    if circuit_breaker.is_stopped():
        return "none: sending is stopped. Run `manage.py sending resume`."
    subscriber.refresh_from_db()
    if subscriber.state_at(now) != "active":
        return "none: the demo subscriber is not subscribed. Resubscribe below."
    return f"next at {subscriber.next_due_at:%Y-%m-%d %H:%M} UTC (digests are hours apart)"


# ---- The admin account


def password_file() -> Path:
    return Path(settings.DATA_DIR) / "admin-password"


def make_admin() -> None:
    """Create an admin with a random password in a file, unless there is a superuser."""
    users = get_user_model().objects
    if users.filter(is_superuser=True).exists():
        return
    password = secrets.token_urlsafe(12)
    path = password_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password + "\n")
    users.create_superuser(USERNAME, password=password)


def how_to_log_in() -> str:
    path = password_file()
    if path.exists():
        return f"user {USERNAME}, password {path.read_text().strip()} (stored in {path})"
    return "log in with your account (`manage.py createsuperuser` adds one)"
