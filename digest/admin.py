"""The panel's pages for topics, papers, sources and digests, and its first page.

Topics are kept in the lower room; their page is here since it says which papers match.
"""

from datetime import UTC, datetime, time, timedelta
from functools import partial

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Count, F, Max, Q, Value, Window
from django.db.models.functions import Coalesce, Concat, Lag, Left, StrIndex
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.text import Truncator
from django.views.decorators.http import require_safe
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import (
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateFilter,
)
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextareaWidget

from digest import alarms, composing, coverage, harvest, health, previews, promises, specimens
from digest.models import (
    Coverage,
    Digest,
    FittedModel,
    Harvest,
    Observation,
    Paper,
    PaperEvent,
    Pick,
)
from subscriptions import mail, schedule
from subscriptions.admin import (
    LETTER_TONES,
    SUBSCRIBER_TONES,
    ReadOnly,
    SubscriberAdmin,
    badge,
    count_of,
    letter_badge,
    reason_of,
    states_at,
)
from subscriptions.models import ARXIV, Letter, Subscriber, Topic, TopicPreference
from subscriptions.post import standing

#: How each state of a harvest, and of what it covered, looks: see templates/admin/badge.html.
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
MATCHES = 25


class OwnerFilter(DropdownFilter):
    """Topics of the house, unless someone asks for readers' own."""

    title = "owner"
    parameter_name = "owner"
    all_option = ["", "Of the house"]

    def lookups(self, request, model_admin):
        return [
            ("subjects", "Subjects of the house"),
            ("categories", "arXiv's categories"),
            ("readers", "Readers' own"),
            ("all", "All"),
        ]

    def queryset(self, request, queryset):
        if self.value() == "all":
            return queryset
        if self.value() == "readers":
            return queryset.filter(owner__isnull=False)
        of_the_house = queryset.filter(owner__isnull=True)
        if self.value() == "subjects":
            return of_the_house.exclude(slug__startswith=ARXIV)
        if self.value() == "categories":
            return of_the_house.filter(slug__startswith=ARXIV)
        return of_the_house


@admin.register(Topic)
class TopicAdmin(ModelAdmin):
    list_display = ["name", "short_query", "is_offered", "followers", "muted_by"]
    list_filter = [OwnerFilter]
    list_filter_options = {"owner": {"horizontal": True}}
    list_select_related = ["owner"]
    search_fields = ["name", "query"]
    prepopulated_fields = {"slug": ["name"]}
    fields = ["name", "slug", "query", "categories", "description", "is_offered"]
    formfield_overrides = {models.TextField: {"widget": UnfoldAdminTextareaWidget({"rows": 4})}}
    list_per_page = 50
    change_form_outer_after_template = "admin/subscriptions/topic/matches.html"

    def get_queryset(self, request):
        preferences = TopicPreference.objects.filter(subscriber__in=Subscriber.objects.wanting())
        follows = preferences.filter(stance=TopicPreference.Stance.FOLLOW)
        mutes = preferences.filter(stance=TopicPreference.Stance.MUTE)
        return (
            super()
            .get_queryset(request)
            .annotate(
                follower_count=count_of(follows, "topic"), mute_count=count_of(mutes, "topic")
            )
        )

    def get_list_display(self, request):
        if request.GET.get("owner") == "readers":
            return ["name", "owner", "followers", "muted_by"]
        return super().get_list_display(request)

    def has_change_permission(self, request, obj=None):
        """A reader's own words are hers to change."""
        return (obj is None or obj.owner_id is None) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request, obj=None):
        return (obj is None or obj.owner_id is None) and super().has_delete_permission(request, obj)

    def get_fields(self, request, obj=None):
        if obj is not None and obj.owner_id is not None:
            return ["owner", "query"]
        return super().get_fields(request, obj)

    def get_prepopulated_fields(self, request, obj=None):
        return {} if obj is not None else super().get_prepopulated_fields(request, obj)

    def formfield_for_dbfield(self, db_field, request, **kwargs):
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "slug":  # Optional in the database for readers' own alone.
            field.required = True
        return field

    def render_change_form(self, request, context, obj=None, **kwargs):
        # The template calls it: ranking belongs behind the transaction that saves.
        context["matching"] = partial(matching, obj)
        return super().render_change_form(request, context, obj=obj, **kwargs)

    @display(description="Query")
    def short_query(self, topic):
        return Truncator(topic.query).chars(70)

    @display(description="Followers", ordering="follower_count")
    def followers(self, topic):
        return topic.follower_count

    @display(description="Muted by", ordering="mute_count")
    def muted_by(self, topic):
        return topic.mute_count


