"""A reader asks about one paper: why it is, or is not, in her digest."""

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

#: What people paste: an id, with its version or not, alone or within an address.
ARXIV_ID = re.compile(
    r"(?:(?<![\w.])|(?<=arxiv\.))(?:\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})(?:v\d+)?(?!\d)",
    re.IGNORECASE | re.ASCII,
)
#: A DOI, alone or within an address, and what bioRxiv's addresses have after it.
#: None that goes on with other characters, as some old ones do: half of it would lead nowhere.
DOI = re.compile(r"(?<![\w.])10\.\d{4,9}/[\w./()-]{1,90}+(?![:;<>]?[\w(])", re.ASCII)
AFTER_DOI = re.compile(r"(?:v\d+)?(?:\.[a-z][a-z-]*)*[./()-]*$", re.ASCII)
SUBJECT_CLASS = re.compile(r"\.[a-z]{2}(?=/)")
LEAST_OF_TITLE = 8  # Characters of a title's beginning by which a paper is found.


@dataclass(frozen=True)
class Answer:
    """What is known of the paper that was asked about. `pick` is set where it was sent, `verdict`
    where what pages rank with knows the paper.
    """

    paper: Paper | None = None
    pick: Pick | None = None
    verdict: Verdict | None = None
    other: Paper | None = None
    is_new: bool = False
    day: date | None = None

    @property
    def is_on_its_way(self) -> bool:
        """Whether the letter with it may not have arrived yet, for all we know."""
        letter = self.pick and self.pick.digest.letter
        return bool(letter) and letter.ended_at is None


def find_paper(asked: str) -> Paper | None:
    """Return the paper that a text names by its id, its address or its title, or None."""
    asked = " ".join(asked.split())[:500]
    if (paper := paper_by_id(asked)) or not asked:
        return paper
    newest = _newest(titles.called(Paper.objects.all(), asked))
    if newest is None and len(asked) >= LEAST_OF_TITLE:
        newest = _newest(titles.beginning(Paper.objects.all(), asked))
    return newest


def _newest(papers):
    """Return the first of the papers, by their order.

    The database is not asked to sort them, for it may go through all papers by their days instead.
    """
    days = papers.order_by().values_list("pk", "day")
    first = min(days, key=lambda one: (-one[1].toordinal(), one[0]), default=None)
    return Paper.objects.filter(pk=first[0]).first() if first else None


def paper_by_id(asked: str) -> Paper | None:
    """Return the paper whose id, or the address with it, stands in the text, or None."""
    found = arxiv_id(asked)
    is_other = ":" in asked and " " not in asked  # As all ids but arXiv's are.
    ids = {found, asked[:100] if is_other else ""} - {""}
    if named := doi(asked):
        ids |= {f"{server}:{named}" for server in SERVERS}
    papers = Paper.objects.filter(pk__in=ids) if ids else ()
    return min(papers, key=lambda paper: paper.pk != found, default=None)


def arxiv_id(text: str) -> str:
    """Return the first arXiv id in the text, without its version, or nothing."""
    found = ARXIV_ID.search(text)
    return canonical_id(SUBJECT_CLASS.sub("", found[0].lower())) if found else ""


def doi(text: str) -> str:
    """Return the first DOI in the text, in lower case, or nothing."""
    found = DOI.search(text.lower())
    return AFTER_DOI.sub("", found[0]) if found else ""


def ask(subscriber, asked: str, day: date, now) -> Answer:
    """Return why the paper is, or is not, in her digest of this local day. Writes nothing."""
    paper = find_paper(asked)
    if paper is None:
        return Answer(day=day)
    works = [paper.pk, *aliases_of(Paper.objects.filter(pk=paper.pk))]
    picks = Pick.objects.filter(subscriber=subscriber, paper__in=works).order_by("pk")
    pick = picks.select_related("digest", "digest__letter", "paper", "leader__paper").first()
    answer = Answer(paper, pick, day=day)
    if pick is not None or paper.is_withdrawn:
        return answer
    until, new, _ = planning.new_to(subscriber, day, now)
    # Those of a month take too long to read for a page.
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
    """Return what the ranking says of a paper that they have not had, None of one that is old."""
    planned = choosing.planned_for(subscriber, window, new)
    if any(one.is_second and one.paper == paper.pk for one in planned):
        return Verdict("second")
    place = window.places.get(paper.pk)
    if place is None:
        return None
    (profile,), seen = profiles_of([subscriber]), choosing.seen_by(subscriber, window)
    parameters, since = Parameters.of(settings.RANKING), window.since(new) if new else 0
    verdict = told(judge(window.model, window.papers, profile, seen, place, parameters, since))
    if verdict.what == "chosen" and all(one.paper != paper.pk for one in planned):
        # A second chance has its place, or what was passed over waits for a day with new papers.
        return replace(verdict, what="crowded" if planned else "passed")
    return verdict


def told(verdict: Verdict) -> Verdict:
    """Return a verdict as it is said: its topic cut, for some paste a whole abstract; its score,
    where it is too low, less than the cut in print too.
    """
    verdict = replace(verdict, topic=shortened(verdict.topic, wording.TOPIC))
    if verdict.what != "weak":
        return verdict
    score, least = round(100 * verdict.score, 6), round(100 * verdict.cut, 6)
    return replace(verdict, score=math.floor(score) / 100, cut=math.ceil(least) / 100)
