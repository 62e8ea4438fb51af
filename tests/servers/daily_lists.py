"""Sources that have a list for each day, on loopback: Hugging Face, and bioRxiv with medRxiv.

Both have the same addresses, rows and refusals as the real ones. `add` puts a simple paper on a
day's list; `lists` holds the rows, so that a test can spoil one. What is in `answers` is sent
first, an answer a request; `asked` tells what was asked for: the day, the place in the list, and
of which server.
"""

import json
import re
from collections import defaultdict
from datetime import date, timedelta
from urllib.parse import parse_qs, urlsplit

from digest.sources.biorxiv.source import BioRxiv
from digest.sources.huggingface import HuggingFace
from tests.servers.loopback import DOWN, USUAL, JsonConversation, LoopbackServer, says

TODAY = date(2026, 6, 3)  # A Wednesday.
DAY = timedelta(days=1)
SERVERS = {"biorxiv": "bioRxiv", "medrxiv": "medRxiv"}


class DailyServer(LoopbackServer):
    def __init__(self, conversation, today):
        super().__init__(conversation, today)
        self.lists = defaultdict(list)
        self.page_of = lambda rows, start: rows[start : start + self.page]
        self.before_second = lambda: None  # What happens before the second page is sent.

    def is_special(self, conversation, *asked):
        """Note what was asked for. Return whether it was answered with what is in `answers`."""
        self.asked.append(asked)
        if (special := self.next_answer()) is not USUAL:
            conversation.send(*special)
            return True
        if len(self.asked) == 2:
            self.before_second()
        return False


# ---- Hugging Face


class HuggingFaceServer(DailyServer):
    page, path = 100, "/api/daily_papers"

    def __init__(self, *, today=TODAY):
        super().__init__(HuggingFaceConversation, today)
        self.link = lambda day, page: f"{self.base}{self.path}?date={day}&limit=100&p={page + 1}"
        self.has_next = lambda day, page: len(self.lists[day]) > (page + 1) * self.page

    def source(self):
        return HuggingFace(self.base)

    def add(self, day, number=1, **fields):
        self.lists[day].append(hugging_face_row(day, number, **fields))


class HuggingFaceConversation(JsonConversation):
    def do_GET(self):
        server, parts = self.server, urlsplit(self.path)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        day, page = date.fromisoformat(asked["date"]), int(asked["p"])
        if server.is_special(self, str(day), page):
            return
        if parts.path != server.path or day > server.today:
            return self.send(400, {}, b'{"error":"The date is in the future"}')
        has_next = server.has_next(day, page)
        link = {"Link": f'<{server.link(day, page)}>; rel="next"'} if has_next else {}
        rows = server.page_of(server.lists[day], page * server.page)
        self.send(200, link, json.dumps(rows).encode())


def hugging_face_row(day, number=1, /, **inner):
    """Return a row of a day's list, with the fields inside `paper` replaced."""
    paper = {"id": f"2606.{number:05}", "title": f"Paper {number}", "authors": [], "summary": ""}
    paper["publishedAt"] = f"{day}T04:21:09.000Z"  # arXiv's time of submission.
    paper |= {"submittedOnDailyAt": f"{day}T00:00:00.000Z", "upvotes": number} | inner
    return {"paper": paper, "title": paper["title"], "summary": paper["summary"]}


def too_many(seconds):
    """Return Hugging Face's answer to one request more than allowed."""
    headers = {"RateLimit": f'"api";r=0;t={seconds}', "RateLimit-Policy": '"api";q=500;w=300'}
    return 429, headers, b'{"error":"We had to rate limit your IP."}'


# ---- bioRxiv and medRxiv


class BioRxivServer(DailyServer):
    """Numbers are texts now and then. To ask beyond the end of a list is an error."""

    page = 30

    def __init__(self, *, today=TODAY):
        super().__init__(BioRxivConversation, today)
        self.journals = defaultdict(list)  # What journals published, by the day.
        self.asked_of_journals = []
        self.of_journals = USUAL  # The answer to all requests for those.
        self.total = len  # Of a list of rows, how many there are said to be.

    def source(self, name="biorxiv"):
        return BioRxiv(name, self.base)

    def add(self, day, number=1, *, server="biorxiv", **fields):
        """Post a version of a paper on a day, with the fields of its row replaced."""
        rows = self.lists[day] if server == "biorxiv" else self.lists[server, day]
        rows.append(biorxiv_row(day, number, server=SERVERS[server], **fields))

    def publish(self, day, doi, **fields):
        """Have a journal publish a paper on a day."""
        self.journals[day].append(publication(day, doi, **fields))


class BioRxivConversation(JsonConversation):
    PATH = re.compile(r"/(details|pubs)/(biorxiv|medrxiv)/(\d{4}-\d\d-\d\d)/\3/(\d+)/json")

    def do_GET(self):
        kind, name, day, place = self.PATH.fullmatch(self.path).groups()
        server, key, place = self.server, date.fromisoformat(day), int(place)
        if kind == "pubs":
            server.asked_of_journals.append((day, place, name))
            if server.of_journals is not USUAL:
                return self.send(*server.of_journals)
            return self.list_of(server.journals[key], place)
        if not server.is_special(self, day, place, name):
            self.list_of(server.lists[key if name == "biorxiv" else (name, key)], place)

    def list_of(self, rows, place):
        total = self.server.total(rows)
        some = self.server.page_of(rows, place)
        if place and total is not None and place >= total:
            return self.send(*DOWN)
        message = {"status": "no posts found"}
        if some:
            said = None if total is None else str(total)
            message = {"status": "ok", "cursor": place or str(place), "total": said}
        self.send(*says({"messages": [message], "collection": some}))


def biorxiv_doi(day, number):
    return f"10.64898/{day:%Y.%m.%d}.{number:06}"


def biorxiv_row(day, number=1, /, **fields):
    """Return a version of a paper as a row of the day's list, with these fields replaced."""
    texts = {"title": f"Paper {number}", "abstract": f"What paper {number} is about."}
    ids = {"doi": biorxiv_doi(day, number), "date": str(day), "version": "1", "published": "NA"}
    kinds = {"type": "new results", "license": "cc_by", "category": "neuroscience"}
    return texts | ids | kinds | {"authors": "Roe, K.; Doe, J.", "server": "bioRxiv"} | fields


def publication(day, doi, **fields):
    """Return a row of what journals published on a day."""
    titles = {"published_journal": "Journal of Bread", "preprint_title": "As it was once"}
    ids = {"preprint_doi": doi, "published_doi": "10.1000/bread.1"}
    return ids | titles | {"published_date": str(day)} | fields
