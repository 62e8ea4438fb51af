"""Admin pages for sources: their state, a switch, a trial, and feeds of journals."""

import json
import logging
import re
import tomllib
from datetime import timedelta
from itertools import chain
from pathlib import Path

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Sum
from django.http import Http404
from django.shortcuts import redirect, render, resolve_url
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.text import slugify
from django.views.decorators.http import require_POST
from unfold.decorators import action, display

from digest import tasks
from digest.admin import journals
from digest.admin.journals import JournalsForm
from digest.admin.sources import harvest_badge
from digest.admin.topic_preview import CategoriesField
from digest.http import addresses, client
from digest.models import Harvest, SourceConfig
from digest.papers import harvest, registry
from digest.sources import crossref
from digest.sources.arxiv import taxonomy
from digest.sources.base import MalformedFeed
from digest.sources.crossref import Crossref
from digest.sources.journal_lists import Journal
from digest.topics import starter_topics
from subscriptions.admin.base import BaseModelAdmin
from subscriptions.admin.widgets import badge, link, min_width
from subscriptions.tasks import enqueue

logger = logging.getLogger(__name__)

MAX_TRIAL_PAPERS = 10
MAX_NAME_LENGTH = 14  # The name of a lease has up to 6 more characters.
RATE_DAYS = 7
LIST = "admin:digest_sourceconfig_changelist"
FIXED_TEXT = "Fixed by {} in the environment."
UNTRIED_TEXT = "Not yet tried with the real service: please report what you see."
QUESTION = "Which journals? Each is shown with its latest papers before it is added."
CONSEQUENCE = (
    "ISSNs and DOI prefixes are read from Crossref, which loses nothing between two readings."
)
#: What an error says -> what to do.
REMEDIES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


def with_remedy(error: str) -> str:
    """Return an error as a sentence, with what to do."""
    remedy = next(remedy for pattern, remedy in REMEDIES.items() if re.search(pattern, error))
    return f"{error[:1].upper()}{error[1:].rstrip('.')}. {remedy}"


class ArchivesField(CategoriesField):
    parse_names = staticmethod(taxonomy.checked_names)


