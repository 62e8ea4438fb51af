"""Preview digests for a profile that need not be stored: the first one, and those of past days.

The first digest is ranked as for somebody who confirms now. Each past day is ranked as
`digest.planning.plan` ranks it, as if each paper had come in on its date. A paper of one day is
hidden on later days. Apart from second chances and late papers, these are the digests that would
have been sent. Nothing is stored and no model is fitted: without one, model_store.NotFitted is
raised.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, date, timedelta
from itertools import pairwise

from django.conf import settings
from django.db.models import Q

from digest.indexing import candidate_windows, model_store
from digest.indexing.candidate_windows import PREVIEW_DAYS, Window
from digest.models import Paper, Pick
from digest.personalization.profiles import profiles_of
from digest.planning import selection
from digest.planning.selection import chosen_ids, count_new, has_new, in_sections, unsaved_pick
from digest.ranking.parameters import Parameters
from digest.ranking.profile import Interest, Profile
from digest.ranking.query import queries_of
from digest.ranking.ranking import Choice, choose
from digest.ranking.retrieval import retrieve
from subscriptions import schedule
from subscriptions.models import Subscriber

#: A page must answer at once, whatever is written into it. Emails use all words.
MAX_CHARACTERS, MAX_QUERIES, MAX_TERMS = 20_000, 100, 1_500
#: How far below the cut near misses may be, in log-odds, if nothing else is shown.
NEAR_ODDS = 2.5


@dataclass
class PreviewDay:
    """The digest of one day.

    Attributes:
        considered: how many papers were new to the subscriber.
        choices: of the ranking.
        picks: with their papers, as they would be stored, in the order of the digest.
    """

    day: date
    considered: int
    choices: list[Choice] = field(default_factory=list)
    picks: list[Pick] = field(default_factory=list)


@dataclass(frozen=True)
class PreviewResult:
    """What somebody new would get.

    Attributes:
        first_digest: their first digest.
        past_digests: of a subscriber on the days until yesterday, the latest first.
        near_misses: near misses, if no digest has papers.
        is_cut: whether some interests were left out, see MAX_CHARACTERS.
        window: the papers of the days.
    """

    first_digest: PreviewDay
    past_digests: list[PreviewDay]
    near_misses: list[Pick]
    is_cut: bool
    window: Window


@dataclass(frozen=True)
class PreviewDiff:
    """The papers that a change would add to the digests, and those that it would remove.

    Each paper once, those of the latest day first. `is_cut` as in PreviewResult.
    """

    added: list[Pick]
    removed: list[Pick]
    is_cut: bool


def windows(now) -> tuple[Window, Window]:
    """Return the window of a first digest, and one that has at least the last week."""
    model, day = model_store.in_use(), schedule.local_day(now, UTC)
    first_window, days = candidate_windows.announced(model, day), PREVIEW_DAYS - settings.NEW_DAYS
    return first_window, candidate_windows.announced(model, day, days) if days > 0 else first_window


def first_digest(
    profile: Profile, now, excluded: Set[str] = frozenset(), window: Window | None = None
) -> PreviewDay:
    """Return the first digest of somebody who confirms now and has had the excluded papers.

    Without their picks: see add_picks.
    """
    window = window or windows(now)[0]
    choices, count = selection.first_digest(profile, window, excluded)
    return PreviewDay(window.day, count, choices)


def preview_digests(profile: Profile, now) -> PreviewResult:
    """Return the first digest of a profile, and those of the days before.

    Runs at most six queries with a search index.
    """
    profile, is_cut = limit_profile(profile)
    first_window, window = windows(now)
    first_preview = first_digest(profile, now, window=first_window)
    start_day = window.day - timedelta(days=PREVIEW_DAYS)
    days = [start_day + timedelta(days=offset) for offset in range(-1, PREVIEW_DAYS)]
    # Papers before the first day would have been sent earlier.
    start = window.first_on(start_day)
    past_days = _rank_days(profile, window, now, pairwise(days), (), start)[::-1]
    near_day = PreviewDay(window.day, 0)
    if not any(day.choices for day in (first_preview, *past_days)):
        profile = replace(profile, wants_near=True)
        parameters = replace(Parameters.of(settings.RANKING), near_margin=NEAR_ODDS)
        (near_day.choices,) = choose(window.model, window.papers, [profile], [()], parameters)
    preview_days = first_preview, *past_days, near_day
    selection.name_likes([(day.choices, profile, ()) for day in preview_days], window)
    add_picks(*preview_days)
    return PreviewResult(first_preview, past_days, near_day.picks, is_cut, window)


def add_picks(*days: PreviewDay) -> None:
    """Read the papers of days, and set their picks. Runs one query."""
    papers = Paper.objects.in_bulk(chosen_ids(choice for day in days for choice in day.choices))
    for day in days:
        choices = [choice for choice in day.choices if choice.paper in papers]  # Not deleted since.
        day.picks = [unsaved_pick(choice, papers, n) for n, choice in enumerate(choices, start=1)]


def match_counts(
    interests: Sequence[Interest], now, window: Window | None = None
) -> dict[Interest, int]:
    """Return how many papers of the last PREVIEW_DAYS match each interest.

    Interests beyond those that pages rank are left out.
    """
    window, parameters = window or windows(now)[1], Parameters.of(settings.RANKING)
    follows = limit_profile(Profile(tuple(dict.fromkeys(interests))))[0].follows
    retrieved = retrieve(window.model, window.papers, follows, parameters)
    is_recent = window.papers.ages < PREVIEW_DAYS
    counts = [int(is_recent[matches.papers[matches.margins >= 0]].sum()) for matches in retrieved]
    return dict(zip(follows, counts, strict=True))


def compare(
    subscriber: Subscriber, changed_profile: Profile, now, *, weekdays: int | None = None
) -> PreviewDiff:
    """Return what a changed profile, or other `weekdays`, would change in a subscriber's digests.

    Papers that the subscriber had before the first day are hidden on both sides. Those they had
    since are not, because they were picked for the current settings.
    """
    window = candidate_windows.for_pages(schedule.local_day(now, UTC))
    first_day = window.day - timedelta(days=PREVIEW_DAYS)
    picks = Pick.objects.filter(subscriber=subscriber, digest__day__lt=first_day)
    is_recent = Q(paper__day__gte=first_day - timedelta(days=settings.NEW_DAYS))
    picks = picks.filter(is_recent | Q(paper__in=window.papers.aliases))
    sent_ids = set(picks.values_list("paper_id", flat=True))
    (profile,) = profiles_of([subscriber])
    profile, is_cut = limit_profile(profile)
    changed_profile, is_changed_cut = limit_profile(changed_profile)
    weekdays = weekdays or subscriber.weekdays
    days = [first_day + timedelta(days=offset) for offset in range(-PREVIEW_DAYS, PREVIEW_DAYS + 1)]

    def ranked_days(profile, weekdays):
        digest_days = [day for day in days if schedule.is_digest_day(day, weekdays)]
        pairs = [(previous, day) for previous, day in pairwise(digest_days) if day >= first_day]
        return _rank_days(profile, window, now, pairs, sent_ids)

    current_days = ranked_days(profile, subscriber.weekdays)
    is_unchanged = (changed_profile, weekdays) == (profile, subscriber.weekdays)
    changed_days = current_days if is_unchanged else ranked_days(changed_profile, weekdays)
    added, removed = _only_in(changed_days, current_days), _only_in(current_days, changed_days)
    papers = Paper.objects.in_bulk([*added, *removed])
    return PreviewDiff(
        [unsaved_pick(choice, papers) for pk, choice in added.items() if pk in papers],
        [unsaved_pick(choice, papers) for pk, choice in removed.items() if pk in papers],
        is_cut or is_changed_cut,
    )


def limit_profile(profile: Profile) -> tuple[Profile, bool]:
    """Return the profile with as many lines as pages rank, and whether any was left out."""
    characters, queries, terms = MAX_CHARACTERS, MAX_QUERIES, MAX_TERMS

    def fits(interest: Interest):
        nonlocal characters, queries, terms
        length = len(interest.query) + sum(map(len, interest.authors))
        if length > characters:  # Then it isn't even parsed.
            return False
        parsed = queries_of(interest.lines)
        query_count = len(parsed) + len(interest.authors)
        term_count = sum(len(query.distinct) for query in parsed)
        characters -= length
        if query_count > queries or term_count > terms:
            return False
        queries, terms = queries - query_count, terms - term_count
        return True

    mutes = tuple(interest for interest in profile.mutes if fits(interest))
    follows = tuple(interest for interest in profile.follows if fits(interest))
    bounded_profile = replace(profile, follows=follows, mutes=mutes)
    return bounded_profile, bounded_profile != profile


def _rank_days(profile, window, now, days, sent_ids, min_start=0) -> list[PreviewDay]:
    """Rank days, each with the digest day before it, the earliest first.

    Papers before the position `min_start` are left out.
    """
    parameters, sent_ids, ranked_days = Parameters.of(settings.RANKING), set(sent_ids), []
    for previous, day in days:
        start = max(window.first_on(day - timedelta(days=settings.NEW_DAYS)), min_start)
        # Tomorrow's papers are new today, but not on the days before: nobody had them yet.
        end = window.first_on(day + timedelta(days=1)) if day < window.day else len(window.papers)
        new_start = max(window.first_after(now - (window.day - previous)), min_start)
        (choices,) = choose(
            *(window.model, window.papers, [profile], [sent_ids], parameters),
            first_new=[new_start],
            positions=slice(start, end),
        )
        count = count_new(window, new_start, sent_ids, end)
        choices = in_sections(choices) if has_new(choices) else []
        ranked_days.append(PreviewDay(day, count, choices))
        sent_ids.update(chosen_ids(choices))
    return ranked_days


def _only_in(days, other_days) -> dict[str, Choice]:
    """Return the choices, by paper id, whose papers are not in the other days."""
    other_ids = {paper_id for day in other_days for paper_id in chosen_ids(day.choices)}
    choices = {choice.paper: choice for day in reversed(days) for choice in day.choices}
    return {paper_id: choice for paper_id, choice in choices.items() if paper_id not in other_ids}
