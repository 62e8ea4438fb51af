"""Forms of the preferences page, besides InterestsForm."""

from datetime import date

from django import forms
from django.conf import settings
from django.core.validators import MaxValueValidator
from django.utils.translation import gettext_lazy as _

from digest.views.forms.fields import (
    DaysField,
    HourField,
    LanguageField,
    PageForm,
    YesNoField,
    zone_named,
)
from subscriptions import addresses
from subscriptions.actions import groups
from subscriptions.models import Subscriber

LAST_PAUSE = date(2999, 12, 31)  # Far from 9999, where Python's calendar ends.


class DeliveryForm(PageForm):
    """When and how digests are sent. Settings that are absent are kept."""

    #: The names of Subscriber's fields that differ.
    STORED_AS = {
        "days": "weekdays",
        "monthly": "is_monthly",
        "quiet": "wants_quiet_days",
        "near": "wants_near",
        "messages": "takes_messages",
        "summaries": "summary_language",
        "pause_until": "paused_until",
    }

    hour = HourField(required=False, empty_value=None, label=_("Hour"))
    timezone = forms.CharField(max_length=64, required=False, label=_("Time zone"))
    days = DaysField(
        label=_("Days"), error_messages={"invalid_choice": _("There is no day called “%(value)s”.")}
    )
    monthly = YesNoField(
        no=_("On each of these days"),
        yes=_("Once a month, on the first of these days"),
        label=_("How often"),
    )
    size = forms.IntegerField(
        min_value=1,
        max_value=50,
        required=False,
        label=_("Papers per digest (max)"),
        error_messages={
            name: _("Please choose a number from 1 to 50.")
            for name in ("invalid", "min_value", "max_value")
        },
    )
    pause_until = forms.DateField(
        required=False,
        label=_("Pause until"),
        input_formats=["%Y-%m-%d"],
        widget=forms.DateInput(attrs={"type": "date"}),
        validators=[MaxValueValidator(LAST_PAUSE, _("Please choose a day before the year 3000."))],
    )
    quiet = YesNoField(
        no=_("Send nothing"), yes=_("Send a short note"), label=_("If nothing matches")
    )
    near = YesNoField(no=_("Leave them out"), yes=_("Show up to three"), label=_("Near misses"))
    messages = YesNoField(
        no=_("Don’t send them"), yes=_("Send them"), label=_("Messages from the operator")
    )
    language = LanguageField()
    summaries = LanguageField(
        choices=[("", _("Authors’ sentence")), *settings.SUMMARY_LANGUAGES],
        label=_("Language of summaries"),
    )

    def clean_timezone(self):
        text = self.cleaned_data["timezone"]
        return zone_named(text) if text else ""

    @classmethod
    def of(cls, subscriber: Subscriber):
        """Return the unbound form with the current settings."""
        field_names = {name: cls.STORED_AS.get(name, name) for name in cls.base_fields}
        values = {name: getattr(subscriber, field) for name, field in field_names.items()}
        return cls(initial=values | {"language": subscriber.language_or_default})

    def refuse_past_pause(self, subscriber: Subscriber, today: date) -> None:
        """Add an error for a pause that ends in the past, unless it is the current one.

        A page that was open for days sends the current one along.
        """
        self.full_clean()
        until = self.cleaned_data.get("pause_until")
        if until and until < today and until != subscriber.paused_until:
            self.add_error("pause_until", _("That day is over. Choose a later one, or none."))

    def settings(self):
        """Return the settings that were sent, by the names of Subscriber's fields.

        An empty value is a setting where the field may be blank: it ends a pause, say.
        """
        settings = {}
        for name, value in self.cleaned_data.items():
            field = Subscriber._meta.get_field(self.STORED_AS.get(name, name))
            if value not in (None, "") or (name in self.data and field.blank):
                settings[field.name] = value
        return settings


class MoveForm(PageForm):
    new_email = forms.CharField(max_length=320, label=_("New address"))

    def __init__(self, *args, subscriber: Subscriber, **kwargs):
        super().__init__(*args, **kwargs)
        self.subscriber = subscriber

    def clean_new_email(self):
        address = addresses.normalise(self.cleaned_data["new_email"])
        if address == self.subscriber.email:
            raise forms.ValidationError(_("Your digest already goes to this address."))
        return address


class JoinForm(PageForm):
    name = forms.CharField(label=_("Your name in the group"), required=False)

    def __init__(self, membership, data=None):
        auto_id = f"id_%s_{membership.pk}"
        super().__init__(data, initial={"name": membership.name}, auto_id=auto_id)
        self.membership, self.consent = membership, groups.consent_wording(membership.group)

    def clean_name(self):
        return groups.clean_name(self.cleaned_data["name"])
