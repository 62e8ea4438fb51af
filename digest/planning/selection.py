"""Which papers go into whose digest: ranked for each, none that they have had or brought along."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np
from django.conf import settings
from django.db.models import Exists, OuterRef, StringAgg, Subquery, Value

from digest.indexing.candidates import Window, counts_of, second_chances
from digest.models import Digest, Feedback, LibraryPaper, Pick
from digest.models.bulk_insert import among
from digest.personalization.profiles import profiles_of
from digest.ranking.parameters import Parameters
from digest.ranking.profile import NAME as MAX_NAME
from digest.ranking.selection import GROUPS, Choice, choose
from subscriptions.models import Subscriber

SECOND_EVERY = 7  # Days: a second chance comes at most so often.
#: A digest's local day is at most so long before the day (UTC) on which its papers came in.
EARLIER = timedelta(days=3)
SPACE = Value(" ")  # Stands in no id of a paper.
#: The columns of a pick that say which paper it is, and why.
PICK = ("paper_id", "position", "score", "basis", "topic_name", "group", "terms")
REMEMBERED = 30  # So many of the latest papers that a subscriber likes may be named in reasons.


@dataclass(frozen=True)
class Planned:
    """A paper that goes into a digest, and those on the same idea that are folded into it."""

    paper: str
    choice: Choice
    relatives: tuple[str, ...] = ()
    is_second: bool = False

    @property
    def group(self) -> str:
        return self.choice.group

    def row(self, position: int | None, folded: str = "") -> tuple:
        """Return the values of PICK, for the paper itself or one that is `folded` into it."""
        why = self.choice
        basis = Pick.Basis.SECOND.value if self.is_second else why.basis
        terms = [] if folded else why.terms
        return folded or self.paper, position, why.score, basis, why.topic, why.group, terms


def planned_for(subscriber: Subscriber, window: Window, new: datetime | None) -> list[Planned]:
    """Return the papers that the subscriber would get of these, new after this moment."""
    ((planned, _),) = rank([subscriber], window, [new])
    return planned


def rank(
    subscribers: list[Subscriber],
    window: Window,
    new: Sequence[datetime | None],
    *,
    lately: bool = False,
) -> list[tuple[list[Planned], int]]:
    """Return, for each subscriber, their papers and how many were new to them.

    Papers are new to each that came in after a moment; all are where there is None. Runs a constant
    number of queries for each day until which papers may have been sent.

    With `lately`, only the digests since the window began are read, so that the cost doesn't grow
    with the subscribers' histories. A paper that was sent before and came in again, as after a
    restored backup, is then chosen again: the constraint `no_paper_twice` refuses it.
    """
    recovered = Recovered.of(subscribers)
    together = defaultdict(list)
    for subscriber, moment in zip(subscribers, new, strict=True):
        since = 0 if moment is None else window.since(moment)
        together[recovered.until.get(subscriber.pk)].append((subscriber, since))
    ranked = {}
    for until, some in together.items():
        alone, since = map(list, zip(*some, strict=True))
        digests = _rank(alone, window, since, recovered, until, lately)
        ranked |= zip([one.pk for one in alone], digests, strict=True)
    return [ranked[subscriber.pk] for subscriber in subscribers]


def _rank(subscribers, window, since, recovered, until, lately):
    """Rank for those who may have had all papers that are dated `until` this day."""
    second = second_chances(window)
    if until:
        window, second = window.after(until), second.after(until)
    profiles = profiles_of(subscribers)
    began = date.fromordinal(window.papers.first_day) - EARLIER if lately else date.min
    hidden = _seen(subscribers, window, recovered, _had_since(subscribers, began))
    parameters = Parameters.of(settings.RANKING)
    chosen = choose(window.model, window.papers, profiles, hidden, parameters, since=since)
    planned = [
        [_planned(choice, window) for choice in choices if not _is_too_old(choice, window)]
        for choices in chosen
    ]
    seconds = _second_chances(subscribers, profiles, window, second, parameters, recovered)
    filled = list(map(_filled, planned, seconds, profiles))
    _name_likes(subscribers, filled, window)
    counts = map(considered, [window] * len(since), since, hidden)
    return zip(filled, counts, strict=True)


def considered(window: Window, since: int, hidden: set[int], stop: int | None = None) -> int:
    """Return how many papers between two positions may come, all but the hidden ones."""
    new = slice(since, stop)
    first, last, _ = new.indices(len(window.papers))
    had = sum(first <= place < last for place in hidden)
    return last - first - int(window.papers.is_withdrawn[new].sum()) - had


def has_news[T: Choice | Planned](chosen: list[T]) -> bool:
    """Return whether any of these is new. Without one, no digest is sent: what was passed over and
    near misses accompany new papers, and alone would be filler. They may come another day.
    """
    return any(one.group == GROUPS[0] for one in chosen)


def _is_too_old(choice: Choice, window: Window) -> bool:
    """Return whether nobody missed the paper: it is of an archive that was imported meanwhile."""
    return choice.group == "missed" and window.papers.ages[choice.paper] > settings.NEW_DAYS


def _filled(planned: list[Planned], seconds: list[Planned], profile) -> list[Planned]:
    """Return the papers of a digest in its order, a second chance among those it had missed."""
    if len(planned) == profile.size:
        without = planned[: profile.size - len(seconds)]
        planned = without if has_news(without) else planned
    if not has_news(planned):
        return []
    room = profile.size - len(planned)
    return sorted([*planned, *seconds[:room]], key=lambda one: GROUPS.index(one.group))


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
        theirs = among("subscriber", (one.pk for one in subscribers))
        digests = Digest.objects.filter(theirs, recovered__isnull=False)
        for pk, known in digests.order_by("day").values_list("subscriber_id", "recovered"):
            ids[pk].update(known.get("papers", ()))
            if "until" in known:
                until[pk] = date.fromisoformat(known["until"])
        return cls(ids, until)


def seen_by(subscriber: Subscriber, window: Window) -> set[int]:
    """Return where the papers stand that must not come again to the subscriber."""
    recovered = Recovered.of([subscriber])
    (seen,) = _seen([subscriber], window, recovered, _had_since([subscriber], date.min))
    if until := recovered.until.get(subscriber.pk):
        seen |= window.places_of(window.after(until).papers.withdrawn)
    return seen


def _planned(choice, window, *, is_second=False):
    relatives = tuple(window.papers.ids[place] for place in choice.relatives)
    return Planned(window.papers.ids[choice.paper], choice, relatives, is_second)


def _second_chances(
    subscribers, profiles, window, second, parameters, recovered
) -> list[list[Planned]]:
    """Return, for each subscriber, the paper that took off since it was new, or none.

    One of those that they would have got now, and have never had; and none so soon after another.
    """
    if not second.papers.ids:
        return [[] for _ in subscribers]
    after = window.day - timedelta(days=SECOND_EVERY - 1)
    had_one = _had_since(subscribers, after, basis=Pick.Basis.SECOND)
    single = {  # By the subscribers who had none.
        one: replace(profile, size=1, wants_near=False)
        for one, profile in zip(subscribers, profiles, strict=True)
        if one.pk not in had_one
    }
    still_new = second.places_of(window.papers.ids)
    hidden = _seen(single, second, recovered, {}, second.papers.ids)
    hidden = [had | still_new for had in hidden]
    chosen = choose(second.model, second.papers, [*single.values()], hidden, parameters)
    seconds = {
        one: [
            _planned(replace(choice, group="missed"), second, is_second=True) for choice in choices
        ]
        for one, choices in zip(single, chosen, strict=True)
    }
    return [seconds.get(one, []) for one in subscribers]


def _seen(subscribers, window, recovered, had, others=()) -> list[set[int]]:
    """Return, for each subscriber, where the papers stand that they `had`, or brought along, also
    under other ids; and those of the `others` that they ever had.
    """
    ids, others = [one.pk for one in subscribers], [*window.papers.aliases, *others]
    theirs = among("subscriber", ids)
    library = LibraryPaper.objects.filter(theirs)
    # Asked of each row: joined or of a list, SQLite would seek every paper for every subscriber,
    # once it knows by ANALYZE how large its tables are.
    known = library.filter(Exists(window.rows.filter(pk=OuterRef("identity"))))
    rows = _pairs(known, "identity").union(
        _pairs(library.filter(identity__in=others), "identity"),
        _pairs(Pick.objects.filter(theirs, paper__in=others), "paper_id"),
        all=True,
    )
    also = defaultdict(list)
    for subscriber_id, paper_id in rows.order_by():  # The model's order is none of a union's.
        also[subscriber_id].append(paper_id)
    return [
        window.places_of([*had.get(pk, ()), *also[pk], *recovered.ids.get(pk, ())]) for pk in ids
    ]


def _pairs(rows, paper):
    return rows.order_by().values_list("subscriber_id", paper)


def _had_since(subscribers, day, **which):
    """Return the papers of each one's digests from this day on, by the subscriber's id.

    It costs the same for any length of history: a subquery of one value is run for each subscriber,
    by indexes. Joined, PostgreSQL may read all picks that there are.
    """
    theirs = Pick.objects.filter(digest__subscriber=OuterRef("pk"), digest__day__gte=day, **which)
    papers = theirs.order_by().values("digest__subscriber").annotate(all=StringAgg("paper", SPACE))
    rows = Subscriber.objects.filter(among("pk", (one.pk for one in subscribers)))
    rows = rows.values_list("pk", Subquery(papers.values("all")))
    return {pk: papers.split() for pk, papers in rows if papers}


def _name_likes(subscribers, planned: list[list[Planned]], window) -> None:
    """Give the papers that are there for what a subscriber taught, as their topic, the title of the
    most similar paper that they saved or liked.
    """
    learned = {}  # The places of these papers in each one's digest.
    for subscriber, digest in zip(subscribers, planned, strict=True):
        places = [
            place
            for place, one in enumerate(digest)
            if one.choice.basis == "learned" and not one.is_second
        ]
        if places:
            learned[subscriber.pk] = digest, places
    if not learned:
        return
    liked = defaultdict(list)
    said = Feedback.objects.filter(subscriber__in=[*learned])
    said = said.exclude(value=Feedback.Value.LESS).order_by("-at", "-pk")
    for pk, paper, title in said.values_list("subscriber_id", "paper_id", "paper__title"):
        if len(liked[pk]) < REMEMBERED:
            liked[pk].append((paper, title[:MAX_NAME]))
    rows = dict.fromkeys(paper for some in liked.values() for paper, _ in some)
    rows = {paper: row for row, paper in enumerate(rows)}
    vectors = window.model.vectors(counts_of([*rows]))
    for pk, titles in liked.items():
        digest, places = learned[pk]
        theirs = vectors[np.array([rows[paper] for paper, _ in titles])]
        picked = window.papers.vectors[np.array([digest[place].choice.paper for place in places])]
        nearest = theirs.similarity(picked).argmax(axis=1)
        for place, best in zip(places, nearest.tolist(), strict=True):
            choice = replace(digest[place].choice, topic=titles[best][1])
            digest[place] = replace(digest[place], choice=choice)
