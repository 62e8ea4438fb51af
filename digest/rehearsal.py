"""What someone's digests would have been today and on the last days, for wishes stored nowhere.

Each day is ranked as planning ranks it, with the papers as they are known now and a memory of its
own: what one day had, no later day has again. Second chances aside, they are the very digests.
Nothing is written, and no model is fitted: where there is none, fitting.NotFitted is raised.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, timedelta
from itertools import chain

from django.conf import settings
from django.db.models import Q

from digest import archive, editions
from digest.models import Paper, Pick
from digest.profiles import profiles_of
from digest.ranking.authors import SUFFIXES, asked_for
from digest.ranking.choice import Choice, choose
from digest.ranking.explaining import words_unheard
from digest.ranking.model import ABSENT, TfidfModel
from digest.ranking.profile import Interest, Profile
from digest.ranking.query import operators, queries
from digest.ranking.searching import MAX_NAME, by_author
from digest.ranking.stopwords import FILLERS, STOP_WORDS
from digest.ranking.tokens import name_words
from digest.ranking.tuning import Tuning
from subscriptions import schedule
from subscriptions.models import Subscriber

#: So much of someone's words is looked at. Whoever wants more waits for her letter: pages must
#: answer at once, whatever is written into them.
MOST_CHARACTERS, MOST_QUERIES, MOST_TERMS = 6_000, 100, 600
NO_NAMES = STOP_WORDS | FILLERS


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


def last_issues(now) -> list[editions.Issue]:
    """Return the papers that are new today, and on each of the days before. See issues_until."""
    return editions.issues_until(schedule.local_day(now, UTC), editions.BACK)


def rehearse(profile: Profile, now, known: Collection[str] = ()) -> Rehearsal:
    """Return what the digests would have been for one who had no paper before, but those `known`.

    Asks five queries at most where there is an archive, and eight without.
    """
    profile, is_cut = bounded(profile)
    issues = last_issues(now)
    ranked = _ranked(profile, issues, known)
    papers = Paper.objects.in_bulk({one for day in ranked for one in day.papers})
    days = [_as_digest(day, papers) for day in reversed(ranked)]
    return Rehearsal(days, is_cut, *_told(profile, issues[-1].model))


def compare(
    subscriber: Subscriber, changed: Profile, now, *, weekdays: int | None = None
) -> Difference:
    """Return by which papers of these days her digests would differ, also where they came on other
    `weekdays` (as Subscriber.weekdays) than now.

    What she had before the first of them is hidden on both sides, and not what she had since: that
    was chosen for what she has set now.
    """
    issues = last_issues(now)
    before = Pick.objects.filter(subscriber=subscriber, digest__day__lt=issues[0].day)
    lately = Q(paper__day__gte=issues[0].day - timedelta(days=settings.NEW_DAYS))
    recent = before.filter(lately | Q(paper__in=issues[0].edition.aliases))
    had = set(recent.values_list("paper_id", flat=True))
    (profile,) = profiles_of([subscriber])
    profile, is_cut = bounded(profile)
    changed, also_cut = bounded(changed)
    weekdays = weekdays or subscriber.weekdays
    now_has = _ranked(profile, _on(subscriber.weekdays, issues), had)
    is_same = (changed, weekdays) == (profile, subscriber.weekdays)
    then_has = now_has if is_same else _ranked(changed, _on(weekdays, issues), had)
    added, removed = _beyond(then_has, now_has), _beyond(now_has, then_has)
    papers = Paper.objects.in_bulk([*added, *removed])
    return Difference(
        [_pick(choice, papers[one]) for one, choice in added.items() if one in papers],
        [_pick(choice, papers[one]) for one, choice in removed.items() if one in papers],
        is_cut or also_cut,
        *_told(changed, issues[-1].model),
    )


def _told(profile, model):
    """Return what is told of her words, as a Rehearsal and a Difference have it."""
    named = authors(profile, model)
    lacking = unheard(profile, model, named)
    called = list(dict.fromkeys(named.values()))
    return wordless(profile), lacking, unobeyed(profile), called, strangers(profile)


def wordless(profile: Profile) -> list[str]:
    """Return the names of what has a text without a term: numbers, signs, "of the"."""
    asked = (*profile.follows, *profile.mutes)
    return [one.name for one in asked if one.query.strip() and not queries(one.query)]


def unheard(profile: Profile, model: TfidfModel, named: Collection[str]) -> list[str]:
    """Return the words of her own lines that no paper of the model says. Mostly they are misspelt,
    or in another language than papers.

    Of what is `named` as an author it is told already that words are not the way to find it.
    """
    words = (words_unheard(model.columns, text, named) for text in _own(profile.follows))
    return list(dict.fromkeys(chain.from_iterable(words)))


def unobeyed(profile: Profile) -> list[str]:
    """Return AND, OR and NOT, where her own lines have them as if they were obeyed.

    Of what she mutes OR alone: there the others mean no other thing than she gets.
    """
    said = [word for text in _own(profile.follows) for word in operators(text)]
    said += [word for text in _own(profile.mutes) for word in operators(text) if word == "OR"]
    return list(dict.fromkeys(said))


def authors(profile: Profile, model: TfidfModel) -> dict[str, str]:
    """Return the names for which she asks as words, though an author of the archive is called
    exactly so, by the parts of her lines that have them.

    One word is a name where no paper of the model says it.
    """
    parts = dict.fromkeys(one.part for text in _own(profile.follows) for one in queries(text))
    may_be = {part: names for part in parts if (names := _names_in(part, model))}
    papers = archive.current() if may_be else None
    if papers is None:
        return {}
    return {
        part: called[0]
        for part, names in may_be.items()
        if (called := [name for name in names if _is_author(papers, name)])
    }


def _names_in(part, model):
    """Return the names that a part of a line may be: as it is, and without words that say nothing,
    as "recent papers by Emmy Noether".
    """
    name = " ".join(word for word in part.split() if not NO_NAMES.issuperset(name_words(word)))
    sizes = {said: len(name_words(said)) for said in (part, name)}
    return [
        said
        for said, size in sizes.items()
        if 1 < size <= MAX_NAME or (size == 1 and words_unheard(model.columns, said))
    ]


def _is_author(papers, name):
    words = name_words(name)
    if len(words) == 1:
        return bool((papers.columns_of_names(words) != ABSENT).all())
    return len(by_author(papers, name)[0]) > 0


def strangers(profile: Profile) -> list[str]:
    """Return the words of names for which she asks that no author of the archive has in hers.

    Mostly they are misspelt, or a title: "Prof." A name of which each word is somebody's is not
    told.
    """
    names = [name for one in profile.follows if asked_for(one.name) for name in one.authors]
    said = dict.fromkeys(word.strip(",.") for name in names for word in name.split())
    may_be = [word for word in said if word.casefold() not in SUFFIXES]
    papers = archive.current() if may_be else None
    if papers is None:
        return []
    return [one for one in may_be if (papers.columns_of_names(name_words(one)) == ABSENT).any()]


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

    issue: editions.Issue
    considered: int
    choices: list[Choice]

    def named(self, choice):
        """Return the papers of a choice: its own, and those folded into it."""
        return [self.issue.ids[place] for place in (choice.paper, *choice.relatives)]

    @property
    def papers(self):
        return [one for choice in self.choices for one in self.named(choice)]


def _on(weekdays, issues):
    """Return the issues of these days of the week."""
    return [issue for issue in issues if schedule.is_wanted(issue.day, weekdays)]


def _ranked(profile, issues, had=()) -> list[_Ranked]:
    """Return what is chosen, the earliest day first."""
    tuning, shown, ranked = Tuning.of(settings.RANKING), set(had), []
    for issue in issues:
        hidden = issue.places_of(shown)
        (choices,) = choose(issue.model, issue.edition, [profile], [hidden], tuning)
        ranked.append(_Ranked(issue, len(issue.ids) - len(hidden), choices))
        shown.update(ranked[-1].papers)
    return ranked


def _as_digest(ranked, papers) -> Day:
    """Return the day as its digest would be stored. A paper that is gone meanwhile has no place."""
    day = Day(ranked.issue.day, ranked.considered)
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
        terms=list(choice.terms),
    )


def _beyond(some, others) -> dict[str, Choice]:
    """Return the choices with a place of their own in some days whose papers the others don't tell
    of, by these papers.
    """
    told = {one for day in others for one in day.papers}
    leading = {
        day.issue.ids[choice.paper]: choice for day in reversed(some) for choice in day.choices
    }
    return {one: choice for one, choice in leading.items() if one not in told}
