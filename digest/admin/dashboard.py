"""The admin's first page."""

from collections import Counter
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.db.models import Case, Count, Max, Value, When
from django.db.models.functions import Concat, Left, StrIndex
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from digest.admin import charts
from digest.admin.links import url_if_allowed
from digest.admin.sources import harvest_badge
from digest.admin.topics import FIELDS_PERMISSIONS, FieldsForm
from digest.models import DailyCount, FittedModel, Harvest, Paper
from digest.operations import alarms, health
from digest.operations.checks.service import LOCAL_HOSTS
from digest.papers import coverage, registry, summaries
from subscriptions import db
from subscriptions.admin.sending import TEST_SENT
from subscriptions.admin.widgets import TONES, badge
from subscriptions.models import Consent, Letter, Subscriber, Topic

LEAVERS_DAYS = 30


def dashboard(request, context):
    """Add what happened today to the context of the panel's first page (settings.UNFOLD)."""
    now = timezone.now()
    user = request.user
    makers = {
        "digest.view_harvest": {"sources": _sources_card},
        "digest.view_figures": {
            "subscribers": _subscribers_card,
            "letters": _letters_card,
            "leavers": _leavers_card,
        },
        "digest.view_paper": {"papers": _papers_card},
        "digest.view_fittedmodel": {"ranking": _ranking_card},
    }
    cards: dict[str, Any] = {}
    for permission, makers_of_cards in makers.items():
        if user.has_perm(permission):
            cards |= {name: make(now) for name, make in makers_of_cards.items()}
    for card in cards.values():
        for row in card["rows"]:
            row["url"] = url_if_allowed(user, row["url"])
    context |= {"title": "Today"} | cards
    if user.has_perm("digest.view_alarm"):
        context["problems"] = [_problem(user, finding) for finding in alarms.find(now)]
    if user.has_perms(FIELDS_PERMISSIONS):
        context |= _first_steps(request)
    if user.has_perm("digest.view_figures"):
        context |= _plots(request, timezone.localdate(now), cards)
    context["may_see"] = not context.keys().isdisjoint([*cards, "problems", "steps"])
    return context


def _first_steps(request):
    """Return which steps that make an installation useful are done, until all are."""
    has_subscribers = Subscriber.objects.exists()
    sent_tests = LogEntry.objects.filter(change_message=TEST_SENT)
    is_tested = Letter.objects.filter(state=Letter.State.ACCEPTED).exists() or sent_tests.exists()
    topic_type = get_content_type_for_model(Topic)
    steps = {
        "fields": has_subscribers or LogEntry.objects.filter(content_type=topic_type).exists(),
        "papers": Paper.objects.exists(),
        "mail": is_tested and not settings.EMAIL_URL.startswith("file:"),
        "site": urlsplit(settings.SITE_URL).hostname not in LOCAL_HOSTS,
        "people": has_subscribers,
    }
    if all(steps.values()):
        return {"steps": {}}
    form = None if steps["fields"] else FieldsForm(request, initial={"chosen": []})
    return {"steps": steps, "fields_form": form, "site_url": settings.SITE_URL}


def _problem(user, finding):
    """Return what is wrong, with a button if the user may press it."""
    button = finding.check.button
    if button is None:
        return {"text": finding.text}
    url = reverse(f"admin:{button.page}") + button.query.format(finding.subject)
    asks = not button.page.endswith("_changelist")
    url = url_if_allowed(user, url)
    return {"text": finding.text, "words": button.words, "url": url, "asks": asks}


def _plots(request, today, cards):
    """Return the charts of the requested period, with links to lists that the user may see.

    Today's columns have the numbers of the cards, so that the page has no two counts of one thing.
    """
    period = charts.parse_period(request.GET.get("days"))
    day_counts = {name: cards[name]["counts"] for name in ("subscribers", "letters")}
    plots = charts.plots_of(period, today, day_counts)
    return {
        "plots": [(plot, url_if_allowed(request.user, plot.kind.url)) for plot in plots],
        "periods": charts.PERIODS,
        "period": period,
        "today": today,
        "counted_at": DailyCount.objects.aggregate(at=Max("counted_at"))["at"],
    }


def _sources_card(now):
    """Return arXiv's newest list, the last run of each source, and who last fetched by hand."""
    last_runs, receipt = health.last_harvests(), coverage.receipt(now)
    titles = registry.titles(last_runs)
    rows = [_source_row(titles[source], run, now) for source, run in last_runs.items()]
    summary = "Last run of each source"
    if receipt is not None:
        is_complete, day = receipt.is_verified, date_format(receipt.day)
        url = f"{reverse('admin:digest_coverage_changelist')}?source=arxiv"
        url += f"&day_from={receipt.day}&day_to={receipt.day}"
        state = badge("complete", "good") if is_complete else badge("incomplete", "held")
        rows.insert(0, _row(state, "Coverage", url))
        summary = f"arXiv, {day}: {receipt.announced:,} papers announced, {receipt.had:,} stored"
        summary += "" if is_complete else " so far"
        if not (receipt.announced or is_complete):  # Their number is unknown.
            summary = f"arXiv's list of {day} has not arrived"
    elif "arxiv" in registry.enabled():
        summary = f"arXiv's list of {date_format(coverage.expected_day(now))} was not fetched yet"
    log_entries = LogEntry.objects.filter(content_type=get_content_type_for_model(Harvest))
    return {"text": summary, "rows": rows, "fetched": log_entries.select_related("user").first()}


