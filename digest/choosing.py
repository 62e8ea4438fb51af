"""Which papers go into whose digest: ranked for her, none that she has had or brought along."""

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import date, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef

from digest.editions import Issue, after, second_chances
from digest.models import Digest, LibraryPaper, Paper, Pick
from digest.profiles import profiles_of
from digest.ranking.choice import Choice, choose
from digest.ranking.profile import Profile
from digest.ranking.tuning import Tuning
from subscriptions.models import Subscriber

SECOND_EVERY = 7  # Days: a second chance comes at most so often.


@dataclass(frozen=True)
class Planned:
    """A paper that goes into a digest, and those on the same idea that are folded into it."""

    paper: str
    choice: Choice
    relatives: tuple[str, ...] = ()
    is_second: bool = False


def planned_for(subscriber: Subscriber, issue: Issue) -> list[Planned]:
    """Return the papers that she would get of this issue."""
    ((planned, _),) = rank([subscriber], issue)
    return planned


def rank(subscribers: list[Subscriber], issue: Issue) -> list[tuple[list[Planned], int]]:
    """Return, for each subscriber, her papers and how many were new to her.

    Asks a constant number of queries for each day until which papers may have been sent.
    """
    recovered = Recovered.of(subscribers)
    together = defaultdict(list)
    for subscriber in subscribers:
        together[recovered.until.get(subscriber.pk)].append(subscriber)
    ranked = {}
    for until, some in together.items():
        ranked |= zip([one.pk for one in some], _rank(some, issue, recovered, until), strict=True)
    return [ranked[subscriber.pk] for subscriber in subscribers]


def _rank(subscribers, whole, recovered, until):
    """Rank for those who may have had all papers of an issue `until` this day."""
    issue = after(whole, until) if until else whole
    profiles = profiles_of(subscribers)
    hidden = _seen_of(subscribers, issue, recovered)
    tuning = Tuning.of(settings.RANKING)
    chosen = choose(issue.model, issue.edition, profiles, hidden, tuning)
    planned = [[_planned(choice, issue) for choice in choices] for choices in chosen]
    seconds = _second_chances(subscribers, profiles, whole, tuning, recovered)
    return [
        ([*papers[: profile.size - len(second)], *second], len(issue.ids) - len(places))
        for papers, second, profile, places in zip(planned, seconds, profiles, hidden, strict=True)
    ]


@dataclass(frozen=True)
class Recovered:
    """What is known, without picks, of papers that were sent (see Digest.recovered): by the number
    of the subscriber, their ids, and the day until which all that was announced may have been.
    """

    ids: dict[int, set[str]]
    until: dict[int, date]

    @classmethod
    def of(cls, subscribers: list[Subscriber]) -> "Recovered":
        ids, until = defaultdict(set), {}
        digests = Digest.objects.filter(subscriber__in=subscribers, recovered__isnull=False)
        for pk, known in digests.order_by("day").values_list("subscriber_id", "recovered"):
            ids[pk].update(known.get("papers", ()))
            if "until" in known:
                until[pk] = date.fromisoformat(known["until"])
        return cls(ids, until)


def seen_by(subscribers: list[Subscriber], issue: Issue) -> list[set[int]]:
    """Return, for each subscriber, where the papers stand that must not come again."""
    return _seen_of(subscribers, issue, Recovered.of(subscribers))


def _seen_of(subscribers, issue, recovered):
    since = issue.day - timedelta(days=issue.days)
    return _seen(subscribers, issue, recovered, day__gte=since)


def _planned(choice, issue, *, is_second=False):
    relatives = tuple(issue.ids[place] for place in choice.relatives)
    return Planned(issue.ids[choice.paper], choice, relatives, is_second)


def _second_chances(
    subscribers, profiles: list[Profile], issue, tuning, recovered
) -> list[list[Planned]]:
    """Return, for each subscriber, the paper that took off since it was new, or none.

    One of those that she would have got now, and has never had; and none so soon after another.
    """
    second = second_chances(issue)
    if not second.ids:
        return [[] for _ in subscribers]
    since = issue.day - timedelta(days=SECOND_EVERY)
    recent = Pick.objects.filter(
        subscriber__in=subscribers, basis=Pick.Basis.SECOND, digest__day__gt=since
    )
    had_one = set(recent.values_list("subscriber_id", flat=True))
    still_new = second.places_of(issue.ids)
    seen = _seen(subscribers, second, recovered, pk__in=second.ids)
    hidden = [had | still_new for had in seen]
    chosen = choose(
        second.model, second.edition, [replace(one, size=1) for one in profiles], hidden, tuning
    )
    return [
        []
        if one.pk in had_one
        else [_planned(choice, second, is_second=True) for choice in choices]
        for one, choices in zip(subscribers, chosen, strict=True)
    ]


def _seen(subscribers, issue, recovered, **among) -> list[set[int]]:
    """Return, for each subscriber, where the papers stand that she has had or brought along,
    `among` some, or under other ids, however long ago.
    """
    picks = Pick.objects.filter(subscriber__in=subscribers)
    library = LibraryPaper.objects.filter(subscriber__in=subscribers)
    # Asked of each row: joined or of a list, SQLite would seek every paper for every reader, once
    # it knows by ANALYZE how large its tables are.
    papers = Paper.objects.filter(**among)
    theirs = picks.filter(Exists(papers.filter(pk=OuterRef("paper"))))
    known = library.filter(Exists(papers.filter(pk=OuterRef("identity"))))
    # Apart: joined by OR, all picks that they ever had would be read.
    others = list(issue.edition.aliases)
    rows = _pairs(theirs, "paper_id").union(
        _pairs(picks.filter(paper__in=others), "paper_id"),
        _pairs(known, "identity"),
        _pairs(library.filter(identity__in=others), "identity"),
        all=True,
    )
    had = defaultdict(set)
    for subscriber_id, paper_id in rows.order_by():  # The model's order is none of a union's.
        had[subscriber_id].add(paper_id)
    for subscriber in subscribers:
        had[subscriber.pk] |= recovered.ids.get(subscriber.pk, set())
        if until := recovered.until.get(subscriber.pk):
            had[subscriber.pk].update(issue.ids[: issue.begins_after(until)])
    return [issue.places_of(had[subscriber.pk]) for subscriber in subscribers]


def _pairs(rows, paper):
    return rows.order_by().values_list("subscriber_id", paper)
