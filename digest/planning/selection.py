"""Select the papers of digests: ranked for each subscriber, without papers they know already."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from datetime import date, timedelta
from itertools import islice

import numpy as np
from django.conf import settings
from django.db.models import Exists, Max, OuterRef, StringAgg, Subquery, Value
from scipy import sparse

from digest import wording
from digest.indexing.candidate_windows import Window, counts_of, second_chances
from digest.models import Digest, Feedback, LibraryPaper, Paper, Pick
from digest.models.bulk_insert import among
from digest.personalization.profiles import profiles_of
from digest.planning.due import DueSubscriber
from digest.planning.sharing import add_groups, add_shared_papers, merge
from digest.ranking.model import counted, stems_of
from digest.ranking.parameters import Parameters
from digest.ranking.profile import Profile
from digest.ranking.query import MAX_NAME
from digest.ranking.ranking import GROUPS, Choice, choose
from subscriptions.delivery import circuit_breaker
from subscriptions.models import Letter, Subscriber

SECOND_CHANCE_DAYS = 7  # Between two second chances, at least.
#: How long a digest's local day may be before the day (UTC) on which its papers came in.
MAX_DAY_OFFSET = timedelta(days=3)
#: So long after a restored backup, its lost days are looked for: no paper comes later.
MAX_RESTORED_AGE = timedelta(days=90)
SPACE = Value(" ")  # Separates ids, which contain none.
#: The columns of a pick that say which paper it is, and why.
PICK_FIELDS = (
    "paper_id",
    "position",
    "score",
    "basis",
    "topic_name",
    "group",
    "terms",
    "like_title",
)
MAX_LIKED = 30  # The latest liked papers, which reasons may name.
#: From this similarity on, a reason names a chosen paper beside the topic. Of 1,500 papers and the
#: 4,000 later ones of an arXiv list, one in 1,000 pairs of a primary category is so similar; such
#: pairs share an author 48 times as often as all pairs. Below it, titles are of other subjects.
LIKE_SIMILARITY = 0.5
LIKE_COSINE = 0.4  # In the latent space.
PAIR_BATCH = 20_000  # Pairs of papers that are compared at a time.


def pick_values(choice: Choice, position: int | None, folded_id: str = "") -> tuple:
    """Return the values of PICK_FIELDS, for the choice's paper or one that is folded into it."""
    terms, like = ([], "") if folded_id else (choice.terms, choice.like)
    reason = choice.score, choice.basis, choice.topic, choice.group, terms, like
    return folded_id or choice.paper, position, *reason


def unsaved_pick(
    choice: Choice, papers: Mapping[str, Paper], position: int | None = None, **fields
) -> Pick:
    """Return the pick that would be stored, with its papers. `papers`: by id."""
    pick = Pick(**dict(zip(PICK_FIELDS, pick_values(choice, position), strict=True)), **fields)
    pick.paper = papers[choice.paper]
    pick.unsaved_folded = [papers[paper_id] for paper_id in choice.relatives if paper_id in papers]
    return pick


def chosen_ids(choices: Iterable[Choice]) -> list[str]:
    """Return the ids of the chosen papers and of those that are folded into them."""
    return [paper_id for choice in choices for paper_id in (choice.paper, *choice.relatives)]


def rank(dues: Sequence[DueSubscriber], window: Window, *, recent_only: bool = False) -> None:
    """Set each subscriber's papers and how many papers were new to them.

    With `recent_only`, only digests since the window began are read, so that the cost doesn't grow
    with the subscribers' histories. A paper that was sent before and came in again, as after a
    restored backup, is then chosen again: the constraint `no_paper_twice` refuses it.
    """
    second_window = second_chances(window)
    load_profiles(dues, window, second_window.papers.ids, recent_only=recent_only)
    dues_by_day = defaultdict(list)
    for due in dues:
        dues_by_day[due.sent_until].append(due)
    for sent_until, batch in dues_by_day.items():
        _rank(batch, window.after(sent_until), second_window.after(sent_until))
    individuals = [due for due in dues if due.member_profiles is None]
    liked = _liked_papers(due.subscriber.pk for due in individuals if due.papers)
    rankings = [(due.papers, due.profile, liked[due.subscriber.pk]) for due in individuals]
    name_likes(rankings, window)
    add_shared_papers(dues, window)


