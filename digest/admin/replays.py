"""The panel's page that ranks the last days again with other settings, and says what would change.

It is done while one waits: for a sample of readers, within so many seconds, and in turn with the
previews of visitors. `manage.py replay` looks at more. Nothing is written, and nothing is sent.
"""

import time
from dataclasses import asdict, fields
from datetime import UTC

from django import forms
from django.conf import settings
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.formats import date_format
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminSelectWidget

from digest import home_page
from digest.ranking.tuning import Tuning
from subscriptions import schedule

READERS = (20, 100, 500)
SECONDS = 15  # Then what was ranked until then is told.
JUDGES = 20  # So many readers who liked papers are looked at.
TITLES = 10

#: What each setting does, in words for who turns it.
MEANINGS = {
    "floor": "The least relevance with which a paper is about a topic. Higher: fewer papers.",
    "latent": "What similarity beyond the words counts.",
    "expansion": "What words of a topic's best papers count beside its own.",
    "further": "What further topics that a paper is about add.",
    "learned": "What more, less and saved count beside topics.",
    "trend": "What popularity adds to a paper that is about a topic.",
    "duplicate": "From this similarity on, two papers are one idea.",
}


class SettingsForm(forms.Form):
    """The settings of the ranking as they would be, and for how many readers to try them."""

    def __init__(self, now, data=None):
        super().__init__(data, initial=asdict(now))
        for one in fields(Tuning):
            self.fields[one.name] = forms.FloatField(
                min_value=0,
                max_value=10,
                help_text=MEANINGS[one.name],
                widget=UnfoldAdminDecimalFieldWidget({"step": "any"}),
            )
        self.fields["readers"] = forms.TypedChoiceField(
            choices=[(count, str(count)) for count in READERS],
            coerce=int,
            initial=READERS[0],
            help_text="Evenly spread over all who want letters.",
            widget=UnfoldAdminSelectWidget,
        )

    def tuning(self):
        return Tuning(**{one.name: self.cleaned_data[one.name] for one in fields(Tuning)})


def page(admin, request):
    """Ask which settings to try, and say what they would change."""
    now = Tuning.of(settings.RANKING)
    form = SettingsForm(now, request.POST if request.method == "POST" else None)
    context = {
        **admin.admin_site.each_context(request),
        "title": "Replay",
        "opts": admin.opts,
        "form": form,
    }
    if form.is_bound and form.is_valid():
        then = form.tuning()
        if then == now:
            form.add_error(None, "These are the present settings. Change one, and rank again.")
        else:
            context |= _ranked_again(form, now, then)
    return TemplateResponse(request, "admin/digest/fittedmodel/replay.html", context)


def _ranked_again(form, now, then):
    from digest.fitting import NotFitted  # The model and numpy, which only pages that rank pay.

    try:
        with home_page.turn():
            return _told(now, then, form.cleaned_data["readers"])
    except home_page.Busy:
        form.add_error(None, "Many are looking in this moment. Please try again.")
    except NotFitted:
        form.add_error(None, "No model has been fitted yet. The first harvest makes one.")
    return {}


def _told(now, then, readers):
    from digest import replay
    from digest.editions import BACK, issues_until, window

    ends = time.monotonic() + SECONDS
    today = schedule.local_day(timezone.now(), UTC)
    issues, days = issues_until(today, BACK), []
    for day in replay.replay(now, then, issues, replay.some_readers(readers)):
        days.append(day)
        if time.monotonic() > ends:
            break
    total = replay.summed(days)
    quality = [] if time.monotonic() > ends else _quality(now, then, window(today, BACK))
    return {
        "total": total,
        "is_cut": len(days) < len(issues),
        "figures": _figures(total, quality),
        "quality": quality,
        "days": _by_day(days),
        "lists": [
            ("Would come", replay.titles(total.added, TITLES)),
            ("Would go", replay.titles(total.removed, TITLES)),
        ],
        "setting": _setting(then),
    }


def _quality(now, then, issue):
    """Return how well both settings rank what readers liked; nothing where nobody said a word."""
    from digest import replay

    readers = replay.judges(issue, JUDGES)
    measured = [replay.judged(issue, readers, tuning) for tuning in (now, then)]
    return measured if measured[0].readers else []


def _figures(total, quality):
    rows = [
        ["Digests", f"{total.digests:,}", f"{total.changed:,} of them change"],
        ["Papers in them", f"{total.picks_now:,}", f"{total.picks_then:,}"],
        ["Different papers", f"{total.papers_now:,}", f"{total.papers_then:,}"],
        ["Digests with any paper", f"{total.had_now:.1%}", f"{total.had_then:.1%}"],
        ["Picks that stay", "", f"{total.kept:.1%}"],
    ]
    if quality:
        now, then = quality
        rows += [
            ["nDCG@10 of what readers liked", f"{now.ndcg_at_10:.4f}", f"{then.ndcg_at_10:.4f}"],
            ["Recall@100", f"{now.recall_at_100:.4f}", f"{then.recall_at_100:.4f}"],
        ]
    return {"headers": ["", "As it is", "As it would be"], "rows": rows}


def _by_day(days):
    return {
        "headers": ["Day", "Digests", "Change", "Papers now", "Then", "Come", "Go"],
        "rows": [
            [{"content": date_format(day.day), "class": "whitespace-nowrap"}, *day.row]
            for day in reversed(days)
        ],
    }


def _setting(then):
    """Return what RANKING has to say for these settings."""
    default = asdict(Tuning())
    changed = {name: value for name, value in asdict(then).items() if value != default[name]}
    return ",".join(f"{name}={value:.10g}" for name, value in changed.items())
