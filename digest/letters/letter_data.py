"""Load what the emails of digests show, for many emails with a constant number of queries."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

from django.conf import settings
from django.db.models import Exists, OuterRef, Subquery
from django.utils import translation

from digest import hooks, wording
from digest.models import Digest, Feedback, Paper, Pick
from digest.papers import summaries
from subscriptions import db
from subscriptions.models import Letter, Subscriber, TopicPreference

#: The fields of a paper that an email shows, in the order of the model.
PAPER_FIELDS = (
    *("id", "title", "abstract", "authors", "categories", "day", "upvotes", "url", "comments"),
    *("journal_ref", "doi", "github", "hugging_face", "is_sample"),
)

# Picks and papers are read by SQL: through the ORM, reading takes three times the CPU.
# JSON stays text on both databases, so that equal rows are found in the caches.
SQL_PICKS = """
    SELECT id, leader_id, subscriber_id, position, paper_id, basis, topic_name, terms, "group",
        like_title
    FROM digest_pick WHERE digest_id AMONG ORDER BY position, id
"""
#: The last column is the newest number of GitHub stars.
SQL_PAPERS = f"""
    SELECT {", ".join(PAPER_FIELDS)}, (
        SELECT github_stars FROM digest_observation AS seen
        WHERE seen.paper_id = paper.id AND github_stars IS NOT NULL
        ORDER BY seen.day DESC LIMIT 1
    )
    FROM digest_paper AS paper
    WHERE id IN (SELECT paper_id FROM digest_pick WHERE digest_id AMONG)