class SourceForm(forms.ModelForm):
    categories = ArchivesField(required=False, help_text="Such as cs, math.GT. None: all archives.")

    def clean_feed_url(self):
        url = self.cleaned_data["feed_url"]
        if not url:
            return url
        try:
            addresses.check(url, settings.ALLOWED_PRIVATE_HOSTS)
        except client.Refused as error:
            raise forms.ValidationError(f"{error}.") from error
        if SourceConfig.objects.filter(feed_url=url).exclude(pk=self.instance.pk).exists():
            raise forms.ValidationError("Another source has this feed.")
        return url

    def clean_crossref_ids(self):
        try:
            ids = crossref.parse_ids(self.cleaned_data["crossref_ids"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
        others = SourceConfig.objects.exclude(crossref_ids="").exclude(pk=self.instance.pk)
        for other in others:
            if not set(ids).isdisjoint(crossref.parse_ids(other.crossref_ids)):
                raise forms.ValidationError(f"{other} has this already.")
        return ", ".join(ids)

    def clean(self):
        data = super().clean()
        is_journal = "feed_url" in self.fields
        if is_journal and not (self.errors or data["feed_url"] or data["crossref_ids"]):
            self.add_error("feed_url", "A journal needs ISSNs, DOI prefixes or a feed.")
        return data


class JournalForm(SourceForm):
    """A journal of a list."""

    categories = None

    class Meta:
        model = SourceConfig
        fields = ["title", "feed_url", "crossref_ids", "completes", "is_on"]


@admin.register(SourceConfig)
class SourceConfigAdmin(BaseModelAdmin):
    form = SourceForm
    list_display = ["title", "state", "last_run", "papers_a_day", "problem"]
    sortable_by = ["title"]
    actions_list = ["add_journals"]
    readonly_fields = ["state", "fixed_categories", "last_run", "papers_a_day", "problem"]
    change_form_outer_after_template = "admin/digest/sourceconfig/acts.html"

    def get_urls(self):
        view = self.admin_site.admin_view(self.try_now)
        address = path("<path:object_id>/try/", view, name="digest_sourceconfig_try")
        view = self.admin_site.admin_view(self.try_journal)
        journal_address = path("try-journal/", view, name="digest_sourceconfig_try_journal")
        return [address, journal_address, *super().get_urls()]

    def lookup_allowed(self, lookup, value, request):
        """Allow no filters: the address of a feed may have a token, which viewers don't see."""
        return False

    def has_delete_permission(self, request, obj=None):
        """Only a journal can be deleted. Its papers stay."""
        return bool(obj and obj.is_journal) and super().has_delete_permission(request, obj)

    def get_fieldsets(self, request, obj=None):
        if obj is None or obj.is_journal:
            fields = ["title", "crossref_ids", "feed_url", "completes", "is_on"]
            is_tried = obj is None
            if not self.has_change_permission(request, obj):
                fields.remove("feed_url")  # It may have a token.
        else:
            fields = ["is_on" if settings.SOURCES is None else "state"]
            is_tried = registry.SOURCES[obj.name].is_tried
        if obj and obj.name == "arxiv":
            fields.append("fixed_categories" if settings.ARXIV_CATEGORIES else "categories")
        fields += ["last_run", "papers_a_day", "problem"] if obj else []
        return [(None, {"fields": fields, "description": "" if is_tried else UNTRIED_TEXT})]

    def get_changeform_initial_data(self, request):
        return {"is_on": True}

    def save_model(self, request, obj, form, change):
        if not change:
            obj.name = _unused_name(obj.title)
        super().save_model(request, obj, form, change)
        if not change or "is_on" in form.changed_data:
            starter_topics.offer_categories(obj)
            if obj.is_on:
                self.message_user(request, "Its first papers are being fetched.")
                transaction.on_commit(lambda: enqueue(tasks.harvest_due_sources))

    def render_change_form(self, request, context, obj=None, **kwargs):
        if obj is not None:
            context["is_enabled"] = obj.name in registry.enabled()
            context["last_run"] = _last_run(obj)
        return super().render_change_form(request, context, obj=obj, **kwargs)

    @method_decorator(require_POST)
    def try_now(self, request, object_id):
        """Show the first papers that a source sends. Stores none."""
        source_config = self.get_object(request, object_id)
        if not self.has_change_permission(request, source_config):
            raise PermissionDenied
        if source_config is None:
            raise Http404
        papers, problem = _try(registry.source_named(source_config.name))
        context = {"original": source_config, "papers": papers, "problem": problem}
        context["title"] = f"Trial of {source_config}"
        return self.render_page(request, "admin/digest/sourceconfig/tried.html", **context)

    @action(
        description="Add journals", url_path="journals", permissions=["add"], icon="library_add"
    )
    def add_journals(self, request):
        """Ask for journals, show them with a trial each, and add the chosen ones."""
        if chosen := request.POST.getlist("chosen"):
            return self._add_chosen(request, chosen)
        form = JournalsForm(request.POST or None, request.FILES or None)
        context = {"title": "Find journals", "back": resolve_url(LIST), "variant": "primary"}
        if not form.is_valid():
            return self.render_page(
                request, form=form, question=QUESTION, consequence=CONSEQUENCE, **context
            )
        source = Crossref("", "", [])
        rows = list(journals.rows(form.journals, source, harvest.trial_web(source)))
        rows = [row._replace(problem=row.problem and with_remedy(row.problem)) for row in rows]
        template = "admin/digest/sourceconfig/journals.html"
        return self.render_page(request, template, rows=rows, **context | {"title": "Add journals"})

    def _add_chosen(self, request, chosen):
        """Add the journals in these JSON texts. Tell which were not, and why."""
        count = 0
        for text in chosen:
            form = _form_of(text)
            if form.is_valid():
                config = form.save(commit=False)
                config.name = _unused_name(config.title)
                config.save()
                self.log_addition(request, config, "Added in a list.")
                count += 1
            else:
                errors = " ".join(chain.from_iterable(form.errors.values()))
                self.message_user(request, f"{form.data.get('title')}: {errors}", messages.ERROR)
        text = f"Added: {count}. Their first papers are being fetched."
        self.message_user(request, text, messages.SUCCESS)
        transaction.on_commit(lambda: enqueue(tasks.harvest_due_sources))
        return redirect(LIST)

    @method_decorator(require_POST)
    def try_journal(self, request):
        """Answer with the latest papers of a journal that is not stored."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = _form_of(request.POST.get("journal", ""))
        if is_valid := form.is_valid():
            form.instance.completes = False  # It would take longer than an operator waits.
            papers, problem = _try(registry.journal(form.instance))
        else:
            papers, problem = [], " ".join(chain.from_iterable(form.errors.values()))
        names = ("title", "feed_url", "crossref_ids")
        journal = Journal(*(form.data.get(name, "") for name in names))
        row = journals.Row(journal, bool(papers and request.POST.get("is_chosen")), problem)
        context = {"row": row, "papers": papers, "is_tried": is_valid}
        context["is_open"] = request.POST.get("is_open")
        return render(request, "admin/digest/sourceconfig/journal.html", context)

    @display(description="State")
    def state(self, config):
        is_on = config.name in registry.enabled()
        note = "" if settings.SOURCES is None or config.is_journal else FIXED_TEXT.format("SOURCES")
        return format_html("{} {}", badge("on", "good") if is_on else badge("off", "quiet"), note)

    @display(description="Categories")
    def fixed_categories(self, config):
        return f"{', '.join(settings.ARXIV_CATEGORIES)}. {FIXED_TEXT.format('ARXIV_CATEGORIES')}"

    @display(description="Last run")
    def last_run(self, config):
        if (run := _last_run(config)) is None:
            return "None yet"
        url = reverse("admin:digest_harvest_change", args=[run.pk])
        run_link = min_width(link(url, date_format(run.touched_at, "j F Y, H:i")))
        return format_html("{} {}", harvest_badge(run, timezone.now()), run_link)

    @display(description=f"New a day ({RATE_DAYS} days)")
    def papers_a_day(self, config):
        since = timezone.now() - timedelta(days=RATE_DAYS)
        runs = Harvest.objects.filter(source=config.name, since=None, started_at__gt=since)
        return f"{(runs.aggregate(new=Sum('new'))['new'] or 0) / RATE_DAYS:,.0f}"

    @display(description="Problem")
    def problem(self, config):
        run = _last_run(config)
        if run is None or run.state != Harvest.State.FAILED:
            return ""
        return min_width(with_remedy(run.result.rpartition("Failed: ")[2]))


def _try(source):
    """Return the latest papers of a source, and what is wrong."""
    try:
        batch = harvest.first_batch(source, timezone.now())
        papers = [record for record in batch.records if record.title][:MAX_TRIAL_PAPERS]
        return papers, "" if papers or not batch.note else with_remedy(batch.note)
    except (client.Unavailable, client.Refused, MalformedFeed) as error:
        return [], with_remedy(str(error))
    except Exception as error:
        logger.exception("Trying %s failed", source.name)
        return [], with_remedy(f"it failed with {type(error).__name__}")


def _form_of(text):
    """Return the form of a journal in JSON."""
    try:
        fields = {name: str(value) for name, value in json.loads(text).items()}
    except (AttributeError, ValueError):
        fields = {}
    return JournalForm(fields | {"completes": True, "is_on": True})


def _last_run(config):
    return Harvest.objects.filter(source=config.name, since=None).first()


def _unused_name(title):
    """Return an unused name that is made of the title."""
    slug = slugify(title)[: MAX_NAME_LENGTH - 2].strip("-") or "feed"
    used_names = {*registry.SOURCES, *SourceConfig.objects.values_list("name", flat=True)}
    used_names |= set(Harvest.objects.order_by().values_list("source", flat=True).distinct())
    names = [slug, *(f"{slug}{number}" for number in range(2, 100))]
    return next(name for name in names if name not in used_names)
