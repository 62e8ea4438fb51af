"""bioRxiv's and medRxiv's interface on loopback: the same addresses, answers and refusals.

`add` posts a simple paper on a server's list of a day, `publish` puts one on the list of what
journals published; `lists` and `journals` hold the rows, so that a test can spoil one. What is in
`answers` is sent first, an answer a request for a list; `asked` tells what was asked for: (server,
day, place). As the real one has it: pages of 30, numbers now and then as texts, an error beyond
the end.
"""

import re
from collections import defaultdict
from datetime import date

from tests.loopback import DOWN, USUAL, JsonConversation, LoopbackServer, says

PATH = re.compile(
    r"/(details|pubs)/(biorxiv|medrxiv)/(\d{4}-\d\d-\d\d)/(\d{4}-\d\d-\d\d)/(\d+)/json"
)
SERVERS = {"biorxiv": "bioRxiv", "medrxiv": "medRxiv"}


class BioRxivServer(LoopbackServer):
    page = 30

    def __init__(self, *, today):
        super().__init__(Conversation, today)
        self.lists = defaultdict(list)  # By server and day.
        self.journals = defaultdict(list)
        self.asked_of_journals = []
        self.of_journals = USUAL  # The answer to all requests for those.
        self.total = len  # Of a list of rows, how many there are said to be.
        self.before_second = lambda: None  # What happens before the second page is sent.

    def add(self, day, number=1, *, server="biorxiv", **fields):
        """Post a version of a paper on a day, with the fields of its row replaced."""
        self.lists[server, day].append(row(day, number, server=server, **fields))

    def publish(self, day, doi, *, server="biorxiv", **fields):
        """Have a journal publish a paper on a day."""
        self.journals[server, day].append(publication(day, doi, **fields))


class Conversation(JsonConversation):
    def do_GET(self):
        found = PATH.fullmatch(self.path)
        if not found:
            return self.send(404, {}, b"")
        kind, server, day, until, place = found.groups()
        key, place = (server, date.fromisoformat(day)), int(place)
        if kind == "pubs":
            self.server.asked_of_journals.append((server, day, place))
            if self.server.of_journals is not USUAL:
                return self.send(*self.server.of_journals)
            return self.list_of(self.server.journals[key], place)
        self.server.asked.append((server, day, place))
        if (special := self.server.next_answer()) is not USUAL:
            return self.send(*special)
        if len(self.server.asked) == 2:
            self.server.before_second()
        self.list_of(self.server.lists[key] if day == until else [], place)

    def list_of(self, rows, place):
        total = self.server.total(rows)
        some = rows[place : place + self.server.page]
        if place and total is not None and place >= total:
            return self.send(*DOWN)
        message = {"status": "no posts found"}
        if some:
            message = {
                "status": "ok",
                "cursor": place or str(place),
                "total": None if total is None else str(total),
            }
        self.send(*says({"messages": [message], "collection": some}))


def doi(day, number):
    return f"10.64898/{day:%Y.%m.%d}.{number:06}"


def row(day, number=1, *, server="biorxiv", **fields):
    """Return a version of a paper as a row of the day's list, with these fields replaced."""
    return {
        "title": f"Paper {number}",
        "authors": "Roe, K.; Doe, J.",
        "doi": doi(day, number),
        "date": str(day),
        "version": "1",
        "type": "new results",
        "license": "cc_by",
        "category": "neuroscience",
        "abstract": f"What paper {number} is about.",
        "published": "NA",
        "server": SERVERS[server],
    } | fields


def publication(day, doi, **fields):
    """Return a row of what journals published on a day."""
    return {
        "preprint_doi": doi,
        "published_doi": "10.1000/bread.1",
        "published_journal": "Journal of Bread",
        "preprint_title": "As it was once",
        "published_date": str(day),
    } | fields