def matching(topic):
    """Return the new papers that the topic's followers would see, as a table. None: no model."""
    # The model and numpy, which only pages that rank pay.
    from digest.editions import issue_of
    from digest.profiles import interest_of
    from digest.ranking.choice import matches
    from digest.ranking.tuning import Tuning

    if not FittedModel.objects.exists():
        return None
    now = timezone.now()
    issue = issue_of(schedule.local_day(now, UTC), now, may_store=False)
    tuning = Tuning.of(settings.RANKING)
    choices = matches(issue.model, issue.edition, interest_of(topic), MATCHES, tuning)
    papers = Paper.objects.in_bulk([issue.ids[choice.paper] for choice in choices])
    rows = []
    for choice in choices:
        paper = papers[issue.ids[choice.paper]]
        day = {"content": date_format(paper.day), "class": "whitespace-nowrap"}
        rows.append([link_to(paper), day, f"{choice.score:.2f}", ", ".join(choice.terms)])
    return {"headers": ["Paper", "Day", "Score", "Words that weighed most"], "rows": rows}


def link_to(paper):
    """Return the paper's title, linked to its page in the panel."""
    url = reverse("admin:digest_paper_change", args=[paper.pk])
    return format_html(
        '<a class="inline-block min-w-52 text-important" href="{}">{}</a>', url, paper.title
    )


def link_out(url):
    """Return a link to what lies elsewhere, nothing where there is no address."""
    return url and format_html('<a class="text-link" href="{0}" rel="noreferrer">{0}</a>', url)


class EventInline(ReadOnly, TabularInline):
    model = PaperEvent
    fields = ["at", "kind", "note"]
    verbose_name_plural = "what happened"
    show_title = False
    extra = 0


class ObservationInline(ReadOnly, TabularInline):
    """How popular the paper was, the newest day first, each with the change since the one before.

    The change is computed by the database, since a page shows ten rows and the first of them needs
    the eleventh.
    """

    model = Observation
    fields = ["day", "source", "upvotes_said", "comments_said", "stars_said"]
    readonly_fields = ["upvotes_said", "comments_said", "stars_said"]
    ordering = ["-day", "source"]
    show_title = False
    per_page = 10
    extra = 0

    def get_queryset(self, request):
        def before(name):
            return Window(Lag(name), partition_by=["paper", "source"], order_by="day")

        names = ["day", "upvotes", "num_comments", "github_stars"]
        return (
            super()
            .get_queryset(request)
            .annotate(**{f"{name}_before": before(name) for name in names})
        )

    @display(description="Upvotes")
    def upvotes_said(self, observation):
        return _with_change(observation, "upvotes")

    @display(description="Comments")
    def comments_said(self, observation):
        return _with_change(observation, "num_comments")

    @display(description="GitHub stars")
    def stars_said(self, observation):
        return _with_change(observation, "github_stars")


def _with_change(observation, name):
    """Return a count with its change, and in how many days it came where they aren't one."""
    count, before = getattr(observation, name), getattr(observation, f"{name}_before")
    if count is None:
        return None
    if before is None:
        return f"{count:,}"
    change = f"{count - before:+,}" if count != before else "±0"
    days = (observation.day - observation.day_before).days
    if days > 1:
        change += f" in {days} days"
    return format_html(
        '{} <span class="text-subtle whitespace-nowrap">{}</span>', f"{count:,}", change
    )


