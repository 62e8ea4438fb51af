"""The admin page of a subscriber, with their last digests and previews of emails."""

import uuid
from copy import copy

from django.contrib import admin
from django.http import Http404
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_safe
from unfold.decorators import action

from digest.admin import subscriber_history
from digest.admin.links import email_view, html_response
from digest.letters import compose
from digest.models import Digest, FittedModel, ZoteroLibrary
from subscriptions import schedule
from subscriptions.admin.subscribers import SubscriberAdmin
from subscriptions.admin.widgets import ReadOnlyInline, letter_badge
from subscriptions.models import Letter, Subscriber

admin.site.unregister(Subscriber)

NOBODY = uuid.UUID(int=0)  # No random id has this value.


class ZoteroInline(ReadOnlyInline):
    model = ZoteroLibrary
    fields = ["path", "read_at", "next_read_at", "problem"]
    verbose_name_plural = "Zotero library"


@admin.register(Subscriber)
class SubscriberWithDigestsAdmin(SubscriberAdmin):
    """Registered instead of SubscriberAdmin, whose app does not know of digests."""

    actions_detail = ["preview", *SubscriberAdmin.actions_detail]
    change_form_outer_after_template = "admin/subscriptions/subscriber/days.html"

    def get_inlines(self, request, obj):
        libraries = ZoteroLibrary.objects.filter(subscriber=obj)
        return [*self.inlines, *([ZoteroInline] if libraries.exists() else [])]

    def render_change_form(self, request, context, obj=None, **kwargs):
        context["why"] = _why_no_papers(obj, timezone.now()) if obj else ""
        context["days"] = [
            (day, letter_badge(day.digest.letter) if day.digest else "")
            for day in (subscriber_history.history_of(obj, timezone.now()) if obj else ())
        ]
        return super().render_change_form(request, context, obj=obj, **kwargs)

    @action(description="Preview emails", url_path="preview", permissions=["view"], icon="drafts")
    @method_decorator(require_safe)
    def preview(self, request, object_id):
        """Show today's digest, if there is one, and what the next one would be now."""
        subscriber = self.get_object(request, object_id)
        if subscriber is None:
            raise Http404
        now = timezone.now()
        today = schedule.local_day(now, subscriber.zone)
        digest = Digest.objects.filter(subscriber=subscriber, day=today).first()
        if part := request.GET.get("part"):
            return _email_frame(request, subscriber, digest if part == "today" else None, now)
        context = {"original": subscriber, "digest": digest, "today": today}
        context["has_email"] = digest and _email_html(subscriber, digest, now)
        context["has_forecast"] = _email_html(subscriber, None, now)
        context["why"] = _why_no_papers(subscriber, now)
        context["title"] = f"Preview emails to {subscriber}"
        return self.render_page(request, "admin/subscriptions/subscriber/preview.html", **context)


def _why_no_papers(subscriber, now) -> str:
    """Return why a subscriber gets no papers, or an empty string."""
    if text := subscriber_history.why_stopped(subscriber, schedule.local_day(now, subscriber.zone)):
        return text
    if not FittedModel.objects.exists():
        return "No ranking model yet. The first import of papers makes one."
    from digest.planning import explain  # The model and numpy, which only pages that rank load.

    return explain.explain_empty_digests(subscriber, now)


@email_view
def _email_frame(request, subscriber, digest, now):
    return html_response(_email_html(subscriber, digest, now))


def _email_html(saved_subscriber, digest, now) -> str:
    """Return the HTML of a digest's email, or of the forecast if it is None. Empty if none is sent.

    Its links are made for an id that nobody has.
    """
    subscriber = copy(saved_subscriber)
    subscriber.public_id, subscriber.confirmed_at = NOBODY, saved_subscriber.confirmed_at or now
    if digest is not None:
        picks, kind = list(digest.picks.with_papers()), digest.letter.kind
    elif not FittedModel.objects.exists():
        return ""
    else:
        from digest.planning import plan  # The model and numpy, which only pages that rank load.

        today = schedule.local_day(now, subscriber.zone)
        due_at = subscriber.next_due_at
        day = max(today, schedule.local_day(due_at, subscriber.zone)) if due_at else today
        (digest, picks), kind = plan.preview(subscriber, day, now), Letter.Kind.DIGEST
    if not (picks or kind == Letter.Kind.WELCOME or subscriber.wants_quiet_days):
        return ""
    digest.subscriber, digest.public_id = subscriber, NOBODY
    return compose.preview(digest, picks, kind).html
