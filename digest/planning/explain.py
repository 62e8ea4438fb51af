"""Explain why a paper is, or is not, in a subscriber's digest, and why digests have no papers."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date
from itertools import chain

import numpy as np
from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from digest import wording
from digest.indexing import candidate_windows, model_store
from digest.indexing.candidate_windows import Window
from digest.indexing.vocabulary import unknown_words
from digest.models import Digest, Paper, Pick
from digest.papers.duplicates import aliases_of
from digest.papers.identifiers import find_paper
from digest.planning import plan, selection, slots
from digest.planning.due import DueSubscriber
from digest.ranking.diagnosis import Diagnosis, diagnose
from digest.ranking.model import word_column
from digest.ranking.parameters import Parameters
from digest.ranking.profile import Interest
from digest.ranking.query import queries_of
from digest.ranking.ranking import choose
from digest.ranking.retrieval import muted
from subscriptions import schedule
from subscriptions.mail.plaintext import shortened
from subscriptions.models import Letter

MAX_TITLE = 120  # Columns, of a near miss.


@dataclass(frozen=True)
class Explanation:
    """Why a paper is, or is not, in a digest.

    Attributes:
        paper: None if it is unknown.
        pick: set if the paper was picked.
        diagnosis: the ranking's, if the paper is among the candidates of pages.
        other_paper: the paper that the diagnosis names.
        is_new: whether the paper is a candidate of this day.
        day: of the digest.
    """

    paper: Paper | None = None
    pick: Pick | None = None
    diagnosis: Diagnosis | None = None
    other_paper: Paper | None = None
    is_new: bool = False
    day: date | None = None

    @property
    def is_on_its_way(self) -> bool:
        """Whether the email with the pick has no final state yet."""
        letter = self.pick and self.pick.digest.letter
        return bool(letter) and letter.ended_at is None


def explain(subscriber, reference: str, day: date, now) -> Explanation:
    """Return why a paper is, or is not, in the subscriber's digest of this local day."""
    paper = find_paper(reference)
    if paper is None:
        return Explanation(day=day)
    work_ids = [paper.pk, *aliases_of(Paper.objects.filter(pk=paper.pk))]
    picks = Pick.objects.filter(subscriber=subscriber, paper__in=work_ids).order_by("pk")
    pick = picks.select_related("digest", "digest__letter", "paper", "leader__paper").first()
    answer = Explanation(paper, pick, day=day)
    if pick is not None or paper.is_withdrawn:
        return answer
    due, end_day = plan.due_on(subscriber, day, now)
    # The papers of a month would take too long for a page.
    days = candidate_windows.lookback_days(end_day, due.new_after)
    days = min(days, candidate_windows.LONG_LOOKBACKS[0])
    try:
        window = candidate_windows.for_digests(model_store.in_use(), end_day, days)
    except model_store.NotFitted:
        return replace(answer, is_new=True)
    answer = replace(answer, is_new=paper.pk in window.papers.places)
    diagnosis = _diagnosis(due, window, paper)
    if diagnosis is None or not diagnosis.other:
        return replace(answer, diagnosis=diagnosis)
    other_paper = Paper.objects.filter(pk=diagnosis.other).first()
    fields = {"diagnosis": diagnosis, "other_paper": other_paper}
    return replace(answer, **fields) if other_paper else answer


def _diagnosis(due, window, paper) -> Diagnosis | None:
    """Return the ranking's diagnosis of a paper, or None if it is not in the window."""
    selection.rank([due], window)
    choices = {choice.paper: choice for choice in due.papers}
    choice = choices.get(paper.pk)
    if choice and choice.group == Pick.Group.SHARED:
        return Diagnosis("shared")
    if choice and choice.basis == Pick.Basis.SECOND:
        return Diagnosis("second")
    if paper.pk not in window.papers.places:
        return None
    profile = due.profile
    if member_profiles := due.member_profiles:
        follows = dict.fromkeys(chain.from_iterable(member.follows for member in member_profiles))
        profile = replace(profile, follows=tuple(follows), learned=None)
    arguments = window.model, window.papers, profile, _excluded(due, window), paper.pk
    parameters, start = Parameters.of(settings.RANKING), window.first_after(due.new_after)
    diagnosis = for_display(diagnose(*arguments, parameters, start))
    if choice and member_profiles:  # The diagnosis may name a member's topic.
        place = [*choices].index(paper.pk) + 1
        return Diagnosis("chosen", interest=choice.topic, rank=place, match_count=len(choices))
    if member_profiles and diagnosis.interest and diagnosis.outcome not in ("chosen", "passed"):
        return Diagnosis("unasked")  # Only reasons of the group's papers may name a member's topic.
    if diagnosis.outcome == "chosen" and not choice:
        # A second chance took its place, or it waits for a day with new papers.
        return replace(diagnosis, outcome="crowded" if due.papers else "passed")
    return diagnosis


def _excluded(due, window) -> set[str]:
    """Return the ids of all papers of the window that must not come to the subscriber again."""
    sent_ids = window.after(due.sent_until).papers.withdrawn if due.sent_until else frozenset()
    return due.excluded | sent_ids


def for_display(diagnosis: Diagnosis) -> Diagnosis:
    """Truncate the interest of a diagnosis: some are whole abstracts."""
    return replace(diagnosis, interest=shortened(diagnosis.interest, wording.TOPIC_COLUMNS))


# ---- Digests without papers


