"""What letters are made of, read for many at once with a constant number of queries."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, lru_cache
from typing import NamedTuple
from uuid import UUID

from django.utils import translation

from digest import history, wording
from digest.models import Digest, Observation, Paper, Pick
from subscriptions.models import Letter, Subscriber
from subscriptions.statements import among, run

#: What a letter shows of a paper, in the order of the model.
PAPER = (
    *("id", "title", "abstract", "authors", "categories"),
    *("upvotes", "url", "comments", "github", "hugging_face", "is_sample"),
)

# JSON stays text on both databases, by which what was seen before is known again.
SQL_DIGESTS = """
    SELECT letter_id, id, day, public_id, considered, receipt, since
    FROM digest_digest WHERE letter_id AMONG
"""
SQL_PICKS = """
    SELECT id, leader_id, subscriber_id, position, paper_id, basis, topic_name, terms, "group"
    FROM digest_pick WHERE digest_id AMONG ORDER BY position, id
"""
#: With the stars that a paper's code had when last looked at.
SQL_PAPERS = f"""
    SELECT {", ".join(PAPER)}, (
        SELECT github_stars FROM digest_observation AS seen
        WHERE seen.paper_id = paper.id AND github_stars IS NOT NULL
        ORDER BY seen.day DESC LIMIT 1
    )
    FROM digest_paper AS paper
    WHERE id IN (SELECT paper_id FROM digest_pick WHERE digest_id AMONG)
"""  # noqa: S608
SQL_TOPICS = """
    SELECT followed.subscriber_id, topic.name
    FROM subscriptions_topicpreference AS followed
    JOIN subscriptions_topic AS topic ON topic.id = followed.topic_id
    WHERE followed.subscriber_id AMONG AND followed.stance = 'follow' ORDER BY followed.id
"""
#: The first day of which each reader heard anything, and whether she saved a paper.
SQL_READERS = """
    SELECT id, (
        SELECT told.day
        FROM digest_digest AS told JOIN subscriptions_letter AS letter ON letter.id = told.letter_id
        WHERE told.subscriber_id = reader.id AND letter.state <> 'missed'
        ORDER BY told.day LIMIT 1
    ), EXISTS (
        SELECT 1 FROM digest_feedback AS said
        WHERE said.subscriber_id = reader.id AND said.value = 'save'
    )
    FROM subscriptions_subscriber AS reader WHERE id AMONG
"""


class Choice(NamedTuple):
    """A stored pick as a letter needs it, without the cost of a model."""

    position: int
    paper: Paper
    basis: str
    topic_name: str
    terms: tuple[str, ...]
    folded: Sequence[Paper]
    group: str | None = None

    Basis, why, reason = Pick.Basis, Pick.why, Pick.reason

    @property
    def paper_id(self):
        return self.paper.id


class StoredDigest(NamedTuple):
    """A digest as its letter needs it, without the cost of a model."""

    subscriber: Subscriber
    pk: int
    day: date
    public_id: UUID
    considered: int
    receipt: dict
    since: date | None

    @property
    def subscriber_id(self):
        return self.subscriber.id


@dataclass
class Material:
    """All that a letter is made of. The picks are in the order of the letter."""

    digest: Digest | StoredDigest
    kind: str = "digest"
    picks: Sequence[Pick | Choice] = field(default_factory=list)
    topics: list[str] = field(default_factory=list)
    is_first: bool = False
    news: list[dict] = field(default_factory=list)

    @cached_property
    def subscriber(self):
        return self.digest.subscriber

    @cached_property
    def language(self):
        return self.subscriber.letter_language

    @property
    def is_open(self) -> bool:
        """Return whether it is up to nobody's wishes what is in it."""
        return not self.topics and not any(pick.basis == Pick.Basis.LEARNED for pick in self.picks)


