"""A reader asks about one paper: why it is, or is not, in her digest."""

import math
import re
from dataclasses import dataclass, replace
from datetime import date

from django.conf import settings

from digest import choosing, editions, fitting, planning, titles, wording
from digest.aliases import aliases_of
from digest.models import Paper, Pick
from digest.profiles import profiles_of
from digest.ranking.tuning import Tuning
from digest.ranking.verdict import Verdict, judge
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
    until, days = planning.new_to(subscriber, day, now)
    days = min(days, editions.LONGER[0])  # Those of a month take too long to read for a page.
    is_new = Paper.objects.new_on(until, days).filter(pk=paper.pk).exists()
    answer = Answer(paper, pick, is_new=is_new, day=day)
    if pick is not None or paper.is_withdrawn:
        return answer
    try:
        issue = editions.for_page(until, days)
    except fitting.NotFitted:
        return answer
    verdict = _verdict(subscriber, issue, paper, is_new=is_new)
    if verdict is None or verdict.other < 0:
        return replace(answer, verdict=verdict)
    other = Paper.objects.filter(pk=issue.ids[verdict.other]).first()
    return replace(answer, verdict=verdict, other=other) if other else answer


def _verdict(subscriber, issue, paper, *, is_new) -> Verdict | None:
    """Return what the ranking says of a paper that she has not had, None where it can't."""
    planned = choosing.planned_for(subscriber, issue)
    if any(one.is_second and one.paper == paper.pk for one in planned):
        return Verdict("second")
    if not is_new or paper.pk not in issue.places:  # So new that the archive is without it.
        return None
    (profile,), (seen,) = profiles_of([subscriber]), choosing.seen_by([subscriber], issue)
    place, tuning = issue.places[paper.pk], Tuning.of(settings.RANKING)
    verdict = told(judge(issue.model, issue.edition, profile, seen, place, tuning))
    if verdict.what == "chosen" and all(one.paper != paper.pk for one in planned):
        return replace(verdict, what="crowded")  # By a second chance, which had its place.
    return verdict


def told(verdict: Verdict) -> Verdict:
    """Return a verdict as it is said: its topic cut, for some paste a whole abstract; its score,
    where it is too low, less than the floor in print too.
    """
    verdict = replace(verdict, topic=shortened(verdict.topic, wording.TOPIC))
    if verdict.what != "weak":
        return verdict
    score, least = round(100 * verdict.score, 6), round(100 * verdict.floor, 6)
    return replace(verdict, score=math.floor(score) / 100, floor=math.ceil(least) / 100)
