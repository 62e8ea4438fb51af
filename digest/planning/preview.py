"""Preview digests of today and of the last days for a profile that need not be stored.

Each day is ranked as `digest.planning.plan` ranks it, as if each paper had come in on its date. A
paper of one day is hidden on later days. Apart from second chances and late papers, these are the
digests that would have been sent. Nothing is stored and no model is fitted: without one,
model_store.NotFitted is raised.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, timedelta
from itertools import pairwise

from django.conf import settings
from django.db.models import Q

from digest import wording
from digest.indexing import candidates, index_store
from digest.indexing.candidates import Window
from digest.indexing.index import Index, name_words
from digest.indexing.search import by_author
from digest.models import Paper, Pick
from digest.personalization.profiles import profiles_of, to_interest
from digest.planning.selection import chosen_ids, considered, has_news, in_sections, unsaved_pick
from digest.ranking.authors import SUFFIXES, queried_authors
from digest.ranking.parameters import Parameters
from digest.ranking.profile import NAME, Interest, Profile
from digest.ranking.query import lines, queries
from digest.ranking.reasons import unknown_words
from digest.ranking.retrieval import find
from digest.ranking.selection import Choice, choose
from digest.ranking.stopwords import FILLERS, STOP_WORDS
from subscriptions import schedule
from subscriptions.models import Subscriber, Topic

#: A page must answer at once, whatever is written into it. Emails use all words.
MAX_CHARACTERS, MAX_QUERIES, MAX_TERMS = 6_000, 100, 600
MAX_NAME_WORDS = 6
NO_NAMES = STOP_WORDS | FILLERS


@dataclass
class Day:
    """The digest of one day.

    Attributes:
        considered: how many papers were new to the subscriber.
        choices: of the ranking.
        picks: with their papers, as they would be stored, in the order of the digest.
    """

    day: date
    considered: int
    choices: list[Choice[str]] = field(default_factory=list)
    picks: list[Pick] = field(default_factory=list)


@dataclass(frozen=True)
class QueryNotes:
    """How the lines of a profile are read, where the subscriber may not expect it.

    Attributes:
        is_cut: some lines were left out, see MAX_CHARACTERS.
        without_terms: lines and topics that contain no term.
        unknown_words: words that no paper contains.
        ignored_operators: AND, OR and NOT.
        author_matches: words that are the name of an author.
        unknown_authors: words of author names that no author has.
    """

    is_cut: bool = False
    without_terms: Sequence[str] = ()
    unknown_words: Sequence[str] = ()
    ignored_operators: Sequence[str] = ()
    author_matches: Sequence[str] = ()
    unknown_authors: Sequence[str] = ()

    def context(self) -> dict:
        """Return the notes as digest/_no_terms_notice.html shows them."""
        joined = ("without_terms", "unknown_words", "author_matches", "unknown_authors")
        return asdict(self) | {name: wording.names(getattr(self, name)) for name in joined}


@dataclass(frozen=True)
class PreviewResult:
    """The digests of the days, the latest first."""

    days: list[Day]
    notes: QueryNotes


@dataclass(frozen=True)
class PreviewDiff:
    """The papers that a change would add to the digests, and those that it would remove.

    Each paper once, those of the latest day first.
    """

    added: list[Pick]
    removed: list[Pick]
    notes: QueryNotes


def last_window(now) -> Window:
    """Return the papers that are new today, or were on one of the days before."""
    return candidates.for_pages(schedule.local_day(now, UTC))


def preview_digests(profile: Profile, now, known: Collection[str] = ()) -> PreviewResult:
    """Return the digests of a profile that has had only the papers with `known` ids.

    Runs at most five queries with a search index, and eight without.
    """
    profile, is_cut = bounded(profile)
    window = last_window(now)
    days = _ranked(profile, window, now, known, is_first=True)[::-1]
    papers = Paper.objects.in_bulk(chosen_ids(choice for day in days for choice in day.choices))
    for day in days:
        there = [choice for choice in day.choices if choice.paper in papers]  # Not deleted since.
        day.picks = [unsaved_pick(choice, papers, n) for n, choice in enumerate(there, start=1)]
    return PreviewResult(days, notes_on(profile, is_cut=is_cut))


def match_counts(keywords: Sequence[str], now) -> dict[str, int]:
    """Return how many papers of the last PREVIEW_DAYS match each keyword.

    Keywords beyond those that pages rank are left out.
    """
    window, parameters = last_window(now), Parameters.of(settings.RANKING)
    interests = [to_interest(Topic(name=text[:NAME], query=text)) for text in keywords]
    follows = bounded(Profile(tuple(interests)))[0].follows
    found = find(window.model, window.papers, follows, parameters)
    is_recent = window.papers.ages < candidates.PREVIEW_DAYS
    counts = [int(is_recent[one.papers[one.margins >= 0]].sum()) for one in found]
    number = dict(zip(follows, counts, strict=True))
    pairs = zip(keywords, interests, strict=True)
    return {text: number[interest] for text, interest in pairs if interest in number}


def compare(
    subscriber: Subscriber, changed: Profile, now, *, weekdays: int | None = None
) -> PreviewDiff:
    """Return what a changed profile, or other `weekdays`, would change in a subscriber's digests.

    Papers that the subscriber had before the first day are hidden on both sides. Those they had
    since are not, because they were picked for the current settings.
    """
    window = last_window(now)
    first = window.day - timedelta(days=candidates.PREVIEW_DAYS)
    before = Pick.objects.filter(subscriber=subscriber, digest__day__lt=first)
    lately = Q(paper__day__gte=first - timedelta(days=settings.NEW_DAYS))
    recent = before.filter(lately | Q(paper__in=window.papers.aliases))
    had = set(recent.values_list("paper_id", flat=True))
    (profile,) = profiles_of([subscriber])
    profile, is_cut = bounded(profile)
    changed, also_cut = bounded(changed)
    weekdays = weekdays or subscriber.weekdays
    today = _ranked(profile, window, now, had, subscriber.weekdays)
    is_same = (changed, weekdays) == (profile, subscriber.weekdays)
    after = today if is_same else _ranked(changed, window, now, had, weekdays)
    added, removed = _only_in(after, today), _only_in(today, after)
    papers = Paper.objects.in_bulk([*added, *removed])
    return PreviewDiff(
        [unsaved_pick(choice, papers) for pk, choice in added.items() if pk in papers],
        [unsaved_pick(choice, papers) for pk, choice in removed.items() if pk in papers],
        notes_on(changed, is_cut=is_cut or also_cut),
    )


def notes_on(profile: Profile, *, is_cut: bool) -> QueryNotes:
    """Return how the lines of this profile are read. What papers contain, the index knows."""
    index = index_store.current()
    # A topic that the operator made can't be changed by subscribers.
    follows = [interest.query for interest in profile.follows if interest.is_own_words]
    mutes = [interest.query for interest in profile.mutes if interest.is_own_words]
    own_lines = [line for text in follows for line in lines(text)]
    author_lines, words, unknown_authors = {}, [], []
    if index is not None:
        author_lines = _author_lines(own_lines, index)
        other_lines = [line for line in own_lines if line not in author_lines]
        words = [word for line in other_lines for word in unknown_words(index.has_words, line)]
        unknown_authors = _unknown_authors(profile, index)
    interests = (*profile.follows, *profile.mutes)
    # In a muted line, AND and NOT mean what is done anyway.
    operators = [word for text in follows for word in wording.operators(text)]
    operators += [word for text in mutes for word in wording.operators(text) if word == "OR"]
    asked = [interest for interest in interests if interest.query.strip()]
    return QueryNotes(
        is_cut=is_cut,
        without_terms=[interest.name for interest in asked if not queries(interest.query)],
        unknown_words=list(dict.fromkeys(words)),
        ignored_operators=list(dict.fromkeys(operators)),
        author_matches=list(dict.fromkeys(author_lines.values())),
        unknown_authors=unknown_authors,
    )


def _author_lines(own_lines: Sequence[str], index: Index):
    """Return the lines that are the name of an author, though they are read as words.

    Returns a dict: line -> name. A single word is a name if no paper contains it.
    """
    names = {}
    for line in dict.fromkeys(own_lines):
        # As it is, and without words such as those of "recent papers by Emmy Noether".
        rest = [word for word in line.split() if not NO_NAMES.issuperset(name_words(word))]
        for name in (line, " ".join(rest)):
            size = len(name_words(name))
            is_one_word = size == 1 and unknown_words(index.has_words, name)
            is_short = 1 < size <= MAX_NAME_WORDS
            if (is_one_word and index.has_name(name)) or (is_short and by_author(index, name)):
                names.setdefault(line, name)
    return names


def _unknown_authors(profile: Profile, index: Index) -> list[str]:
    """Return the words of followed author names that no author has: mostly misspelt, or titles."""
    own = [interest for interest in profile.follows if queried_authors(interest.name)]
    names = [name for interest in own for name in interest.authors]
    words = dict.fromkeys(word.strip(",.") for name in names for word in name.split())
    return [word for word in words if word.casefold() not in SUFFIXES and not index.has_name(word)]


def bounded(profile: Profile) -> tuple[Profile, bool]:
    """Return the profile with as many lines as pages rank, and whether any was left out."""
    room = [MAX_CHARACTERS, MAX_QUERIES, MAX_TERMS]

    def fits(interest: Interest):
        room[0] -= len(interest.query) + sum(map(len, interest.authors))
        if min(room) < 0:  # Then it isn't even parsed.
            return False
        parsed = queries(interest.query)
        room[1] -= len(parsed) + len(interest.authors)
        room[2] -= sum(len(query.distinct) for query in parsed)
        return min(room) >= 0

    mutes = tuple(interest for interest in profile.mutes if fits(interest))
    follows = tuple(interest for interest in profile.follows if fits(interest))
    cut = replace(profile, follows=follows, mutes=mutes)
    return cut, cut != profile


def _ranked(profile, window, now, had, weekdays=schedule.EVERY_DAY, *, is_first=False) -> list[Day]:
    """Rank the days of the week that are set, the earliest first.

    The first is ranked as a first digest, or as one that follows that of the day before.
    """
    parameters, shown, ranked = Parameters.of(settings.RANKING), set(had), []
    begin = window.day - timedelta(days=candidates.PREVIEW_DAYS)
    span = range(-candidates.PREVIEW_DAYS, candidates.PREVIEW_DAYS + 1)
    days = [begin + timedelta(days=offset) for offset in span]
    digest_days = [day for day in days if schedule.is_digest_day(day, weekdays)]
    for previous, day in pairwise(digest_days):
        if day < begin:
            continue
        start = window.begin(day - timedelta(days=settings.NEW_DAYS))
        # Tomorrow's papers are new today, but not on the days before: nobody had them yet.
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
        choices = in_sections([*map(window.with_ids, choices)]) if has_news(choices) else []
        ranked.append(Day(day, count, choices))
        shown.update(chosen_ids(choices))
    return ranked


def _only_in(days, other_days) -> dict[str, Choice[str]]:
    """Return the choices, by paper id, whose papers are not in the other days."""
    there = {paper_id for day in other_days for paper_id in chosen_ids(day.choices)}
    choices = {choice.paper: choice for day in reversed(days) for choice in day.choices}
    return {paper_id: choice for paper_id, choice in choices.items() if paper_id not in there}