def _source_row(source, run, now):
    if run is None:
        return _row(badge("never run", "quiet"), "", note=source)
    url = reverse("admin:digest_harvest_change", args=[run.pk])
    note = f"{source}, {date_format(run.touched_at, 'DATETIME_FORMAT')}"
    return _row(harvest_badge(run, now), f"{run.new:,} new", url, note)


def _subscribers_card(now):
    counts = Subscriber.objects.count_by_state(now)
    url = reverse("admin:subscriptions_subscriber_changelist") + "?state="
    rows = [_row(badge(state, TONES[state]), count, url + state) for state, count in counts.items()]
    count = sum(counts.values())
    summary = f"{count:,} address{'' if count == 1 else 'es'}"
    return {"text": summary, "rows": rows, "counts": counts}


def _letters_card(now):
    """Return the letters created on this day (UTC), by state and the beginning of the reason."""
    reason_start = Left("reason", StrIndex(Concat("reason", Value(":")), Value(":")) - 1)
    # Accepted letters have no reason: to look for it would double the time.
    reason_start = Case(When(state=Letter.State.ACCEPTED, then=Value("")), default=reason_start)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    letters = db.rows_since(Letter, "created_at", midnight)
    groups = list(letters.values_list("state", reason_start).annotate(Count("pk")))
    order = list(Letter.State)
    groups.sort(key=lambda group: (order.index(group[0]), group[1]))
    url, rows = reverse("admin:subscriptions_letter_changelist"), []
    counts: Counter[str] = Counter()
    for state, reason, count in groups:
        counts[state] += count
        label = Letter.State(state).label
        note = "" if reason == label else reason
        rows.append(_row(badge(label, TONES[state]), count, f"{url}?state__exact={state}", note))
    summary = f"{counts.total():,} of all kinds since 00:00 UTC"
    return {"text": summary, "rows": rows, "counts": counts}


def _papers_card(now):
    today = timezone.localdate(now)
    latest = Paper.objects.filter(day__lte=today + timedelta(days=1)).order_by("-day").first()
    url = reverse("admin:digest_paper_changelist")
    day_count = Paper.objects.filter(day=today).count()
    rows = [
        _row("Today", day_count, f"{url}?day_from={today}&day_to={today}"),
        _row(f"Last {settings.NEW_DAYS} days", Paper.objects.new_on(today).count(), url),
    ]
    if settings.LLM_URL:
        calls = f"{summaries.calls_on(today):,} of {settings.LLM_CALLS_A_DAY:,}"
        rows.append(_row("Calls of the language model today", calls))
    latest_text = date_format(latest.day) if latest else "none yet"
    return {"text": f"Latest papers: {latest_text}", "rows": rows}


def _ranking_card(now):
    url, model = reverse("admin:subscriptions_topic_changelist"), FittedModel.objects.first()
    topics = _row("Built-in topics", Topic.objects.curated().count(), url)
    if model is None:
        return {"text": "No model yet. The first import makes one.", "rows": [topics]}
    rows = [_row("Papers indexed", model.documents), _row("Terms", model.terms), topics]
    fitted = date_format(model.fitted_at, "DATETIME_FORMAT")
    return {"text": f"Model fitted on {fitted}", "rows": rows}


def _leavers_card(now):
    """Return the unsubscribes of the last days by how, and bounces and spam reports since then."""
    since = now - timedelta(days=LEAVERS_DAYS)
    consents = db.rows_since(Consent, "at", since).filter(act=Consent.Act.UNSUBSCRIBED)
    groups = consents.values_list("via", "reason").annotate(count=Count("pk")).order_by("-count")
    labels = dict(Consent.Reason.choices)
    rows = []
    for via, reason, count in groups:
        name = f"{via}: {labels[reason]}" if reason else via
        rows.append(_row(name[:1].upper() + name[1:], count))
    url = reverse("admin:subscriptions_subscriber_changelist")
    suppressed_subscribers = Subscriber.objects.filter(suppressed_at__gte=since).order_by()
    for cause, count in suppressed_subscribers.values_list("suppressed_by").annotate(Count("pk")):
        label = Subscriber.Suppression(cause).label
        rows.append(_row(badge(label, "bad"), count, f"{url}?suppressed_by__exact={cause}"))
    return {"text": f"Last {LEAVERS_DAYS} days, by reason", "rows": rows}


def _row(name, count, url="", note=""):
    count = f"{count:,}" if isinstance(count, int) else count
    return {"name": name, "count": count, "url": url, "note": note}
