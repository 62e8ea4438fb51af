"""Select the papers of digests: ranked for each subscriber, without papers they know already."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import numpy as np
from django.conf import settings
from django.db.models import Exists, OuterRef, StringAgg, Subquery, Value

from digest import wording
from digest.indexing.candidates import Window, counts_of, second_chances
from digest.models import Digest, Feedback, LibraryPaper, Paper, Pick
from digest.models.bulk_insert import among
from digest.personalization.profiles import profiles_of
from digest.planning.sharing import Groups
from digest.ranking.parameters import Parameters
from digest.ranking.profile import NAME as MAX_NAME
from digest.ranking.profile import Profile
from digest.ranking.selection import GROUPS, Choice, choose
from subscriptions.models import Subscriber

SECOND_CHANCE_DAYS = 7  # Between two second chances, at least.
#: How long a digest's local day may be before the day (UTC) on which its papers came in.
MAX_DAY_OFFSET = timedelta(days=3)
SPACE = Value(" ")  # Separates ids, which contain none.
#: The columns of a pick that say which paper it is, and why.
PICK_FIELDS = ("paper_id", "position", "score", "basis", "topic_name", "group", "terms")
MAX_LIKED = 30  # The latest liked papers, which reasons may name.


def pick_values(choice: Choice[str], position: int | None, folded: str = "") -> tuple:
    """Return the values of PICK_FIELDS, for the choice's paper or one that is folded into it."""
    terms = [] if folded else choice.terms
    why = choice.score, choice.basis, choice.topic, choice.group, terms
    return folded or choice.paper, position, *why


def unsaved_pick(
    choice: Choice[str], papers: Mapping[str, Paper], position: int | None = None, **fields
) -> Pick:
    """Return the pick that would be stored, with its papers. `papers`: by id."""
    pick = Pick(**dict(zip(PICK_FIELDS, pick_values(choice, position), strict=True)), **fields)
    pick.paper = papers[choice.paper]
    pick.would_fold = [papers[paper_id] for paper_id in choice.relatives if paper_id in papers]
    return pick


def chosen_ids(choices: Iterable[Choice[str]]) -> list[str]:
    """Return the ids of the chosen papers and of those that are folded into them."""
    return [paper_id for choice in choices for paper_id in (choice.paper, *choice.relatives)]


def rank(
    subscribers: list[Subscriber],
    window: Window,
    new: Sequence[datetime | None],
    *,
    recent_only: bool = False,
) -> list[tuple[list[Choice[str]], int]]:
    """Return, for each subscriber, their papers and how many were new to them.

    `new`: the moment after which papers are new to each, or None if all are. Runs a constant number
    of queries for each day of Recovered.until.

    With `recent_only`, only digests since the window began are read, so that the cost doesn't grow
    with the subscribers' histories. A paper that was sent before and came in again, as after a
    restored backup, is then chosen again: the constraint `no_paper_twice` refuses it.
    """
    recovered = Recovered.of(subscribers)
    together = defaultdict(list)
    for subscriber, moment in zip(subscribers, new, strict=True):
        since = 0 if moment is None else window.since(moment)
        together[recovered.until.get(subscriber.pk)].append((subscriber, since))
    ranked = {}
    for until, group in together.items():
        members, since = map(list, zip(*group, strict=True))
        digests = _rank(members, window, since, recovered, until, recent_only)
        ranked |= zip([subscriber.pk for subscriber in members], digests, strict=True)
    return [ranked[subscriber.pk] for subscriber in subscribers]


def _rank(subscribers, window, since, recovered, until, recent_only):
    """Rank for subscribers who may have had all papers that are dated `until` this day."""
    second = second_chances(window)
    if until:
        window, second = window.after(until), second.after(until)
    profiles, groups = profiles_of(subscribers), Groups.of(subscribers)
    began = date.fromordinal(window.papers.first_day) - MAX_DAY_OFFSET if recent_only else date.min
    hidden = _seen(subscribers, window, recovered, _had_since(subscribers, began))
    parameters = Parameters.of(settings.RANKING)
    chosen = groups.choose(subscribers, profiles, window, hidden, parameters, since)
    ages = window.papers.ages

    def is_too_old(choice):  # Nobody missed it: it is of an archive that was imported meanwhile.
        return choice.group == "missed" and ages[choice.paper] > settings.NEW_DAYS

    kept = [
        [window.with_ids(choice) for choice in choices if not is_too_old(choice)]
        for choices in chosen
    ]
    seconds = _second_chances(subscribers, profiles, window, second, parameters, recovered, groups)
    digests = list(map(_filled, kept, seconds, profiles))
    _name_likes(subscribers, digests, window)
    groups.share(subscribers, digests, profiles, window, recovered, until)
    counts = map(considered, [window] * len(since), since, hidden)
    return zip(digests, counts, strict=True)