def digests_of(letters: Sequence[Letter]) -> dict[int, StoredDigest]:
    """Return the digests of these letters by the numbers of those, with their subscribers."""
    subscribers = {letter.id: letter.subscriber for letter in letters}
    return {
        letter_id: StoredDigest(
            subscribers[letter_id],
            pk,
            _day(day),
            public_id if isinstance(public_id, UUID) else UUID(public_id),
            considered,
            _receipt(receipt),
            _day(since),
        )
        for letter_id, pk, day, public_id, considered, receipt, since in _rows(
            SQL_DIGESTS, subscribers
        )
    }


def _day(told):
    """Return a day, which SQLite tells as text, as it does an id."""
    return date.fromisoformat(told) if isinstance(told, str) else told


_receipt = lru_cache(100)(json.loads)


def gather(
    digests: Sequence[Digest | StoredDigest],
    kind: str = "digest",
    picks: Mapping[int, Sequence] | None = None,
) -> list[Material]:
    """Return what the letters of these digests, of one reader each, are made of.

    `picks` are by the reader's number, where they aren't those that are stored. Asks a constant
    number of queries, and two more for each reader who saved papers.
    """
    if picks is None:
        picks = _stored_picks(digests)
    else:
        _share_papers([pick for some in picks.values() for pick in some])
    readers = [digest.subscriber_id for digest in digests]
    topics = defaultdict(list)
    for reader_id, name in _rows(SQL_TOPICS, readers):
        topics[reader_id].append(name)
    facts = {pk: facts for pk, *facts in _rows(SQL_READERS, readers)}
    materials = []
    for digest in digests:
        first_day, has_saved = facts.get(digest.subscriber_id, (None, False))
        materials.append(
            Material(
                digest=digest,
                kind=kind,
                picks=picks.get(digest.subscriber_id, ()),
                topics=topics[digest.subscriber_id],
                # SQLite says days as text.
                is_first=not first_day or str(digest.day) <= str(first_day),
                news=_news(digest) if has_saved else [],
            )
        )
    return materials


def _news(digest):
    """Return what happened to the papers that she saved, in her language."""
    with translation.override(digest.subscriber.letter_language):
        return [wording.told(event) for event in history.news_of_saved(digest.subscriber, digest)]


def _stored_picks(digests):
    """Return the picks of each reader, those with a place of their own, in order."""
    ids = [digest.pk for digest in digests]
    papers = {row[0]: _paper(row) for row in _rows(SQL_PAPERS, ids)}
    leading, relatives = [], defaultdict(list)
    for pk, leader_id, reader_id, position, paper_id, *reason in _rows(SQL_PICKS, ids):
        if leader_id is None:
            leading.append((pk, reader_id, position, papers[paper_id], reason))
        else:
            relatives[leader_id].append(papers[paper_id])
    picks = defaultdict(list)
    for pk, reader_id, position, paper, (basis, topic, terms, group) in leading:
        folded = relatives.get(pk, ())
        choice = Choice(position, paper, basis, topic, _terms(terms), folded, group)
        picks[reader_id].append(choice)
    return picks


@lru_cache(10_000)
def _paper(row):
    """Return the paper of a row: one object for many letters, until anything of it changes."""
    pk, title, abstract, authors, categories, *others, theirs, is_sample, stars = row
    lists = json.loads(authors), json.loads(categories)
    values = [pk, title, abstract, *lists, *others, json.loads(theirs or "null"), is_sample]
    paper = Paper.from_db(None, PAPER, values)
    paper.stars = stars
    return paper


@lru_cache(100_000)
def _terms(stored):
    return tuple(json.loads(stored))


def _share_papers(picks):
    """Let picks of one paper share its row, with the stars that it had when last looked at."""
    wanted = {pick.paper_id for pick in picks}
    papers = Paper.objects.in_bulk(wanted)
    seen = Observation.objects.filter(paper__in=wanted, github_stars__isnull=False)
    for paper_id, stars in seen.order_by("day").values_list("paper_id", "github_stars"):
        papers[paper_id].stars = stars
    for pick in picks:
        pick.paper = papers.get(pick.paper_id, pick.paper)


def _rows(sql, ids):
    if not ids:
        return []
    its, numbers = among(ids)
    return run(sql.replace("AMONG", its), numbers)
