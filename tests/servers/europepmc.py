"""Europe PMC's search on loopback. `add` puts a paper on the list of a day.

A query finds the rows of its day with one of its words in the title. It is refused if it has other
syntax than the source writes.
"""

import json
import re
from collections import defaultdict
from datetime import date
from urllib.parse import parse_qs, urlsplit

from digest.sources.europepmc import EuropePmc
from tests.servers.daily_lists import TODAY
from tests.servers.loopback import USUAL, JsonConversation, LoopbackServer

TERM = r'TITLE_ABS:(?:[^\W_]+|"[^\W_]+(?: [^\W_]+)*")'
WAYS = rf"(?:{TERM}|\({TERM}(?: OR {TERM})+\))"
CLAUSE = rf"\({WAYS}(?: AND {WAYS})*\)"
QUERY = re.compile(
    rf"\({CLAUSE}(?: OR {CLAUSE})*\) AND \(SRC:MED OR SRC:PPR\)"
    r" AND CREATION_DATE:\[(\d{4}-\d\d-\d\d) TO \1\]"
)


class EuropePmcServer(LoopbackServer):
    def __init__(self, *, today=TODAY):
        super().__init__(Conversation, today)
        self.lists = defaultdict(list)
        self.mark_of = lambda end, rows: f"mark{end}" if end < len(rows) else None
        self.total = len  # Of a list of rows, how many there are said to be.

    def source(self, phrases=("paper",)):
        return EuropePmc(phrases, self.base)

    def add(self, day, number=1, **fields):
        self.lists[day].append(row(number, **fields))


class Conversation(JsonConversation):
    def do_GET(self):
        server = self.server
        asked = {name: said[0] for name, said in parse_qs(urlsplit(self.path).query).items()}
        server.asked.append((asked["query"], asked["cursorMark"]))
        if (special := server.next_answer()) is not USUAL:
            return self.send(*special)
        understood = QUERY.fullmatch(asked["query"])
        if not understood or len(self.path) > 4_000 or asked["synonym"] != "false":
            return self.send(400, {}, b"{}")
        words = re.findall(r'TITLE_ABS:"?([^\W_]+)', understood[0])
        on_list = server.lists[date.fromisoformat(understood[1])]
        rows = [one for one in on_list if any(w in str(one["title"]).lower() for w in words)]
        start = int(asked["cursorMark"].removeprefix("mark").replace("*", "0"))
        end = start + int(asked["pageSize"])
        answer = {"version": "6.9", "hitCount": server.total(rows)}
        if mark := server.mark_of(end, rows):
            answer["nextCursorMark"] = mark
        answer["resultList"] = {"result": rows[start:end]}
        self.send(200, {}, json.dumps(answer).encode())


def row(number=1, /, **fields):
    """Return a paper of PubMed with these fields replaced."""
    texts = {"title": f"Paper {number}.", "abstractText": f"What paper {number} is about."}
    ids = {"id": f"{number}", "source": "MED", "doi": f"10.1000/Bread.{number}"}
    journal = {"journal": {"title": "Bread"}, "volume": "12", "issue": "3"}
    dates = {"firstPublicationDate": "2026-06-01", "journalInfo": journal}
    return ids | texts | dates | {"pubTypeList": {"pubType": ["Journal Article"]}} | fields


def preprint(publisher, doi, /, **fields):
    """Return a preprint with these fields replaced."""
    kinds = {"pubTypeList": {"pubType": ["Preprint"]}, "journalInfo": None}
    kinds["bookOrReportDetails"] = {"publisher": publisher}
    return row(7, id="PPR7", source="PPR", doi=doi, **kinds | fields)
