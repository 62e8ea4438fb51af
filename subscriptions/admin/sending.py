"""The admin page with the switch that stops all letters."""

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.enums import ActionVariant

from subscriptions.admin.base import BaseModelAdmin
from subscriptions.admin.confirm_dialog import confirm_first
from subscriptions.admin.widgets import TONES, ReadOnlyMixin, badge, hx_redirect
from subscriptions.delivery import circuit_breaker, status
from subscriptions.models import Sending

STOP = {
    "title": "Stop sending",
    "consequence": "No letter leaves from this moment on, by any worker. What is past the fence "
    "already may arrive. Nothing is planned meanwhile; once it is resumed, all who are due get one "
    "digest, and days that have ended are missed, their papers in that digest.",
}
RESUME = {
    "title": "Resume sending",
    "consequence": "The letters that wait leave within a minute, those that waited longest first, "
    "and the digests that are due are planned.",
}


@admin.register(Sending)
class SendingAdmin(ReadOnlyMixin, BaseModelAdmin):
    """The switch, and what delays letters. The table's only row may not exist yet."""

    actions_list = ["stop", "resume"]

    def has_switch_permission(self, request):
        return request.user.has_perm("subscriptions.change_sending")

    def changelist_view(self, request, extra_context=None):
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = timezone.now()
        state = status.sending_status(now)
        letters = reverse("admin:subscriptions_letter_changelist")
        kind = get_content_type_for_model(Sending)
        context = {
            **self.admin_site.each_context(request),
            "title": "Sending",
            "opts": self.opts,
            "status": state,
            "queues": [
                {"name": badge(queue.label, TONES[queue.state]), "note": queue.said}
                | {"count": f"{queue.count:,}", "url": f"{letters}?state__exact={queue.state}"}
                for queue in status.queues(now)
            ],
            "slowed": status.slowed_providers(now),
            "switch": self._switch(state) if self.has_switch_permission(request) else [],
            "history": LogEntry.objects.filter(content_type=kind).select_related("user")[:10],
        }
        return TemplateResponse(request, "admin/subscriptions/sending/page.html", context)

    def change_view(self, request, object_id, form_url="", extra_context=None):
        return redirect("admin:subscriptions_sending_changelist")

    @confirm_first(**STOP, variant=ActionVariant.DANGER, permissions=["switch"])
    def stop(self, request, form):
        circuit_breaker.stop(request.user.get_username(), timezone.now())
        return self._acted(request, "Stopped sending.")

    @confirm_first(**RESUME, permissions=["switch"])
    def resume(self, request, form):
        circuit_breaker.resume(request.user.get_username(), timezone.now())
        return self._acted(request, "Resumed sending.")

    def _switch(self, state):
        """Return the buttons that would change the state."""
        stop = {"act": "stop", "words": STOP["title"], "icon": "stop_circle", "variant": "danger"}
        resume = {"act": "resume", "words": RESUME["title"], "icon": "play_circle"}
        resume["variant"] = "primary"
        return {"on": [stop], "tripped": [resume, stop], "stopped": [resume]}[state.grade]

    def _acted(self, request, words):
        self.log_change(request, circuit_breaker.current(), words)
        self.message_user(request, words, messages.SUCCESS)
        return hx_redirect("admin:subscriptions_sending_changelist")
