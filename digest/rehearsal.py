"""What someone's digests would have been today and on the last days, for wishes stored nowhere.

Each day is ranked as planning ranks it, as if each paper had come in on the day it is dated, and
with a memory of its own: what one day had, no later day has again. Second chances and late papers
aside, they are the very digests. Nothing is written, and no model is fitted: where there is none,
model_store.NotFitted is raised.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, timedelta
from itertools import chain, pairwise

import numpy as np
from django.conf import settings
from django.db.models import Q

from digest.choosing import considered, has_news
from digest.indexing import candidates, index_store
from digest.indexing.candidates import Window
from digest.indexing.index import Index, name_words
from digest.indexing.search import by_author
from digest.models import Paper, Pick
from digest.profiles import profiles_of
from digest.ranking.authors import SUFFIXES, asked_for
from digest.ranking.model import word_column
from digest.ranking.parameters import Parameters
from digest.ranking.profile import Interest, Profile
from digest.ranking.query import lines, queries
from digest.ranking.reasons import unknown_words
from digest.ranking.selection import Choice, choose
from digest.ranking.stopwords import FILLERS, STOP_WORDS
from digest.wording import operators
from subscriptions import schedule
from subscriptions.models import Subscriber

#: So much of someone's words is looked at. Whoever wants more waits for her letter: pages must
#: answer at once, whatever is written into them.
MOST_CHARACTERS, MOST_QUERIES, MOST_TERMS = 6_000, 100, 600
MAX_NAME = 6  # Words of an author's name.
NO_NAMES = STOP_WORDS | FILLERS

type IsKnown = Callable[[Sequence[str]], np.ndarray]


@dataclass
class Day:
    """One day's digest: its picks with their papers, as they would be stored, the best first.

    `considered`: how many papers were new to her.
    """

    day: date
    considered: int
    picks: list[Pick] = field(default_factory=list)


@dataclass(frozen=True)
class Rehearsal:
    """The days, the latest first. `is_cut`: not all of her words were looked at. `wordless`: her
    lines by which nothing is looked for. `unheard`: her words that no paper says. `unobeyed`: AND,
    OR and NOT, where her lines have them. `authors`: what she writes as words, and authors are
    called. `strangers`: what she calls authors, and none is called.
    """

    days: list[Day]
    is_cut: bool = False
    wordless: Sequence[str] = ()
    unheard: Sequence[str] = ()
    unobeyed: Sequence[str] = ()
    authors: Sequence[str] = ()
    strangers: Sequence[str] = ()


@dataclass(frozen=True)
class Difference:
    """The papers that she would have got for a change, and those that she would have got without,
    each with the reason.

    Each once, those of the latest day first.
    """

    added: list[Pick]
    removed: list[Pick]
    is_cut: bool = False
    wordless: Sequence[str] = ()
    unheard: Sequence[str] = ()
    unobeyed: Sequence[str] = ()
    authors: Sequence[str] = ()
    strangers: Sequence[str] = ()


def last_window(now) -> Window:
    """Return the papers that are new today, or were on one of the days before."""
    return candidates.for_pages(schedule.local_day(now, UTC))


def rehearse(profile: Profile, now, known: Collection[str] = ()) -> Rehearsal:
    """Return what the digests would have been for one who had no paper before, but those `known`.

    Asks five queries at most where there is an archive, and eight without.
    """
    profile, is_cut = bounded(profile)
    window = last_window(now)
    ranked = _ranked(profile, window, now, known, is_first=True)
    papers = Paper.objects.in_bulk({one for day in ranked for one in day.papers})
    days = [_as_digest(day, papers) for day in reversed(ranked)]
    return Rehearsal(days, is_cut, *_told(profile, window.model))


def compare(
    subscriber: Subscriber, changed: Profile, now, *, weekdays: int | None = None
) -> Difference:
    """Return by which papers of these days her digests would differ, also where they came on other
    `weekdays` (as Subscriber.weekdays) than now.

    What she had before the first of them is hidden on both sides, and not what she had since: that
    was chosen for what she has set now.
    """
    window = last_window(now)
    first = window.day - timedelta(days=candidates.BACK)
    before = Pick.objects.filter(subscriber=subscriber, digest__day__lt=first)
    lately = Q(paper__day__gte=first - timedelta(days=settings.NEW_DAYS))
    recent = before.filter(lately | Q(paper__in=window.papers.aliases))
    had = set(recent.values_list("paper_id", flat=True))
    (profile,) = profiles_of([subscriber])
    profile, is_cut = bounded(profile)
    changed, also_cut = bounded(changed)
    weekdays = weekdays or subscriber.weekdays
    now_has = _ranked(profile, window, now, had, subscriber.weekdays)
    is_same = (changed, weekdays) == (profile, subscriber.weekdays)
    then_has = now_has if is_same else _ranked(changed, window, now, had, weekdays)
    added, removed = _beyond(then_has, now_has), _beyond(now_has, then_has)
    papers = Paper.objects.in_bulk([*added, *removed])
    return Difference(
        [_pick(choice, papers[one]) for one, choice in added.items() if one in papers],
        [_pick(choice, papers[one]) for one, choice in removed.items() if one in papers],
        is_cut or also_cut,
        *_told(changed, window.model),
    )


def _told(profile, model):
    """Return what is told of their words, as a Rehearsal and a Difference have it."""
    index = index_store.current()
    known = model.documents_.indices if index is None else None

    def is_known(terms):
        if index is not None:
            return index.has_words(terms)
        return np.isin([word_column(term) for term in terms], known)

    named = authors(profile, index, is_known)
    lacking = unheard(profile, is_known, named)
    called = list(dict.fromkeys(named.values()))
    return wordless(profile), lacking, unobeyed(profile), called, strangers(profile, index)


def wordless(profile: Profile) -> list[str]:
    """Return the names of what has a text without a term: numbers, signs, "of the"."""
    asked = (*profile.follows, *profile.mutes)
    return [one.name for one in asked if one.query.strip() and not queries(one.query)]


def unheard(profile: Profile, is_known: IsKnown, named: Collection[str]) -> list[str]:
    """Return the words of their own lines that no paper says. Mostly they are misspelt, or in
    another language than papers.

    Of what is `named` as an author it is told already that words are not the way to find it.
    """
    parts = [line for text in _own(profile.follows) for line in lines(text) if line not in named]
    words = (unknown_words(is_known, line) for line in parts)
    return list(dict.fromkeys(chain.from_iterable(words)))


def unobeyed(profile: Profile) -> list[str]:
    """Return AND, OR and NOT, where her own lines have them as if they were obeyed.

    Of what she mutes OR alone: there the others mean no other thing than she gets.
    """
    said = [word for text in _own(profile.follows) for word in operators(text)]
    said += [word for text in _own(profile.mutes) for word in operators(text) if word == "OR"]
    return list(dict.fromkeys(said))


def authors(profile: Profile, index: Index | None, is_known: IsKnown) -> dict[str, str]:
    """Return the names for which they ask as words, though an author is called exactly so, by the
    lines that have them.

    One word is a name where no paper says it.
    """
    if index is None:
        return {}
    parts = dict.fromkeys(line for text in _own(profile.follows) for line in lines(text))
    named = {}
    for part in parts:
        # As it is, and without words that say nothing: "recent papers by Emmy Noether".
        rest = [word for word in part.split() if not NO_NAMES.issuperset(name_words(word))]
        for name in (part, " ".join(rest)):
            size = len(name_words(name))
            is_one_word = size == 1 and unknown_words(is_known, name)
            if (is_one_word and index.has_name(name)) or (
                1 < size <= MAX_NAME and by_author(index, name)
            ):
                named.setdefault(part, name)
    return named


def strangers(profile: Profile, index: Index | None) -> list[str]:
    """Return the words of names for which they ask that no author has in theirs.

    Mostly they are misspelt, or a title: "Prof." A name of which each word is somebody's is not
    told.
    """
    if index is None:
        return []
    names = [name for one in profile.follows if asked_for(one.name) for name in one.authors]
    said = dict.fromkeys(word.strip(",.") for name in names for word in name.split())
    may_be = [word for word in said if word.casefold() not in SUFFIXES]
    return [word for word in may_be if not index.has_name(word)]


def _own(interests):
    """Return the lines of her own: the words of the house's topics she can't change."""
    return [one.query for one in interests if one.is_own_words]


def bounded(profile: Profile) -> tuple[Profile, bool]:
    """Return the profile with so much of its words as is looked at, and whether any was left."""
    room = [MOST_CHARACTERS, MOST_QUERIES, MOST_TERMS]

    def fits(interest: Interest):
        room[0] -= len(interest.query) + sum(map(len, interest.authors))
        if min(room) < 0:  # Then it isn't even read.
            return False
        asked = queries(interest.query)
        room[1] -= len(asked) + len(interest.authors)
        room[2] -= sum(len(query.distinct) for query in asked)
        return min(room) >= 0

    mutes = tuple(interest for interest in profile.mutes if fits(interest))
    follows = tuple(interest for interest in profile.follows if fits(interest))
    cut = replace(profile, follows=follows, mutes=mutes)
    return cut, cut != profile


@dataclass(frozen=True)
class _Ranked:
    """One day's choices, and the ids of the papers at the positions that they name."""

    day: date
    ids: Sequence[str]
    considered: int
    choices: list[Choice]

    def named(self, choice):
        """Return the papers of a choice: its own, and those folded into it."""
        return [self.ids[place] for place in (choice.paper, *choice.relatives)]

    @property
    def papers(self):
        return [one for choice in self.choices for one in self.named(choice)]


