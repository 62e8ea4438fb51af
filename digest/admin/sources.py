"""Admin pages for imports, and for how many of the announced papers are stored."""

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import Truncator
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.decorators import display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminSelectWidget

from digest import tasks
from digest.models import Coverage, Harvest
from digest.papers import harvest, registry
from subscriptions.admin.base import BaseModelAdmin
from subscriptions.admin.confirm_dialog import confirm_first
from subscriptions.admin.widgets import ReadOnlyMixin, badge, hx_redirect, min_width
from subscriptions.tasks import enqueue

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


def harvest_badge(run, now):
    """Return the state of a run as a badge. A run that died is still "running" in the database."""
    is_dead = run.state == Harvest.State.RUNNING and run.touched_at < now - harvest.MAX_SILENCE
    state = CUT_OFF if is_dead else run.state
    return badge(state, HARVEST_TONES[state])


class FetchForm(BaseDialogForm):
    source = forms.ChoiceField(widget=UnfoldAdminSelectWidget)

    def __init__(self, request, *args, **kwargs):
        super().__init__(request, *args, **kwargs)
        self.fields["source"].choices = {"": "All sources"} | registry.titles(registry.enabled())
        self.fields["source"].initial = request.GET.get("source", "")
        self.fields["source"].required = False


@admin.register(Harvest)
class HarvestAdmin(ReadOnlyMixin, BaseModelAdmin):
    actions_list = ["fetch"]
    list_display = ["source_text", "started_at", "touched_at", "state_badge", "new", "short_result"]
    list_filter = [("source", admin.AllValuesFieldListFilter), ("state", ChoicesDropdownFilter)]
    list_filter_options = {"source": {"horizontal": True}, "state": {"horizontal": True}}
    date_hierarchy = "started_at"
    fieldsets = [
        (None, {"fields": ["source_text", "state_badge", "result"]}),
        ("Papers", {"fields": ["records", "new", "changed", "unreadable"]}),
        ("Run", {"fields": ["today", "started_at", "touched_at", "ended_at", "cursor"]}),
    ]

    def has_fetch_permission(self, request):
        return request.user.has_perm("digest.change_harvest")

    @confirm_first(
        "Fetch new papers",
        "One request at a time is sent to each source. A source that was fetched in the last 20 "
        "minutes is not asked again.",
        FetchForm,
        permissions=["fetch"],
        url_path="fetch",
        icon="download",
    )
    def fetch(self, request, form):
        source, started_titles = form.cleaned_data["source"], []
        for name, title in registry.titles([source] if source else registry.enabled()).items():
            if refusal := harvest.reserve_fetch(name, timezone.now()):
                self.message_user(request, f"Not started: {title} {refusal}.", messages.WARNING)
                continue
            enqueue(tasks.harvest_source, name)
            started_titles.append(title)
        if started_titles:
            title_list = ", ".join(started_titles)
            LogEntry.objects.create(
                user=request.user,
                content_type=get_content_type_for_model(Harvest),
                object_repr=title_list,
                action_flag=ADDITION,
                change_message=f"Started to fetch {title_list}.",
            )
            text = f"Fetching {title_list}. Reload this page for the result."
            self.message_user(request, text, messages.SUCCESS)
        return hx_redirect("admin:digest_harvest_changelist")

    @display(description="Source", ordering="source")
    def source_text(self, run):
        return f"{run.source}, from {date_format(run.since)}" if run.since else run.source

    @display(description="State", ordering="state")
    def state_badge(self, run):
        return harvest_badge(run, timezone.now())

    @display(description="Result")
    def short_result(self, run):
        return min_width(Truncator(run.result).chars(120))


@admin.register(Coverage)
class CoverageAdmin(ReadOnlyMixin, BaseModelAdmin):
    list_display = ["day", "list_name", "state_badge", "announced", "stored", "short_note"]
    list_display_links = ["list_name"]
    list_filter = [
        ("source", admin.AllValuesFieldListFilter),
        ("state", ChoicesDropdownFilter),
        ("day", RangeDateFilter),
    ]
    list_filter_options = {"source": {"horizontal": True}, "state": {"horizontal": True}}
    list_filter_submit = True
    search_fields = ["category"]
    search_help_text = "Category, or part of one"
    date_hierarchy = "day"
    fields = ["day", "source", "category", "state_badge"]
    fields += ["announced", "stored", "note", "checked_at"]

    @display(description="List", ordering="category")
    def list_name(self, coverage):
        return f"{coverage.source}: {coverage.category}"

    @display(description="State", ordering="state")
    def state_badge(self, coverage):
        return badge(coverage.get_state_display(), COVERAGE_TONES[coverage.state])

    @display(description="Note")
    def short_note(self, coverage):
        return min_width(Truncator(coverage.note).chars(120))
