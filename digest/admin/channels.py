"""Admin pages of channels, to which digests are posted."""

import tomllib
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Count, Q, Sum
from django.http import Http404
from django.utils import timezone
from unfold import widgets
from unfold.decorators import display

from digest.admin import subscriber_actions
from digest.admin.subscribers import (
    ConsentInline,
    LetterInline,
    PreferenceInline,
    SubscriberAdmin,
)
from digest.channels import formats, webhooks
from digest.http import addresses, client
from digest.personalization.interests import stored_lines
from digest.views.forms.fields import DaysField, QueriesField
from digest.views.forms.interests import InterestsForm, InterestsMixin
from subscriptions import schedule
from subscriptions.actions import moderation, preferences
from subscriptions.admin.confirm_dialog import confirm_first
from subscriptions.admin.widgets import hx_redirect, min_width
from subscriptions.models import Channel, Letter
from subscriptions.security.encryption import UnreadableSecret, decrypt, encrypt

TEXTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
OUTCOME_TEXTS = {"accepted": "sent", "unknown": "perhaps sent"}
STATUS = ["state", "stored_address", "group", "next_digest", "counts", "problem"]
INTERESTS = ["interests", "muted_interests"]
TEXT_INPUT = widgets.UnfoldAdminTextInputWidget()
PASSWORD_INPUT = widgets.UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})


class ChannelForm(InterestsMixin, forms.ModelForm):
    address = forms.CharField(label="Web address", required=False, widget=PASSWORD_INPUT)
    chat_id = forms.CharField(label="Chat ID", required=False, max_length=100, widget=TEXT_INPUT)
    days = DaysField(widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget)
    interests = QueriesField(widget=widgets.UnfoldAdminTextareaWidget)
    muted_interests = QueriesField(widget=widgets.UnfoldAdminTextareaWidget)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.subscriber = self.instance
            for name, lines in zip(INTERESTS, stored_lines(self.instance), strict=True):
                self.initial[name] = "\n".join(lines)
        self.fields["days"].initial = schedule.weekday_names(self.instance.weekdays)
        for name in TEXTS["help"].keys() & self.fields.keys():
            self.fields[name].help_text = TEXTS["help"][name]
        if self.instance.secret:
            self.fields["address"].help_text = TEXTS["keep"] + TEXTS["help"]["address"]
        for name in {"title", "channel"} & self.fields.keys():
            self.fields[name].required = True

    def clean(self):
        """Encrypt the address, without a fragment. Only Telegram has chats."""
        cleaned_data = super().clean()
        address = cleaned_data.get("address", "").partition("#")[0].strip()
        if cleaned_data.get("channel", self.instance.channel) != Channel.Channel.TELEGRAM:
            cleaned_data["chat_id"] = ""
        elif not cleaned_data.get("chat_id"):
            self.add_error("chat_id", "Telegram needs the ID of a chat.")
        elif address and "://" not in address:
            address = f"https://api.telegram.org/bot{address}/sendMessage"
        if not address and not self.instance.secret:
            self.add_error("address", "Enter the address, or for Telegram the bot's token.")
        elif address and not _is_allowed(address):
            self.add_error("address", TEXTS["not_allowed"])
        elif address:
            self.instance.secret = encrypt(address)
        return cleaned_data


def _is_group_channel(channel):
    """Return whether its papers are those of a group's members."""
    return hasattr(channel, "group_of_channel")


def _is_allowed(address):
    with suppress(client.Refused, ValueError):
        addresses.check(address, settings.ALLOWED_PRIVATE_HOSTS)
        parts = urlsplit(address)
        is_listed = parts.hostname in settings.ALLOWED_PRIVATE_HOSTS
        return is_listed or (parts.scheme == "https" and bool(parts.hostname))
    return False


class TopicInline(PreferenceInline):
    """Built-in topics. The form has the channel's own interests."""

    verbose_name_plural = "topics"

    def get_formset(self, request, obj=None, **kwargs):
        return super().get_formset(request, None, **kwargs)

    def get_queryset(self, request):
        return super().get_queryset(request).filter(topic__owner=None)


