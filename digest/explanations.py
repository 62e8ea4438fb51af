"""Explain why a paper is, or is not, in a subscriber's digest."""

import math
import re
from dataclasses import dataclass, replace
from datetime import date

from django.conf import settings

from digest import choosing, planning, titles, wording
from digest.aliases import aliases_of
from digest.indexing import candidates, model_store
from digest.models import Paper, Pick
from digest.profiles import profiles_of
from digest.ranking.diagnosis import Verdict, judge
from digest.ranking.parameters import Parameters
from digest.sources.biorxiv import SERVERS
from digest.sources.records import canonical_id
from subscriptions.plaintext import shortened

#: An arXiv id, with or without a version, alone or in a URL.
ARXIV_ID = re.compile(
    r"(?:(?<![\w.])|(?<=arxiv\.))(?:\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})(?:v\d+)?(?!\d)",
    re.IGNORECASE | re.ASCII,
)
#: A DOI, alone or in a URL, and what bioRxiv's URLs have after it. Not DOIs with other characters,
#: as some old ones have: a part of such a DOI would be another one.
DOI = re.compile(r"(?<![\w.])10\.\d{4,9}/[\w./()-]{1,90}+(?![:;<>]?[\w(])", re.ASCII)
AFTER_DOI = re.compile(r"(?:v\d+)?(?:\.[a-z][a-z-]*)*[./()-]*$", re.ASCII)
SUBJECT_CLASS = re.compile(r"\.[a-z]{2}(?=/)")
MIN_TITLE_LENGTH = 8  # Characters of the beginning of a title.


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


def find_paper(asked: str) -> Paper | None:
    """Return the paper with this id, URL or title, or None."""
    asked = " ".join(asked.split())[:500]
    if (paper := paper_by_id(asked)) or not asked:
        return paper
    newest = _newest(titles.called(Paper.objects.all(), asked))
    if newest is None and len(asked) >= MIN_TITLE_LENGTH:
        newest = _newest(titles.beginning(Paper.objects.all(), asked))
    return newest


def _newest(papers):
    """Return the first of the papers in the model's order.

    Sorted here: the database might read all papers by their day instead.
    """
    rows = papers.order_by().values_list("pk", "day")
    first = min(rows, key=lambda row: (-row[1].toordinal(), row[0]), default=None)
    return Paper.objects.filter(pk=first[0]).first() if first else None


def paper_by_id(asked: str) -> Paper | None:
    """Return the paper whose id or URL is in the text, or None."""
    arxiv = arxiv_id(asked)
    is_other = ":" in asked and " " not in asked  # As all ids but arXiv's are.
    ids = {arxiv, asked[:100] if is_other else ""} - {""}
    if number := doi(asked):
        ids |= {f"{server}:{number}" for server in SERVERS}
    papers = Paper.objects.filter(pk__in=ids) if ids else ()
    return min(papers, key=lambda paper: paper.pk != arxiv, default=None)


def arxiv_id(text: str) -> str:
    """Return the first arXiv id in the text, without its version, or an empty string."""
    found = ARXIV_ID.search(text)
    return canonical_id(SUBJECT_CLASS.sub("", found[0].lower())) if found else ""


def doi(text: str) -> str:
    """Return the first DOI in the text, in lower case, or an empty string."""
    found = DOI.search(text.lower())
    return AFTER_DOI.sub("", found[0]) if found else ""


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
    until, new, _ = planning.new_to(subscriber, day, now)
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
    planned = choosing.planned_for(subscriber, window, new)
    if any(one.is_second and one.paper == paper.pk for one in planned):
        return Verdict("second")
    place = window.places.get(paper.pk)
    if place is None:
        return None
    (profile,), seen = profiles_of([subscriber]), choosing.seen_by(subscriber, window)
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