def load_profiles(
    dues: Sequence[DueSubscriber],
    window: Window,
    second_chance_ids: Sequence[str] = (),
    *,
    recent_only: bool = False,
) -> None:
    """Set the profiles, groups and excluded papers of subscribers, by a few queries for all.

    `second_chance_ids`: papers before the window that must not come again either.
    """
    profiles = profiles_of([due.subscriber for due in dues])
    for due, profile in zip(dues, profiles, strict=True):
        due.profile = profile
    add_groups(dues)
    window_start = date.fromordinal(window.papers.first_day)
    first_day = window_start - MAX_DAY_OFFSET if recent_only else date.min
    _exclude(dues, window, [*window.papers.aliases, *second_chance_ids], first_day)


def _exclude(dues, window, other_ids, first_day) -> None:
    """Exclude the papers of digests since a day and of libraries, and `other_ids` of any digest.

    `other_ids`: ids outside of the window that count as papers of the window or of second chances.
    """
    picks = _picks_since(dues, first_day)
    is_theirs = among("subscriber", (due.subscriber.pk for due in dues))
    library = LibraryPaper.objects.filter(is_theirs)
    # With EXISTS: with a join or a list, SQLite would search every paper for every subscriber after
    # an ANALYZE.
    in_window = library.filter(Exists(window.rows.filter(pk=OuterRef("identity"))))
    rows = _paper_pairs(in_window, "identity").union(
        _paper_pairs(library.filter(identity__in=other_ids), "identity"),
        _paper_pairs(Pick.objects.filter(is_theirs, paper__in=other_ids), "paper_id"),
        all=True,
    )
    excluded = defaultdict(set, {pk: {*papers} for pk, papers in picks.items()})
    for pk, paper_id in rows.order_by():  # A union can't have the model's order.
        excluded[pk].add(paper_id)
    sent_until = _sent_until(is_theirs, window.day)
    for due in dues:
        due.excluded = excluded[due.subscriber.pk]
        due.sent_until = sent_until.get(due.subscriber.pk)


def _sent_until(is_theirs, day) -> dict[int, date]:
    """Return the last day that was counted as sent after a restored backup, by subscriber id."""
    skipped_until = circuit_breaker.current().skipped_until
    if skipped_until is None or skipped_until < day - MAX_RESTORED_AGE:
        return {}
    digests = Digest.objects.filter(is_theirs, day__gte=day - MAX_RESTORED_AGE)
    digests = digests.filter(letter__reason=Letter.COUNTED_AS_SENT).order_by()
    return dict(digests.values_list("subscriber_id").annotate(Max("day")))


def _paper_pairs(rows, paper_field):
    return rows.order_by().values_list("subscriber_id", paper_field)


def _picks_since(dues, day, **filters):
    """Return the ids of the papers of digests since a day, by subscriber id.

    The cost does not depend on the length of a history: a subquery runs for each subscriber, by
    indexes. With a join, PostgreSQL may read all picks.
    """
    picks = Pick.objects.filter(digest__subscriber=OuterRef("pk"), digest__day__gte=day, **filters)
    ids = picks.order_by().values("digest__subscriber").annotate(ids=StringAgg("paper", SPACE))
    rows = Subscriber.objects.filter(among("pk", (due.subscriber.pk for due in dues)))
    rows = rows.values_list("pk", Subquery(ids.values("ids")))
    return {pk: paper_ids.split() for pk, paper_ids in rows if paper_ids}


def _rank(dues, window, second_window) -> None:
    """Set the papers of subscribers from these windows."""
    ages, places = window.papers.ages, window.papers.places
    second_choices = _second_chances(dues, window, second_window)
    for due, choices in zip(dues, _choose(dues, window), strict=True):
        choices = [
            choice
            for choice in choices
            # An older paper was imported from an archive since, so nobody missed it.
            if choice.group != "missed" or ages[places[choice.paper]] <= settings.NEW_DAYS
        ]
        due.papers = _with_second_chances(choices, second_choices.get(due, []), due.profile.size)
        due.considered = count_new(window, window.first_after(due.new_after), due.excluded)


