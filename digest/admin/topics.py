"""The panel's pages for topics, which are kept in the lower room: theirs say what matches."""

from datetime import UTC
from functools import partial

from django.conf import settings
from django.contrib import admin
from django.db import models
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.text import Truncator
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from digest.admin.parts import link_to
from digest.models import FittedModel, Paper
from subscriptions import schedule
from subscriptions.admin.parts import count_of
from subscriptions.models import ARXIV, Subscriber, Topic, TopicPreference

MATCHES = 25


class OwnerFilter(DropdownFilter):
    """Topics of the house, unless someone asks for readers' own."""

    title = "owner"
    parameter_name = "owner"
    all_option = ["", "Of the house"]

    def lookups(self, request, model_admin):
        return [
            ("subjects", "Subjects of the house"),
            ("categories", "arXiv's categories"),
            ("readers", "Readers' own"),
            ("all", "All"),
        ]

    def queryset(self, request, queryset):
        if self.value() == "all":
            return queryset
        if self.value() == "readers":
            return queryset.filter(owner__isnull=False)
        of_the_house = queryset.filter(owner__isnull=True)
        if self.value() == "subjects":
            return of_the_house.exclude(slug__startswith=ARXIV)
        if self.value() == "categories":
            return of_the_house.filter(slug__startswith=ARXIV)
        return of_the_house


@admin.register(Topic)
class TopicAdmin(ModelAdmin):
    list_display = ["name", "short_query", "is_offered", "followers", "muted_by"]
    list_filter = [OwnerFilter]
    list_filter_options = {"owner": {"horizontal": True}}
    list_select_related = ["owner"]
    search_fields = ["name", "query"]
    prepopulated_fields = {"slug": ["name"]}
    fields = ["name", "slug", "query", "categories", "description", "is_offered"]
    formfield_overrides = {models.TextField: {"widget": UnfoldAdminTextareaWidget({"rows": 4})}}
    list_per_page = 50
    change_form_outer_after_template = "admin/subscriptions/topic/matches.html"

    def get_queryset(self, request):
        preferences = TopicPreference.objects.filter(subscriber__in=Subscriber.objects.wanting())
        follows = preferences.filter(stance=TopicPreference.Stance.FOLLOW)
        mutes = preferences.filter(stance=TopicPreference.Stance.MUTE)
        topics = super().get_queryset(request)
        if not request.user.has_perm("subscriptions.view_subscriber"):
            topics = topics.curated()  # A reader's own words, and whose they are, are hers.
        return topics.annotate(
            follower_count=count_of(follows, "topic"), mute_count=count_of(mutes, "topic")
        )

    def get_list_display(self, request):
        if request.GET.get("owner") == "readers":
            return ["name", "owner", "followers", "muted_by"]
        return super().get_list_display(request)

    def has_change_permission(self, request, obj=None):
        """A reader's own words are hers to change."""
        return (obj is None or obj.owner_id is None) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request, obj=None):
        return (obj is None or obj.owner_id is None) and super().has_delete_permission(request, obj)

    def get_fields(self, request, obj=None):
        if obj is not None and obj.owner_id is not None:
            return ["owner", "query"]
        return super().get_fields(request, obj)

    def get_prepopulated_fields(self, request, obj=None):
        return {} if obj is not None else super().get_prepopulated_fields(request, obj)

    def formfield_for_dbfield(self, db_field, request, **kwargs):
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "slug":  # Optional in the database for readers' own alone.
            field.required = True
        return field

    def render_change_form(self, request, context, obj=None, **kwargs):
        # The template calls it: ranking belongs behind the transaction that saves.
        context["matching"] = partial(matching, obj)
        return super().render_change_form(request, context, obj=obj, **kwargs)

    @display(description="Query")
    def short_query(self, topic):
        return Truncator(topic.query).chars(70)

    @display(description="Followers", ordering="follower_count")
    def followers(self, topic):
        return topic.follower_count

    @display(description="Muted by", ordering="mute_count")
    def muted_by(self, topic):
        return topic.mute_count


def matching(topic):
    """Return the new papers that the topic's followers would see, as a table. None: no model."""
    # The model and numpy, which only pages that rank pay.
    from digest.editions import issue_of
    from digest.profiles import interest_of
    from digest.ranking.choice import matches
    from digest.ranking.tuning import Tuning

    if not FittedModel.objects.exists():
        return None
    now = timezone.now()
    issue = issue_of(schedule.local_day(now, UTC), now, may_store=False)
    tuning = Tuning.of(settings.RANKING)
    choices = matches(issue.model, issue.edition, interest_of(topic), MATCHES, tuning)
    papers = Paper.objects.in_bulk([issue.ids[choice.paper] for choice in choices])
    rows = []
    for choice in choices:
        paper = papers[issue.ids[choice.paper]]
        day = {"content": date_format(paper.day), "class": "whitespace-nowrap"}
        rows.append([link_to(paper), day, f"{choice.score:.2f}", ", ".join(choice.terms)])
    return {"headers": ["Paper", "Day", "Score", "Words that weighed most"], "rows": rows}
