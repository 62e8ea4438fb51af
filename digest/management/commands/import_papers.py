"""`manage.py import_papers FILE…`: JSON lines or arXiv's snapshot into the database."""

import time
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandError
from django.utils import timezone
from rich.console import Console
from rich.progress import Progress

from digest.indexing import index_store
from digest.management import base
from digest.models import FittedModel
from digest.numbers import counted
from digest.papers import store
from digest.sources import import_files

MAX_ERRORS = 1_000  # Of a file.


class Command(base.Command):
    stealth_options = ("now",)
    help = "Store the papers of JSON-lines files (plain or gzipped) or arXiv's metadata snapshot."

    def add_arguments(self, parser):
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument(
            "--shift-to",
            type=_day_or_today,
            metavar="DAY",
            help="Shift all days so that the last one is DAY: a date, or today (UTC).",
        )

    def handle(self, *, shift_to, **options):
        paths = options["files"]
        for path in paths:
            if not path.is_file():
                raise CommandError(f"There is no file {path}. Check the path.")
        self.bad_lines, self.empty_files, self.has_changed = 0, [], False
        now = options.get("now") or timezone.now()
        shift = self._shift(paths, shift_to)
        broken_paths = [path for path in paths if not self._import(path, now, shift)]
        fitted_model = FittedModel.objects.first()
        if self.has_changed or not index_store.is_current():
            self.stdout.write("Fitting the ranking model …")
            with base.explained_write_errors(settings.MEDIA_ROOT):
                fitted_model = index_store.renew(now)
        self.stdout.write(f"Ranking model fitted on {fitted_model.size_text}.")
        if broken_paths:
            raise CommandError(f"Incomplete, damaged file: {', '.join(map(str, broken_paths))}.")
        if self.empty_files:
            names = ", ".join(str(path) for path in self.empty_files)
            raise CommandError(f"No papers in {names}. See the format in docs/configuration.md.")

    def _shift(self, paths, shift_to):
        """Return by how much to move days, so that the last in all files is `shift_to`, or None."""
        if shift_to is None:
            return None
        last_day = date.min
        with self._progress() as progress, suppress(OSError):  # Reported when it is stored.
            for path in paths:
                for record in self._read(path, progress, "finding the last day", quiet=True):
                    last_day = max(last_day, record.day or last_day)
        return shift_to - last_day if last_day > date.min else None

    def _import(self, path, now, shift):
        """Store one file. Return whether it was read to its end."""
        counts, errors, began_at = store.StoreCounts(), [], time.monotonic()
        with self._progress() as progress:
            records = _until_broken(self._read(path, progress, path.name), errors)
            if shift is not None:
                records = (replace(r, day=r.day and r.day + shift) for r in records)
            store.store(records, counts, now=now, replaces_days=shift is not None)
        seconds = max(time.monotonic() - began_at, 0.001)  # Some clocks are coarse.
        for error in errors:
            self.stderr.write(f"{path}: {error}")
        self.stdout.write(
            f"{path.name}: {counts.new} new, {counts.changed} changed, "
            f"{counts.unchanged} unchanged, {counted(self.bad_lines, 'bad line')} skipped. "
            f"Stored in {seconds:.1f} s, {counts.total / seconds:,.0f} papers per second."
        )
        self.has_changed = self.has_changed or bool(counts.new or counts.changed)
        if self.bad_lines and not counts.total:
            self.empty_files.append(path)
        self.bad_lines = 0
        return not errors

    def _read(self, path, progress, name, quiet=False):
        bar = progress.add_task(name, total=path.stat().st_size)

        def on_bad_line(number, reason):
            if not quiet:
                self.bad_lines += 1
                if self.bad_lines <= MAX_ERRORS:
                    self.stderr.write(f"{path.name}, line {number}: {reason}. Skipped.")

        yield from import_files.read(path, on_bad_line, lambda count: progress.advance(bar, count))

    def _progress(self):
        console = Console(file=self.stderr, soft_wrap=True)
        return Progress(console=console, transient=True, disable=not self.stderr.isatty())


def _until_broken(records, errors):
    """Yield the records before an OSError, which is added to `errors`."""
    try:
        yield from records
    except OSError as error:
        errors.append(error)


def _day_or_today(text):
    return timezone.now().date() if text == "today" else base.day(text)
