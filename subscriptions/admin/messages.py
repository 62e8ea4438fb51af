"""The admin pages of messages to subscribers. Their texts are in the .toml file."""

import tomllib
from datetime import timedelta
from pathlib import Path

from django import forms
from django.contrib import admin
from django.contrib.messages import ERROR, SUCCESS
from django.db import IntegrityError, transaction
from django.http import Http404
from django.shortcuts import redirect, resolve_url
from django.utils import timezone
from django.utils.html import format_html
from unfold import widgets as unfold
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from subscriptions.admin import widgets
from subscriptions.admin.base import BaseModelAdmin, inviter
from subscriptions.admin.confirm_dialog import confirm_first
from subscriptions.delivery import messages
from subscriptions.models import Message
from subscriptions.notices import compose, probe

TEMPLATE = "admin/subscriptions/message/write.html"
TEXTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
ASKS_AGAIN_WITHIN = timedelta(days=1)
TONES = {"scheduled": "open", "being sent": "open", "sent": "good", "stopped": "quiet"}


class MessageForm(forms.ModelForm):
    count = forms.CharField(
        label="Number of receivers", required=False, widget=unfold.UnfoldAdminTextInputWidget
    )
    again = forms.BooleanField(
        label="Send another message within 24 hours",
        required=False,
        widget=unfold.UnfoldBooleanWidget,
    )

    class Meta:
        model = Message
        fields = ["subject", "text", "group"]
        widgets = {
            "subject": unfold.UnfoldAdminTextInputWidget,
            "text": unfold.UnfoldAdminTextareaWidget(attrs={"rows": 12}),
            "group": unfold.UnfoldAdminSelectWidget,
        }
        help_texts = TEXTS["fields"]

    def is_confirmed(self, count: int, *, is_another: bool) -> bool:
        """Return whether the operator typed the number of receivers. Add errors otherwise."""
        if not count:
            self.add_error(None, TEXTS["errors"]["nobody"])
        elif self.cleaned_data["count"] != str(count):
            self.add_error("count", TEXTS["errors"]["count"].format(count=count))
        if is_another and not self.cleaned_data["again"]:
            self.add_error("again", TEXTS["errors"]["again"])
        return self.is_valid()


@admin.register(Message)
class MessageAdmin(widgets.ReadOnlyMixin, BaseModelAdmin):
    list_display = ["subject", "state", "to", "starts_at", "written_by"]
    ordering = ["-pk"]
    fields = ["subject", "body", "to", "written_by", "starts_at", "stopped_at", "state", "progress"]
    readonly_fields = ["body", "to", "state", "progress"]
    actions_list = ["write"]
    actions_detail = ["stop"]

    def has_write_permission(self, request):
        return request.user.has_perm("subscriptions.send_message")

    def has_stop_permission(self, request, object_id=None):
        if not self.has_write_permission(request) or object_id is None:
            return self.has_write_permission(request)
        message = self.get_object(request, object_id)
        return message is not None and message.state_at(timezone.now()) not in ("sent", "stopped")

    @action(description="Write a message", url_path="write", permissions=["write"], icon="edit")
    def write(self, request):
        """Show the form; with it sent, a preview, a test email, or the start of the message."""
        form, now = MessageForm(request.POST or None), timezone.now()
        context = TEXTS["write"] | {"form": form, "back": resolve_url(_url_name("changelist"))}
        if form.is_valid():
            message = form.save(commit=False)
            count = messages.receivers(message.group, now).count()
            is_another = Message.objects.since(now - ASKS_AGAIN_WITHIN).exists()
            content = compose.preview_message(message)
            # Links open a new window, which the sandbox of the frame refuses.
            html = content.html.replace("<head>", '<head><base target="_blank">', 1)
            context |= {"email": content, "email_html": html, "count": count}
            context["is_another"] = is_another
            if "test" in request.POST:
                self._send_test(request, content, now)
            elif "send" in request.POST and form.is_confirmed(count, is_another=is_another):
                message.receivers, message.written_by = count, inviter(request.user)
                try:
                    with transaction.atomic():
                        messages.schedule(message, now)
                except IntegrityError:
                    form.add_error(None, TEXTS["errors"]["minute"])
                    return self.render_page(request, TEMPLATE, **context)
                log_text = f"Starts at {message.starts_at:%H:%M} UTC. Receivers: {count}. To: "
                self.log_addition(request, message, f"{log_text}{self.to(message)}.")
                return redirect(_url_name("change"), message.pk)
        return self.render_page(request, TEMPLATE, **context)

    def _send_test(self, request, content, now):
        is_sent, reply = False, TEXTS["errors"]["no_address"]
        if address := request.user.email:
            is_sent, reply = probe.send_test_email(address, now, content)
        text = f"Test email sent to {address}." if is_sent else f"Test email not sent: {reply}"
        self.message_user(request, text, SUCCESS if is_sent else ERROR)

    @confirm_first(
        "Stop message",
        TEXTS["stop"]["consequence"],
        variant=ActionVariant.DANGER,
        permissions=["stop"],
        icon="stop_circle",
    )
    def stop(self, request, form, object_id):
        if (message := self.get_object(request, object_id)) is None:
            raise Http404
        if messages.stop(message, timezone.now()):
            self.log_change(request, message, f"Stopped: {self.progress(message)}.")
            self.message_user(request, "The message is stopped.", SUCCESS)
        return widgets.hx_redirect(_url_name("change"), object_id)

    @display(description="State")
    def state(self, message):
        state = message.state_at(timezone.now())
        return widgets.badge(state, TONES[state])

    @display(description="To")
    def to(self, message):
        return f"group {message.group}" if message.group else "all active subscribers"

    @display(description="Text")
    def body(self, message):
        return format_html('<span style="white-space: pre-line">{}</span>', message.text)

    @display(description="Emails")
    def progress(self, message):
        counts = [f"{count:,} {name}" for name, count in messages.progress(message).items()]
        return f"{', '.join(counts)}. Receivers: {message.receivers:,}"


def _url_name(page):
    return f"admin:subscriptions_message_{page}"