@admin.register(Channel)
class ChannelAdmin(SubscriberAdmin):
    """A channel is confirmed by the operator who adds it."""

    form = ChannelForm
    row_filter = ~Q(channel="")
    list_display = ["title", "channel", "state", "hours", "next_digest", "last_digest", "problem"]
    search_fields = ["title"]
    search_help_text = "Title"
    list_filter = actions_list = []
    actions = [subscriber_actions.pause, subscriber_actions.resume, subscriber_actions.erase]
    actions_detail = ["test_message"]

    def has_add_permission(self, request):
        return request.user.has_perm("subscriptions.add_channel")

    def get_readonly_fields(self, request, obj=None):
        return [*STATUS, "channel"] if obj else STATUS

    def get_fieldsets(self, request, obj=None):
        fields = ["title", "channel", "address", "chat_id", *(STATUS if obj else [])]
        delivery = ["timezone", "hour", "days", "is_monthly", "size", "language", "paused_until"]
        delivery += ["summary_language"] if settings.LLM_URL else []
        options = {"fields": fields, "description": "" if obj else TEXTS["what"]}
        interests = [] if _is_group_channel(obj) else [("Interests", {"fields": INTERESTS})]
        return [(None, options), ("Delivery", {"fields": delivery}), *interests]

    def get_inlines(self, request, obj):
        topics = [] if _is_group_channel(obj) else [TopicInline]
        return topics + ([ConsentInline, LetterInline] if obj else [])

    def save_model(self, request, obj, form, change):
        now, weekdays = timezone.now(), form.cleaned_data["days"] or obj.weekdays
        if not change:
            obj.weekdays = weekdays
            return moderation.add_channel(obj, source=subscriber_actions.SOURCE, now=now)
        fields = {name: form.cleaned_data[name] for name in form.changed_data if hasattr(obj, name)}
        fields |= {"weekdays": weekdays, "secret": obj.secret}
        return preferences.change(obj, None, fields, now=now)

    def save_related(self, request, form, formsets, change):
        super().save_related(request, form, formsets, change)
        channel = form.instance
        if not _is_group_channel(channel):
            interest_lines = {name: form.cleaned_data[name] for name in INTERESTS}
            interests_form = InterestsForm.with_changes(channel, interest_lines)
            interests_form.full_clean()
            preferences.change(channel, interests_form.topic_selection(), {}, now=timezone.now())
        if not change and not channel.preferences.exists():  # There is time to choose a group.
            tomorrow = schedule.local_day(timezone.now(), channel.zone) + timedelta(days=1)
            channel.schedule_from(tomorrow)
            channel.save(update_fields=["next_due_at"])

    @confirm_first(
        "Send test message",
        "A short message is posted at once. Nothing is stored.",
        permissions=["change"],
        icon="send",
    )
    def test_message(self, request, form, object_id):
        if (channel := self.get_object(request, object_id)) is None:
            raise Http404
        title, text = f"Test message of {settings.SITE_NAME}", f"{channel} is connected."
        message = formats.ChannelMessage("test", title, timezone.now().date().isoformat(), text)
        result = webhooks.post(channel, formats.payload(channel.channel, message))
        is_sent = result.status == "accepted"
        outcome = f"{OUTCOME_TEXTS.get(result.status, 'not sent')}: {result.reply}"
        self.log_change(request, channel, "Test message sent." if is_sent else "Test failed.")
        level = messages.SUCCESS if is_sent else messages.ERROR
        self.message_user(request, f"Test message {outcome}", level)
        return hx_redirect("admin:subscriptions_channel_change", object_id)

    @display(description="Group")
    def group(self, channel):
        return getattr(channel, "group_of_channel", None)

    @display(description="Stored address")
    def stored_address(self, channel):
        try:
            address = decrypt(channel.secret).partition("#")[0]
        except UnreadableSecret as error:
            return f"{error}."
        return f"{urlsplit(address).hostname}, ending in {address[-4:]}"

    @display(description="Messages")
    def counts(self, channel):
        is_unknown = Q(state=Letter.State.FAILED, reason__startswith=Letter.UNKNOWN)
        sent = Count("pk", filter=Q(state=Letter.State.ACCEPTED))
        unknown, resent = Count("pk", filter=is_unknown), Sum("repeats", default=0)
        totals = channel.letters.aggregate(sent=sent, unknown=unknown, resent=resent)
        return ", ".join(f"{count} {name}" for name, count in totals.items())

    @display(description="Last problem")
    def problem(self, channel):
        letter = channel.letters.exclude(last_reply="").order_by("-pk").first()
        is_delivered = letter is None or letter.state == Letter.State.ACCEPTED
        return "" if is_delivered else min_width(letter.last_reply)
