"""Admin pages for topics, with a preview of the papers that match."""

from functools import partial

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import models, transaction
from django.http import Http404
from django.shortcuts import render
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.text import Truncator
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import DropdownFilter
from unfold.decorators import action, display
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget, UnfoldAdminTextareaWidget

from digest import tasks
from digest.admin import topic_files, topic_preview
from digest.numbers import counted
from digest.papers import registry
from digest.topics import starter_topics
from subscriptions.admin.base import BaseModelAdmin
from subscriptions.admin.confirm_dialog import confirm_first
from subscriptions.admin.widgets import (
    TONES,
    badge,
    count_subquery,
    hx_redirect,
    link,
    min_width,
)
from subscriptions.models import Subscriber, Topic, TopicPreference
from subscriptions.tasks import enqueue

#: The name of the button that shows the matches without scripts.
MATCHES_BUTTON = "_matches"
FIELDS_PERMISSIONS = ["subscriptions.add_topic", "digest.change_sourceconfig"]


class OwnerFilter(DropdownFilter):
    """Curated topics, unless others are requested."""

    title = "owner"
    parameter_name = "owner"
    all_option = ["", "Built-in"]

    def lookups(self, request, model_admin):
        return [
            ("subjects", "Built-in subjects"),
            ("categories", "Categories"),
            ("readers", "Subscribers' own"),
            ("quiet", f"No matches in {settings.NEW_DAYS} days"),
            ("all", "All"),
        ]

    def queryset(self, request, queryset):
        curated = queryset.curated()
        by_owner = {
            "subjects": curated.by_subject(),
            "categories": curated.of_categories(),
            "readers": queryset.filter(owner__isnull=False),
            "all": queryset,
        }
        if self.value() == "quiet":
            return self._unmatched(request, curated)
        return by_owner.get(self.value(), curated)

    def _unmatched(self, request, topics):
        """Return the topics that no new paper matches."""
        topic_ids, problem = topic_preview.unmatched_topics(topics)
        if problem:
            messages.warning(request, problem)
        return topics.filter(pk__in=topic_ids)


class TopicForm(forms.ModelForm):
    """A curated topic. With MATCHES_BUTTON, it isn't saved.

    An offered topic needs a name of its own, and a query or categories that find papers.
    """

    def is_valid(self):
        return super().is_valid() and MATCHES_BUTTON not in self.data

    def clean(self):
        from digest.ranking.query import queries

        data = super().clean()
        if self.errors or not data.get("is_offered"):
            return data
        other_topics = Topic.objects.offered().exclude(pk=self.instance.pk)
        if other_topics.filter(name__iexact=data["name"]).exists():
            self.add_error("name", "Another offered topic has this name.")
        if data["query"].strip() and not data["categories"] and not queries(data["query"]):
            message = (
                "This query matches nothing: very common words, single letters, numbers, "
                "punctuation and addresses are ignored."
            )
            self.add_error("query", message)
        return data


class FieldsForm(BaseDialogForm):
    chosen = forms.MultipleChoiceField(
        choices=[(name, name.replace("-", " ").capitalize()) for name in starter_topics.FIELDS],
        label="Fields",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        error_messages={"required": "Choose at least one field."},
    )

    def __init__(self, request, *args, **kwargs):
        super().__init__(request, *args, **kwargs)
        self.fields["chosen"].initial = starter_topics.fields_in_use()


