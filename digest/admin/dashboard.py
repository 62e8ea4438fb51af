"""The admin's first page."""

from datetime import UTC, datetime, time, timedelta

from django.conf import settings
from django.db.models import Case, Count, Max, Value, When
from django.db.models.functions import Concat, Left, StrIndex
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from digest.admin import charts
from digest.admin.links import may_open
from digest.admin.sources import harvest_badge
from digest.models import Alarm, FittedModel, Paper, Tally
from digest.operations import alarms, health, heartbeats, invariants
from digest.papers import coverage
from subscriptions import db
from subscriptions.admin.widgets import TONES, badge
from subscriptions.delivery import status
from subscriptions.models import Letter, Subscriber, Topic

CARDS = {"sources", "subscribers", "letters", "papers", "ranking"}


def dashboard(request, context):
    """Add what happened today to the context of the admin's first page (settings.UNFOLD)."""
    now = timezone.now()
    today = timezone.localdate(now)
    figures = "digest.view_figures"
    parts = {  # Each with the permission for it.
        "alarms": (
            "digest.view_alarm",
            lambda: [row for row in alarms.known(now) if row.name not in ("stopped", "breaker")],
        ),
        "sending": (figures, lambda: status.sending_status(now)),
        "invariants": (figures, lambda: _invariants(request.user)),
        "sources": ("digest.view_harvest", lambda: _sources_card(now)),
        "subscribers": (figures, lambda: _subscribers_card(now)),
        "letters": (figures, lambda: _letters_card(today)),
        "papers": ("digest.view_paper", lambda: _papers_card(today)),
        "ranking": ("digest.view_fittedmodel", _ranking_card),
        "plots": (figures, lambda: _plots(request, today)),
    }
    shown = {
        name: make()
        for name, (permission, make) in parts.items()
        if request.user.has_perm(permission)
    }
    for card in CARDS & shown.keys():
        for row in shown[card]["rows"]:
            row["url"] = row["url"] if may_open(request.user, row["url"]) else ""
    plots = shown.pop("plots", {})
    return context | {"title": "Today", "may_see": bool(shown)} | shown | plots


def _invariants(user):
    """Return the violated invariants, with links to rows that the user may see."""
    violations = []
    for alarm in Alarm.objects.standing().filter(name="promises"):
        count, kind, ids = invariants.VIOLATION_TEXT.search(alarm.said).groups()
        said = f"{count} {kind}{' violates' if count == '1' else 's violate'} “{alarm.subject}”"
        url, rows = f"admin:subscriptions_{kind}_change", []
        if user.has_perm(f"subscriptions.view_{kind}"):
            rows = [(pk, reverse(url, args=[pk])) for pk in ids.split(", ")]
        violations.append({"said": said, "rows": rows})
    return {
        "count": len(invariants.INVARIANTS),
        "checked_at": heartbeats.last(heartbeats.INVARIANTS),
        "violations": violations,
    }


def _plots(request, today):
    """Return the charts of the requested period, with links to lists that the user may see."""
    period = charts.parse_period(request.GET.get("days"))
    plots = charts.plots_of(period, today)
    return {
        "plots": [(plot, plot.kind.url_for(request.user)) for plot in plots],
        "periods": charts.PERIODS,
        "period": period,
        "today": today,
        "counted_at": Tally.objects.aggregate(at=Max("counted_at"))["at"],
    }