def _choose(dues, window) -> list[list[Choice]]:
    """Return each subscriber's papers of the window, best first.

    The papers of a group's digest are ranked with the profiles of the members.
    """
    rankings = [
        (profile, due.excluded, window.first_after(due.new_after))
        for due in dues
        for profile in ([due.profile] if due.member_profiles is None else due.member_profiles)
    ]
    if not rankings:
        return [[] for _ in dues]
    profiles, excluded, starts = map(list, zip(*rankings, strict=True))
    parameters = Parameters.of(settings.RANKING)
    arguments = window.model, window.papers, profiles, excluded, parameters
    ranked = iter(choose(*arguments, first_new=starts))
    return [
        next(ranked)
        if due.member_profiles is None
        else merge(islice(ranked, len(due.member_profiles)), window.papers, due.subscriber.size)
        for due in dues
    ]


def count_new(window: Window, start: int, excluded: Iterable[str], stop: int | None = None) -> int:
    """Return how many papers between two positions are neither excluded nor withdrawn."""
    start, stop, _ = slice(start, stop).indices(len(window.papers))
    is_withdrawn, places = window.papers.is_withdrawn, window.papers.places_of(excluded)
    excluded_count = sum(start <= place < stop and not is_withdrawn[place] for place in places)
    return stop - start - int(is_withdrawn[start:stop].sum()) - excluded_count


def has_new(choices: Iterable[Choice]) -> bool:
    """Return whether any of these papers is new. Without a new one, no digest is sent.

    Near misses and papers that were passed over only accompany new ones, and may come another day.
    """
    return any(choice.group == GROUPS[0] for choice in choices)


def _with_second_chances(choices, second_choices, size: int) -> list[Choice]:
    """Return the papers of a digest in its order, with a second chance in the missed group."""
    if len(choices) == size:
        shortened = choices[: size - len(second_choices)]
        choices = shortened if has_new(shortened) else choices
    if not has_new(choices):
        return []
    return in_sections([*choices, *second_choices[: size - len(choices)]])


def in_sections(choices: Sequence[Choice]) -> list[Choice]:
    """Return ranked choices in the order of a digest: by section, that of the best choice first."""
    sections = [wording.section_of(choice.basis, choice.topic, choice.group) for choice in choices]
    first_places: dict[tuple[str, str], int] = {}
    for index, section in enumerate(sections):
        first_places.setdefault(section, index)
    places = sorted(
        range(len(choices)),
        key=lambda index: (GROUPS.index(choices[index].group), first_places[sections[index]]),
    )
    return [choices[index] for index in places]


# ---- Second chances


def _second_chances(dues, window, second_window) -> dict[DueSubscriber, list[Choice]]:
    """Return, for each subscriber, the paper with a second chance, or none.

    A paper that they never had and would be chosen for them now. At most one in SECOND_CHANCE_DAYS,
    and none for groups.
    """
    if not second_window.papers.ids:
        return {}
    first_day = window.day - timedelta(days=SECOND_CHANCE_DAYS - 1)
    recent_picks = _picks_since(dues, first_day, basis=Pick.Basis.SECOND)
    individuals = [due for due in dues if due.member_profiles is None]
    eligible = [due for due in individuals if due.subscriber.pk not in recent_picks]
    profiles, excluded = [due.profile for due in eligible], [due.excluded for due in eligible]
    choices = _choose_again(profiles, excluded, window, second_window)
    return dict(zip(eligible, choices, strict=True))


def _choose_again(profiles, excluded, window, second_window) -> list[list[Choice]]:
    """Return, for each profile, the paper with a second chance, or none."""
    model, papers = second_window.model, second_window.papers
    new_ids = {papers.ids[place] for place in papers.places_of(window.papers.ids)}
    excluded = [ids | new_ids for ids in excluded]
    profiles = [replace(profile, size=1, wants_near=False) for profile in profiles]
    ranked = choose(model, papers, profiles, excluded, Parameters.of(settings.RANKING))
    fields = {"group": "missed", "basis": Pick.Basis.SECOND.value}
    return [[replace(choice, **fields) for choice in choices] for choices in ranked]


def first_digest(
    profile: Profile, window: Window, excluded: Set[str] = frozenset()
) -> tuple[list[Choice], int]:
    """Return what `rank` sets for somebody new with this profile."""
    parameters = Parameters.of(settings.RANKING)
    (choices,) = choose(window.model, window.papers, [profile], [excluded], parameters)
    second_window, second_choices = second_chances(window), []
    if second_window.papers.ids:
        (second_choices,) = _choose_again([profile], [excluded], window, second_window)
    choices = _with_second_chances(choices, second_choices, profile.size)
    return choices, count_new(window, 0, excluded)


