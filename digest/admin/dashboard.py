"""The admin's first page."""

from collections import Counter
from datetime import timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.db.models import Count, Max
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from digest.admin import charts
from digest.admin.links import url_if_allowed
from digest.admin.sources import harvest_badge
from digest.admin.topics import FIELDS_PERMISSIONS, FieldsForm
from digest.models import DailyCount, FittedModel, Harvest, Paper
from digest.numbers import counted
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
    cards = []
    for title, permission, card_of in CARDS:
        if user.has_perm(f"digest.view_{permission}"):
            text, rows = card_of(now)
            for row in rows:
                row["url"] = url_if_allowed(user, row["url"])
            cards.append({"title": title, "text": text, "rows": rows})
    context |= {"title": "Today", "cards": cards}
    if user.has_perm("digest.view_harvest"):
        fetches = LogEntry.objects.filter(content_type=get_content_type_for_model(Harvest))
        context["fetched"] = fetches.select_related("user").first()
    if user.has_perm("digest.view_alarm"):
        context["problems"] = [_problem(user, finding) for finding in alarms.find(now)]
    if user.has_perms(FIELDS_PERMISSIONS):
        context |= _first_steps(request)
    if user.has_perm("digest.view_figures"):
        context |= _plots(request, timezone.localdate(now))
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
    button, url = finding.check.button, ""
    if button:
        url = reverse(f"admin:{button.page}") + button.query.format(finding.subject)
    return {"text": finding.text, "button": button, "url": url_if_allowed(user, url)}


def _plots(request, today):
    """Return the charts of the requested period, with links to lists that the user may see."""
    asked = request.GET.get("days")
    period = asked if asked in charts.PERIODS else "30"
    plots = charts.charts_of(int(period), today)
    return {
        "plots": [(plot, url_if_allowed(request.user, plot["url"])) for plot in plots],
        "periods": charts.PERIODS,
        "period": period,
        "today": today,
        "counted_at": DailyCount.objects.aggregate(at=Max("counted_at"))["at"],
    }


def _sources_card(now):
    """Return arXiv's newest list and the last run of each source."""
    last_runs = health.last_harvests()
    titles = registry.titles(last_runs)
    rows = [_source_row(titles[source], run, now) for source, run in last_runs.items()]
    receipt = coverage.receipt(now)
    if receipt is None:
        if "arxiv" not in last_runs:
            return "Last run of each source", rows
        day = date_format(coverage.expected_day(now))
        return f"arXiv's list of {day} was not fetched yet", rows
    url = f"{reverse('admin:digest_coverage_changelist')}?source=arxiv"
    url += f"&day_from={receipt.day}&day_to={receipt.day}"
    is_complete = receipt.is_verified
    state = badge("complete", "good") if is_complete else badge("incomplete", "held")
    rows.insert(0, _row(state, "Coverage", url))
    day = date_format(receipt.day)
    if not (receipt.announced or is_complete):  # Their number is unknown.
        return f"arXiv's list of {day} has not arrived", rows
    text = f"arXiv, {day}: {receipt.announced:,} papers announced, {receipt.had:,} stored"
    return text + ("" if is_complete else " so far"), rows


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
    return counted(sum(counts.values()), "address", "addresses"), rows


def _letters_card(now):
    """Return the letters created on this day (UTC), by state and the beginning of the reason."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    letters = db.rows_since(Letter, "created_at", midnight)
    counts: Counter[tuple[str, str]] = Counter()
    for state, reason, count in letters.values_list("state", "reason").annotate(Count("pk")):
        counts[state, reason.partition(":")[0]] += count
    url, rows = reverse("admin:subscriptions_letter_changelist"), []
    order = Letter.State.values
    for state, reason in sorted(counts, key=lambda key: (order.index(key[0]), key[1])):
        label = Letter.State(state).label
        note = "" if reason == label else reason
        name = badge(label, TONES[state])
        rows.append(_row(name, counts[state, reason], f"{url}?state__exact={state}", note))
    return f"{counts.total():,} of all kinds since 00:00 UTC", rows


def _papers_card(now):
    today = timezone.localdate(now)
    latest = Paper.objects.filter(day__lte=today + timedelta(days=1)).order_by("-day").first()
    url = reverse("admin:digest_paper_changelist")
    day_count = Paper.objects.filter(day=today).count()
    rows = [
        _row("Today", day_count, f"{url}?day_from={today}&day_to={today}"),
        _row(f"Last {settings.NEW_DAYS} days", Paper.objects.new_on(today).count(), url),
    ]
    if model := FittedModel.objects.first():
        fitted_at = date_format(model.fitted_at, "DATETIME_FORMAT")
        rows.append(_row("In the ranking model", model.documents, note=f"fitted {fitted_at}"))
    if settings.LLM_URL:
        calls = f"{summaries.calls_on(today):,} of {settings.LLM_CALLS_A_DAY:,}"
        rows.append(_row("Calls of the language model today", calls))
    return f"Latest papers: {date_format(latest.day) if latest else 'none yet'}", rows


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
    return f"Last {LEAVERS_DAYS} days, by reason", rows


def _row(name, count, url="", note=""):
    count = f"{count:,}" if isinstance(count, int) else count
    return {"name": name, "count": count, "url": url, "note": note}


#: Title, permission to view, and the function of the current time that returns text and rows.
CARDS = [
    ("Today's papers", "harvest", _sources_card),
    ("Subscribers", "figures", _subscribers_card),
    ("Emails today", "figures", _letters_card),
    ("Papers", "paper", _papers_card),
    ("Unsubscribes and blocks", "figures", _leavers_card),
]