def _sources_card(now):
    """Return arXiv's newest list, and the last run of each source."""
    rows = [_source_row(source, run, now) for source, run in health.last_harvests().items()]
    receipt = coverage.receipt(now)
    if receipt is None:
        said = "arXiv is not among the sources"
        if "arxiv" in settings.SOURCES:
            day = date_format(coverage.expected_day(now))
            said = f"arXiv's list of {day} was not asked for yet"
        return {"said": said, "rows": rows}
    day = f"day_from={receipt.day}&day_to={receipt.day}"
    url = f"{reverse('admin:digest_coverage_changelist')}?source=arxiv&{day}"
    is_whole = receipt.is_verified
    state = badge("whole", "good") if is_whole else badge("not whole yet", "held")
    said = f"{receipt.announced:,} announced, {receipt.had:,} had{'' if is_whole else ' so far'}"
    said = f"{said}: arXiv, {date_format(receipt.day)}"
    if not (receipt.announced or is_whole):  # Their number is unknown.
        said = f"arXiv's list of {date_format(receipt.day)} has not come in"
    return {"said": said, "rows": [_row(state, "Coverage", url), *rows]}


def _source_row(source, run, now):
    if run is None:
        return _row(badge("not run yet", "quiet"), "", note=source)
    return _row(
        harvest_badge(run, now),
        f"{run.new:,} new",
        reverse("admin:digest_harvest_change", args=[run.pk]),
        note=f"{source}, {date_format(run.touched_at, 'DATETIME_FORMAT')}",
    )


def _subscribers_card(now):
    counts = Subscriber.objects.count_by_state(now)
    url = reverse("admin:subscriptions_subscriber_changelist")
    rows = [
        _row(badge(state, TONES[state]), count, f"{url}?state={state}")
        for state, count in counts.items()
    ]
    count = sum(counts.values())
    return {"said": f"{count:,} address{'' if count == 1 else 'es'}", "rows": rows}


def _letters_card(day):
    """Return the letters created on this day (UTC), by state and the beginning of the reason."""
    beginning = Left("reason", StrIndex(Concat("reason", Value(":")), Value(":")) - 1)
    # Accepted letters have no reason: to look for it would double the time.
    beginning = Case(When(state=Letter.State.ACCEPTED, then=Value("")), default=beginning)
    midnight = datetime.combine(day, time.min, UTC)
    first = db.first_since(Letter, "created_at", midnight - db.SLACK)
    letters = Letter.objects.filter(pk__gte=first, created_at__gte=midnight)
    groups = list(letters.values_list("state", beginning).annotate(Count("pk")))
    order = list(Letter.State)
    groups.sort(key=lambda group: (order.index(group[0]), group[1]))
    url = reverse("admin:subscriptions_letter_changelist")
    rows = [
        _row(
            badge(Letter.State(state).label, TONES[state]),
            count,
            f"{url}?state__exact={state}",
            note=reason if reason != Letter.State(state).label else "",
        )
        for state, reason, count in groups
    ]
    total = sum(count for _, _, count in groups)
    return {"said": f"{total} since midnight (UTC), of all kinds", "rows": rows}


def _papers_card(today):
    days = Paper.objects.filter(day__lte=today + timedelta(days=1)).order_by("-day")
    last = days.values_list("day", flat=True).first()
    of_today, new = Paper.objects.filter(day=today).count(), Paper.objects.new_on(today).count()
    url = reverse("admin:digest_paper_changelist")
    last = date_format(last) if last else "none yet"
    return {
        "said": f"The last day with papers: {last}",
        "rows": [
            _row("Of today", of_today, f"{url}?day_from={today}&day_to={today}"),
            _row(f"New: of the last {settings.NEW_DAYS} days", new, url),
        ],
    }


def _ranking_card():
    topics = _row(
        "Topics of the house",
        Topic.objects.curated().count(),
        reverse("admin:subscriptions_topic_changelist"),
    )
    model = FittedModel.objects.first()
    if model is None:
        return {"said": "No model yet: the first harvest makes one", "rows": [topics]}
    return {
        "said": f"Model of {date_format(model.fitted_at, 'DATETIME_FORMAT')}",
        "rows": [_row("Papers it has read", model.documents), _row("Terms", model.terms), topics],
    }


def _row(name, count, url="", note=""):
    count = f"{count:,}" if isinstance(count, int) else count
    return {"name": name, "count": count, "url": url, "note": note}
