"""`manage.py embed`: compute missing sentence embeddings now."""

from functools import partial

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import Progress

from digest.indexing import embeddings
from digest.indexing.encoder import EncoderError
from digest.management import base
from digest.numbers import counted


class Command(base.Command):
    help = "Compute the missing sentence embeddings of papers, newest first."

    def add_arguments(self, parser):
        parser.add_argument(
            "--since",
            type=base.day,
            metavar="DAY",
            help="First day of papers (default: the last CORPUS_DAYS).",
        )

    def handle(self, *, since, **options):
        if not settings.SEMANTIC_MODEL:
            raise CommandError("SEMANTIC_MODEL is empty: set it to a folder or a model name.")
        now = timezone.now()
        try:
            model = embeddings.load(download=True, threads=0)
        except EncoderError as error:
            raise CommandError(str(error)) from error
        missing_papers = embeddings.without_vector(model, since or embeddings.first_day(now))
        console = Console(file=self.stderr, soft_wrap=True)
        try:
            with Progress(console=console, transient=True) as progress:
                task_id = progress.add_task("Embedding", total=missing_papers.count())
                advance = partial(progress.advance, task_id)
                count = embeddings.embed_missing(now, since=since, on_batch=advance)
        except KeyboardInterrupt:
            raise CommandError("Interrupted. Run this again to continue.") from None
        self.stdout.write(f"{counted(count, 'paper')} embedded.")
        if remaining := missing_papers.count():
            raise CommandError(f"Another process embeds {remaining} more. Run this again to check.")
