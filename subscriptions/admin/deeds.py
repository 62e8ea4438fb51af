"""What can be done to a reader in this room: in words for who is asked, and the verb for each."""

import tomllib
from datetime import timedelta
from pathlib import Path

from django import forms
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.formats import date_format
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from subscriptions import changing, correspondence, erasing, limits, operating, signup
from subscriptions.admin import acts
from subscriptions.admin.acts import Act
from subscriptions.forms import LAST_PAUSE
from subscriptions.models import Subscriber

DOOR = signup.Door(via="admin panel")
TOLD = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


class PauseForm(BaseDialogForm):
    until = forms.DateField(
        label="Until", widget=UnfoldAdminTextInputWidget(attrs={"type": "date"})
    )

    def clean_until(self):
        until = self.cleaned_data["until"]
        if not timezone.now().date() - timedelta(days=1) < until <= LAST_PAUSE:
            raise ValidationError("Please choose a day that is still to come.")
        return until


class SuppressForm(BaseDialogForm):
    reason = forms.CharField(
        max_length=200,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="It is kept with her data, and she can read it there.",
    )


ACTS: list[Act] = []


def _act(**described):
    """Make a function an act of its name, in the words of deeds.toml.

    The function returns what the trail notes, or None where nothing was done.
    """

    def described_as(do):
        words = TOLD[do.__name__]
        words |= {"consequence": words["consequence"].format(**words)}
        ACTS.append(Act(name=do.__name__, do=do, **words, **described))
        return do

    return described_as


def _log_by_number(panel, request, subscriber, note):
    """Note that it was done, without the address, which is to be forgotten."""
    LogEntry.objects.create(
        user=request.user,
        content_type=get_content_type_for_model(Subscriber),
        object_id=subscriber.pk,
        object_repr=f"Subscriber {subscriber.pk}",
        action_flag=DELETION,
    )


def _is(*states):
    return lambda subscriber, now: subscriber.state_at(now) in states


@_act(fits=_is("active", "paused"), form=PauseForm)
def pause(subscriber, told, now):
    if changing.pause(subscriber, told["until"], now=now):
        return f"Paused until {date_format(told['until'])}."


@_act(fits=_is("paused"))
def resume(subscriber, told, now):
    if changing.resume(subscriber, now=now):
        return "Ended the pause."


@_act(fits=_is("pending"))
def ask_to_confirm(subscriber, told, now):
    may = limits.may_write_to("sign-up", subscriber.email, now)
    if may and operating.ask_to_confirm(subscriber, now=now):
        return "Sent the confirmation again."


@_act(fits=lambda one, now: one.confirmed_at is not None and one.suppressed_at is None)
def send_link(subscriber, told, now):
    may = limits.may_write_to("lost link", subscriber.email, now)
    if may and correspondence.send_link(subscriber.email, now=now):
        return "Sent the link to the preferences."


@_act(fits=lambda one, now: one.may_vouch(now))
def ask(subscriber, told, now):
    if operating.ask_if_right(subscriber, now=now):
        return "Asked whether the address is right."


@_act(fits=_is("suppressed"))
def lift(subscriber, told, now):
    said = f"{subscriber.get_suppressed_by_display()}: {subscriber.suppressed_reason}"
    if operating.lift(subscriber, now=now):
        return f"Let letters go again, in spite of: {said}"


@_act(
    fits=lambda one, now: one.suppressed_by != Subscriber.Suppression.OPERATOR,
    form=SuppressForm,
    variant=ActionVariant.DANGER,
)
def suppress(subscriber, told, now):
    if operating.suppress(subscriber, told["reason"], now=now):
        return f"Kept letters from the address: {told['reason']}"


@_act(fits=lambda one, now: one.unsubscribed_at is None, variant=ActionVariant.DANGER)
def unsubscribe(subscriber, told, now):
    signup.unsubscribe(subscriber.public_id, door=DOOR, now=now)
    return "Unsubscribed."


@_act(
    fits=lambda one, now: True,
    permission=acts.ERASE,
    log=_log_by_number,
    variant=ActionVariant.DANGER,
    leads_to_list=True,
)
def erase(subscriber, told, now):
    if erasing.erase(subscriber, now=now):
        return "Erased."