def _ranked(
    profile, window, now, had, weekdays=schedule.EVERY_DAY, *, is_first=False
) -> list[_Ranked]:
    """Return what is chosen on these days of the week, the earliest first: as a first digest, or as
    one after that of the day before it.
    """
    parameters, shown, ranked = Parameters.of(settings.RANKING), set(had), []
    days = [window.day - timedelta(days=ago) for ago in reversed(range(2 * candidates.BACK + 1))]
    wanted = [day for day in days if schedule.is_wanted(day, weekdays)]
    for previous, day in pairwise(wanted):
        if day < window.day - timedelta(days=candidates.BACK):
            continue
        start = window.begin(day - timedelta(days=settings.NEW_DAYS))
        # Tomorrow's papers are new today, not on the days before: nobody had them yet.
        stop = window.begin(day + timedelta(days=1)) if day < window.day else len(window.papers)
        since = window.since(now - (window.day - previous))
        if is_first and not ranked:
            since = start
        hidden = window.places_of(shown)
        (choices,) = choose(
            *(window.model, window.papers, [profile], [hidden], parameters),
            since=[since],
            among=slice(start, stop),
        )
        count = considered(window, since, hidden, stop)
        choices = choices if has_news(choices) else []
        ranked.append(_Ranked(day, window.papers.ids, count, choices))
        shown.update(ranked[-1].papers)
    return ranked


def _as_digest(ranked, papers) -> Day:
    """Return the day as its digest would be stored. A paper that is gone meanwhile has no place."""
    day = Day(ranked.day, ranked.considered)
    for choice in ranked.choices:
        paper, *relatives = (papers.get(one) for one in ranked.named(choice))
        if paper is None:
            continue
        pick = _pick(choice, paper, len(day.picks) + 1)
        pick.would_fold = [one for one in relatives if one is not None]
        day.picks.append(pick)
    return day


def _pick(choice, paper, position=None) -> Pick:
    """Return a choice as it would be stored."""
    return Pick(
        paper=paper,
        position=position,
        score=choice.score,
        basis=choice.basis,
        topic_name=choice.topic,
        group=choice.group,
        terms=list(choice.terms),
    )


def _beyond(some, others) -> dict[str, Choice]:
    """Return the choices with a place of their own in some days whose papers the others don't tell
    of, by these papers.
    """
    told = {one for day in others for one in day.papers}
    leading = {day.ids[one.paper]: one for day in reversed(some) for one in day.choices}
    return {one: choice for one, choice in leading.items() if one not in told}
