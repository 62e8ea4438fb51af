"""The admin page with the switch that stops all emails, and a test email."""

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminEmailInputWidget

from subscriptions import addresses
from subscriptions.admin.base import BaseModelAdmin
from subscriptions.admin.confirm_dialog import confirm_first
from subscriptions.admin.widgets import TONES, ReadOnlyMixin, badge, hx_redirect
from subscriptions.delivery import circuit_breaker, status
from subscriptions.models import Sending
from subscriptions.notices import probe

STOP = {
    "title": "Stop sending",
    "consequence": "No more emails are sent, and no digests are planned. Emails already handed to "
    "the mail server may still arrive. After you resume, each subscriber gets one digest with the "
    "papers of all days.",
}
RESUME = {
    "title": "Resume sending",
    "consequence": "Queued emails are sent within a minute, the oldest first, and digests that are "
    "due are planned.",
}

#: What the audit log says of a test email.
TEST_SENT = "Test email sent."


class TestEmailForm(BaseDialogForm):
    email = forms.EmailField(label="Send to", widget=UnfoldAdminEmailInputWidget)

    def __init__(self, request, *args, **kwargs):
        super().__init__(request, *args, **kwargs)
        self.fields["email"].initial = request.user.email

    def clean_email(self):
        return addresses.normalise(self.cleaned_data["email"])


@admin.register(Sending)
class SendingAdmin(ReadOnlyMixin, BaseModelAdmin):
    """The switch, and what delays emails. The table's only row may not exist yet."""

    actions_list = ["stop", "resume", "test"]

    def has_switch_permission(self, request):
        return request.user.has_perm("subscriptions.change_sending")

    def changelist_view(self, request, extra_context=None):
        if not self.has_view_permission(request):
            raise PermissionDenied
        now = timezone.now()
        state = status.sending_status(now)
        letters_url = reverse("admin:subscriptions_letter_changelist")
        content_type = get_content_type_for_model(Sending)
        queues = [
            {"name": badge(queue.label, TONES[queue.state]), "note": queue.text}
            | {"count": f"{queue.count:,}", "url": f"{letters_url}?state__exact={queue.state}"}
            for queue in status.queues(now)
        ]
        return self.render_page(
            request,
            "admin/subscriptions/sending/page.html",
            title="Sending",
            status=state,
            queues=queues,
            switch=self._buttons(state.grade) if self.has_switch_permission(request) else [],
            history=LogEntry.objects.filter(content_type=content_type).select_related("user")[:10],
        )

    def change_view(self, request, object_id, form_url="", extra_context=None):
        return redirect("admin:subscriptions_sending_changelist")

    @confirm_first(**STOP, variant=ActionVariant.DANGER, permissions=["switch"])
    def stop(self, request, form):
        circuit_breaker.stop(request.user.get_username(), timezone.now())
        return self._report(request, "Sending stopped.")

    @confirm_first(**RESUME, permissions=["switch"])
    def resume(self, request, form):
        circuit_breaker.resume(request.user.get_username(), timezone.now())
        return self._report(request, "Sending resumed.")

    @confirm_first(
        "Send test email",
        "It goes straight to the mail server, also while sending is stopped.",
        TestEmailForm,
        permissions=["switch"],
    )
    def test(self, request, form):
        is_sent, reply = probe.send_test_email(form.cleaned_data["email"], timezone.now())
        text = TEST_SENT if is_sent else f"Test email not sent: {reply}"
        row = Sending.objects.get_or_create(pk=1)[0]
        self.log_change(request, row, TEST_SENT if is_sent else "Test email not sent.")
        self.message_user(request, text, messages.SUCCESS if is_sent else messages.ERROR)
        return hx_redirect("admin:subscriptions_sending_changelist")

    def _buttons(self, grade):
        """Return the buttons: those that would change the state, and the test email."""
        buttons = {
            "resume": {"words": RESUME["title"], "icon": "play_circle", "variant": "primary"},
            "stop": {"words": STOP["title"], "icon": "stop_circle", "variant": "danger"},
            "test": {"words": "Send test email", "icon": "forward_to_inbox", "variant": ""},
        }
        names = {"on": ["stop"], "tripped": ["resume", "stop"], "stopped": ["resume"]}[grade]
        return [
            buttons[name] | {"url": reverse(f"admin:subscriptions_sending_{name}")}
            for name in [*names, "test"]
        ]

    def _report(self, request, text):
        self.log_change(request, circuit_breaker.current(), text)
        self.message_user(request, text, messages.SUCCESS)
        return hx_redirect("admin:subscriptions_sending_changelist")
