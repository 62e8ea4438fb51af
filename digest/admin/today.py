"""The panel's first page."""

from datetime import UTC, datetime, time, timedelta

from django.conf import settings
from django.db.models import Case, Count, Max, Value, When
from django.db.models.functions import Concat, Left, StrIndex
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format

from digest import alarms, coverage, health, heartbeats, promises
from digest.admin import plots
from digest.admin.parts import may_open
from digest.admin.sources import harvest_badge
from digest.models import Alarm, FittedModel, Paper, Tally
from subscriptions.admin.parts import LETTER_TONES, SUBSCRIBER_TONES, badge
from subscriptions.models import Letter, Subscriber, Topic
from subscriptions.post import retention, status

CARDS = {"sources", "subscribers", "letters", "papers", "ranking"}


def dashboard(request, context):
    """Give the panel's first page what happened today. Named in settings.UNFOLD."""
    now = timezone.now()
    today = timezone.localdate(now)
    figures = "digest.view_figures"
    parts = {  # Each with what one needs to be shown it.
        "alarms": ("digest.view_alarm", lambda: _alarms(now)),
        "sending": (figures, lambda: status.of_sending(now)),
        "invariants": (figures, lambda: _invariants(request.user)),
        "sources": ("digest.view_harvest", lambda: _sources_card(now)),
        "subscribers": (figures, lambda: _subscribers_card(now)),
        "letters": (figures, lambda: _letters_card(today)),
        "papers": ("digest.view_paper", lambda: _papers_card(today)),
        "ranking": ("digest.view_fittedmodel", _ranking_card),
        "plots": (figures, lambda: _plots(request, today)),
    }
    seen = {name: make() for name, (right, make) in parts.items() if request.user.has_perm(right)}
    for card in CARDS & seen.keys():
        for row in seen[card]["rows"]:
            row["url"] = row["url"] if may_open(request.user, row["url"]) else ""
    plotted = seen.pop("plots", {})
    return context | {"title": "Today", "may_see": bool(seen)} | seen | plotted


def _alarms(now):
    return [one for one in alarms.known(now) if one.name not in ("stopped", "breaker")]


def _invariants(user):
    """Return what the last checks found. Each violation has some of its rows, where one may see."""
    violations = []
    for alarm in Alarm.objects.standing().filter(name="promises"):
        count, kind, numbers = promises.SAID.search(alarm.said).groups()
        said = f"{count} {kind}{' violates' if count == '1' else 's violate'} “{alarm.subject}”"
        url, rows = f"admin:subscriptions_{kind}_change", []
        if user.has_perm(f"subscriptions.view_{kind}"):
            rows = [(number, reverse(url, args=[number])) for number in numbers.split(", ")]
        violations.append({"said": said, "rows": rows})
    return {
        "count": len(promises.PROMISES),
        "checked_at": heartbeats.last(heartbeats.INVARIANTS),
        "violations": violations,
    }


def _plots(request, today):
    """Return the plots of the chosen period, with links to those lists that one may see."""
    period = plots.chosen(request.GET.get("days"))
    drawn = plots.of_period(period, today)
    return {
        "plots": [(plot, plot.kind.url_for(request.user)) for plot in drawn],
        "periods": plots.PERIODS,
        "period": period,
        "today": today,
        "counted_at": Tally.objects.aggregate(at=Max("counted_at"))["at"],
    }


def _sources_card(now):
    """Tell what arXiv announced and what of it is here, and how each source's last run went."""
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
    if not (receipt.announced or is_whole):  # Nobody knows yet how many there are.
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
    found = Subscriber.objects.count_by_state(now)
    url = reverse("admin:subscriptions_subscriber_changelist")
    rows = [
        _row(badge(state, tone), found[state], f"{url}?state={state}")
        for state, tone in SUBSCRIBER_TONES.items()
    ]
    count = sum(found.values())
    return {"said": f"{count:,} address{'' if count == 1 else 'es'}", "rows": rows}


def _letters_card(day):
    """Tell of the letters written on this day (UTC): by state, and by how the reason begins."""
    beginning = Left("reason", StrIndex(Concat("reason", Value(":")), Value(":")) - 1)
    # Nearly all were sent, and need no reason: to look for it in each takes as long as all else.
    beginning = Case(When(state=Letter.State.ACCEPTED, then=Value("")), default=beginning)
    midnight = datetime.combine(day, time.min, UTC)
    first = retention.first_since(Letter, "created_at", midnight - retention.SLACK)
    letters = Letter.objects.filter(pk__gte=first, created_at__gte=midnight)
    groups = list(letters.values_list("state", beginning).annotate(Count("pk")))
    order = list(Letter.State)
    groups.sort(key=lambda group: (order.index(group[0]), group[1]))
    url = reverse("admin:subscriptions_letter_changelist")
    rows = [
        _row(
            badge(Letter.State(state).label, LETTER_TONES[state]),
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
