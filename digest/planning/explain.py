"""Explain why a paper is, or is not, in a subscriber's digest."""

from dataclasses import dataclass, replace
from datetime import date

from django.conf import settings

from digest import wording
from digest.indexing import candidates, model_store
from digest.models import Paper, Pick
from digest.papers.duplicates import aliases_of
from digest.papers.identifiers import find_paper
from digest.personalization.profiles import profiles_of
from digest.planning import plan, selection
from digest.planning.sharing import Groups
from digest.ranking.diagnosis import Diagnosis, diagnose
from digest.ranking.parameters import Parameters
from subscriptions.mail.plaintext import shortened


@dataclass(frozen=True)
class Explanation:
    """Why a paper is, or is not, in a digest.

    Attributes:
        paper: None if it is unknown.
        pick: set if the paper was picked.
        diagnosis: the ranking's, if the paper is among the candidates of pages.
        other: the paper that the diagnosis names.
        is_new: whether the paper is a candidate of this day.
        day: of the digest.
    """

    paper: Paper | None = None
    pick: Pick | None = None
    diagnosis: Diagnosis | None = None
    other: Paper | None = None
    is_new: bool = False
    day: date | None = None

    @property
    def is_on_its_way(self) -> bool:
        """Whether the email with the pick has no final state yet."""
        letter = self.pick and self.pick.digest.letter
        return bool(letter) and letter.ended_at is None


def explain(subscriber, asked: str, day: date, now) -> Explanation:
    """Return why a paper is, or is not, in the subscriber's digest of this local day."""
    paper = find_paper(asked)
    if paper is None:
        return Explanation(day=day)
    works = [paper.pk, *aliases_of(Paper.objects.filter(pk=paper.pk))]
    picks = Pick.objects.filter(subscriber=subscriber, paper__in=works).order_by("pk")
    pick = picks.select_related("digest", "digest__letter", "paper", "leader__paper").first()
    answer = Explanation(paper, pick, day=day)
    if pick is not None or paper.is_withdrawn:
        return answer
    until, new, _ = plan.new_to(subscriber, day, now)
    # The papers of a month would take too long for a page.
    days = min(candidates.lookback_days(until, new), candidates.LONG_LOOKBACKS[0])
    try:
        window = candidates.for_digests(model_store.in_use(), until, days)
    except model_store.NotFitted:
        return replace(answer, is_new=True)
    answer = replace(answer, is_new=paper.pk in window.places)
    diagnosis = _diagnosis(subscriber, window, new, paper)
    if diagnosis is None or diagnosis.other < 0:
        return replace(answer, diagnosis=diagnosis)
    other = Paper.objects.filter(pk=window.papers.ids[diagnosis.other]).first()
    return replace(answer, diagnosis=diagnosis, other=other) if other else answer


def _diagnosis(subscriber, window, new, paper) -> Diagnosis | None:
    """Return the ranking's diagnosis of a paper, or None if it is not in the window."""
    ((choices, _),) = selection.rank([subscriber], window, [new])
    chosen = {choice.paper: choice for choice in choices}
    choice = chosen.get(paper.pk)
    if choice and choice.group == Pick.Group.SHARED:
        return Diagnosis("shared")
    if choice and choice.basis == Pick.Basis.SECOND:
        return Diagnosis("second")
    place = window.places.get(paper.pk)
    if place is None:
        return None
    (profile,), seen = profiles_of([subscriber]), selection.seen_by(subscriber, window)
    if members := Groups.of([subscriber]).members.get(subscriber.pk):
        follows = dict.fromkeys(one for known in members for one in known.follows)
        profile = replace(profile, follows=tuple(follows), learned=None)
    parameters, since = Parameters.of(settings.RANKING), window.since(new) if new else 0
    diagnosis = for_display(
        diagnose(window.model, window.papers, profile, seen, place, parameters, since)
    )
    if choice and members and diagnosis.what != "chosen":  # By a member's feedback.
        return Diagnosis("chosen", place=[*chosen].index(paper.pk) + 1, of=len(chosen))
    if members and diagnosis.interest and diagnosis.what not in ("chosen", "passed"):
        return Diagnosis("unasked")  # Only reasons of the group's papers may name a member's topic.
    if diagnosis.what == "chosen" and not choice:
        # A second chance took its place, or it waits for a day with new papers.
        return replace(diagnosis, what="crowded" if choices else "passed")
    return diagnosis


def for_display(diagnosis: Diagnosis) -> Diagnosis:
    """Truncate the interest of a diagnosis: some are whole abstracts."""
    return replace(diagnosis, interest=shortened(diagnosis.interest, wording.TOPIC_COLUMNS))
