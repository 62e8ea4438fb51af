"""The admin page of a subscriber, with their last digests and a preview of the next one."""

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
from digest.models import FittedModel
from subscriptions import schedule
from subscriptions.admin.subscribers import SubscriberAdmin
from subscriptions.admin.widgets import letter_badge
from subscriptions.models import Subscriber

admin.site.unregister(Subscriber)

NOBODY = uuid.UUID(int=0)  # No random id has this value.


@admin.register(Subscriber)
class ReaderAdmin(SubscriberAdmin):
    actions_detail = ["preview", *SubscriberAdmin.actions_detail]
    change_form_outer_after_template = "admin/subscriptions/subscriber/days.html"

    def render_change_form(self, request, context, obj=None, **kwargs):
        context["days"] = [
            (day, letter_badge(day.digest.letter) if day.digest else "")
            for day in subscriber_history.history_of(obj, timezone.now())
        ]
        return super().render_change_form(request, context, obj=obj, **kwargs)

    @action(description="Preview digest", url_path="preview", permissions=["view"], icon="drafts")
    @method_decorator([require_safe, email_view])
    def preview(self, request, object_id):
        """Show today's digest, or what it would be now.

        Its links are made for an id that nobody has.
        """
        stored = self.get_object(request, object_id)
        if stored is None:
            raise Http404
        now = timezone.now()
        subscriber = copy(stored)
        subscriber.public_id, subscriber.confirmed_at = NOBODY, stored.confirmed_at or now
        today = schedule.local_day(now, subscriber.zone)
        if not FittedModel.objects.exists():
            return text_response("There is no model yet. The first harvest makes one.")
        from digest.planning import plan  # The model and numpy, which only pages that rank load.

        digest, picks = plan.digest_of(subscriber, today, now)
        if not picks:
            return text_response("Today's digest has no papers.")
        digest.subscriber, digest.public_id = subscriber, NOBODY
        return html_response(compose.preview(digest, picks).html)
