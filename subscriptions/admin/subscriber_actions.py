"""Actions of operators: on the page of one subscriber, and on several, selected on the list.

Each asks for confirmation, calls one function, and adds an entry to the audit log. The texts are in
subscriber_actions.toml.
"""

import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.core.exceptions import ValidationError
from django.db import transaction
from django.shortcuts import resolve_url
from django.utils import timezone
from django.utils.formats import date_format
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from subscriptions.actions import moderation, preferences, signup
from subscriptions.actions.erase import erase as erase_subscriber
from subscriptions.admin.confirm_dialog import confirm_first
from subscriptions.admin.widgets import hx_redirect
from subscriptions.forms import LAST_PAUSE
from subscriptions.models import Subscriber
from subscriptions.notices import send
from subscriptions.security import rate_limits

SOURCE = signup.ConsentSource(via="admin panel")
TEXTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
MAX_SECONDS = 10  # After that, the rest of the subscribers is left: a person waits.
LIST = "admin:subscriptions_subscriber_changelist"


class PauseForm(BaseDialogForm):
    until = forms.DateField(widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}))

    def clean_until(self):
        until = self.cleaned_data["until"]
        if not timezone.now().date() - timedelta(days=1) < until <= LAST_PAUSE:
            raise ValidationError("Choose a future day.")
        return until


class SuppressForm(BaseDialogForm):
    reason = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="The subscriber can read it in their data.",
    )


@dataclass(frozen=True, kw_only=True)
class SubscriberAction:
    """One action. `is_applicable` says whether it would change anything for a subscriber.

    `do` takes a subscriber, the form's data and the moment, and returns the entry for the audit
    log, or None if nothing was done, for which `not_done_reason` is the reason.
    """

    name: str
    title: str
    icon: str
    question: str
    consequence: str
    done: str
    do: Callable[[Subscriber, dict, datetime], str | None]
    is_applicable: Callable[[Subscriber, datetime], bool]
    not_done_reason: str = ""
    form: type[BaseDialogForm] = BaseDialogForm
    variant: ActionVariant = ActionVariant.PRIMARY
    erases: bool = False

    def run(self, panel, request, queryset, data) -> None:
        """Do it to each subscriber. Show how many were done, and why the others were not."""
        now, deadline = timezone.now(), time.monotonic() + MAX_SECONDS
        done_count, reasons, skipped_count = 0, [], 0
        for subscriber in queryset:
            if (done_count or reasons) and time.monotonic() > deadline:
                skipped_count += 1
                continue
            try:
                log_text = self.do(subscriber, data, now)
            except Subscriber.DoesNotExist:
                reasons.append("They were already erased.")
                continue
            if log_text is None:
                reasons.append(self.not_done_reason)
                continue
            done_count += 1
            if self.erases:  # Without the address, which is erased.
                LogEntry.objects.create(
                    user=request.user,
                    content_type=get_content_type_for_model(Subscriber),
                    object_id=subscriber.pk,
                    object_repr=f"Subscriber {subscriber.pk}",
                    action_flag=DELETION,
                )
                continue
            with transaction.atomic():  # A subscriber erased meanwhile must not get into the log.
                if Subscriber.objects.select_for_update().filter(pk=subscriber.pk).first():
                    panel.log_change(request, subscriber, log_text)
        if done_count:
            panel.message_user(request, f"{self.done}: {done_count}.", messages.SUCCESS)
        if reasons:
            reason_text = " ".join(dict.fromkeys(filter(None, reasons)))
            text = f"Not {self.done[:1].lower()}{self.done[1:]}: {len(reasons)}. {reason_text}"
            panel.message_user(request, text.strip(), messages.WARNING)
        if skipped_count:
            text = f"Time ran out: {skipped_count} are unchanged. Select them again."
            panel.message_user(request, text, messages.WARNING)


def register_actions(panel):
    """Add the ACTIONS to a ModelAdmin of subscribers: a class decorator."""
    for action in ACTIONS:
        setattr(panel, f"has_{action.name}_permission", _permission(action))
        setattr(panel, action.name, _detail_action(action))
        setattr(panel, f"{action.name}_selected", _list_action(action))
    panel.actions_detail = [action.name for action in ACTIONS]
    panel.actions = [f"{action.name}_selected" for action in ACTIONS]
    return panel


