"""Admin pages for digests."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import F
from django.db.models.functions import Coalesce
from django.shortcuts import get_object_or_404
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateFilter
from unfold.decorators import display

from digest.admin.links import email_view, html_response, paper_link, text_response
from digest.letters import compose
from digest.models import Digest, Pick
from digest.wording import reason_of
from subscriptions.admin import widgets
from subscriptions.admin.base import BaseModelAdmin


class PickInline(widgets.ReadOnlyInline):
    model = Pick
    fields = ["position", "title", "score_text", "reason"]
    readonly_fields = ["title", "score_text", "reason"]

    def get_queryset(self, request):
        picks = super().get_queryset(request).select_related("paper", "leader")
        leader_position = Coalesce("leader__position", "position")
        return picks.order_by(leader_position, F("leader").asc(nulls_first=True))

    @display(description="Paper")
    def title(self, pick):
        return paper_link(pick.paper)

    @display(description="Score")
    def score_text(self, pick):
        return f"{pick.score:.2f}"

    @display(description="Reason")
    def reason(self, pick):
        if pick.leader:
            return f"similar to {pick.leader.position}"
        words = ", ".join(pick.terms)
        names_all_terms = words.casefold() in reason_of(pick).casefold()
        return reason_of(pick) if names_all_terms else f"{reason_of(pick)} ({words})"


@admin.register(Digest)
class DigestAdmin(widgets.AddressSearchMixin, widgets.ReadOnlyMixin, BaseModelAdmin):
    list_display = ["subscriber_and_day", "state", "why", "pick_count", "considered"]
    list_filter = [("letter__state", ChoicesDropdownFilter), ("day", RangeDateFilter)]
    list_filter_options = {"letter__state": {"horizontal": True}}
    list_filter_submit = True
    list_select_related = ["subscriber", "letter"]
    ordering = ["-pk"]
    inlines = [PickInline]
    fields = ["subscriber", "day", "email", "state", "why", "considered", "stored_when_planned"]
    change_form_outer_after_template = "admin/digest/digest/preview.html"

    def get_queryset(self, request):
        picks = widgets.count_subquery(Pick.objects.leading(), "digest")
        return super().get_queryset(request).annotate(picked=picks)

    def get_urls(self):
        preview = self.admin_site.admin_view(self.preview)
        return [
            path("<int:digest_id>/preview/<str:part>/", preview, name="digest_digest_preview"),
            *super().get_urls(),
        ]

    @method_decorator(email_view)
    def preview(self, request, digest_id, part):
        """Show the email, or its text part, as it would be rendered now."""
        digest = get_object_or_404(self.get_queryset(request), pk=digest_id)
        if not self.has_view_permission(request, digest):
            raise PermissionDenied
        letter = compose.preview(digest, list(digest.picks.with_papers()), digest.letter.kind)
        is_text = part == "text" or letter.payload
        return text_response(letter.text) if is_text else html_response(letter.html)

    @display(description="Digest")
    def subscriber_and_day(self, digest):
        return widgets.with_day(digest.subscriber, digest.letter)

    @display(description="State")
    def state(self, digest):
        return widgets.letter_badge(digest.letter)

    @display(description="Reason")
    def why(self, digest):
        return widgets.reason_of(digest.letter)

    @display(description="Email")
    def email(self, digest):
        url = reverse("admin:subscriptions_letter_change", args=[digest.letter_id])
        return widgets.link(url, digest.letter)

    @display(description="Announced papers")
    def stored_when_planned(self, digest):
        """Return how much of the newest list was stored when the digest was planned."""
        template = "{had:,} of {announced:,} stored, arXiv's list of {day}"
        return template.format(**digest.receipt) if digest.receipt else None

    @display(description="Picks")
    def pick_count(self, digest):
        return digest.picked
