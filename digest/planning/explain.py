"""Explain why a paper is, or is not, in a subscriber's digest."""

import math
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
from digest.ranking.diagnosis import Verdict, judge
from digest.ranking.parameters import Parameters
from subscriptions.mail.plaintext import shortened


@dataclass(frozen=True)
class Explanation:
    """Why a paper is, or is not, in a digest.

    Attributes:
        paper: None if it is unknown.
        pick: set if the paper was picked.
        verdict: the ranking's, if the paper is among the candidates of pages.
        other: the paper that the verdict names.
        is_new: whether the paper is a candidate of this day.
        day: of the digest.
    """

    paper: Paper | None = None
    pick: Pick | None = None
    verdict: Verdict | None = None
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
    days = min(candidates.days_back(until, new), candidates.LONGER[0])
    try:
        window = candidates.for_digests(model_store.in_use(), until, days)
    except model_store.NotFitted:
        return replace(answer, is_new=True)
    answer = replace(answer, is_new=paper.pk in window.places)
    verdict = _verdict(subscriber, window, new, paper)
    if verdict is None or verdict.other < 0:
        return replace(answer, verdict=verdict)
    other = Paper.objects.filter(pk=window.papers.ids[verdict.other]).first()
    return replace(answer, verdict=verdict, other=other) if other else answer


def _verdict(subscriber, window, new, paper) -> Verdict | None:
    """Return the ranking's verdict on a paper, or None if the window doesn't have it."""
    planned = selection.planned_for(subscriber, window, new)
    if any(one.is_second and one.paper == paper.pk for one in planned):
        return Verdict("second")
    place = window.places.get(paper.pk)
    if place is None:
        return None
    (profile,), seen = profiles_of([subscriber]), selection.seen_by(subscriber, window)
    parameters, since = Parameters.of(settings.RANKING), window.since(new) if new else 0
    verdict = for_display(
        judge(window.model, window.papers, profile, seen, place, parameters, since)
    )
    if verdict.what == "chosen" and all(one.paper != paper.pk for one in planned):
        # A second chance took its place, or it waits for a day with new papers.
        return replace(verdict, what="crowded" if planned else "passed")
    return verdict


def for_display(verdict: Verdict) -> Verdict:
    """Prepare a verdict for display: truncate the topic, and round the score down and the cut up.

    So the score never looks equal to the cut.
    """
    verdict = replace(verdict, topic=shortened(verdict.topic, wording.TOPIC_COLUMNS))
    if verdict.what != "weak":
        return verdict
    score, least = round(100 * verdict.score, 6), round(100 * verdict.cut, 6)
    return replace(verdict, score=math.floor(score) / 100, cut=math.ceil(least) / 100)
