"""The panel's page that merges topics of the house: which one stays, what will happen, and yes."""

from django import forms
from django.contrib import messages
from django.contrib.admin import helpers
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminSelectWidget

from digest.admin import followers
from subscriptions import merging, tasks
from subscriptions.hints import hint
from subscriptions.models import Topic

#: So many readers move while the curator waits; the rest move by the worker.
MOVED_AT_ONCE = 20_000


class IntoForm(forms.Form):
    into = forms.ModelChoiceField(
        Topic.objects.curated(),
        label="The topic that stays",
        empty_label=None,
        widget=UnfoldAdminSelectWidget,
    )


def page(admin, request, selected):
    """Ask which topic stays, then whether what would happen is meant; merge when both are said."""
    topics = followers.counted(selected.curated())
    if len(topics) < len(selected):
        admin.message_user(
            request, "Readers' own topics and merged ones are left as they are.", messages.WARNING
        )
    if not topics:
        return None
    sent = request.POST if "into" in request.POST else None
    form = IntoForm(sent, initial={"into": max(topics, key=lambda topic: topic.follower_count)})
    into = form.cleaned_data["into"] if form.is_valid() else None
    gone = [topic for topic in topics if topic != into]
    if into and gone and request.POST.get("confirmed") == str(into.pk):  # Not chosen since.
        return _merge(admin, request, gone, into)
    context = {
        **admin.admin_site.each_context(request),
        "title": "Merge topics",
        "opts": admin.opts,
        "media": admin.media,
        "form": form,
        "topics": topics,
        "into": into,
        "outlooks": [merging.outlook(topic, into) for topic in gone] if into else [],
        "action": request.POST["action"],
        "checkbox_name": helpers.ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "admin/subscriptions/topic/merge.html", context)


def _merge(admin, request, topics, into):
    try:
        merged = merging.merge(topics, into)
    except merging.NoSuchTopic:
        admin.message_user(request, f"“{into}” was merged or deleted meanwhile.", messages.ERROR)
        return None
    for topic in merged:
        admin.log_change(request, topic, f"Merged into “{into}”.")
    if merged:
        names = ", ".join(f"“{topic}”" for topic in merged)
        admin.log_change(request, into, f"Took in {names}.")
    moved = merging.move_followers(MOVED_AT_ONCE)
    words = f"Merged into “{into}”: {len(merged)}. Readers moved: {moved:,}."
    if merging.is_moving():
        hint(tasks.move_followers)
        words += " The others are moved in the background."
    admin.message_user(request, words, messages.SUCCESS)
    return redirect("admin:subscriptions_topic_change", into.pk)
