"""Actions of operators on subscribers, selected in the list or on a subscriber's page.

Each asks for confirmation, calls one function, and adds an entry to the audit log. The texts are in
subscriber_actions.toml.
"""

import time
import tomllib
from datetime import timedelta
from pathlib import Path

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.core.exceptions import ValidationError
from django.db import transaction
from django.shortcuts import redirect, resolve_url
from django.utils import timezone
from django.utils.formats import date_format
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from digest.views.preferences.forms import LAST_PAUSE
from subscriptions.actions import moderation, preferences, signup
from subscriptions.actions.erase import erase as erase_subscriber
from subscriptions.models import Subscriber
from subscriptions.models.subscribers import STATES
from subscriptions.notices import send
from subscriptions.security import rate_limits

SOURCE = signup.ConsentSource(via="admin panel")
TEXTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
ERASED = "Erased."
MAX_SECONDS = 10  # After that, the rest of the subscribers is left: a person waits.


class PauseForm(forms.Form):
    until = forms.DateField(widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}))

    def clean_until(self):
        until = self.cleaned_data["until"]
        if not timezone.now().date() - timedelta(days=1) < until <= LAST_PAUSE:
            raise ValidationError("Choose a future day.")
        return until


class BlockForm(forms.Form):
    reason = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="The subscriber can read it in their data.",
    )


def subscriber_action(*states, form=forms.Form, permission="change", variant=ActionVariant.PRIMARY):
    """Make a function an action of the list, which asks first and shows what was done.

    The function takes a subscriber, the form's data and the moment. It returns the entry for the
    audit log, or None if nothing was done. The pages of subscribers in these states have a button
    for it; without states, all pages.
    """

    def decorate(do):
        texts = TEXTS[do.__name__]

        @admin.action(description=texts["title"], permissions=[permission])
        def ask_or_run(panel, request, queryset):
            subscribers = list(queryset)
            back = request.get_full_path()
            if len(subscribers) == 1:
                page = f"admin:{panel.opts.app_label}_{panel.opts.model_name}_change"
                back = resolve_url(page, subscribers[0].pk)
            is_confirmed = "confirmed" in request.POST
            bound_form = form(request.POST if is_confirmed else None)
            if is_confirmed and bound_form.is_valid():
                _run(do, texts, panel, request, subscribers, bound_form.cleaned_data)
                return None if do.__name__ == "erase" else redirect(back)
            return panel.render_page(
                request,
                "admin/subscriptions/subscriber/confirm.html",
                title=texts["title"],
                question=texts["question"],
                consequence=texts["consequence"].format(**texts),
                form=bound_form,
                subscribers=subscribers,
                action=do.__name__,
                checkbox_name=helpers.ACTION_CHECKBOX_NAME,
                variant=variant.value,
                back=back,
            )

        ask_or_run.__name__ = do.__name__  # By which Django finds it.
        ask_or_run.states = states or STATES
        ask_or_run.button = {"icon": texts["icon"], "variant": variant.value}
        return ask_or_run

    return decorate


def _run(do, texts, panel, request, subscribers, data):
    """Do it to each subscriber. Show how many were done, and why the others were not."""
    now = timezone.now()
    deadline = time.monotonic() + MAX_SECONDS
    done_count = 0
    reasons = []
    for subscriber in subscribers:
        if (done_count or reasons) and time.monotonic() > deadline:
            break
        try:
            log_text = do(subscriber, data, now)
        except Subscriber.DoesNotExist:
            reasons.append(TEXTS["erase"]["not_done_reason"])
            continue
        if log_text is None:
            reasons.append(texts["not_done_reason"])
            continue
        done_count += 1
        _log(panel, request, subscriber, log_text)
    if done_count:
        panel.message_user(request, f"{texts['done']}: {done_count}.", messages.SUCCESS)
    if reasons:
        name = texts["done"][:1].lower() + texts["done"][1:]
        text = f"Not {name}: {len(reasons)}. {' '.join(dict.fromkeys(reasons))}"
        panel.message_user(request, text, messages.WARNING)
    if left_count := len(subscribers) - done_count - len(reasons):
        text = f"Time ran out: {left_count} are unchanged. Select them again."
        panel.message_user(request, text, messages.WARNING)


def _log(panel, request, subscriber, text):
    """Add an entry to the audit log. One about an erased subscriber has no address."""
    with transaction.atomic():
        if Subscriber.objects.select_for_update().filter(pk=subscriber.pk).first():
            panel.log_change(request, subscriber, text)
        elif text == ERASED:
            LogEntry.objects.create(
                user=request.user,
                content_type=get_content_type_for_model(Subscriber),
                object_id=subscriber.pk,
                object_repr=f"Subscriber {subscriber.pk}",
                action_flag=DELETION,
            )


@subscriber_action("active", "paused", form=PauseForm)
def pause(subscriber, data, now):
    if preferences.pause(subscriber, data["until"], now=now):
        return f"Paused until {date_format(data['until'])}."


@subscriber_action("paused")
def resume(subscriber, data, now):
    if preferences.resume(subscriber, now=now):
        return "Pause ended."


@subscriber_action("pending", "unsubscribed")
def ask_to_confirm(subscriber, data, now):
    is_allowed = rate_limits.check_mailbox("panel", subscriber.email, now)
    if is_allowed and moderation.ask_to_confirm(subscriber, now=now):
        return "Confirmation email sent again."


@subscriber_action("active", "paused", "unsubscribed")
def send_link(subscriber, data, now):
    is_allowed = rate_limits.check_mailbox("panel", subscriber.email, now)
    if is_allowed and send.send_link(subscriber.email, now=now, by_operator=True):
        return "Settings link sent."


@subscriber_action("suppressed")
def ask_to_verify(subscriber, data, now):
    if moderation.ask_if_address_works(subscriber, now=now):
        return "Asked to verify the address."


@subscriber_action("suppressed")
def unblock(subscriber, data, now):
    reason = f"{subscriber.get_suppressed_by_display()}: {subscriber.suppressed_reason}"
    if moderation.unsuppress(subscriber, now=now):
        return f"Unblocked. Was: {reason}"


@subscriber_action(form=BlockForm, variant=ActionVariant.DANGER)
def block(subscriber, data, now):
    if moderation.suppress(subscriber, data["reason"], now=now):
        return f"Blocked: {data['reason']}"


@subscriber_action("pending", "active", "paused", "suppressed", variant=ActionVariant.DANGER)
def unsubscribe(subscriber, data, now):
    signup.unsubscribe(subscriber.public_id, source=SOURCE, now=now)
    return "Unsubscribed."


@subscriber_action(permission="erase", variant=ActionVariant.DANGER)
def erase(subscriber, data, now):
    if erase_subscriber(subscriber, now=now):
        return ERASED
