"""Forms of the public pages. To add a field to the sign-up: see SignUpForm.sign_up_request."""

import unicodedata
from collections.abc import Sequence
from datetime import date

from django import forms
from django.conf import settings
from django.core.validators import MaxValueValidator
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from subscriptions import addresses, hooks, schedule
from subscriptions.actions import groups
from subscriptions.actions.preferences import TopicSelection
from subscriptions.actions.signup import SignUpRequest
from subscriptions.models import Subscriber, Topic, known_zone, languages, zone_names
from subscriptions.models.topics import MAX_QUERIES, MAX_QUERY_LENGTH

MAX_LINES = 500  # A pasted paragraph has many.
LAST_PAUSE = date(2999, 12, 31)  # Far from 9999, where Python's calendar ends.


class QueriesField(forms.CharField):
    """Queries, one a line. Cleans to the text, which `InterestsMixin` reads."""

    widget = forms.Textarea

    def __init__(self, **kwargs):
        super().__init__(required=False, **kwargs)

    def to_python(self, value):
        return "\n".join(super().to_python(self.prepare_value(value)).splitlines())

    def clean(self, value):
        text = hooks.expand_bibliography(super().clean(value))
        lines = text.splitlines()
        if len(lines) > MAX_LINES:
            raise forms.ValidationError(gettext("Please keep to %d lines.") % MAX_LINES)
        if any(len(line) > MAX_QUERY_LENGTH for line in lines):
            raise forms.ValidationError(
                gettext("Please keep each line under %d characters.") % MAX_QUERY_LENGTH
            )
        return text

    def prepare_value(self, value):
        return "\n".join(value) if isinstance(value, list) else value


class DaysField(forms.MultipleChoiceField):
    """Days of the week by name. Cleans to the bits of `Subscriber.weekdays`, or None if absent.

    Pages send an empty name along: without it, no chosen day would look like an absent field.
    """

    widget = forms.CheckboxSelectMultiple

    def __init__(self, **kwargs):
        choices = [(name, WEEKDAYS[number]) for number, name in enumerate(schedule.WEEKDAY_NAMES)]
        super().__init__(choices=choices, required=False, **kwargs)

    def clean(self, value):
        days = [name for name in value if name]
        if value and not days:
            raise forms.ValidationError(_("Please choose one day at least."))
        names = super().clean(days)
        return sum({1 << schedule.WEEKDAY_NAMES.index(name) for name in names}) or None

    def prepare_value(self, value):
        return schedule.weekday_names(value) if isinstance(value, int) else value


class TopicsField(forms.ModelMultipleChoiceField):
    """Topics by slug. Empty slugs are ignored, as other fields may be empty."""

    widget = forms.CheckboxSelectMultiple
    default_error_messages = {"invalid_choice": _("There is no topic called “%(value)s”.")}

    def __init__(self, queryset, **kwargs):
        super().__init__(queryset, required=False, to_field_name="slug", **kwargs)

    def clean(self, value):
        return super().clean([slug for slug in value if slug])


class HourField(forms.TypedChoiceField):
    """An hour of the day. Accepts 07 for 7."""

    default_error_messages = {"invalid_choice": _("Please choose an hour from 0 to 23.")}

    def __init__(self, **kwargs):
        choices = [(hour, f"{hour:02}:00") for hour in range(24)]
        super().__init__(choices=choices, coerce=int, **kwargs)

    def to_python(self, value):
        text = super().to_python(value)
        return text[1:] if len(text) == 2 and text[0] == "0" else text


class LanguageField(forms.ChoiceField):
    default_error_messages = {
        "invalid_choice": _("Please choose one of the languages in the list.")
    }

    def __init__(self, **kwargs):
        defaults = {"choices": languages, "required": False, "label": _("Language")}
        super().__init__(**(defaults | kwargs))


class YesNoField(forms.TypedChoiceField):
    default_error_messages = {"invalid_choice": _("Please choose one of the two.")}

    def __init__(self, no, yes, **kwargs):
        choices = [("no", no), ("yes", yes)]
        super().__init__(choices=choices, empty_value=None, required=False, **kwargs)
        self.coerce = lambda answer: answer == "yes"

    def prepare_value(self, value):
        return {True: "yes", False: "no"}.get(value, value)


class PageForm(forms.Form):
    """A form whose fields are in the order of the page."""

    @property
    def first_wrong(self) -> str:
        """The name of the first field with an error, which the page focuses."""
        return next((field.name for field in self.visible_fields() if field.errors), "")


class AddressForm(PageForm):
    USUAL_DOMAINS, OTHER_DOMAINS = addresses.USUAL_DOMAINS, addresses.OTHER_DOMAINS
    email = forms.CharField(
        max_length=320,
        label=_("Email address"),
        widget=forms.EmailInput(attrs={"autocomplete": "email", "placeholder": "you@example.org"}),
    )

    def clean_email(self):
        return addresses.normalise(self.cleaned_data["email"])


