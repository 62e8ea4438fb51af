"""The panel's pages for digests, and for the promises about them."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import F
from django.db.models.functions import Coalesce
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.utils.html import format_html
from unfold.admin import TabularInline
from unfold.decorators import display

from digest import composing, previews, promises
from digest.admin.parts import link_to
from digest.models import Alarm, Digest, Pick
from subscriptions.admin.pages import Page
from subscriptions.admin.parts import (
    Large,
    LetterDayFilter,
    LetterStateFilter,
    ReadOnly,
    badge,
    count_of,
    letter_badge,
    of_readers_like,
    reason_of,
    with_day,
)
from subscriptions.models import Letter

ON_A_PAGE = 50_000  # Letters that the page of promises asks of: a second.
ASKED = (
    f"Asked just now of the newest {ON_A_PAGE:,} letters of the last two days; of more by beat, "
    "of all by manage.py doctor --check-promises"
)


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
        words = ", ".join(pick.terms)
        says_all = words.casefold() in pick.why.casefold()
        return pick.why if says_all else f"{pick.why} ({words})"


class DayFilter(LetterDayFilter):
    number = "letter_id"


@admin.register(Digest)
class DigestAdmin(Large, ReadOnly, Page):
    list_display = ["whose", "state", "why", "pick_count", "considered"]
    list_filter = [("letter__state", LetterStateFilter), ("day", DayFilter)]
    list_filter_options = {"letter__state": {"horizontal": True}}
    list_filter_submit = True
    list_select_related = ["subscriber", "letter"]
    search_fields = ["subscriber__email"]
    search_help_text = "An email address, or a part of one"
    ordering = ["-letter_id"]  # As they are numbered, and an index of letters' states leads there.
    list_per_page = 50
    inlines = [PickInline]
    fields = ["subscriber", "day", "letter", "state", "why", "considered"]
    change_form_outer_after_template = "admin/digest/digest/preview.html"

    def get_queryset(self, request):
        picks = count_of(Pick.objects.leading(), "digest")
        return super().get_queryset(request).annotate(picked=picks)

    def asked_by(self, request):
        """A reader's page leads to all of hers."""
        return super().asked_by(request) | {"subscriber__id__exact"}

    def get_search_results(self, request, queryset, search_term):
        if search_term:
            queryset = of_readers_like(request, queryset, search_term)
        return queryset, False

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
        """Show which promises hold for the last days, with figures, and no reader."""
        if not request.user.has_perm("digest.view_figures"):
            raise PermissionDenied
        now = timezone.now()
        findings = promises.examine(now, since=now - promises.RECENT, newest=ON_A_PAGE)
        broken = [finding.promise.name for finding in findings if finding.count]
        figures = promises.figures(now)
        alarms = Alarm.objects.standing().filter(name="promises").exclude(subject__in=broken)
        context = {
            **self.admin_site.each_context(request),
            "title": "Promises",
            # The way back that stands above it leads to the list, which shows readers.
            "opts": self.opts if self.has_view_permission(request) else None,
            "findings": [_finding_row(finding, request.user) for finding in findings],
            "broken": len(broken),
            "alarms": alarms,
            "asked": ASKED,
            "figures": _last_day(figures),
            "days": _days(figures.days, request.user),
        }
        return TemplateResponse(request, "admin/digest/digest/promises.html", context)

    @display(description="Digest")
    def whose(self, digest):
        return with_day(digest.subscriber, digest.letter)

    @display(description="State")
    def state(self, digest):
        return letter_badge(digest.letter)

    @display(description="Reason")
    def why(self, digest):
        return reason_of(digest.letter)

    @display(description="Picks")
    def pick_count(self, digest):
        return digest.picked


def _finding_row(finding, user):
    """Return how a promise stands, for a page: its examples are links, for who may follow them."""
    url = f"admin:subscriptions_{finding.kind}_change"
    examples = finding.examples if user.has_perm(f"subscriptions.view_{finding.kind}") else []
    return {
        "sentence": finding.promise.sentence,
        "badge": badge(f"broken: {finding.count:,}", "bad") if finding.count else "",
        "kind": finding.kind,
        "examples": [(number, reverse(url, args=[number])) for number in examples],
    }


def _last_day(figures):
    """Return what the page of promises says of the last day: names, each with its figure."""
    share = f" ({figures.doubted_share:.4%})" if figures.doubted else ""
    return [
        ("Sent", f"{figures.accepted:,}"),
        ("From due to sent: half of the digests within", _duration(figures.lag_median)),
        ("99 of 100 within", _duration(figures.lag_p99)),
        ("In doubt for a time", f"{figures.doubted:,} of {figures.left:,}{share}"),
        ("Sent again, the very same", f"{figures.repeated:,}"),
        ("In doubt for good", f"{figures.unknown:,}"),
    ]


def _days(days, user):
    """Return the table of the last days: linked to their letters, for who may see these."""
    states = [state for state in Letter.State if any(state in one.states for one in days)]
    url = reverse("admin:subscriptions_letter_changelist")
    rows = []
    for one in days:
        link = f"{url}?day_from={one.day}&day_to={one.day}"
        name = date_format(one.day)
        if user.has_perm("subscriptions.view_letter"):
            name = format_html('<a class="text-link nowrap" href="{}">{}</a>', link, name)
        counts = [f"{one.states.get(state, 0):,}" for state in states]
        rows.append([name, f"{one.written:,}", *counts])
    headers = ["Day", "Written", *(state.label.capitalize() for state in states)]
    return {"headers": headers, "rows": rows}


def _duration(lag):
    """Return how long something took, as precisely as anybody cares."""
    if lag is None:
        return "–"
    seconds = lag.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:,.0f} min"
