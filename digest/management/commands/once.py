"""`manage.py once FILE`: at most one email a day to one person, without a server."""

import os
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import transaction

from digest.http.client import Refused, Unavailable
from digest.management import base, once_file, sent_file
from digest.models import Harvest, ReaderModel, ZoteroLibrary
from digest.numbers import counted
from digest.operations import retention, upgrade
from digest.papers import harvest, identifiers, registry, store
from digest.personalization import added_papers, feedback, interests, library, zotero
from digest.sources.arxiv import taxonomy
from digest.sources.arxiv.source import ArXiv
from digest.sources.base import MalformedFeed
from digest.sources.look_ups import LookUps
from subscriptions import schedule
from subscriptions.actions.preferences import TopicSelection, set_preferences
from subscriptions.delivery import circuit_breaker, clock, transitions, worker
from subscriptions.models import Consent, Letter, Subscriber
from subscriptions.models.topics import MAX_QUERIES


class Command(base.Command):
    help = "Send one person at most one email a day, without a server."

    def add_arguments(self, parser):
        parser.add_argument("file", type=Path, metavar="FILE", help="In YAML: docs/ways.md.")
        parser.add_argument(
            "--papers",
            nargs="+",
            type=Path,
            default=[],
            metavar="FILE",
            help="Read papers from files, as `import_papers` does, and nothing from the network.",
        )
        parser.add_argument("--now", type=base.moment, help="Act as if it were this time.")

    def handle(self, *, file, papers, now, **options):
        self.file, self.is_offline = once_file.read(file), bool(papers)
        has_sign_ups = Consent.objects.exists() or Subscriber.objects.count() > 1
        if settings.IS_PUBLIC or has_sign_ups:
            raise CommandError("This database is that of a service. Set DATA_DIR to a new folder.")
        self.clock = clock.running_from(now or clock.database_now())
        self.sent_path, self.failures = file.with_suffix(".sent"), []
        use_no_site(self.file)
        if papers:
            settings.LOOK_UPS = False
            streams = {"stdout": self.stdout, "stderr": self.stderr}
            call_command("import_papers", *papers, now=self.clock(), **streams)
        with upgrade.file_lock():  # Of two runs at once, the second finds what the first has sent.
            self._run(self.clock())

    def _run(self, now):
        subscriber = self._subscriber(now)
        # A run that was killed left them. Whether or not an email arrived, its papers come again.
        subscriber.letters.exclude(state=Letter.State.ACCEPTED).delete()
        transitions.delete_unneeded_bytes()
        circuit_breaker.close()
        sent_days = sent_file.read(self.sent_path)
        sent_file.append(subscriber, self.sent_path)
        today = schedule.local_day(now, subscriber.zone)
        if today in sent_days or subscriber.digests.filter(day=today).exists():
            self.stdout.write(f"The email of {today} was sent before.")
            return
        from digest.indexing import index_store  # numpy, which a second run need not import.

        if not self.is_offline and (
            self._harvest(max(sent_days, default=date.min)) or not index_store.is_current()
        ):
            index_store.renew(now)
        self._personalize(subscriber)
        sent_file.restore(subscriber, sent_days, now)
        self._send(subscriber)
        retention.purge(now)

    def _subscriber(self, now) -> Subscriber:
        """Return the subscriber, as the file says."""
        subscriber = Subscriber.objects.first() or Subscriber(asked_at=now, subscribed_at=now)
        subscriber.email, subscriber.size = self.file.to, self.file.papers
        subscriber.timezone, subscriber.language = self.file.timezone, self.file.language
        subscriber.confirmed_at = subscriber.confirmed_at or now
        subscriber.unsubscribed_at = subscriber.paused_until = None
        subscriber.suppressed_at, subscriber.suppressed_by = None, ""  # It may work by now.
        subscriber.next_due_at = now
        subscriber.save()
        return subscriber

    # ---- Papers

    def _harvest(self, last_day) -> bool:
        """Read the sources of the categories. Return whether papers are new or changed.

        A new database reads the days since the last email, NEW_DAYS at most.
        """
        arxiv = [name for name in self.file.categories if name in taxonomy.HARVESTED]
        settings.ARXIV_CATEGORIES = settings.ARXIV_CATEGORIES or arxiv
        first_day = max(last_day, self.clock().date() - timedelta(days=settings.NEW_DAYS))
        change_count = 0
        for name in self._sources():
            source = registry.source_named(name)
            runs = Harvest.objects.filter(source=name, since=None, state=Harvest.State.DONE)
            for since in [None] if runs.exists() else [first_day, None]:
                row = harvest.run(source, harvest.web_for(source), since=since, clock=self.clock)
                self.stdout.write(f"{name}: {row.result}")
                change_count += row.new + row.changed
                if row.state != Harvest.State.DONE:
                    self.failures.append(name)
        return bool(change_count)

    def _sources(self) -> list[str]:
        if settings.SOURCES is not None or not self.file.categories:
            return registry.enabled()
        wanted = {*self.file.categories}
        sources = {name: {*source.topics} for name, source in registry.SOURCES.items()}
        sources["arxiv"] = taxonomy.HARVESTED
        return [name for name, categories in sources.items() if wanted & categories]

    # ---- The person

    def _personalize(self, subscriber):
        """Store the interests, the library and the feedback of the file."""
        try:
            entries = interests.read(interests.expand_bibliography(self.file.interests))
        except ValidationError as error:
            raise CommandError(f"interests: {' '.join(error.messages)}") from None
        if len(entries) > MAX_QUERIES:
            raise CommandError(
                f"interests: keep to {MAX_QUERIES}. A longer list of papers is a `bibliography`."
            )
        with transaction.atomic():
            set_preferences(subscriber.locked(), TopicSelection.of(entries, [], []))
        look_ups = LookUps(partial(harvest.web_for, retries=1, max_seconds=30))
        added_papers.read_due_papers(look_ups, self.clock)
        self._read_bibliography(subscriber)
        self._read_zotero(subscriber)
        self._read_feedback(subscriber)
        if ReaderModel.objects.outdated(self.clock()).exists():
            feedback.learn(self.clock())

    def _read_bibliography(self, subscriber):
        path = self.file.bibliography
        if path is None:
            library.remove(subscriber, subscriber.library.filter(zotero_key=""))
            return
        changes = library.add(subscriber, path.read_text(errors="replace"), self.clock())
        if not changes.is_read:
            raise CommandError(f"{path.name} has no papers: use a file in BibTeX or RIS.")

    def _read_zotero(self, subscriber):
        if not self.file.zotero:
            zotero.disconnect(subscriber)
        elif not self.is_offline:
            zotero.connect(subscriber, self.file.zotero, settings.ZOTERO_KEY, self.clock())
            source, row = zotero.Zotero(), ZoteroLibrary.objects.get()
            web = harvest.web_for(source, retries=1, max_seconds=30)
            zotero.read(row, source, web, self.clock())
            row.refresh_from_db()
            ZoteroLibrary.objects.update(secret="")  # Others may read where the database is kept.
            if row.problem:
                self.stderr.write(f"Zotero could not be read: {row.get_problem_display()}.")

    def _read_feedback(self, subscriber):
        """Store what `more` and `less` say, and forget what they no longer say."""
        values = dict.fromkeys(self.file.more, "more") | dict.fromkeys(self.file.less, "less")
        papers = identifiers.papers_by_reference(values)
        if not self.is_offline:
            self._look_up(values.keys() - papers.keys())
            papers = identifiers.papers_by_reference(values)
        for text, line in (self.file.more | self.file.less).items():
            if text not in papers:
                name = self.file.path.name
                self.stderr.write(f"{name}, line {line}: no paper {text!r} is known. Skipped.")
        for row in subscriber.feedback.exclude(paper__in=papers.values()):
            feedback.record(subscriber, row.paper, "clear", self.clock())
        for text, paper in papers.items():
            feedback.record(subscriber, paper, values[text], self.clock())

    def _look_up(self, references):
        """Fetch papers that were liked before the database was lost, or never sent."""
        ids = sorted(filter(None, map(identifiers.find_arxiv_id, references)))
        source = ArXiv()
        try:
            for batch in source.look_up(harvest.web_for(source), ids):
                store.store(batch.records, store.StoreCounts(), now=self.clock())
        except (MalformedFeed, Refused, Unavailable) as error:
            self.stderr.write(f"Papers could not be looked up at arXiv: {error}.")

    # ---- The email

    def _send(self, subscriber):
        from digest.planning import plan

        subscriber.refresh_from_db()
        due = plan.plan_now(subscriber, subscriber.next_due_at)
        considered = counted(due.considered, "new paper")
        letter = subscriber.letters.filter(day=due.day).first()
        if letter is None and self.failures:
            raise CommandError(f"No email: {', '.join(self.failures)} could not be read.")
        if letter is None:
            self.stdout.write(f"No email: of {considered}, none matches.")
            return
        worker.deliver_due(self.clock, ids=[letter.pk])
        letter.refresh_from_db()
        if letter.state != Letter.State.ACCEPTED:
            reason = letter.last_reply or letter.reason or circuit_breaker.current().reply
            raise CommandError(f"The email was not accepted: {reason}. Run this again.")
        sent_file.append(subscriber, self.sent_path)
        self.stdout.write(f"Sent {len(due.papers)} of {considered} to {subscriber}.")
        if settings.EMAIL_URL.startswith("file:"):
            self.stdout.write(f"It is in {settings.DATA_DIR}/outbox: set EMAIL_URL to send emails.")


def use_no_site(file: once_file.OnceFile) -> None:
    """Write emails without links to a site, from the person's own address unless another is set."""
    settings.SITE_URL, settings.INTERESTS_FILE = "", address_of(file.path)
    if not settings.HAS_SENDER:
        user = unquote(urlsplit(settings.EMAIL_URL).username or "")
        sender = user if "@" in user else file.to
        settings.DEFAULT_FROM_EMAIL = f"{settings.SITE_NAME} <{sender}>"
        settings.MAIL_DOMAIN = sender.rpartition("@")[2]
        settings.RECIPIENT_DELIMITER = ""  # Servers refuse senders that are not the user.


def address_of(path: Path) -> str:
    """Return the address at which the file is edited on GitHub, or its name elsewhere."""
    environment, file = os.environ, path.resolve()
    workspace = environment.get("GITHUB_WORKSPACE", "")
    if not workspace or not file.is_relative_to(workspace):
        return path.name
    repository = f"{environment['GITHUB_SERVER_URL']}/{environment['GITHUB_REPOSITORY']}"
    return f"{repository}/edit/{environment['GITHUB_REF_NAME']}/{file.relative_to(workspace)}"