def considered(window: Window, since: int, hidden: set[int], stop: int | None = None) -> int:
    """Return how many papers between two positions are neither hidden nor withdrawn."""
    new = slice(since, stop)
    first, last, _ = new.indices(len(window.papers))
    had = sum(first <= place < last for place in hidden)
    return last - first - int(window.papers.is_withdrawn[new].sum()) - had


def has_news(choices: Iterable[Choice]) -> bool:
    """Return whether any of these is new. Without a new one, no digest is sent.

    Near misses and papers that were passed over only accompany new ones, and may come another day.
    """
    return any(choice.group == GROUPS[0] for choice in choices)


def _filled(choices, seconds, profile) -> list[Choice[str]]:
    """Return the papers of a digest in its order, with a second chance in the missed group."""
    if len(choices) == profile.size:
        without = choices[: profile.size - len(seconds)]
        choices = without if has_news(without) else choices
    if not has_news(choices):
        return []
    room = profile.size - len(choices)
    return in_sections([*choices, *seconds[:room]])


def in_sections(choices: Sequence[Choice]) -> list[Choice]:
    """Return ranked choices in the order of a digest: by section, the one with the best first."""
    sections = [wording.group(choice.basis, choice.topic, choice.group) for choice in choices]
    first: dict[tuple[str, str], int] = {}
    for place, section in enumerate(sections):
        first.setdefault(section, place)
    places = sorted(
        range(len(choices)),
        key=lambda place: (GROUPS.index(choices[place].group), first[sections[place]]),
    )
    return [choices[place] for place in places]


@dataclass(frozen=True)
class Recovered:
    """Papers that were sent, but have no picks (see Digest.recovered), by subscriber id.

    `ids`: of these papers. `until`: the day until which all announced papers may have been sent.
    """

    ids: dict[int, set[str]]
    until: dict[int, date]

    @classmethod
    def of(cls, subscribers: list[Subscriber]) -> "Recovered":
        ids, until = defaultdict(set), {}
        theirs = among("subscriber", (subscriber.pk for subscriber in subscribers))
        digests = Digest.objects.filter(theirs, recovered__isnull=False)
        for pk, known in digests.order_by("day").values_list("subscriber_id", "recovered"):
            ids[pk].update(known.get("papers", ()))
            if "until" in known:
                until[pk] = date.fromisoformat(known["until"])
        return cls(ids, until)


def seen_by(subscriber: Subscriber, window: Window) -> set[int]:
    """Return the positions of papers that must not come to the subscriber again."""
    recovered = Recovered.of([subscriber])
    (seen,) = _seen([subscriber], window, recovered, _had_since([subscriber], date.min))
    if until := recovered.until.get(subscriber.pk):
        seen |= window.places_of(window.after(until).papers.withdrawn)
    return seen


def _second_chances(
    subscribers, profiles, window, second, parameters, recovered, groups
) -> list[list[Choice[str]]]:
    """Return, for each subscriber, the paper with a second chance, or none.

    A paper that they never had and would be chosen for them now. At most one in SECOND_CHANCE_DAYS,
    and none for groups.
    """
    if not second.papers.ids:
        return [[] for _ in subscribers]
    after = window.day - timedelta(days=SECOND_CHANCE_DAYS - 1)
    had_one = _had_since(subscribers, after, basis=Pick.Basis.SECOND)
    profile_of = {  # Of subscribers who had none lately.
        subscriber: profile
        for subscriber, profile in zip(subscribers, profiles, strict=True)
        if subscriber.pk not in had_one and subscriber.pk not in groups.members
    }
    hidden = _seen(profile_of, second, recovered, {}, second.papers.ids)
    chosen = _choose_again([*profile_of.values()], window, second, hidden, parameters)
    seconds = dict(zip(profile_of, chosen, strict=True))
    return [seconds.get(subscriber, []) for subscriber in subscribers]