@admin.register(Paper)
class PaperAdmin(ReadOnly, ModelAdmin):
    """What sources said. A change by hand would be undone by the next harvest."""

    list_display = ["short_title", "id", "day", "areas", "upvotes", "sample"]
    list_filter = [
        ("day", RangeDateFilter),
        ("is_withdrawn", BooleanRadioFilter),
        ("is_sample", BooleanRadioFilter),
    ]
    list_filter_submit = True
    search_fields = ["title", "id"]
    search_help_text = "A title or an id"
    date_hierarchy = "day"
    list_per_page = 50
    fieldsets = [
        (None, {"fields": ["title", "abstract", "byline", "areas", "where"]}),
        (
            "What became of it",
            {
                "fields": [
                    "version",
                    "withdrawn",
                    "code",
                    "journal_ref",
                    "doi",
                    "comments",
                    "license",
                ]
            },
        ),
        (
            "Facts",
            {
                "fields": [
                    "id",
                    "day",
                    "day_is_estimate",
                    "upvotes",
                    "sample",
                    "changed_at",
                    "picked",
                ]
            },
        ),
    ]

    def get_inlines(self, request, obj):
        """Of most papers nothing is told: an empty table would only take room."""
        inlines = {EventInline: obj.events, ObservationInline: obj.observations}
        return [inline for inline, rows in inlines.items() if rows.exists()]

    @display(description="Title", ordering="title")
    def short_title(self, paper):
        return _wide(Truncator(paper.title).chars(80))

    @display(description="Categories")
    def areas(self, paper):
        return ", ".join(paper.categories)

    @display(description="Sample", boolean=True, ordering="is_sample")
    def sample(self, paper):
        return paper.is_sample

    @display(description="Authors")
    def byline(self, paper):
        return ", ".join(paper.authors)

    @display(description="Link")
    def where(self, paper):
        return link_out(paper.link)

    @display(description="Withdrawn")
    def withdrawn(self, paper):
        return badge("withdrawn", "bad") if paper.is_withdrawn else "no"

    @display(description="Code")
    def code(self, paper):
        return link_out(paper.github)

    @display(description="Readers it was picked for")
    def picked(self, paper):
        return paper.picks.count()


class SourceFilter(DropdownFilter):
    title = "source"
    parameter_name = "source"

    def lookups(self, request, model_admin):
        return [(name, name) for name in harvest.SOURCES]

    def queryset(self, request, queryset):
        return queryset.filter(source=self.value()) if self.value() else queryset


def harvest_badge(run, now):
    """Return how the run stands. One that died could not write it down, and says running still."""
    is_dead = run.state == Harvest.State.RUNNING and run.touched_at < now - harvest.ALIVE
    state = CUT_OFF if is_dead else run.state
    return badge(state, HARVEST_TONES[state])


@admin.register(Harvest)
class HarvestAdmin(ReadOnly, ModelAdmin):
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
        return _wide(Truncator(run.said).chars(120))


@admin.register(Coverage)
class CoverageAdmin(ReadOnly, ModelAdmin):
    list_display = ["day", "what", "state_said", "announced", "had", "short_note"]
    list_display_links = ["what"]
    list_filter = [SourceFilter, ("state", ChoicesDropdownFilter), ("day", RangeDateFilter)]
    list_filter_options = {"source": {"horizontal": True}, "state": {"horizontal": True}}
    list_filter_submit = True
    search_fields = ["category"]
    search_help_text = "A category, or a part of one"
    date_hierarchy = "day"
    list_per_page = 50
    fields = [
        "day",
        "source",
        "category",
        "state_said",
        "announced",
        "had",
        "note",
        "checked_at",
    ]

    @display(description="List", ordering="category")
    def what(self, row):
        return f"{row.source}: {row.category}"

    @display(description="State", ordering="state")
    def state_said(self, row):
        return badge(row.get_state_display(), COVERAGE_TONES[row.state])

    @display(description="Note")
    def short_note(self, row):
        return _wide(Truncator(row.note).chars(120))


def _wide(words):
    """Return the words with room to be read in a narrow table."""
    return words and format_html('<span class="inline-block min-w-52">{}</span>', words)