def explain_empty_digests(subscriber, now) -> str:
    """Return why the latest digests of a confirmed subscriber have no papers, in one sentence.

    In the active language. Empty if the latest digest has papers, and before the first one.
    """
    subscribed_at = subscriber.subscribed_at or subscriber.confirmed_at
    first_day = schedule.local_day(subscribed_at, subscriber.zone)
    digests = subscriber.digests.filter(day__gte=first_day).select_related("letter")
    has_picks = Exists(Pick.objects.filter(digest=OuterRef("pk")))
    with_papers = digests.filter(has_picks | Q(letter__reason=Letter.COUNTED_AS_SENT))
    last_digest, last_with_papers = digests.first(), with_papers.first()
    if last_digest == last_with_papers:  # Or both are None.
        return ""
    start_day = last_with_papers.day if last_with_papers else first_day
    is_today = start_day == schedule.local_day(now, subscriber.zone)
    sentence = _("Nothing today") if is_today else _("Nothing since %s") % _format_day(start_day)
    with suppress(model_store.NotFitted, slots.Busy):
        sentence += f": {_empty_cause(subscriber, last_digest, last_with_papers, now)}"
    return f"{sentence}."


def _format_day(day: date) -> str:
    return date_format(day, _("j F"))


@slots.slot()
def _empty_cause(subscriber, last_digest: Digest, last_with_papers: Digest | None, now) -> str:
    """Return the first cause that holds for the empty digests since the last one with papers.

    Papers that came in more than NEW_DAYS ago are left out, so that many share the window.
    """
    completed = Digest.objects.completed().filter(pk=last_digest.pk)
    if last_digest.letter.ended_at and not completed.exists():
        return _("the digest of %s was not sent") % _format_day(last_digest.day)
    today = schedule.local_day(now, UTC)
    # Before any digest with papers, papers are as new as for a first digest.
    days = settings.NEW_DAYS if last_with_papers else 0
    window = candidate_windows.for_digests(model_store.in_use(), today, days)
    papers = window.papers
    start = window.first_after(last_with_papers.letter.created_at) if last_with_papers else 0
    if start == len(papers):
        newest = Paper.objects.filter(day__lte=today).first()
        text = _("no new papers came in; the newest is of %s")
        return text % _format_day(newest.day) if newest else _("no papers have come in yet")
    due = DueSubscriber(subscriber, today)
    selection.load_profiles([due], window)
    if due.member_profiles is not None:  # Others must not see their interests.
        text = _("no new paper matches the interests of the group’s members (%d)")
        return text % len(due.member_profiles)
    # Each profile has one filter less: the first one with matches shows which filter hides them.
    profile = replace(due.profile, size=len(papers), wants_near=True)
    unmuted = replace(profile, mutes=())
    unlearned = replace(unmuted, learned=None)
    excluded = _excluded(due, window)
    ranked = choose(
        *(window.model, papers, [profile, unmuted, unlearned, unlearned]),
        [excluded, excluded, excluded, set()],
        Parameters.of(settings.RANKING),
        positions=slice(start, None),
    )
    new_ids = [[match.paper for match in choices if match.group == "new"] for choices in ranked]
    if not any(new_ids):
        return _why_no_match(window, profile.follows, ranked[0])
    matches = next(filter(None, new_ids))
    comes_next = Q(came_in_at=None) | Q(came_in_at__gt=last_digest.letter.created_at)
    next_count = window.rows.filter(comes_next, pk__in=new_ids[0]).count()
    places = [papers.places[paper_id] for paper_id in matches]
    mutes = [mute.name for mute in profile.mutes if muted(window.model, papers, mute)[places].any()]
    reason = [
        _("for the next digest") if next_count else _("too old for the next digest"),
        _("muted (%s)") % wording.names(mutes),
        _("too similar to papers marked “Less like this”"),
        _("sent before, or in the library"),
    ][new_ids.index(matches)]
    count = next_count or len(matches)
    return f"{ngettext('%d match', '%d matches', count) % count}, {reason}"


def _why_no_match(window: Window, follows: Sequence[Interest], near_misses) -> str:
    def have_papers(terms):
        columns = np.array([*map(word_column, terms)])
        return window.papers.vectors.columns.with_features(columns).any(axis=1)

    own_lines, unreadable_names, reasons = [], [], []
    interest_names = [*filter(None, (interest.name for interest in follows))]
    for interest in follows:
        if interest.examples:
            interest_names += [example.title for example in interest.examples]
            continue
        queries = queries_of(interest.lines)
        if interest.is_own_words:
            own_lines += [query.text for query in queries if not query.is_text]
        if not (queries or interest.categories or interest.authors):
            unreadable_names.append(interest.name)
    if unreadable_names:
        reasons.append(_("we can’t read %s") % wording.names(unreadable_names))
    if missing_words := unknown_words(have_papers, own_lines):
        reasons.append(_("no recent paper mentions %s") % wording.names(missing_words))
    if near_misses:
        paper, line = near_misses[0].paper, near_misses[0].topic
        title = Paper.objects.filter(pk=paper).values_list("title", flat=True).first() or paper
        values = {"title": shortened(title, MAX_TITLE), "line": wording.names([line])}
        reasons.append(_("the best near miss was “%(title)s” (for %(line)s)") % values)
    return "; ".join(reasons) or _("no new paper matches %s") % (
        wording.names(interest_names) or _("the library")
    )