def _choose_again(profiles, window, second, hidden, parameters) -> list[list[Choice[str]]]:
    """Return, for each profile, the paper with a second chance, or none."""
    still_new = second.places_of(window.papers.ids)
    hidden = [had | still_new for had in hidden]
    single = [replace(profile, size=1, wants_near=False) for profile in profiles]
    chosen = choose(second.model, second.papers, single, hidden, parameters)
    of_second = {"group": "missed", "basis": Pick.Basis.SECOND.value}
    return [
        [replace(second.with_ids(choice), **of_second) for choice in choices] for choices in chosen
    ]


def first_digest(
    profile: Profile, window: Window, known: Collection[str] = ()
) -> tuple[list[Choice[str]], int]:
    """Return what `rank` would for somebody new with this profile, who has the `known` papers."""
    parameters, hidden = Parameters.of(settings.RANKING), window.places_of(known)
    (choices,) = choose(window.model, window.papers, [profile], [hidden], parameters)
    second, seconds = second_chances(window), []
    if second.papers.ids:
        had = second.places_of(known)
        (seconds,) = _choose_again([profile], window, second, [had], parameters)
    digest = _filled([*map(window.with_ids, choices)], seconds, profile)
    return digest, considered(window, 0, hidden)


def _seen(subscribers, window, recovered, had, others=()) -> list[set[int]]:
    """Return, for each subscriber, the positions of papers that they know, also under other ids.

    Those that they `had`, those of their library, and those of the `others` that they ever had.
    """
    ids, others = [subscriber.pk for subscriber in subscribers], [*window.papers.aliases, *others]
    theirs = among("subscriber", ids)
    library = LibraryPaper.objects.filter(theirs)
    # With EXISTS: with a join or a list, SQLite would search every paper for every subscriber after
    # an ANALYZE.
    known = library.filter(Exists(window.rows.filter(pk=OuterRef("identity"))))
    rows = _pairs(known, "identity").union(
        _pairs(library.filter(identity__in=others), "identity"),
        _pairs(Pick.objects.filter(theirs, paper__in=others), "paper_id"),
        all=True,
    )
    also = defaultdict(list)
    for subscriber_id, paper_id in rows.order_by():  # A union can't have the model's order.
        also[subscriber_id].append(paper_id)
    return [
        window.places_of([*had.get(pk, ()), *also[pk], *recovered.ids.get(pk, ())]) for pk in ids
    ]


def _pairs(rows, paper):
    return rows.order_by().values_list("subscriber_id", paper)


def _had_since(subscribers, day, **which):
    """Return the papers of digests from this day on, by subscriber id.

    The cost does not depend on the length of a history: a subquery runs for each subscriber, by
    indexes. With a join, PostgreSQL may read all picks.
    """
    theirs = Pick.objects.filter(digest__subscriber=OuterRef("pk"), digest__day__gte=day, **which)
    papers = theirs.order_by().values("digest__subscriber").annotate(all=StringAgg("paper", SPACE))
    rows = Subscriber.objects.filter(among("pk", (subscriber.pk for subscriber in subscribers)))
    rows = rows.values_list("pk", Subquery(papers.values("all")))
    return {pk: papers.split() for pk, papers in rows if papers}


def _name_likes(subscribers, digests: list[list[Choice[str]]], window) -> None:
    """Set the topic of papers that the preference model chose to the title of the most similar
    saved or liked paper.
    """
    learned = {}  # The places of these papers in each one's digest.
    for subscriber, digest in zip(subscribers, digests, strict=True):
        places = [place for place, choice in enumerate(digest) if choice.basis == "learned"]
        if places:
            learned[subscriber.pk] = digest, places
    if not learned:
        return
    liked = defaultdict(list)
    said = Feedback.objects.filter(subscriber__in=[*learned])
    said = said.exclude(value=Feedback.Value.LESS).order_by("-at", "-pk")
    for pk, paper, title in said.values_list("subscriber_id", "paper_id", "paper__title"):
        if len(liked[pk]) < MAX_LIKED:
            liked[pk].append((paper, title[:MAX_NAME]))
    rows = dict.fromkeys(paper for papers in liked.values() for paper, _ in papers)
    rows = {paper: row for row, paper in enumerate(rows)}
    vectors = window.model.vectors(counts_of([*rows]))
    for pk, titles in liked.items():
        digest, places = learned[pk]
        theirs = vectors[np.array([rows[paper] for paper, _ in titles])]
        positions = np.array([window.places[digest[place].paper] for place in places])
        picked = window.papers.vectors[positions]
        nearest = theirs.similarity(picked).argmax(axis=1)
        for place, best in zip(places, nearest.tolist(), strict=True):
            digest[place] = replace(digest[place], topic=titles[best][1])