class PickInline(ReadOnly, TabularInline):
    model = Pick
    fields = ["position", "title", "score_shown", "reason"]
    readonly_fields = ["title", "score_shown", "reason"]
    show_title = False
    extra = 0

    def get_queryset(self, request):
        rows = super().get_queryset(request).select_related("paper", "leader")
        return rows.order_by(
            Coalesce("leader__position", "position"), F("leader").asc(nulls_first=True)
        )

    @display(description="Paper")
    def title(self, pick):
        return link_to(pick.paper)

    @display(description="Score")
    def score_shown(self, pick):
        return f"{pick.score:.2f}"

    @display(description="Reason")
    def reason(self, pick):
        if pick.leader:
            return f"on the same idea as {pick.leader.position}"
        return f"{pick.why} ({', '.join(pick.terms)})" if pick.terms else pick.why


@admin.register(Digest)
class DigestAdmin(ReadOnly, ModelAdmin):
    list_display = ["subscriber", "state", "why", "day", "pick_count", "considered"]
    list_filter = [("letter__state", ChoicesDropdownFilter), ("day", RangeDateFilter)]
    list_filter_options = {"letter__state": {"horizontal": True}}
    list_filter_submit = True
    list_select_related = ["subscriber", "letter"]
    search_fields = ["subscriber__email"]
    search_help_text = "An email address, or a part of one"
    ordering = ["-pk"]
    list_per_page = 50
    show_full_result_count = False
    inlines = [PickInline]
    fields = ["subscriber", "day", "letter", "state", "why", "considered"]
    change_form_outer_after_template = "admin/digest/digest/preview.html"

    def get_queryset(self, request):
        picks = count_of(Pick.objects.leading(), "digest")
        return super().get_queryset(request).annotate(picked=picks)

    def get_urls(self):
        preview = self.admin_site.admin_view(self.preview)
        kept = self.admin_site.admin_view(self.promises)
        return [
            path("promises/", kept, name="digest_digest_promises"),
            path("<int:digest_id>/preview/<str:part>/", preview, name="digest_digest_preview"),
            *super().get_urls(),
        ]

    @method_decorator(previews.shut_in)
    def preview(self, request, digest_id, part):
        """Show the letter, or its text part, as it would be written now. Writes nothing."""
        digest = get_object_or_404(self.get_queryset(request), pk=digest_id)
        if not self.has_view_permission(request, digest):
            raise PermissionDenied
        picks = list(digest.picks.whole())
        letter = composing.preview(digest, picks, digest.letter.kind)
        return previews.plain(letter.text) if part == "text" else previews.page(letter.html)

    def promises(self, request):
        """Show which promises hold for the last days, with figures."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = timezone.now()
        findings = promises.examine(now, since=now - promises.RECENT)
        context = {
            **self.admin_site.each_context(request),
            "title": "Promises",
            "opts": self.opts,
            "findings": [_finding_row(finding) for finding in findings],
            "broken": sum(finding.count > 0 for finding in findings),
            **_figures(promises.figures(now)),
        }
        return TemplateResponse(request, "admin/digest/digest/promises.html", context)

    @display(description="State", ordering="letter__state")
    def state(self, digest):
        return letter_badge(digest.letter)

    @display(description="Reason")
    def why(self, digest):
        return reason_of(digest.letter)

    @display(description="Picks", ordering="picked")
    def pick_count(self, digest):
        return digest.picked


def _finding_row(finding):
    """Return how a promise stands, for a page: its examples are links."""
    url = f"admin:subscriptions_{finding.kind}_change"
    return {
        "sentence": finding.promise.sentence,
        "badge": badge(f"broken: {finding.count:,}", "bad") if finding.count else "",
        "kind": finding.kind,
        "examples": [(number, reverse(url, args=[number])) for number in finding.examples],
    }


def _figures(figures):
    """Return what the page of promises says of the last day, and the table of the last days."""
    share = f" ({figures.doubted_share:.4%})" if figures.doubted else ""
    day = [
        ("Sent", f"{figures.accepted:,}"),
        ("From due to sent: half of the digests within", _duration(figures.lag_median)),
        ("99 of 100 within", _duration(figures.lag_p99)),
        ("In doubt for a time", f"{figures.doubted:,} of {figures.left:,}{share}"),
        ("Sent again, the very same", f"{figures.repeated:,}"),
        ("In doubt for good", f"{figures.unknown:,}"),
    ]
    states = [state for state in Letter.State if any(state in one.states for one in figures.days)]
    url = reverse("admin:subscriptions_letter_changelist")
    rows = []
    for one in figures.days:
        link = f"{url}?day_from={one.day}&day_to={one.day}"
        name = format_html(
            '<a class="text-link nowrap" href="{}">{}</a>', link, date_format(one.day)
        )
        counts = [f"{one.states.get(state, 0):,}" for state in states]
        rows.append([name, f"{one.written:,}", *counts])
    headers = ["Day", "Written", *(state.label.capitalize() for state in states)]
    return {"figures": day, "days": {"headers": headers, "rows": rows}}


def _duration(lag):
    """Return how long something took, as precisely as anybody cares."""
    if lag is None:
        return "–"
    seconds = lag.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:,.0f} min"


admin.site.unregister(Subscriber)


@admin.register(Subscriber)
class ReaderAdmin(SubscriberAdmin):
    """The lower room's page of a subscriber, with the letters that she could get now."""

    actions_detail = ["letters", *SubscriberAdmin.actions_detail]

    def get_urls(self):
        view = self.admin_site.admin_view(self.letter)
        name = "subscriptions_subscriber_letter"
        return [path("<path:object_id>/letters/<slug:name>/", view, name=name), *super().get_urls()]

    @action(
        description="Letters as she would get them",
        url_path="letters",
        permissions=["view"],
        icon="drafts",
    )
    @method_decorator(require_safe)
    def letters(self, request, object_id):
        """Show one of the letters, with its headers and its text part. Writes nothing."""
        subscriber, name = self.get_object(request, object_id), request.GET.get("letter", "digest")
        specimen, reason = self._specimen(subscriber, name)
        today = schedule.local_day(timezone.now(), subscriber.zone)
        context = {
            **self.admin_site.each_context(request),
            "title": "Letters as she would get them",
            "opts": self.opts,
            "original": subscriber,
            "state": self.state(subscriber),
            "titles": specimens.TITLES,
            "name": name,
            "specimen": specimen,
            "reason": reason,
            "had": subscriber.digests.filter(day=today).first() if name == "digest" else None,
        }
        return TemplateResponse(request, "admin/subscriptions/subscriber/letters.html", context)

    @method_decorator([require_safe, previews.shut_in])
    def letter(self, request, object_id, name):
        """Show the HTML of one of the letters, for the frame on the page above."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        specimen, _ = self._specimen(self.get_object(request, object_id), name)
        if specimen is None:
            raise Http404
        return previews.page(specimen.content.html)

    def _specimen(self, subscriber, name):
        """Return the letter of this name, or None and why she would get none."""
        if subscriber is None or name not in specimens.TITLES:
            raise Http404
        try:
            return specimens.written(name, subscriber, timezone.now()), ""
        except mail.NothingToSay as reason:
            return None, str(reason)


@admin.register(FittedModel)
class FittedModelAdmin(ReadOnly, ModelAdmin):
    list_display = ["fitted_at", "documents", "terms", "name"]


def dashboard(request, context):
    """Give the panel's first page what happened today. Named in settings.UNFOLD."""
    now = timezone.now()
    today = timezone.localdate(now)
    return context | {
        "title": "Today",
        "alarms": [one for one in alarms.known(now) if one.name not in ("stopped", "breaker")],
        "sending": standing.of_sending(now),
        "sources": _sources_card(now),
        "subscribers": _subscribers_card(now),
        "letters": _letters_card(today),
        "papers": _papers_card(today),
        "ranking": _ranking_card(),
    }


