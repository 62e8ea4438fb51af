"""Hugging Face's daily papers on loopback: the same addresses, rows, headers and refusals.

`add` puts a simple paper on a day's list; `lists` holds the rows, so that a test can spoil one.
What is in `answers` is sent first, an answer a request; `asked` tells what was asked for: (day,
page), as written in the request.
"""

import json
from collections import defaultdict
from datetime import date
from hashlib import sha256
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.loopback import USUAL, JsonConversation, LoopbackServer

PATH = "/api/daily_papers"
THEIRS = ("ai_summary", "ai_keywords", "organization", "projectPage")
POLICY = '"fixed window";"api";q=500;w=300'


def too_many(seconds):
    """Return the answer to one request more than allowed."""
    headers = {"RateLimit": f'"api";r=0;t={seconds}', "RateLimit-Policy": POLICY}
    return 429, headers, b'{"error":"We had to rate limit your IP."}'


class HuggingFaceServer(LoopbackServer):
    def __init__(self, *, today):
        super().__init__(Conversation, today)
        self.lists = defaultdict(list)
        self.link = lambda day, page: f"{self.base}{PATH}?{urlencode(query(day, page + 1))}"
        self.has_next = lambda day, page, limit: len(self.lists[day]) > (page + 1) * limit

    def add(self, paper, day=None):
        """Put a paper, with fields as in a file of papers, on the list of its day or another."""
        day = day or date.fromisoformat(paper["date"])
        self.lists[day].append(row(paper, day))


def query(day, page, limit=100):
    return {"date": day.isoformat(), "limit": limit, "p": page}


class Conversation(JsonConversation):
    def do_GET(self):
        parts = urlsplit(self.path)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.server.asked.append((asked.get("date"), int(asked.get("p", 0))))
        if (special := self.server.next_answer()) is not USUAL:
            self.send(*special)
        elif parts.path != PATH:
            self.send_error_body(404, "Sorry, we can't find the page you are looking for.")
        else:
            self.list_of(asked)

    def list_of(self, asked):
        try:
            day = date.fromisoformat(asked["date"])
        except (KeyError, ValueError):
            return self.send_error_body(400, "Invalid date")
        if day > self.server.today:
            return self.send_error_body(400, "The date is in the future")
        page, limit = int(asked.get("p", 0)), min(int(asked.get("limit", 50)), 100)
        rows = self.server.lists[day][page * limit : (page + 1) * limit]
        headers = {"RateLimit": '"api";r=499;t=300', "RateLimit-Policy": POLICY}
        if self.server.has_next(day, page, limit):
            headers["Link"] = f'<{self.server.link(day, page)}>; rel="next"'
        body = json.dumps(rows).encode()
        headers["ETag"] = f'W/"{sha256(body).hexdigest()[:20]}"'
        if self.headers.get("If-None-Match") == headers["ETag"]:
            return self.send(304, headers, b"")
        self.send(200, headers, body)

    def send_error_body(self, status, error):
        self.send(status, {}, json.dumps({"error": error}).encode())


def row(paper, day):
    """Return the paper as a row of the day's list, with some fields that nobody reads."""
    written = f"{paper.get('published', day)}T04:21:09.000Z"  # arXiv's time of submission.
    inner = {
        "id": paper["id"],
        "authors": [_author(name) for name in paper.get("authors", [])],
        "publishedAt": written,
        "submittedOnDailyAt": f"{day}T00:00:00.000Z",
        "title": paper["title"],
        "summary": paper.get("abstract", ""),
        "upvotes": paper.get("upvotes", 0),
    }
    for name in ("githubRepo", "githubStars", "withdrawnAt", *THEIRS):
        if name in paper:
            inner[name] = paper[name]
    return {
        "paper": inner,
        "publishedAt": written,
        "title": paper["title"],
        "summary": paper.get("abstract", ""),
        "numComments": paper.get("numComments", 0),
    }


def _author(name):
    """Return an author as a row has it: hidden where the name is in parentheses."""
    return {"name": name.strip("()"), "hidden": name.startswith("("), "status": "claimed_verified"}