"""  # noqa: S608


class StoredPick(NamedTuple):
    """What an email shows of a stored pick. A model instance takes 25 times as long to make."""

    position: int
    paper: Paper
    basis: str
    topic_name: str
    terms: tuple[str, ...]
    folded: Sequence[Paper]
    group: str | None = None
    like_title: str = ""

    Basis, reason = Pick.Basis, Pick.reason

    @property
    def paper_id(self):
        return self.paper.id


@dataclass
class LetterData:
    """What the email of one digest is made of.

    Attributes:
        digest: with its subscriber.
        kind: the kind of the letter.
        picks: those that are not folded into another, in the order of the email.
        topics: the names of the topics that the subscriber follows.
        is_first: whether the subscriber had no digest before.
        news: what happened to saved papers (`wording.event_context`).
        group: the name of the group whose mailing list the subscriber is.
        empty_reason: why a welcome has no papers.
    """

    digest: Digest
    kind: str = "digest"
    picks: Sequence[Pick | StoredPick] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)
    is_first: bool = False
    news: list[dict] = field(default_factory=list)
    group: str = ""
    empty_reason: str = ""

    @property
    def subscriber(self):
        return self.digest.subscriber

    @property
    def language(self):
        return self.digest.subscriber.language_or_default

    @cached_property
    def sections(self) -> list[tuple[str, list]]:
        """Return the picks by their headings, in the active language."""
        return wording.sections(self.picks)

    @property
    def is_impersonal(self) -> bool:
        """Return whether the picks depend on neither topics nor feedback, also not of a group."""
        bases = {pick.basis for pick in self.picks if pick.group != Pick.Group.SHARED}
        personal = {Pick.Basis.LEARNED, Pick.Basis.ADDED, Pick.Basis.TOPIC, Pick.Basis.GROUP}
        return not self.topics and bases.isdisjoint(personal)


def digests_of(letters: Sequence[Letter]) -> dict[int, Digest]:
    """Return the digests of these letters by letter id, with the subscribers of the letters."""
    subscribers = {letter.id: letter.subscriber for letter in letters}
    digests = {digest.letter_id: digest for digest in Digest.objects.filter(letter__in=subscribers)}
    for letter_id, digest in digests.items():
        digest.subscriber = subscribers[letter_id]
    return digests


def load(
    digests: Sequence[Digest], kind: str = "digest", picks: Mapping[int, Sequence] | None = None
) -> list[LetterData]:
    """Return the data of these digests' emails. Each digest has another subscriber.

    `picks`, by subscriber id, replace the stored ones. Runs a constant number of queries, and two
    more for each subscriber with saved papers.
    """
    if picks is None:
        picks = _stored_picks(digests)
    else:
        unsaved_picks = [pick for of_subscriber in picks.values() for pick in of_subscriber]
        papers = Paper.objects.with_stars().in_bulk({pick.paper_id for pick in unsaved_picks})
        for pick in unsaved_picks:
            pick.paper = papers.get(pick.paper_id, pick.paper)
        for digest in digests:
            shown_papers = [pick.paper for pick in picks.get(digest.subscriber_id, ())]
            summaries.attach(shown_papers, digest.subscriber.summary_language)
    ids = [digest.subscriber_id for digest in digests]
    follow = TopicPreference.Stance.FOLLOW
    preferences = TopicPreference.objects.filter(subscriber__in=ids, stance=follow).order_by("pk")
    topics = defaultdict(list)
    for subscriber_id, name in preferences.values_list("subscriber_id", "topic__name"):
        topics[subscriber_id].append(name)
    not_missed = Digest.objects.not_missed().filter(subscriber=OuterRef("pk")).order_by("day")
    saved_papers = Feedback.objects.saved().filter(subscriber=OuterRef("pk"))
    rows = Subscriber.objects.filter(pk__in=ids)
    day_query, has_saved = Subquery(not_missed.values("day")[:1]), Exists(saved_papers)
    rows = rows.values_list("pk", day_query, has_saved, "group_of_list__name")
    first_days, savers, groups = {}, set(), {}
    for subscriber_id, first_day, has_saved, group in rows:
        first_days[subscriber_id], groups[subscriber_id] = first_day, group
        if has_saved:
            savers.add(subscriber_id)
    letters = []
    for digest in digests:
        first_day, news = first_days.get(digest.subscriber_id), []
        if digest.subscriber_id in savers:
            with translation.override(digest.subscriber.language_or_default):
                events = hooks.news_of_saved(digest.subscriber, digest)
                news = [wording.event_context(event) for event in events]
        letters.append(
            LetterData(
                digest=digest,
                kind=kind,
                picks=picks.get(digest.subscriber_id, ()),
                topics=topics[digest.subscriber_id],
                is_first=not first_day or digest.day <= first_day,
                news=news,
                group=groups.get(digest.subscriber_id) or "",
                empty_reason=_why_nothing(digest) if kind == "welcome" else "",
            )
        )
    return letters


def _why_nothing(digest):
    """Return why a digest has no papers, as when it was planned."""
    from digest.planning import explain  # numpy, which only processes that rank import.

    with translation.override(digest.subscriber.language_or_default):
        return explain.explain_empty_digests(digest.subscriber, digest.letter.created_at)


def _stored_picks(digests):
    ids = [digest.pk for digest in digests]
    papers = {row[0]: _paper(row) for row in _rows(SQL_PAPERS, ids)}
    picks, relatives = defaultdict(list), defaultdict(list)
    for pk, leader_id, subscriber_id, position, paper_id, *reason in _rows(SQL_PICKS, ids):
        if leader_id is None:
            basis, topic, terms, *others = reason
            pick = (position, papers[paper_id], basis, topic, _terms(terms), relatives[pk])
            picks[subscriber_id].append(StoredPick(*pick, *others))
        else:
            relatives[leader_id].append(papers[paper_id])
    if settings.LLM_URL:
        _add_summaries(digests, picks)
    return picks


def _add_summaries(digests, picks):
    """Replace papers by copies with a summary in the subscriber's language: others share them."""
    ids_by_language = defaultdict(list)
    for digest in digests:
        ids_by_language[digest.subscriber.summary_language].append(digest.subscriber_id)
    for language, subscribers in ids_by_language.items():
        shown_picks = [pick for pk in subscribers for pick in picks[pk]]
        papers = {pick.paper_id: copy(pick.paper) for pick in shown_picks}
        summaries.attach(papers.values(), language)
        for paper in papers.values():
            vars(paper).pop("email_content_key", None)  # It was computed without the summary.
        for pk in subscribers:
            picks[pk] = [pick._replace(paper=papers[pick.paper_id]) for pick in picks[pk]]


@lru_cache(10_000)
def _paper(row):
    """Return one object for equal rows: what many emails show of it is computed once."""
    pk, title, abstract, authors, categories, day, *details, hugging_face, is_sample, stars = row
    values = [pk, title, abstract, json.loads(authors), json.loads(categories), day]
    values += [*details, json.loads(hugging_face or "null"), is_sample]
    paper = Paper.from_db(None, PAPER_FIELDS, values)
    paper.stars = stars
    return paper


@lru_cache(100_000)
def _terms(json_terms):
    return tuple(json.loads(json_terms))


def _rows(sql, ids):
    if not ids:
        return []
    condition, values = db.in_ids(ids)
    return db.run_sql(sql.replace("AMONG", condition), values)