def _sources_card(now):
    """Tell what arXiv announced and what of it is here, and how each source's last run went."""
    rows = [_source_row(source, run, now) for source, run in health.last_harvests().items()]
    receipt = coverage.receipt(now)
    if receipt is None:
        return {"said": _no_receipt(now), "rows": rows}
    day = f"day_from={receipt.day}&day_to={receipt.day}"
    url = f"{reverse('admin:digest_coverage_changelist')}?source=arxiv&{day}"
    is_whole = receipt.is_verified
    state = badge("whole", "good") if is_whole else badge("not whole yet", "held")
    said = f"{receipt.announced:,} announced, {receipt.had:,} had{'' if is_whole else ' so far'}"
    return {
        "said": f"{said}: arXiv, {date_format(receipt.day)}",
        "rows": [_row(state, "Coverage", url), *rows],
    }


def _no_receipt(now):
    if "arxiv" not in settings.SOURCES:
        return "arXiv is not among the sources"
    return f"arXiv's list of {date_format(coverage.expected_day(now))} was not asked for yet"


def _source_row(source, run, now):
    if run is None:
        return _row(badge("not run yet", "quiet"), "", note=source)
    return _row(
        harvest_badge(run, now),
        f"{run.new:,} new",
        reverse("admin:digest_harvest_change", args=[run.pk]),
        note=f"{source}, {date_format(run.touched_at, 'DATETIME_FORMAT')}",
    )


