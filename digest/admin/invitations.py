"""The admin pages that invite people and export subscribers. Their texts are in the .toml file."""

import csv
import tomllib
from functools import cache, partial
from itertools import chain
from pathlib import Path

from django import forms
from django.http import HttpResponse
from django.shortcuts import resolve_url
from django.utils import timezone
from unfold import widgets
from unfold.decorators import action

from digest.views.forms.fields import HourField, QueriesField, TopicsField, zone_named
from digest.views.forms.interests import TopicsForm
from digest.views.subscribing.preview import example_papers
from subscriptions.actions import invite
from subscriptions.admin.base import inviter
from subscriptions.models import Group, Subscriber, Topic, languages

TEXTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
MAX_ADDRESSES = 200  # In one list.
LIST = "admin:subscriptions_subscriber_changelist"
COLUMNS = ["email", "state", "timezone", "hour", "confirmed_at", "topics", "groups"]
#: What the audit log names, instead of the addresses of strangers.
AUDIT_OBJECT = Subscriber(title="list")

Choices = widgets.UnfoldAdminSelectWidget
ManyChoices = widgets.UnfoldAdminSelectMultipleWidget


class InviteForm(TopicsForm):
    field_order = ("addresses", "file", "note", "topics", "interests")
    addresses = forms.CharField(required=False, widget=widgets.UnfoldAdminTextareaWidget)
    file = forms.FileField(
        label="CSV file", required=False, widget=widgets.UnfoldAdminFileFieldWidget
    )
    topics = TopicsField(Topic.objects.offered(), widget=ManyChoices({"size": 12}))
    interests = QueriesField(widget=widgets.UnfoldAdminTextareaWidget)
    note = forms.CharField(
        required=False, max_length=1_000, widget=widgets.UnfoldAdminTextareaWidget
    )
    group = forms.ModelChoiceField(Group.objects.all(), required=False, widget=Choices)
    hour = HourField(initial=7, widget=Choices)
    timezone = forms.CharField(
        label="Time zone", initial="UTC", widget=widgets.UnfoldAdminTextInputWidget
    )
    language = forms.ChoiceField(choices=languages, widget=Choices)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for name, text in TEXTS["fields"].items():
            self.fields[name].help_text = text

    def clean_file(self):
        file = self.cleaned_data["file"]
        return invite.read_csv(file.read()) if file else []

    def clean_timezone(self):
        return zone_named(self.cleaned_data["timezone"])

    def clean(self):
        data = super().clean()
        entries = [*invite.read_text(data.get("addresses", "")), *data.get("file", [])]
        if "file" not in self.errors and not 0 < len(entries) <= MAX_ADDRESSES:
            text = f"Enter up to {MAX_ADDRESSES} addresses, or choose a file with them."
            self.add_error("addresses", f"{text} These are {len(entries)}.")
        if self.errors:
            return data
        common_slugs = [topic.slug for topic in data["topics"]]
        common_form = TopicsForm({"topics": [], "interests": data["interests"]})
        if not common_form.is_valid():
            self.add_error("interests", common_form.errors["interests"])

        @cache  # Many have the same, or nothing, of their own.
        def topics_form(topics, interests):
            form = TopicsForm({"topics": [*common_slugs, *topics], "interests": interests})
            if form.is_valid():  # Read for itself: prose would take in the lines for all.
                form.entries = [*dict.fromkeys([*common_form.entries, *form.entries])]
                form.refuse_many_entries()
            return form

        self.entries = []
        for entry in entries:
            form = topics_form(entry.topics, entry.interests)
            if form.is_valid():
                self.entries.append(entry._replace(selection=form.topic_selection()))
            else:
                errors = " ".join(chain.from_iterable(form.errors.values()))
                self.add_error("file", f"{entry.address}: {errors}")
        return data


class InvitationsMixin:
    actions_list = ["invite", "export_csv"]

    def has_invite_permission(self, request):
        return request.user.has_perm("subscriptions.add_subscriber")

    @action(description="Invite", url_path="invite", permissions=["invite"], icon="person_add")
    def invite(self, request):
        initial = {"group": request.GET.get("group")}
        form = InviteForm(request.POST or None, request.FILES or None, initial=initial)
        context = {"back": resolve_url(LIST), "variant": "primary"} | TEXTS["invite"]
        context["question"] = context["question"].format(name=inviter(request.user))
        if not form.is_valid():
            return self.render_page(request, form=form, **context)
        settings = {name: form.cleaned_data[name] for name in ("hour", "timezone", "language")}
        group, note = form.cleaned_data["group"], form.cleaned_data["note"]
        options = {"inviter": inviter(request.user), "note": note, "now": timezone.now()}
        papers_on = cache(partial(example_papers, now=options["now"]))  # Many follow the same.
        entries = [
            entry._replace(papers=papers_on(tuple(entry.selection.follow)))
            for entry in form.entries
        ]
        results = invite.invite(entries, settings, group, **options)
        context["refused"] = [(address, reason) for address, reason in results if reason]
        context["count"] = len(results) - len(context["refused"])
        note = f"Invited: {context['count']}. Not invited: {len(context['refused'])}."
        self.log_addition(request, AUDIT_OBJECT, f"{note} Group: {group}." if group else note)
        return self.render_page(request, "admin/subscriptions/subscriber/invited.html", **context)

    @action(description="Export CSV", url_path="export", permissions=["invite"], icon="download")
    def export_csv(self, request):
        context = {"back": resolve_url(LIST), "variant": "primary"} | TEXTS["export"]
        if request.method != "POST":
            return self.render_page(request, **context)
        now, response = timezone.now(), HttpResponse(content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="subscribers.csv"'
        writer = csv.writer(response)
        writer.writerow(COLUMNS)
        subscribers = Subscriber.objects.people().order_by("pk")
        subscribers = subscribers.prefetch_related("preferences__topic", "memberships__group")
        for row in subscribers.iterator(1_000):
            preferences, memberships = row.preferences.all(), row.memberships.all()
            topics = [follow.topic.name for follow in preferences if follow.stance == "follow"]
            groups = [member.group.name for member in memberships if member.joined_at]
            cells = [row.email, row.state_at(now), row.timezone, row.hour, row.confirmed_at or ""]
            cells += ["|".join(topics), "|".join(groups)]
            # An apostrophe keeps a spreadsheet from computing a cell.
            texts = map(str, cells)
            writer.writerow(f"'{text}" if text[:1] in set("=+-@\t\r") else text for text in texts)
        self.log_change(request, AUDIT_OBJECT, "Exported all subscribers.")
        return response
