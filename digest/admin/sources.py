"""Admin pages for harvests, and for what of the announced papers is stored."""

from django.contrib import admin
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import Truncator
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter, RangeDateFilter
from unfold.decorators import display

from digest.models import Coverage, Harvest
from digest.papers import harvest
from subscriptions.admin.base import BaseModelAdmin
from subscriptions.admin.widgets import ReadOnlyMixin, badge, min_width

#: The tones of states: see templates/admin/badge.html.
CUT_OFF = "cut off"
HARVEST_TONES = {
    Harvest.State.RUNNING: "open",
    Harvest.State.DONE: "good",
    Harvest.State.FAILED: "bad",
    CUT_OFF: "held",
}
COVERAGE_TONES = {
    Coverage.State.FRESH: "good",
    Coverage.State.WAITING: "open",
    Coverage.State.QUIET: "quiet",
    Coverage.State.STALLED: "held",
    Coverage.State.FAILED: "bad",
}


class SourceFilter(DropdownFilter):
    title = "source"
    parameter_name = "source"

    def lookups(self, request, model_admin):
        return [(name, name) for name in harvest.SOURCES]

    def queryset(self, request, queryset):
        return queryset.filter(source=self.value()) if self.value() else queryset


def harvest_badge(run, now):
    """Return the state of a run as a badge. A run that died is still "running" in the database."""
    is_dead = run.state == Harvest.State.RUNNING and run.touched_at < now - harvest.MAX_SILENCE
    state = CUT_OFF if is_dead else run.state
    return badge(state, HARVEST_TONES[state])


@admin.register(Harvest)
class HarvestAdmin(ReadOnlyMixin, BaseModelAdmin):
    list_display = [
        "what",
        "started_at",
        "state_said",
        "seen",
        "new",
        "changed",
        "bad",
        "short_said",
    ]
    list_filter = [SourceFilter, ("state", ChoicesDropdownFilter)]
    list_filter_options = {"source": {"horizontal": True}, "state": {"horizontal": True}}
    date_hierarchy = "started_at"
    list_per_page = 50
    fieldsets = [
        (None, {"fields": ["what", "state_said", "said"]}),
        ("What it saw", {"fields": ["seen", "new", "changed", "bad"]}),
        ("The run", {"fields": ["today", "started_at", "touched_at", "ended_at", "cursor"]}),
    ]

    @display(description="Source", ordering="source")
    def what(self, run):
        return f"{run.source}, from {date_format(run.since)}" if run.since else run.source

    @display(description="State", ordering="state")
    def state_said(self, run):
        return harvest_badge(run, timezone.now())

    @display(description="How it went")
    def short_said(self, run):
        return min_width(Truncator(run.said).chars(120))


@admin.register(Coverage)
class CoverageAdmin(ReadOnlyMixin, BaseModelAdmin):
    list_display = ["day", "what", "state_said", "announced", "had", "short_note"]
    list_display_links = ["what"]
    list_filter = [SourceFilter, ("state", ChoicesDropdownFilter), ("day", RangeDateFilter)]
    list_filter_options = {"source": {"horizontal": True}, "state": {"horizontal": True}}
    list_filter_submit = True
    search_fields = ["category"]
    search_help_text = "A category, or a part of one"
    date_hierarchy = "day"
    list_per_page = 50
    fields = ["day", "source", "category", "state_said", "announced", "had", "note", "checked_at"]

    @display(description="List", ordering="category")
    def what(self, row):
        return f"{row.source}: {row.category}"

    @display(description="State", ordering="state")
    def state_said(self, row):
        return badge(row.get_state_display(), COVERAGE_TONES[row.state])

    @display(description="Note")
    def short_note(self, row):
        return min_width(Truncator(row.note).chars(120))