def _subscribers_card(now):
    counts = {state: Count("pk", filter=condition) for state, condition in states_at(now).items()}
    found = Subscriber.objects.aggregate(**counts)
    url = reverse("admin:subscriptions_subscriber_changelist")
    rows = [
        _row(badge(state, tone), found[state], f"{url}?state={state}")
        for state, tone in SUBSCRIBER_TONES.items()
    ]
    return {"said": f"{sum(found.values())} addresses", "rows": rows}


def _letters_card(day):
    """Tell of the letters written on this day (UTC): by state, and by how the reason begins."""
    beginning = Left("reason", StrIndex(Concat("reason", Value(":")), Value(":")) - 1)
    letters = Letter.objects.filter(created_at__gte=datetime.combine(day, time.min, UTC)).order_by()
    groups = list(letters.values_list("state", beginning).annotate(Count("pk")))
    order = list(Letter.State)
    groups.sort(key=lambda group: (order.index(group[0]), group[1]))
    url = reverse("admin:subscriptions_letter_changelist")
    rows = [
        _row(
            badge(Letter.State(state).label, LETTER_TONES[state]),
            count,
            f"{url}?state__exact={state}",
            note=reason if reason != Letter.State(state).label else "",
        )
        for state, reason, count in groups
    ]
    total = sum(count for _, _, count in groups)
    return {"said": f"{total} since midnight (UTC), of all kinds", "rows": rows}


def _papers_card(today):
    is_new = Q(pk__in=Paper.objects.new_on(today).values("pk"))
    found = Paper.objects.filter(day__lte=today + timedelta(days=1)).aggregate(
        today=Count("pk", filter=Q(day=today)), new=Count("pk", filter=is_new), last=Max("day")
    )
    url = reverse("admin:digest_paper_changelist")
    last = date_format(found["last"]) if found["last"] else "none yet"
    return {
        "said": f"The last day with papers: {last}",
        "rows": [
            _row("Of today", found["today"], f"{url}?day_from={today}&day_to={today}"),
            _row(f"New: of the last {settings.NEW_DAYS} days", found["new"], url),
        ],
    }


def _ranking_card():
    topics = _row(
        "Topics of the house",
        Topic.objects.curated().count(),
        reverse("admin:subscriptions_topic_changelist"),
    )
    model = FittedModel.objects.first()
    if model is None:
        return {"said": "No model yet: the first harvest makes one", "rows": [topics]}
    return {
        "said": f"Model of {date_format(model.fitted_at, 'DATETIME_FORMAT')}",
        "rows": [_row("Papers it has read", model.documents), _row("Terms", model.terms), topics],
    }


def _row(name, count, url="", note=""):
    return {"name": name, "count": count, "url": url, "note": note}