def _permission(action):
    permission = f"subscriptions.{'delete' if action.erases else 'change'}_subscriber"

    def has_permission(self, request, object_id=None):
        """Without an id, this is about the list, where the action looks at each subscriber."""
        if not request.user.has_perm(permission):
            return False
        if object_id is None:
            return True
        try:
            subscriber = Subscriber.objects.filter(pk=object_id).first()
        except ValueError:  # Not a number.
            return False
        return subscriber is not None and action.is_applicable(subscriber, timezone.now())

    return has_permission


def _detail_action(action):
    def run_action(self, request, form, object_id):
        action.run(self, request, Subscriber.objects.filter(pk=object_id), form.cleaned_data)
        if action.erases:
            return hx_redirect(f"admin:subscriptions_{self.opts.model_name}_changelist")
        return hx_redirect(f"admin:subscriptions_{self.opts.model_name}_change", object_id)

    run_action.__name__ = action.name  # Unfold finds by the name that it is about one object.
    return confirm_first(
        action.title,
        action.consequence,
        action.form,
        url_path=action.name,
        permissions=[action.name],
        icon=action.icon,
        variant=action.variant,
    )(run_action)


def _list_action(action):
    @admin.action(description=action.title, permissions=[action.name])
    def run_action(self, request, queryset):
        is_confirmed = "confirmed" in request.POST
        data = request.POST.dict() | {"_form_submitted": "on"} if is_confirmed else None
        form = action.form(request=request, data=data)
        if is_confirmed and form.is_valid():
            return action.run(self, request, queryset, form.cleaned_data)
        return self.render_page(
            request,
            "admin/subscriptions/subscriber/confirm.html",
            title=action.title,
            question=action.question,
            consequence=action.consequence,
            form=form,
            subscribers=queryset,
            action=request.POST["action"],
            checkbox_name=helpers.ACTION_CHECKBOX_NAME,
            variant=action.variant.value,
            back=resolve_url(LIST),
        )

    run_action.__name__ = f"{action.name}_selected"
    return run_action


ACTIONS: list[SubscriberAction] = []


def _action(is_applicable, **options):
    """Register a function as the action of its name."""

    def register(do):
        texts = TEXTS[do.__name__]
        texts |= {"consequence": texts["consequence"].format(**texts)}
        options.update(texts, name=do.__name__, do=do, is_applicable=is_applicable)
        ACTIONS.append(SubscriberAction(**options))
        return do

    return register


def _has_state(*states):
    return lambda subscriber, now: subscriber.state_at(now) in states


@_action(_has_state("active", "paused"), form=PauseForm)
def pause(subscriber, data, now):
    if preferences.pause(subscriber, data["until"], now=now):
        return f"Paused until {date_format(data['until'])}."


@_action(_has_state("paused"))
def resume(subscriber, data, now):
    if preferences.resume(subscriber, now=now):
        return "Pause ended."


@_action(_has_state("pending", "unsubscribed"))
def ask_to_confirm(subscriber, data, now):
    is_allowed = rate_limits.check_mailbox("panel", subscriber.email, now)
    if is_allowed and moderation.ask_to_confirm(subscriber, now=now):
        return "Confirmation email sent again."


@_action(lambda subscriber, now: subscriber.confirmed_at and not subscriber.suppressed_at)
def send_link(subscriber, data, now):
    is_allowed = rate_limits.check_mailbox("panel", subscriber.email, now)
    if is_allowed and send.send_link(subscriber.email, now=now, by_operator=True):
        return "Settings link sent."


@_action(Subscriber.can_confirm_address)
def ask(subscriber, data, now):
    if moderation.ask_if_address_works(subscriber, now=now):
        return "Asked to verify the address."


@_action(_has_state("suppressed"))
def lift(subscriber, data, now):
    reason = f"{subscriber.get_suppressed_by_display()}: {subscriber.suppressed_reason}"
    if moderation.unsuppress(subscriber, now=now):
        return f"Unblocked. Was: {reason}"


@_action(
    lambda subscriber, now: subscriber.suppressed_by != Subscriber.Suppression.OPERATOR,
    form=SuppressForm,
    variant=ActionVariant.DANGER,
)
def suppress(subscriber, data, now):
    if moderation.suppress(subscriber, data["reason"], now=now):
        return f"Blocked: {data['reason']}"


@_action(lambda subscriber, now: subscriber.unsubscribed_at is None, variant=ActionVariant.DANGER)
def unsubscribe(subscriber, data, now):
    signup.unsubscribe(subscriber.public_id, source=SOURCE, now=now)
    return "Unsubscribed."


@_action(lambda subscriber, now: True, erases=True, variant=ActionVariant.DANGER)
def erase(subscriber, data, now):
    if erase_subscriber(subscriber, now=now):
        return "Erased."
