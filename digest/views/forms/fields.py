"""Fields of forms, and the time zones that people choose from."""

import unicodedata

from django import forms
from django.utils.dates import WEEKDAYS
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from digest.personalization import interests
from subscriptions import schedule
from subscriptions.models import known_zone, languages, zone_names
from subscriptions.models.topics import MAX_QUERY_LENGTH

MAX_LINES = 500  # A pasted paragraph has many.


class PageForm(forms.Form):
    """A form whose fields are in the order of the page."""

    @property
    def first_wrong(self) -> str:
        """The name of the first field with an error, which the page focuses."""
        return next((field.name for field in self.visible_fields() if field.errors), "")


class QueriesField(forms.CharField):
    """Queries, one a line. Cleans to the text, which `InterestsMixin` reads."""

    widget = forms.Textarea

    def __init__(self, **kwargs):
        super().__init__(required=False, **kwargs)

    def to_python(self, value):
        return "\n".join(super().to_python(self.prepare_value(value)).splitlines())

    def clean(self, value):
        text = interests.expand_bibliography(super().clean(value))
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
