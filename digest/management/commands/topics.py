"""`manage.py topics export|import FILE`: packs of topics, as the panel reads and writes them."""

from pathlib import Path

from django.core.management.base import CommandError

from digest import packs
from digest.counts import counted
from digest.management import base
from subscriptions.models import Topic

SAID = {"new": "new", "changed": "changed", "same": "as they are", "refused": "refused"}


class Command(base.Command):
    help = "Write the topics of the house to a file (TOML), or make and change topics by one."

    def add_arguments(self, parser):
        verbs = parser.add_subparsers(dest="verb", required=True)
        out = verbs.add_parser("export", help="Write all topics of the house to a new file.")
        out.add_argument("file", type=Path)
        into = verbs.add_parser("import", help="Make and change topics as a file says.")
        into.add_argument("file", type=Path)
        into.add_argument("--dry-run", action="store_true", help="Say what would change.")

    def handle(self, *, verb, file, dry_run=False, **options):
        try:
            if verb == "export":
                self._export(file)
            else:
                self._import(file, dry_run)
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror or error}.") from error
        except packs.Unreadable as error:
            raise CommandError(f"{file}: {error}") from error

    def _export(self, file):
        topics = list(Topic.objects.curated().order_by("slug"))
        with file.open("x", encoding="utf-8") as out:
            out.write(packs.written(topics))
        self.stdout.write(f"Written to {file}: {counted(len(topics), 'topic')}.")

    def _import(self, file, dry_run):
        with file.open("rb") as lines:
            content = lines.read(packs.LARGEST + 1)
        entries = (packs.read if dry_run else packs.apply)(content)
        for entry in entries:
            if entry.state in ("new", "changed"):
                keys = f" ({', '.join(entry.changes)})" if entry.changes else ""
                self.stdout.write(f"{entry.state}: {entry.slug}{keys}")
            elif entry.state == "refused":
                self.stderr.write(f"{file}, {entry.where}: {entry.reason}. Refused.")
        states = [entry.state for entry in entries]
        told = ", ".join(f"{states.count(state)} {said}" for state, said in SAID.items())
        self.stdout.write(f"{told}.{' Nothing was written.' if dry_run else ''}")
        if "refused" in states:
            raise CommandError("Not all topics could be read: see above.")
