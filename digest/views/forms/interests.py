"""Forms of topics and interests."""

from collections.abc import Sequence

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from digest.personalization import interests
from digest.views.forms.fields import PageForm, QueriesField, TopicsField
from subscriptions.actions.preferences import TopicSelection
from subscriptions.models import Subscriber, Topic
from subscriptions.models.topics import MAX_QUERIES


class InterestsMixin:
    """Reads the fields `interests` and `muted_interests` of a form, if it has them."""

    subscriber: Subscriber | None = None  # Whose stored entries stay as they are.
    entries: Sequence = ()  # What was read in a valid form.

    def clean(self):
        data = super().clean()
        if not self.errors:
            fields = (data.get(name, "") for name in ("interests", "muted_interests"))
            try:
                self.entries = interests.read(*fields, self.subscriber)
            except forms.ValidationError as error:
                self.add_error("interests", error)
            self.refuse_many_entries()
        return data

    def refuse_many_entries(self) -> None:
        """Add an error for more than MAX_QUERIES followed or muted entries."""
        for name, is_muted in (("interests", False), ("muted_interests", True)):
            count = sum(entry.is_muted == is_muted for entry in self.entries)
            if count > MAX_QUERIES:
                message = gettext(
                    "Please keep to %d interests. "
                    "A longer bibliography fits into your library, after signing up."
                )
                message %= MAX_QUERIES
                self.add_error(name if name in self.fields else "interests", message)


class TopicsForm(InterestsMixin, PageForm):
    topics = TopicsField(Topic.objects.curated(), label=_("Topics"))
    interests = QueriesField(label=_("Keywords"))

    def topic_selection(self):
        data = self.cleaned_data
        return TopicSelection.of(self.entries, data["topics"], data.get("mute", []))


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
        lines, muted_lines = interests.stored_lines(subscriber)
        initial = {"topics": slugs["follow"], "mute": slugs["mute"]}
        initial |= {"interests": lines, "muted_interests": muted_lines}
        return cls(initial=initial, subscriber=subscriber)

    @classmethod
    def with_changes(cls, subscriber: Subscriber, field_lists: dict[str, list[str]]):
        """Return the bound form with the fields that were sent. Others are as they were."""
        return cls(cls.of(subscriber).initial | field_lists, subscriber=subscriber)