# ---- Reasons


def _liked_papers(subscriber_ids) -> dict[int, list[tuple[str, str]]]:
    """Return the ids and titles of the latest saved or liked papers, by subscriber id."""
    liked = defaultdict(list)
    feedback = Feedback.objects.filter(among("subscriber", subscriber_ids))
    feedback = feedback.exclude(value=Feedback.Value.LESS).order_by("-at", "-pk")
    for pk, paper, title in feedback.values_list("subscriber_id", "paper_id", "paper__title"):
        if len(liked[pk]) < MAX_LIKED:
            liked[pk].append((paper, title))
    return liked


def name_likes(
    rankings: Sequence[tuple[list[Choice], Profile, Sequence[tuple[str, str]]]], window: Window
) -> None:
    """Name the most similar paper that the subscriber chose: for a paper that the preference model
    chose, a saved or liked one as its topic; for others any that is similar enough.

    `rankings`: of each subscriber, the choices, the profile, and the saved or liked papers.
    """
    texts: dict[str, str] = {}
    chosen_papers = []
    for choices, profile, liked in rankings:
        examples = [one for interest in profile.follows for one in interest.examples]
        chosen = [*liked, *((example.id, example.title) for example in examples)]
        if choices and chosen:
            texts |= {example.id: example.text for example in examples}
            chosen_papers.append((choices, chosen, len(liked)))
    if not chosen_papers:
        return
    liked_ids = {paper for *_, liked in rankings for paper, _ in liked} - texts.keys()
    row_by_id = {paper: row for row, paper in enumerate([*liked_ids, *texts])}
    counts = counts_of([*liked_ids]), counted(map(stems_of, texts.values()))
    vectors, papers = window.model.vectors(sparse.vstack(counts, format="csr")), window.papers
    # The pairs of all subscribers are compared at once: one by one takes five times as long.
    named, places, rows = [], [], []
    for choices, chosen, liked_count in chosen_papers:
        chosen_rows = [row_by_id[paper] for paper, _ in chosen]
        for index, choice in enumerate(choices):
            place = papers.places.get(choice.paper)
            count = liked_count if choice.basis == "learned" else len(chosen)
            if place is not None and count and choice.basis != "added":
                named.append((choices, index, chosen, count))
                places.append(place)
                rows += chosen_rows[:count]
    if not named:
        return
    sizes = np.array([count for *_, count in named])
    is_learned = np.array([choices[index].basis == "learned" for choices, index, *_ in named])
    starts, pair_places = np.cumsum(sizes) - sizes, np.repeat(places, sizes)
    similarities = _similarities(
        vectors, np.array(rows), papers, pair_places, np.repeat(is_learned, sizes)
    )
    is_named = is_learned | (np.maximum.reduceat(similarities, starts) >= LIKE_SIMILARITY)
    for number in np.flatnonzero(is_named).tolist():
        choices, index, chosen, count = named[number]
        start, choice = starts[number], choices[index]
        paper, title = chosen[similarities[start : start + count].argmax()]
        if choice.basis == "learned":
            choices[index] = replace(choice, topic=title[:MAX_NAME])
        elif paper != choice.paper:
            choices[index] = replace(choice, like=title[:MAX_NAME])


def _similarities(vectors, rows, papers, places, is_needed) -> np.ndarray:
    """Return the similarity of each pair of a row of `vectors` and a paper, (n_pairs,).

    Zero for pairs that the latent space holds for different, unless they are needed.
    """
    similarities = np.zeros(len(rows))
    for start in range(0, len(rows), PAIR_BATCH):
        batch = slice(start, start + PAIR_BATCH)
        directions = vectors.directions[rows[batch]], papers.vectors.directions[places[batch]]
        cosines = np.einsum("ij,ij->i", *directions)
        has_latent = directions[0].shape[1] > 0
        is_near = is_needed[batch] | (cosines >= LIKE_COSINE * has_latent)
        near = start + np.flatnonzero(is_near)
        similarity = vectors[rows[near]].pairwise(papers.vectors[places[near]])
        similarities[near] = similarity * papers.fullness[places[near]]
    return similarities
