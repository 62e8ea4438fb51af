"""Papers that subscribers added as interests: their texts, and looking up those not stored here.

Only after the subscriber has confirmed, by a worker, and nothing of a subscriber goes into a
request. What was looked up is stored beside the interest and deleted with it.
"""

import re
import time
from collections.abc import Callable, Iterable
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from digest.http.client import Refused, Unavailable
from digest.interests.entries import ORCID, PAPER
from digest.models import AddedPaper
from digest.models.locks import Lease
from digest.papers.identifiers import find_reference, paper_by_id, papers_by_id
from digest.sources.base import MalformedFeed
from digest.sources.look_ups import Finding, LookUps
from subscriptions.models import Subscriber, Topic, TopicPreference
from subscriptions.security import rate_limits

MAX_A_DAY = 20  # Look-ups for a subscriber.
MAX_TRIES = 5
RETRY = timedelta(hours=1)  # After a failure, doubled with each.
MAX_RUN_SECONDS = 40  # After which a run begins with no further paper.
LEASE = timedelta(minutes=5)  # Longer than one look-up takes: two requests.
WAIT = timedelta(minutes=5)  # So long does a first digest wait for what is looked up.
#: What may stand behind the title of a paper: "Soups, doi:10.1000/1".
REFERENCE = re.compile(r"(?:(?:^|\s)(?:https?://|doi:|arxiv:|pmid:)|^)\S+$", re.IGNORECASE)


def parse_entry(text: str) -> tuple[str, str, str]:
    """Return the title, the abstract and the reference in a paper's entry, each "" if absent.

    >>> parse_entry("On soups doi:10.1000/1"), parse_entry("On E. coli | We cook.")
    (('On soups', '', 'doi:10.1000/1'), ('On E. coli', 'We cook.', ''))
    """
    match = REFERENCE.search(text)
    reference = find_reference(match[0]) if match else ""
    title, _bar, abstract = (text[: match.start()] if reference else text).partition(" | ")
    return title.strip(), abstract.strip(), reference


def unread_topics() -> QuerySet[Topic]:
    """Return the topics that stand for papers and have not been read or looked up."""
    return Topic.objects.filter(kind__in=(PAPER, ORCID), added_paper=None)


def waiting_condition(now) -> Q:
    """Return the condition for subscribers whose first digest waits: some of their papers are
    unread, or they follow only an ORCID, whose papers they have to choose.
    """
    own_topics = Topic.objects.filter(owner=OuterRef("pk"))
    follows = TopicPreference.objects.filter(subscriber=OuterRef("pk"))
    is_choosing = Q(Exists(own_topics.filter(kind=ORCID)))
    is_choosing &= ~Q(Exists(follows.exclude(topic__kind=ORCID)))
    is_choosing &= Q(confirmed_at__gt=now - timedelta(days=settings.NEW_DAYS))
    has_unread = Exists(unread_topics().filter(owner=OuterRef("pk")))
    return is_choosing | Q(has_unread, confirmed_at__gt=now - WAIT)


def texts_of(topics: Iterable[Topic]) -> dict[str, tuple[str, str]]:
    """Return the titles and abstracts of topics that are papers, by their queries."""
    topics = [topic for topic in topics if topic.kind == PAPER]
    queries = {topic.query for topic in topics}
    if not queries:
        return {}
    topic_ids = [topic.pk for topic in topics if topic.pk]
    rows = AddedPaper.objects.filter(topic__in=topic_ids).exclude(title="")
    texts = {row.topic.query: (row.title, row.abstract) for row in rows.select_related("topic")}
    for query, paper in papers_by_id(queries - texts.keys()).items():
        texts[query] = paper.title, paper.abstract
    for query in queries - texts.keys():
        title, abstract, _reference = parse_entry(query)
        if title:
            texts[query] = title, abstract
    return texts


def read_due_papers(look_ups: LookUps, clock: Callable) -> int:
    """Store the texts of added papers, and the papers of ORCIDs. Return how many were found.

    One worker does so at a time. What fails is tried again later, MAX_TRIES times.
    """
    lease, deadline, count = Lease("added papers", LEASE), time.monotonic() + MAX_RUN_SECONDS, 0
    if not lease.acquire():
        return 0
    now, pending, unavailable = clock(), [], set()
    failed_topics = Topic.objects.filter(added_paper__due_at__lte=now)
    due_topics = (unread_topics() | failed_topics).filter(owner__in=Subscriber.objects.subscribed())
    try:
        for topic in due_topics.order_by("pk"):  # First all those that no service is asked for.
            finding, reference = _stored(topic)
            if reference:
                pending.append((topic, reference, finding))
            else:
                count += _store(topic, finding)
        for topic, reference, finding in pending:
            if time.monotonic() > deadline or not lease.renew():
                break
            kind = reference.rpartition(":")[0]  # Empty for arXiv.
            if kind in unavailable:
                continue
            if not _may_look_up(topic, now):
                _store(topic, finding, due_at=now + rate_limits.DAY)
                continue
            try:
                count += _store(topic, look_ups.find(reference) or finding, due_at=None)
            except (MalformedFeed, Refused, Unavailable) as error:
                unavailable |= {kind} if isinstance(error, Unavailable) else set()
                _note_failure(topic, finding, now, getattr(error, "retry_after", None) or 0)
    finally:
        lease.release()
    return count


def _may_look_up(topic, now) -> bool:
    """Count a look-up for a subscriber. Return False after MAX_A_DAY on a day."""
    limit = rate_limits.Limit("subscriber", str(topic.owner_id), MAX_A_DAY, rate_limits.DAY)
    try:
        rate_limits.hit("look-ups", [limit], now)
    except rate_limits.TooManyAttempts:
        return False
    return True


def _note_failure(topic, finding, now, retry_after) -> None:
    rows = AddedPaper.objects.filter(topic=topic)
    tries = 1 + (rows.values_list("tries", flat=True).first() or 0)
    wait = max(RETRY * 2 ** (tries - 1), timedelta(seconds=min(retry_after, 10**6)))
    due_at = now + wait if tries < MAX_TRIES else None
    _store(topic, finding, tries=tries, due_at=due_at)


def _stored(topic) -> tuple[Finding, str]:
    """Return what is stored of a paper, and the reference to look up the rest by, or ""."""
    if topic.kind == ORCID:
        return Finding(), f"{ORCID}:{topic.query}" if settings.LOOK_UPS else ""
    title, abstract, ref = parse_entry(topic.query)
    if paper := papers_by_id([topic.query]).get(topic.query) or (ref and paper_by_id(ref)):
        return Finding(paper.title, paper.abstract), ""
    return Finding(title, abstract), ref if settings.LOOK_UPS and not abstract else ""


def _store(topic, finding, **fields) -> bool:
    """Store what was found, unless the topic was deleted meanwhile. Return whether it was found."""
    with transaction.atomic():
        if Topic.objects.select_for_update().filter(pk=topic.pk).exists():
            AddedPaper.objects.update_or_create(topic=topic, defaults=finding._asdict() | fields)
    return bool(finding.title or finding.works)
