"""Admin pages for papers and fitted models."""

from django.contrib import admin
from django.db.models import Window
from django.db.models.functions import Lag
from django.utils.html import format_html
from django.utils.text import Truncator
from unfold.contrib.filters.admin import BooleanRadioFilter, RangeDateFilter
from unfold.decorators import display

from digest.admin.links import external_link
from digest.models import FittedModel, Observation, Paper, PaperEvent
from subscriptions.admin import widgets
from subscriptions.admin.base import BaseModelAdmin


class EventInline(widgets.ReadOnlyInline):
    model = PaperEvent
    fields = ["at", "kind", "note"]
    verbose_name_plural = "updates"


class ObservationInline(widgets.ReadOnlyInline):
    """Popularity by day, the newest first, with the change since the day before.

    The database computes the change, because the tenth row of a page needs the eleventh.
    """

    model = Observation
    fields = ["day", "source", "upvotes_text", "comments_text", "stars_text"]
    readonly_fields = ["upvotes_text", "comments_text", "stars_text"]
    ordering = ["-day", "source"]
    per_page = 10

    def get_queryset(self, request):
        def previous_value(name):
            return Window(Lag(name), partition_by=["paper", "source"], order_by="day")

        fields = ["day", "upvotes", "num_comments", "github_stars"]
        previous_values = {f"{name}_before": previous_value(name) for name in fields}
        return super().get_queryset(request).annotate(**previous_values)

    @display(description="Upvotes")
    def upvotes_text(self, observation):
        return _with_change(observation, "upvotes")

    @display(description="Comments")
    def comments_text(self, observation):
        return _with_change(observation, "num_comments")

    @display(description="GitHub stars")
    def stars_text(self, observation):
        return _with_change(observation, "github_stars")


def _with_change(observation, field):
    """Return a count with its change, and over how many days if more than one."""
    count, previous_count = getattr(observation, field), getattr(observation, f"{field}_before")
    if count is None:
        return None
    if previous_count is None:
        return f"{count:,}"
    change = f"{count - previous_count:+,}" if count != previous_count else "±0"
    day_count = (observation.day - observation.day_before).days
    if day_count > 1:
        change += f" in {day_count} days"
    template = '{} <span class="text-subtle whitespace-nowrap">{}</span>'
    return format_html(template, f"{count:,}", change)


MAIN_FIELDS = ["title", "abstract", "byline", "institutions", "category_list", "link"]
UPDATE_FIELDS = ["version", "withdrawn", "code", "journal_ref", "doi", "comments", "license"]
DETAIL_FIELDS = ["id", "day", "day_is_estimate", "upvotes", "sample", "changed_at", "picked"]


@admin.register(Paper)
class PaperAdmin(widgets.ReadOnlyMixin, BaseModelAdmin):
    """Read-only: the next harvest would overwrite changes."""

    list_display = ["short_title", "id", "day", "category_list", "upvotes", "sample"]
    list_filter = [
        ("day", RangeDateFilter),
        ("is_withdrawn", BooleanRadioFilter),
        ("is_sample", BooleanRadioFilter),
    ]
    list_filter_submit = True
    search_fields = ["title", "id"]
    search_help_text = "Words of the title, or an id"
    fieldsets = [
        (None, {"fields": MAIN_FIELDS}),
        ("Updates", {"fields": UPDATE_FIELDS}),
        ("Details", {"fields": DETAIL_FIELDS}),
    ]

    def get_inlines(self, request, obj):
        """Omit empty tables."""
        inlines = {EventInline: obj.events, ObservationInline: obj.observations}
        return [inline for inline, rows in inlines.items() if rows.exists()]

    @display(description="Title")
    def short_title(self, paper):
        return widgets.min_width(Truncator(paper.title).chars(80))

    @display(description="Categories")
    def category_list(self, paper):
        return ", ".join(paper.categories)

    @display(description="Sample")
    def sample(self, paper):
        return "sample" if paper.is_sample else ""

    @display(description="Authors")
    def byline(self, paper):
        return ", ".join(paper.authors)

    @display(description="Link")
    def link(self, paper):
        return external_link(paper.link)

    @display(description="Withdrawn")
    def withdrawn(self, paper):
        return widgets.badge("withdrawn", "bad") if paper.is_withdrawn else "no"

    @display(description="Code")
    def code(self, paper):
        return external_link(paper.github)

    @display(description="Picked for subscribers")
    def picked(self, paper):
        return paper.picks.count()


@admin.register(FittedModel)
class FittedModelAdmin(widgets.ReadOnlyMixin, BaseModelAdmin):
    list_display = ["fitted_at", "documents", "terms", "name"]