class InterestsMixin:
    """Reads the fields `interests` and `muted_interests` of a form, if it has them."""

    subscriber: Subscriber | None = None  # Whose stored entries stay as they are.
    entries: Sequence = ()  # What was read in a valid form.

    def clean(self):
        data = super().clean()
        if not self.errors:
            fields = (data.get(name, "") for name in ("interests", "muted_interests"))
            try:
                self.entries = hooks.read_interests(*fields, self.subscriber)
            except forms.ValidationError as error:
                self.add_error("interests", error)
            for name, is_muted in (("interests", False), ("muted_interests", True)):
                count = sum(entry.is_muted == is_muted for entry in self.entries)
                if count > MAX_QUERIES:
                    message = gettext(
                        "Please keep to %d interests. "
                        "A longer bibliography fits into your library, after signing up."
                    )
                    message %= MAX_QUERIES
                    self.add_error(name if name in self.fields else "interests", message)
        return data


class TopicsForm(InterestsMixin, PageForm):
    topics = TopicsField(Topic.objects.curated(), label=_("Topics"))
    interests = QueriesField(label=_("Keywords"))

    def topic_selection(self):
        data = self.cleaned_data
        return TopicSelection.of(self.entries, data["topics"], data.get("mute", []))


class SignUpForm(TopicsForm, AddressForm):
    field_order = ("interests", "topics", "email", "hour", "timezone")  # Of the page.
    hour = HourField(required=False, empty_value=7, initial=7, label=_("Hour"))
    timezone = forms.CharField(max_length=64, required=False, label=_("Time zone"))
    language = LanguageField(widget=forms.HiddenInput)  # For forms on other sites.
    #: Hidden: only bots fill it in.
    website = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean_website(self):
        """Explain the refusal: a browser may have filled it in for a person, who can try again."""
        if self.cleaned_data["website"]:
            raise forms.ValidationError(
                _("This looks like an automated request. If you are human, please send it again.")
            )

    def clean_timezone(self):
        return zone_named(self.cleaned_data["timezone"] or "UTC")

    def sign_up_request(self, default_language: str) -> SignUpRequest:
        """Return everything that the visitor asked for. Add a field of the form here."""
        data = self.cleaned_data
        language = data["language"] or default_language
        return SignUpRequest(self.topic_selection(), data["timezone"], data["hour"], language)

    @classmethod
    def with_choices(cls, params):
        """Return the unbound form with the topics and queries of a URL."""
        selection = {"topics": params.getlist("topics"), "interests": params.get("interests", "")}
        return cls(initial={"hour": 7, **selection})


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


class InterestsForm(TopicsForm):
    """What a subscriber follows and mutes. What is absent is dropped."""

    field_order = ("interests", "topics", "muted_interests", "mute")  # Of the page.
    muted_interests = QueriesField(label=_("Muted keywords"))
    mute = TopicsField(Topic.objects.curated(), label=_("Muted topics"))

    def __init__(self, data=None, *, subscriber: Subscriber, **kwargs):
        super().__init__(data, **kwargs)
        self.subscriber = subscriber

    @classmethod
    def of(cls, subscriber: Subscriber):
        """Return the unbound form with the current interests."""
        slugs: dict[str, list[str]] = {"follow": [], "mute": []}
        curated_preferences = subscriber.preferences.filter(topic__owner=None)
        for preference in curated_preferences.select_related("topic").order_by("pk"):
            slugs[preference.stance].append(preference.topic.slug)
        interests, muted_interests = hooks.stored_interests(subscriber)
        initial = {"topics": slugs["follow"], "mute": slugs["mute"]}
        initial |= {"interests": interests, "muted_interests": muted_interests}
        return cls(initial=initial, subscriber=subscriber)

    @classmethod
    def with_changes(cls, subscriber: Subscriber, field_lists: dict[str, list[str]]):
        """Return the bound form with the fields that were sent. Others are as they were."""
        return cls(cls.of(subscriber).initial | field_lists, subscriber=subscriber)


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
        """Return the settings that were sent, by the names of Subscriber's fields."""
        return {
            self.STORED_AS.get(name, name): value
            for name, value in self.cleaned_data.items()
            # An empty day, if it was sent, ends the pause, and an empty language the summaries.
            if value not in (None, "")
            or (name in self.data and name in ("pause_until", "summaries"))
        }


def zones():
    """Return the names of the time zones that people choose from."""
    return sorted(name for name in zone_names() if "/" in name and not name.startswith("Etc/"))


def zone_named(text: str) -> str:
    """Return the zone of this name, or of this city if only one has it: "new york", "Zürich".

    Raises ValidationError.
    """
    decomposed = unicodedata.normalize("NFKD", text)
    ascii_text = "".join(char for char in decomposed if not unicodedata.combining(char))
    zone_name = "_".join(ascii_text.split()).lower()
    zones_by_name = {name.lower(): name for name in zone_names()}
    if zone_name in zones_by_name:
        return zones_by_name[zone_name]
    city_zones = [name for name in zones() if name.rpartition("/")[2].lower() == zone_name]
    if len(city_zones) == 1:
        return city_zones[0]
    known_zone(text)
    return text
