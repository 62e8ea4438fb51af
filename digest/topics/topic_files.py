"""Export and import of curated topics as YAML, JSON or CSV.

An import adds topics and changes those with the same slug. Fields that the file leaves out stay.
Subscribers' own topics are neither exported nor changed.
"""

import json
from pathlib import Path

import tablib
import yaml
from django.core.exceptions import ValidationError
from import_export.fields import Field
from import_export.formats import base_formats
from import_export.resources import ModelResource
from import_export.widgets import BooleanWidget, Widget

from digest.papers import registry
from subscriptions.models import Topic

MAX_BYTES = 500_000
MAX_HEADERS = 50
CONVERT = "docs/configuration.md says how to convert one that came from elsewhere"


class CategoriesWidget(Widget):
    def clean(self, value, row=None, **kwargs):
        return registry.listed(value.split(",") if isinstance(value, str) else value)

    def render(self, value, **kwargs):
        return ", ".join(value or [])


class TopicResource(ModelResource):
    categories = Field("categories", "categories", CategoriesWidget())
    offered = Field("is_offered", "offered", BooleanWidget(coerce_to_string=False))

    class Meta:
        model = Topic
        fields = ["slug", "name", "description", "query", "categories", "offered"]
        import_id_fields = ["slug"]
        skip_unchanged = True
        report_skipped = False
        clean_model_instances = True

    def get_queryset(self):
        return Topic.objects.curated().order_by("slug")

    def filter_export(self, queryset, **kwargs):
        return queryset.curated().order_by("slug")

    def before_import(self, dataset, **kwargs):
        self.slugs = set()
        if unknown := set(dataset.headers or ()) - set(self.Meta.fields):
            columns = ", ".join(self.Meta.fields)
            raise ValueError(f"A topic has no “{min(map(str, unknown))}”; it has {columns}.")
        # Locked in one order, so that two imports don't deadlock.
        list(Topic.objects.curated().select_for_update(no_key=True).order_by("pk").values("pk"))

    def before_import_row(self, row, **kwargs):
        for column, value in list(row.items()):
            if isinstance(value, str):
                value = row[column] = value.strip()
                if column == "offered":
                    value = row[column] = {"true": True, "false": False}.get(value.lower(), value)
            if value is None:
                del row[column]
            elif not isinstance(value, KINDS.get(column, str)):
                raise ValidationError({column: f"This cannot be {value!r:.40}."})
        if not row.get("slug"):
            raise ValidationError({"slug": "A topic needs a slug."})
        if row["slug"] in self.slugs:
            raise ValidationError({"slug": "An earlier topic in the file has this slug."})
        self.slugs.add(row["slug"])

    def after_import(self, dataset, result, **kwargs):
        """Do nothing: the default resets the sequence of ids, while others insert."""


KINDS = {"categories": (str, list), "offered": bool}


# ---- Formats


class Records:
    """Reads each topic by its own keys: tablib uses the first topic's keys for all topics."""

    def create_dataset(self, content):
        records = self.load(content.decode(self.encoding))
        if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
            raise ValueError("It holds no list of topics.")
        json.dumps(records, ensure_ascii=False, default=str).encode()  # Refuses lone surrogates.
        headers = list(dict.fromkeys(key for record in records for key in record))
        if len(headers) > MAX_HEADERS:
            raise ValueError(f"Its topics have more than {MAX_HEADERS} fields.")
        rows = [[record.get(header) for header in headers] for record in records]
        return tablib.Dataset(*rows, headers=headers)


class Loader(yaml.SafeLoader):
    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):  # A few of them can stand for gigabytes.
            raise ValueError("It has an alias (*), which is not read here.")
        return super().compose_node(parent, index)


class YAML(Records, base_formats.YAML):
    def load(self, text):
        return yaml.load(text, Loader)  # noqa: S506

    def export_data(self, dataset, **kwargs):
        return yaml.safe_dump(dataset.dict, allow_unicode=True, sort_keys=False, width=100)


class JSON(Records, base_formats.JSON):
    def load(self, text):
        return json.loads(text)

    def export_data(self, dataset, **kwargs):
        return json.dumps(dataset.dict, ensure_ascii=False, indent=2) + "\n"


FORMATS = [YAML, JSON, base_formats.CSV]


def format_of(name: str):
    """Return the format that a file's name ends with. Raises ValueError."""
    match Path(name).suffix.lower():
        case ".yaml" | ".yml":
            return YAML("utf-8-sig")
        case ".json":
            return JSON("utf-8-sig")
        case ".csv":
            return base_formats.CSV("utf-8-sig")
        case ".toml":
            raise ValueError(f"TOML is no longer a format of topics: use YAML; {CONVERT}.")
    raise ValueError("The name of a file of topics ends with .yaml, .json or .csv.")