@admin.register(Topic)
class TopicAdmin(topic_files.TopicFilesMixin, BaseModelAdmin):
    form = TopicForm
    list_display = ["name", "short_query", "is_offered", "followers", "muted_by"]
    list_filter = [OwnerFilter]
    list_filter_options = {"owner": {"horizontal": True}}
    list_select_related = ["owner"]
    search_fields = ["name", "slug", "query"]
    prepopulated_fields = {"slug": ["name"]}
    fields = ["name", "slug", "query", "categories", "description", "is_offered"]
    formfield_overrides = {models.TextField: {"widget": UnfoldAdminTextareaWidget({"rows": 4})}}
    actions_list = ["use_fields"]
    actions_detail = ["readers"]
    change_form_outer_after_template = "admin/subscriptions/topic/matches.html"

    def get_queryset(self, request):
        """Return subscribers' own topics only to users who may see subscribers.

        Each has the numbers of active subscribers who follow and mute it.
        """
        subscribed = Subscriber.objects.subscribed()
        preferences = TopicPreference.objects.filter(subscriber__in=subscribed)
        follows = preferences.filter(stance=TopicPreference.Stance.FOLLOW)
        mutes = preferences.filter(stance=TopicPreference.Stance.MUTE)
        topics = super().get_queryset(request)
        if not request.user.has_perm("subscriptions.view_subscriber"):
            topics = topics.filter(owner=None)
        return topics.annotate(
            follower_count=count_subquery(follows, "topic"),
            mute_count=count_subquery(mutes, "topic"),
        )

    def get_list_display(self, request):
        if request.GET.get("owner") == "readers":
            return ["name", "owner", "followers", "muted_by"]
        return super().get_list_display(request)

    def get_urls(self):
        view = self.admin_site.admin_view(self.matches)
        return [path("matches/", view, name="subscriptions_topic_matches"), *super().get_urls()]

    def has_change_permission(self, request, obj=None):
        """Only curated topics may be changed."""
        return _is_curated(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request, obj=None):
        return _is_curated(obj) and super().has_delete_permission(request, obj)

    def get_fields(self, request, obj=None):
        if obj is not None and obj.owner_id is not None:
            return ["owner", "query"]
        return super().get_fields(request, obj)

    def get_prepopulated_fields(self, request, obj=None):
        return {} if obj is not None else super().get_prepopulated_fields(request, obj)

    def formfield_for_dbfield(self, db_field, request, **kwargs):
        if db_field.name == "categories":
            return topic_preview.CategoriesField(
                required=False,
                label="Categories",
                help_text=f"{db_field.help_text} E.g. cs.LG, cell biology.",
            )
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "slug":  # Only subscribers' own topics have none.
            field.required = True
        return field

    def render_change_form(self, request, context, obj=None, **kwargs):
        # The template calls it, after the transaction that saves.
        saved = Topic.objects.filter(pk=obj.pk).first() if obj else None
        context["matching"] = partial(topic_preview.match_context, request.POST or None, saved)
        context["may_write"] = self._may_write(request, saved)
        return super().render_change_form(request, context, obj=obj, **kwargs)

    @method_decorator(require_POST)
    def matches(self, request):
        """Return the matches of a topic that is being edited, for the page's script."""
        saved_topic = self.get_object(request, request.POST.get("topic", ""))
        if not self._may_write(request, saved_topic):
            raise PermissionDenied
        context = topic_preview.match_context(request.POST, saved_topic)
        return render(request, "admin/subscriptions/topic/_matches.html", {"matches": context})

    def _may_write(self, request, topic):
        if topic is None:
            return self.has_add_permission(request)
        return self.has_change_permission(request, topic)

    def has_use_fields_permission(self, request):
        return request.user.has_perms(FIELDS_PERMISSIONS)

    @confirm_first(
        "Use starter topics",
        "Creates the topics of these fields, and switches the sources on that have their papers, "
        "the other built-in sources off. Starter topics of other fields are removed, except those "
        "that somebody changed, follows or mutes.",
        FieldsForm,
        permissions=["use_fields"],
        url_path="fields",
        icon="playlist_add",
    )
    def use_fields(self, request, form):
        created, removed = starter_topics.use_fields(form.cleaned_data["chosen"])
        message = f"Created {counted(created, 'topic')}, removed {removed:,}. "
        message += f"Sources: {', '.join(registry.titles(registry.enabled()).values()) or 'none'}. "
        message += "New ones are fetched now."
        transaction.on_commit(lambda: enqueue(tasks.harvest_due_sources))
        self.log_change(request, Topic(name="Starter topics"), message)
        self.message_user(request, message, messages.SUCCESS)
        return hx_redirect("admin:subscriptions_topic_changelist")

    @action(description="Followers", permissions=["view"], url_path="followers", icon="group")
    def readers(self, request, object_id):
        """Show who follows or mutes a topic, with addresses for users who may see subscribers."""
        topic = self.get_object(request, object_id)
        if topic is None:
            raise Http404
        preferences = topic.preferences.select_related("subscriber").order_by("pk")
        page = Paginator(preferences, self.list_per_page).get_page(request.GET.get("page"))
        may_see_addresses = request.user.has_perm("subscriptions.view_subscriber")
        now = timezone.now()
        rows = [_follower_row(preference, may_see_addresses, now) for preference in page]
        return self.render_page(
            request,
            "admin/subscriptions/topic/followers.html",
            title=f"Followers of “{topic}”",
            original=topic,
            page=page,
            is_named=may_see_addresses,
            table={"headers": ["Subscriber", "State", "Stance", "Weight"], "rows": rows},
        )

    @display(description="Query")
    def short_query(self, topic):
        return min_width(Truncator(topic.query).chars(70))

    @display(description="Followers")
    def followers(self, topic):
        return topic.follower_count

    @display(description="Muted by")
    def muted_by(self, topic):
        return topic.mute_count


def _follower_row(preference, may_see_addresses, now):
    subscriber = preference.subscriber
    name = f"No. {subscriber.pk}"
    if may_see_addresses:
        url = reverse("admin:subscriptions_subscriber_change", args=[subscriber.pk])
        name = link(url, subscriber)
    state = subscriber.state_at(now)
    stance = preference.get_stance_display().lower()
    return [name, badge(state, TONES[state]), stance, f"{preference.weight:g}"]


def _is_curated(topic):
    return topic is None or topic.owner_id is None
