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
from digest.admin.links import email_view, html_response, text_response
from digest.letters import compose
from digest.models import Digest, FittedModel, ZoteroLibrary
from subscriptions import schedule
from subscriptions.admin.subscribers import SubscriberAdmin
from subscriptions.admin.widgets import ReadOnlyInline, letter_badge
from subscriptions.models import Subscriber

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
            return _frame(request, subscriber, digest if part == "today" else None, now)
        context = {"original": subscriber, "digest": digest, "today": today}
        context["title"] = f"Preview emails to {subscriber}"
        return self.render_page(request, "admin/subscriptions/subscriber/preview.html", **context)


@email_view
def _frame(request, stored, digest, now):
    """Return an email for the page's frame. Its links are made for an id that nobody has."""
    subscriber = copy(stored)
    subscriber.public_id, subscriber.confirmed_at = NOBODY, stored.confirmed_at or now
    if digest is not None:
        picks = list(digest.picks.whole())
    elif not FittedModel.objects.exists():
        return text_response("No ranking model yet. The first import of papers makes one.")
    else:
        from digest.planning import plan  # The model and numpy, which only pages that rank load.

        today = schedule.local_day(now, subscriber.zone)
        due = subscriber.next_due_at
        day = max(today, schedule.local_day(due, subscriber.zone)) if due else today
        digest, picks = plan.preview(subscriber, day, now)
    if not picks:
        return text_response("No matching papers.")
    digest.subscriber, digest.public_id = subscriber, NOBODY
    kind = digest.letter.kind if digest.pk else "digest"
    return html_response(compose.preview(digest, picks, kind).html)
