"""The panel's pages for packs of topics: a file out, and one in, looked at before it is applied."""

from django import forms
from django.contrib import messages
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.http import HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminFileFieldWidget

from digest import packs
from subscriptions.admin.parts import badge

TONES = {"new": "good", "changed": "open", "same": "quiet", "refused": "bad"}
LONGEST = 120  # Characters of a value that are shown.


class PackForm(forms.Form):
    """A pack as a file, or as the text that was looked at and is to be applied."""

    file = forms.FileField(required=False, label="File", widget=UnfoldAdminFileFieldWidget)
    pack = forms.CharField(required=False, strip=False, widget=forms.HiddenInput)

    def clean(self):
        data = super().clean()
        if data.get("file"):
            data["content"] = data["file"].read()
        elif data.get("pack"):
            data["content"] = data["pack"].encode()
        elif not self.errors:
            raise forms.ValidationError("Choose a file first.")
        return data


def export(topics):
    """Answer with a file of these topics of the house."""
    text = packs.written(topics.curated().order_by("slug"))
    name = 'attachment; filename="topics.toml"'
    return HttpResponse(text, "application/toml", headers={"Content-Disposition": name})


def page(admin, request):
    """Say what a pack would change; change it when that is meant."""
    is_sent = request.method == "POST"
    form = PackForm(request.POST, request.FILES) if is_sent else PackForm()
    context = {
        **admin.admin_site.each_context(request),
        "title": "Import topics",
        "opts": admin.opts,
        "form": form,
        "largest": packs.LARGEST,
    }
    if is_sent and form.is_valid():
        content = form.cleaned_data["content"]
        try:
            if request.POST.get("confirmed"):
                return _apply(admin, request, content)
            context |= _preview(content)
        except packs.Unreadable as reason:
            form.add_error(None, str(reason))
    return TemplateResponse(request, "admin/subscriptions/topic/import.html", context)


def _preview(content):
    entries = packs.read(content)
    return {
        "pack": content.decode("utf-8-sig"),
        "counts": _counted(entries),
        "would_change": any(entry.state in ("new", "changed") for entry in entries),
        "table": {
            "headers": ["Topic", "What", "Why or what changes", "Where"],
            "rows": [
                [entry.slug, badge(entry.state, TONES[entry.state]), _told(entry), entry.where]
                for entry in entries
                if entry.state != "same"
            ],
        },
    }


def _counted(entries):
    states = [entry.state for entry in entries]
    return ", ".join(f"{states.count(state)} {state}" for state in TONES)


def _told(entry):
    if entry.state == "new":
        return entry.topic.name
    changes = [f"{key}: {_short(was)} → {_short(now)}" for key, (was, now) in entry.changes.items()]
    return entry.reason or "; ".join(changes)


def _short(value):
    text = ", ".join(value) if isinstance(value, list) else str(value)
    return f"“{text[:LONGEST]}{'…' if len(text) > LONGEST else ''}”"


def _apply(admin, request, content):
    entries = packs.apply(content)
    for state, flag in (("new", ADDITION), ("changed", CHANGE)):
        topics = [entry.topic for entry in entries if entry.state == state]
        if topics:
            LogEntry.objects.log_actions(request.user.pk, topics, flag, "Imported from a file.")
    admin.message_user(request, f"Imported: {_counted(entries)}.", messages.SUCCESS)
    return redirect("admin:subscriptions_topic_changelist")
