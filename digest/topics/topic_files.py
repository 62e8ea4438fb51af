"""Export and import of curated topics as YAML, JSON or CSV.

An import adds topics and changes those with the same slug, or without one, the same name. Fields
that the file leaves out stay. Subscribers' own topics are neither exported nor changed.
"""

import json
from pathlib import Path

import tablib
import yaml
from django.core.exceptions import ValidationError
from django.utils.text import slugify
from import_export.fields import Field
from import_export.formats import base_formats
from import_export.resources import ModelResource
from import_export.widgets import BooleanWidget, Widget

from digest.papers import registry
from digest.topics import topic_records
from subscriptions import child_process, csv_files
from subscriptions.models.topics import Topic

MAX_BYTES = 500_000
MAX_SLUG_LENGTH = Topic._meta.get_field("slug").max_length


class CategoriesWidget(Widget):
    def clean(self, value, row=None, **kwargs):
        return registry.canonical_categories(value.split(",") if isinstance(value, str) else value)

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
        # Locked in one order, so that two imports don't deadlock. Before any error: rows are read
        # even after one.
        topics = Topic.objects.curated().select_for_update(no_key=True).order_by("pk")
        self.slugs_by_name = {n.lower(): slug for n, slug in topics.values_list("name", "slug")}
        if unknown := set(dataset.headers or ()) - set(self.Meta.fields):
            columns = ", ".join(self.Meta.fields)
            raise ValueError(f"A topic has no “{min(map(str, unknown))}”; it has {columns}.")
        if dataset.headers and "slug" not in dataset.headers:
            dataset.append_col([""] * len(dataset), header="slug")

    def before_import_row(self, row, **kwargs):
        for column, value in list(row.items()):
            if isinstance(value, str):
                value = row[column] = value.strip()
                if column == "offered":
                    value = row[column] = {"true": True, "false": False}.get(value.lower(), value)
            if value is None:
                del row[column]
            elif not isinstance(value, VALUE_TYPES.get(column, str)):
                raise ValidationError({column: f"This cannot be {value!r:.40}."})
        if not row.get("slug"):
            row["slug"] = self._slug_of(row.get("name", ""))
        if row["slug"] in self.slugs:
            raise ValidationError({"slug": "An earlier topic in the file has this slug."})
        self.slugs.add(row["slug"])

    def _slug_of(self, name):
        """Return the slug of the topic of this name, or one for a new topic."""
        slug = self.slugs_by_name.get(name.lower()) or slugify(name)[:MAX_SLUG_LENGTH]
        if not slug:
            raise ValidationError({"slug": "A topic needs a slug, or a name with Latin letters."})
        if name.lower() not in self.slugs_by_name and slug in self.slugs_by_name.values():
            raise ValidationError({"slug": f"Another topic has the slug “{slug}”. Enter one."})
        return slug

    def after_import(self, dataset, result, **kwargs):
        """Do nothing: the default resets the sequence of ids, while others insert."""


VALUE_TYPES = {"categories": (str, list), "offered": bool}


# ---- Formats


class Parsed:
    """Reads each topic by its own keys: tablib uses the first topic's keys for all topics."""

    def create_dataset(self, content):
        table = child_process.run_limited(self.parse, content)
        return tablib.Dataset(*table["rows"], headers=table["headers"])


class YAML(Parsed, base_formats.YAML):
    parse = staticmethod(topic_records.from_yaml)

    def export_data(self, dataset, **kwargs):
        return yaml.safe_dump(dataset.dict, allow_unicode=True, sort_keys=False, width=100)


class JSON(Parsed, base_formats.JSON):
    parse = staticmethod(topic_records.from_json)

    def export_data(self, dataset, **kwargs):
        return json.dumps(dataset.dict, ensure_ascii=False, indent=2) + "\n"


class CSV(Parsed, base_formats.CSV):
    parse = staticmethod(csv_files.parse)


FORMATS = [YAML, JSON, CSV]


def format_of(name: str):
    """Return the format that a file's name ends with. Raises ValueError."""
    match Path(name).suffix.lower():
        case ".yaml" | ".yml":
            return YAML("utf-8-sig")
        case ".json":
            return JSON("utf-8-sig")
        case ".csv":
            return CSV("utf-8-sig")
    raise ValueError("The name of a file of topics ends with .yaml, .json or .csv.")
