"""`manage.py topics export|import FILE`: export and import topics, as the admin does."""

from pathlib import Path

from django.core.management.base import CommandError

from digest.management import base
from digest.numbers import counted
from digest.topics import topic_files


class Command(base.Command):
    help = "Export the built-in topics to a file (YAML, JSON or CSV), or import topics from one."

    def add_arguments(self, parser):
        subparsers = parser.add_subparsers(dest="verb", required=True)
        exporter = subparsers.add_parser("export", help="Write all built-in topics to a new file.")
        exporter.add_argument("file", type=Path)
        importer = subparsers.add_parser("import", help="Add and change topics from a file.")
        importer.add_argument("file", type=Path)
        importer.add_argument("--dry-run", action="store_true", help="Only say what would change.")

    def handle(self, *, verb, file, dry_run=False, **options):
        try:
            file_format = topic_files.format_of(file.name)
            if verb == "export":
                topics = topic_files.TopicResource().export()
                with file.open("x", encoding="utf-8", newline="") as out:
                    out.write(file_format.export_data(topics))
                self.stdout.write(f"{counted(len(topics), 'topic')} written to {file}.")
            else:
                self._import(file, file_format, dry_run)
        except FileExistsError as error:
            raise CommandError(f"{file} exists. Choose another name.") from error
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror or error}.") from error
        except ValueError as error:
            raise CommandError(f"{file}: {error}") from error

    def _import(self, file, file_format, dry_run):
        with file.open("rb") as stream:
            data = stream.read(topic_files.MAX_BYTES + 1)
        if len(data) > topic_files.MAX_BYTES:
            raise ValueError(f"The file is larger than {topic_files.MAX_BYTES:,} bytes. Split it.")
        try:
            dataset = file_format.create_dataset(data)
        except Exception as error:  # Each format has its own.
            raise ValueError(f"The file cannot be read: {error}") from error
        options = {"dry_run": dry_run, "rollback_on_validation_errors": True}
        result = topic_files.TopicResource().import_data(dataset, **options)
        for error in result.base_errors:
            raise CommandError(f"{file}: {error.error} Nothing was imported.")
        if messages := list(_row_errors(result)):
            self.stderr.write("\n".join(f"{file}, {message}" for message in messages))
            raise CommandError("Nothing was imported. Correct the topics above and try again.")
        for row in result:
            if row.is_new() or row.is_update():
                self.stdout.write(f"{row.import_type}: {row.object_repr}")
        new, changed, unchanged = (result.totals[name] for name in ("new", "update", "skip"))
        note = " Nothing was changed." if dry_run else ""
        self.stdout.write(f"{new} new, {changed} changed, {unchanged} unchanged.{note}")


def _row_errors(result):
    for row in result.invalid_rows:
        for name, errors in row.error_dict.items():
            yield f"topic {row.number}, {name.replace('__all__', 'overall')}: {' '.join(errors)}"
    for number, errors in result.row_errors():
        yield from (f"topic {number}: {error.error}" for error in errors)
