"""What can be done to a reader in this room: in words for who is asked, and the verb for each."""

from datetime import timedelta

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
from subscriptions.admin.acts import Act, LeftAlone
from subscriptions.forms import LAST_PAUSE
from subscriptions.models import Subscriber

DOOR = signup.Door(via="admin panel")
WHO_IS_ASKED = (
    "Only those are asked whose letters came back, and once in 7 days; nobody after a complaint, "
    "or after leaving."
)
WHO_IS_REMINDED = (
    "Only those are who asked in the last 7 days and have not confirmed, at most once in ten "
    "minutes, and no mailbox more often than a stranger could have it."
)
WHO_GETS_LINKS = (
    "Only those get one who have confirmed and to whom letters go, at most once in ten minutes, "
    "and no mailbox more often than a stranger could have it."
)
WHO_PAUSES = "Only those pause who get digests, until a day that is still to come for them."


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


def _pause(subscriber, told, now):
    _insist(changing.pause(subscriber, told["until"], now=now), WHO_PAUSES)
    return f"Paused until {date_format(told['until'])}."


def _resume(subscriber, told, now):
    _insist(changing.resume(subscriber, now=now), "They did not pause.")
    return "Ended the pause."


def _ask_to_confirm(subscriber, told, now):
    may = limits.may_write_to("sign-up", subscriber.email, now)
    _insist(may and operating.ask_to_confirm(subscriber, now=now), WHO_IS_REMINDED)
    return "Sent the confirmation again."


def _send_link(subscriber, told, now):
    may = limits.may_write_to("lost link", subscriber.email, now)
    _insist(may and correspondence.send_link(subscriber.email, now=now), WHO_GETS_LINKS)
    return "Sent the link to the preferences."


def _ask(subscriber, told, now):
    _insist(operating.ask_if_right(subscriber, now=now), WHO_IS_ASKED)
    return "Asked whether the address is right."


def _suppress(subscriber, told, now):
    _insist(
        operating.suppress(subscriber, told["reason"], now=now), "An operator decided so before."
    )
    return f"Kept letters from the address: {told['reason']}"


def _lift(subscriber, told, now):
    said = f"{subscriber.get_suppressed_by_display()}: {subscriber.suppressed_reason}"
    _insist(operating.lift(subscriber, now=now), "Letters go to them anyway.")
    return f"Let letters go again, in spite of: {said}"


def _unsubscribe(subscriber, told, now):
    signup.unsubscribe(subscriber.public_id, door=DOOR, now=now)
    return "Unsubscribed."


def _erase(subscriber, told, now):
    _insist(erasing.erase(subscriber, now=now), acts.GONE)
    return "Erased."


def _insist(happened, why):
    if not happened:
        raise LeftAlone(why)


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


ACTS = [
    Act(
        name="pause",
        title="Pause",
        question="No digest is sent, until the day that you choose, to:",
        consequence="No digest comes before that day, and one that waits is called off. On that "
        "day the best of what came meanwhile does. They can end the pause themselves.",
        icon="pause_circle",
        done="Paused",
        do=_pause,
        fits=_is("active", "paused"),
        form=PauseForm,
    ),
    Act(
        name="resume",
        title="End the pause",
        question="Digests are sent again to:",
        consequence="The next digest comes at their hour, and none for a day that had one.",
        icon="play_circle",
        done="Ended the pause of",
        do=_resume,
        fits=_is("paused"),
    ),
    Act(
        name="ask_to_confirm",
        title="Ask again to confirm",
        question="The letter that asks to confirm is sent once more to:",
        consequence=f"Its link holds for 7 days from now. {WHO_IS_REMINDED}",
        icon="forward_to_inbox",
        done="Asked again",
        do=_ask_to_confirm,
        fits=_is("pending"),
    ),
    Act(
        name="send_link",
        title="Send the link",
        question="The link to their preferences is sent to:",
        consequence="It goes by mail to the address itself, and nobody else sees it. "
        f"{WHO_GETS_LINKS}",
        icon="link",
        done="Sent the link to",
        do=_send_link,
        fits=lambda one, now: one.confirmed_at is not None and one.suppressed_at is None,
    ),
    Act(
        name="ask",
        title="Ask whether the address is right",
        question="Asked by a letter, whether it arrives:",
        consequence=f"Who confirms gets the digest again. {WHO_IS_ASKED}",
        icon="contact_mail",
        done="Asked",
        do=_ask,
        fits=lambda one, now: one.may_vouch(now),
    ),
    Act(
        name="lift",
        title="Let letters go again",
        question="Digests are sent again to:",
        consequence="What came back, was reported, or was decided here keeps no letter from them "
        "any more. Where the address is still none, the next letter comes back too; after a "
        "complaint, be sure that it is her own wish.",
        icon="outgoing_mail",
        done="Let letters go again to",
        do=_lift,
        fits=_is("suppressed"),
    ),
    Act(
        name="suppress",
        title="Keep letters from her",
        question="No letter of any kind is sent any more to:",
        consequence="Letters that wait are called off, and none says so. Signing up, or asking for "
        "a lost link, brings none either, and only an operator takes it back. Who asks for no more "
        "letters is better unsubscribed.",
        icon="block",
        done="Kept letters from",
        do=_suppress,
        fits=lambda one, now: one.suppressed_by != Subscriber.Suppression.OPERATOR,
        form=SuppressForm,
        variant=ActionVariant.DANGER,
    ),
    Act(
        name="unsubscribe",
        title="Unsubscribe",
        question="No more digests are sent to:",
        consequence="Letters that wait are called off, and one last letter says so, with a link to "
        "undo it. The record of consent stays, and the address may sign up again.",
        icon="unsubscribe",
        done="Unsubscribed",
        do=_unsubscribe,
        fits=lambda one, now: one.unsubscribed_at is None,
        variant=ActionVariant.DANGER,
    ),
    Act(
        name="erase",
        title="Erase",
        question="All that is kept is deleted for:",
        consequence="Wishes, consents, letters and digests go with the address, for good. Who asks "
        "for no more letters is better unsubscribed: that is remembered. Of an address from which "
        "letters came back or were reported, a seal stays. So do backups and the outbox's files.",
        icon="delete_forever",
        done="Erased",
        do=_erase,
        fits=lambda one, now: True,
        permission=acts.ERASE,
        log=_log_by_number,
        variant=ActionVariant.DANGER,
        leads_to_list=True,
    ),
]
