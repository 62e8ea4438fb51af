"""Hugging Face's daily papers, with upvotes.

Requests the endpoint directly, because the client library drops fields of `paper` and does not
distinguish zero upvotes from unknown ones.
"""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from urllib.parse import parse_qs, urljoin, urlsplit

from digest.http.client import Entry, Refused, Unavailable, Web
from digest.sources import daily_listing, records
from digest.sources.base import Batch, MalformedFeed
from digest.sources.daily_listing import Listing, count_of, text_of
from digest.sources.records import BadRecord, Record

SENDER = "Hugging Face"
PAGE_SIZE = 100  # The endpoint's maximum.
MAX_PAGES = 10  # Of one day.
MAX_ROWS = 10 * PAGE_SIZE  # In one response.
MAX_SUMMARY, MAX_KEYWORDS, MAX_NAME = 600, 10, 80
LINK = re.compile(r"<([^<>]*)>([^<>]*)")
IS_NEXT = re.compile(r';\s*rel\s*=\s*"?next\b', re.IGNORECASE)


class HuggingFace:
    """The lists of the days up to `today` (UTC).

    The day of a list is an estimate of a paper's day, because arXiv announces the papers.
    """

    name = "huggingface"
    seconds_between = 1.0  # Without an account, 500 requests in five minutes are allowed.

    def __init__(self, base: str = "https://huggingface.co"):
        self.address = f"{base}/api/daily_papers"
        self.hosts = frozenset({urlsplit(base).netloc})

    def harvest(self, web: Web, *, today: date, since: date | None, cursor: str) -> Iterator[Batch]:
        """Yield a batch for each day's list, all its pages in one. The cursor is the next day."""
        day = daily_listing.first_day(cursor, today, since)
        while day <= today:
            next_day = day + timedelta(days=1)
            listing = _Listing(day)
            try:
                self._read_pages(listing, web, today)
            except (Refused, Unavailable, MalformedFeed):
                if listing.page_count:  # The day is read again later.
                    listing.problem = f"The list of {day} broke off after {listing.pages_read}."
                    yield listing.batch(cursor=str(day), today=today)
                raise
            yield listing.batch(cursor=str(next_day) if day < today else "", today=today)
            day = next_day

    def _read_pages(self, listing, web, today):
        while True:
            response = self._ask(web, listing.day, listing.page_count, today)
            content = daily_listing.parse_json(response.body, SENDER) if response else []
            rows = daily_listing.rows_of(content, SENDER, MAX_ROWS)
            is_repeated = not listing.add(rows)
            links = LINK.findall(response.headers.get("link", "")) if rows else []
            link = next((address for address, relation in links if IS_NEXT.search(relation)), "")
            if link:
                listing.problem = self._problem(link, listing, is_repeated)
            if not link or listing.problem:
                return

    def _ask(self, web, day, page, today) -> Entry | None:
        """Return a page of the day's list, or None if the day has not begun there."""
        params = {"date": day.isoformat(), "limit": str(PAGE_SIZE), "p": str(page)}
        try:
            return web.get(self.address, params)
        except Refused as error:
            # The response for a future day. Its clock may be behind ours.
            if error.status == 400 and day >= today and page == 0:
                return None
            raise

    def _problem(self, link, listing, is_repeated):
        """Return why the next page is not requested, or an empty string.

        Only the page number of the link is used, so that no link leads to another address.
        """
        endpoint = urlsplit(self.address)
        try:
            parts = urlsplit(urljoin(self.address, link))
        except ValueError:
            parts = None
        if not parts or parts[:3] != endpoint[:3]:
            return f"The next page of {listing.day} is said to be elsewhere: {link[:200]!r}."
        if parse_qs(parts.query).get("p") != [str(listing.page_count)]:
            return f"After {listing.pages_read} of {listing.day} comes a wrong one: {link[:200]!r}."
        return listing.stop_reason(is_repeated, MAX_PAGES)


class _Listing(Listing):
    def add(self, rows) -> bool:
        """Add a page. Return whether it has anything new: rows may move to the next page."""
        previous_count = len(self.records) + len(self.errors)
        for number, row in enumerate(rows, 1):
            try:
                record = _record(row, self.day)
                self.records[record.id] = record
            except BadRecord as error:
                name = _name(row) or f"{self.day}, page {self.page_count + 1}, row {number}"
                self.errors.append(f"{name}: {error}")
        self.page_count += 1
        return len(self.records) + len(self.errors) > previous_count


def _name(row):
    try:
        identity = row["paper"]["id"]
    except (KeyError, TypeError):
        return ""
    return records.clean(identity, 60) if isinstance(identity, str) else ""


def _record(row, day) -> Record:
    paper = row.get("paper") if isinstance(row, dict) else None
    if not isinstance(paper, dict):
        raise BadRecord("it holds no paper")
    title = text_of(paper, "title") or text_of(row, "title")
    if not (title := records.clean(title, records.MAX_TITLE)):
        raise BadRecord("it has no title")
    abstract = text_of(paper, "summary") or text_of(row, "summary")
    comments = count_of(row, "numComments")
    return Record(
        id=records.canonical_id(text_of(paper, "id")),
        title=title,
        abstract=records.clean(abstract, records.MAX_ABSTRACT),
        # Not `publishedAt`, which was the list's time once and is arXiv's now.
        day=daily_listing.listing_day(paper.get("submittedOnDailyAt"), day),
        day_is_estimate=True,
        authors=_authors(paper),
        upvotes=count_of(paper, "upvotes"),
        is_withdrawn=bool(paper.get("withdrawnAt")),
        github=records.web_address(text_of(paper, "githubRepo")),
        github_stars=count_of(paper, "githubStars"),
        num_comments=count_of(paper, "numComments") if comments is None else comments,
        hugging_face=_hugging_face_fields(paper, row) or None,
    )


def _hugging_face_fields(paper, row) -> dict[str, str | list[str]]:
    """Return the fields of Paper.hugging_face."""
    organization = paper.get("organization") or row.get("organization")
    organization = organization if isinstance(organization, dict) else {}
    name = text_of(organization, "fullname") or text_of(organization, "name")
    fields = {
        "summary": records.clean(text_of(paper, "ai_summary"), MAX_SUMMARY),
        "keywords": records.clean_names(paper.get("ai_keywords"))[:MAX_KEYWORDS],
        "organization": records.clean(name, MAX_NAME),
        "project_page": records.web_address(text_of(paper, "projectPage")),
    }
    return {name: value for name, value in fields.items() if value}


def _authors(paper):
    """Return the authors' names, without hidden ones."""
    authors = paper.get("authors") or []
    if not isinstance(authors, list) or not all(isinstance(author, dict) for author in authors):
        raise BadRecord("its authors are no list of authors")
    visible_authors = [author for author in authors if not author.get("hidden")]
    return records.clean_names([text_of(author, "name") for author in visible_authors])
