"""arXiv's RSS feed of an archive or category: the day's announcements."""

import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from email.utils import parsedate_to_datetime
from xml.etree.ElementTree import Element

from digest.sources import records, xml
from digest.sources.arxiv import fields
from digest.sources.arxiv.calendar import EASTERN
from digest.sources.base import MalformedFeed
from digest.sources.records import BadRecord, Record

DC = "{http://purl.org/dc/elements/1.1/}"
ARXIV = "{http://arxiv.org/schemas/atom}"
KINDS = ("new", "cross", "replace", "replace-cross")
ONE_WEEK = timedelta(days=7)
MAX_ITEMS = 2_000  # Of a feed; arXiv leaves out further ones.


@dataclass(frozen=True)
class Feed:
    """One feed. `items` is the number of all items, with bad ones."""

    category: str
    day: date | None
    records: list[Record]
    errors: list[str]
    items: int


def parse(body: bytes, category: str) -> Feed:
    """Return the feed, with the errors of bad items. Raises MalformedFeed."""
    root = xml.parse(body)
    channel = root.find("channel")
    if root.tag != "rss" or channel is None:
        raise MalformedFeed("this is XML, but no RSS feed")
    if channel.findtext("title", "").startswith("Feed error"):
        message = records.clean(channel.findtext("description", ""), 200)
        raise MalformedFeed(f"arXiv answers: {message}")
    items = channel.findall("item")
    # The day of most items.
    days = Counter(day for item in items if (day := _day(item.findtext("pubDate", ""))))
    feed_day = max(days, key=days.get, default=_day(channel.findtext("pubDate", "")))
    papers, errors = [], []
    for item in items:
        try:
            papers.append(_record(item, feed_day))
        except BadRecord as error:
            name = item.findtext("guid") or item.findtext("link") or "an item"
            name = records.clean(name.replace(xml.BROKEN, "?"), 80)
            errors.append(f"{name.removeprefix('oai:arXiv.org:')}: {error}")
    return Feed(category, feed_day, papers, errors, len(items))


def _record(item: Element, feed_day: date | None) -> Record:
    versioned_id = xml.text(item, "guid") or xml.text(item, "link")
    versioned_id = versioned_id.strip().removeprefix("oai:arXiv.org:")
    kind = _kind(item)
    # Cross-lists and revisions were announced earlier; the feed has the day of the change.
    day = _day(xml.text(item, "pubDate")) if kind == "new" else None
    if kind == "new" and not (day and feed_day and abs(day - feed_day) <= ONE_WEEK):
        day = feed_day  # A day far from the feed's is a mistake.
    return fields.record(
        versioned_id,
        xml.text(item, "title"),
        xml.text(item, "description").partition("Abstract:")[2],
        [category.text or "" for category in item.findall("category")],
        day=day,
        authors=fields.author_names(xml.text(item, f"{DC}creator")),
        announced_as=kind,
        journal_ref=xml.text(item, f"{ARXIV}journal_reference"),
        doi=xml.text(item, f"{ARXIV}DOI"),
        license=xml.text(item, f"{DC}rights"),
    )


def _kind(item):
    """Return new, cross, replace or replace-cross, or an empty string."""
    kind = item.findtext(f"{ARXIV}announce_type", "").strip()
    if kind in KINDS:
        return kind
    match = re.search(r"Announce Type:\s*([a-z-]+)", item.findtext("description", ""))
    return match[1] if match and match[1] in KINDS else ""


def _day(text):
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(EASTERN).date()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
