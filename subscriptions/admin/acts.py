"""What an operator does to a subscriber, or to several: each act asks first, and calls one verb.

An act is a description. Its page for one reader, its action for those selected on the list, who may
do it, and its entry in the trail are made of it, the same for all.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.db import transaction
from django.shortcuts import resolve_url
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from subscriptions.admin.asking import asks_first
from subscriptions.admin.parts import go_to
from subscriptions.models import Subscriber

CHANGE, ERASE = "subscriptions.change_subscriber", "subscriptions.delete_subscriber"
GONE = "They were erased meanwhile."
SECONDS = 10  # Then no further one is begun with: whoever pressed the button waits.


def log_change(panel, request, subscriber, note):
    """Note it in the trail, under her lock: who was erased since is not named there any more."""
    with transaction.atomic():
        if Subscriber.objects.select_for_update().filter(pk=subscriber.pk).first():
            panel.log_change(request, subscriber, note)


@dataclass(frozen=True, kw_only=True)
class Act:
    """`do` takes a subscriber, what the form says, and the moment; it returns what the trail notes
    of it, or None where nothing was done: `left_alone` says why. `fits` says whether there is
    anything to do to one.
    """

    name: str
    title: str
    question: str
    consequence: str
    icon: str
    done: str
    do: Callable[[Subscriber, dict, datetime], str | None]
    fits: Callable[[Subscriber, datetime], bool]
    left_alone: str = ""
    permission: str = CHANGE
    form: type[BaseDialogForm] = BaseDialogForm
    log: Callable = log_change
    variant: ActionVariant = ActionVariant.PRIMARY
    leads_to_list: bool = False


def equip(*acts: Act):
    """Make a class decorator that gives a page of subscribers these acts."""

    def equipped(panel):
        for act in acts:
            setattr(panel, f"has_{act.name}_permission", _permission(act))
            setattr(panel, act.name, _page(act))
            setattr(panel, f"{act.name}_selected", _selected(act))
        panel.actions_detail = [*panel.actions_detail, *(act.name for act in acts)]
        panel.actions = [*panel.actions, *(f"{act.name}_selected" for act in acts)]
        return panel

    return equipped


def _permission(act):
    """On a page of someone whom the act fits, or on the list, where the verb looks at each."""

    def has_permission(self, request, object_id=None):
        if not request.user.has_perm(act.permission):
            return False
        if object_id is None:
            return True
        try:
            subscriber = Subscriber.objects.filter(pk=object_id).first()
        except ValueError:  # An address that somebody typed, with no number in it.
            return False
        return subscriber is not None and act.fits(subscriber, timezone.now())

    return has_permission


def _page(act):
    def page(self, request, form, object_id):
        _carry_out(self, request, act, Subscriber.objects.filter(pk=object_id), form.cleaned_data)
        if act.leads_to_list:
            return go_to("admin:subscriptions_subscriber_changelist")
        return go_to("admin:subscriptions_subscriber_change", object_id)

    page.__name__ = act.name  # Unfold finds out by the name whether it is of one reader.
    return asks_first(
        {"title": act.title, "consequence": act.consequence},
        act.form,
        description=act.title,
        url_path=act.name,
        permissions=[act.name],
        icon=act.icon,
        variant=act.variant,
    )(page)


def _selected(act):
    @admin.action(description=act.title, permissions=[act.name])
    def selected(self, request, queryset):
        """Ask first; act when the answer comes."""
        is_answer = "confirmed" in request.POST
        sent = request.POST.dict() | {"_form_submitted": "on"} if is_answer else None
        form = act.form(request=request, data=sent)
        if is_answer and form.is_valid():
            return _carry_out(self, request, act, queryset, form.cleaned_data)
        context = {
            **self.admin_site.each_context(request),
            "title": act.title,
            "question": act.question,
            "consequence": act.consequence,
            "form": form,
            "opts": self.opts,
            "subscribers": queryset,
            "action": request.POST["action"],
            "checkbox_name": helpers.ACTION_CHECKBOX_NAME,
            "variant": act.variant.value,
            "back": resolve_url("admin:subscriptions_subscriber_changelist"),
        }
        return TemplateResponse(request, "admin/subscriptions/subscriber/confirm.html", context)

    selected.__name__ = f"{act.name}_selected"
    return selected


def _carry_out(panel, request, act, queryset, told) -> None:
    """Do it to each, note it in the trail, and say to how many, and why not to the others."""
    now, ends = timezone.now(), time.monotonic() + SECONDS
    count, reasons, late = 0, [], 0
    for subscriber in queryset:
        if (count or reasons) and time.monotonic() > ends:
            late += 1
            continue
        try:
            note = act.do(subscriber, told, now)
        except Subscriber.DoesNotExist:
            reasons.append(GONE)
            continue
        if note is None:
            reasons.append(act.left_alone)
        else:
            act.log(panel, request, subscriber, note)
            count += 1
    if count:
        panel.message_user(request, f"{act.done}: {count}.", messages.SUCCESS)
    if reasons:
        why = " ".join(dict.fromkeys(filter(None, reasons)))
        words = f"Not {act.done[:1].lower()}{act.done[1:]}: {len(reasons)}. {why}"
        panel.message_user(request, words.strip(), messages.WARNING)
    if late:
        words = f"There was no time for {late} more, who are as they were: select them again."
        panel.message_user(request, words, messages.WARNING)
