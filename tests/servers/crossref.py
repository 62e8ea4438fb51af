"""Crossref on loopback, and the abstracts of Europe PMC and OpenAlex.

`works` are by DOI the day of registration and the work, as Crossref writes it; `journals`
are titles and their ISSNs; `abstracts` are OpenAlex's by DOI. Marks lead through the pages of a
list, from "*" on. What is in `answers` is sent first.
"""

from datetime import date
from urllib.parse import unquote

from digest.sources.crossref import Crossref
from tests.servers.loopback import USUAL, JsonConversation, LoopbackServer, says

TODAY = date(2026, 6, 3)
ABSTRACT = "It rises once it is warm."
ISSN = "2469-9950"
NOT_FOUND = (404, {}, b"Resource not found.")


class CrossrefServer(LoopbackServer):
    def __init__(self, today=TODAY):
        super().__init__(Conversation, today)
        self.works, self.journals, self.abstracts, self.hidden = {}, {}, {}, 0

    @property
    def addresses(self):
        return {"base": self.base, "abstracts_from": self.base, "openalex": self.base}

    def source(self, ids=(ISSN,)):
        return Crossref("bread", "Journal of Bread", list(ids), **self.addresses)

    def add(self, number=1, day=TODAY, **fields):
        """Register a work, or deposit it again."""
        parts = {"date-parts": [[day.year, day.month, day.day]]}
        work = {
            "DOI": f"10.1103/Bread.{number}",
            "type": "journal-article",
            "title": [f"Paper {number}"],
            "container-title": ["Journal of Bread"],
            "author": [{"given": "Ada", "family": "Roe", "affiliation": []}],
            "abstract": f"<jats:title>Abstract</jats:title>\n<jats:p>{ABSTRACT}</jats:p>",
            "issued": parts,
            "created": parts | {"date-time": f"{day}T23:59:59Z"},
        } | fields
        self.works[work["DOI"]] = day, work

    def lists(self):
        """Return the parameters of the lists of works that were asked for."""
        return [parameters for path, parameters, _ in self.asked if path == "/works"]


class Conversation(JsonConversation):
    def do_GET(self):
        path, parameters, _ = self.note()
        server, path = self.server, unquote(path)
        if path.startswith("/europepmc/"):
            return self.send(*says({"hitCount": 0, "resultList": {"result": []}}))
        if path.startswith("/works/doi:"):
            words = server.abstracts.get(path.removeprefix("/works/doi:"), "").split()
            places = {word: [n for n, other in enumerate(words) if other == word] for word in words}
            answer = says({"abstract_inverted_index": places}) if words else NOT_FOUND
            return self.send(*answer)
        if path.startswith("/journals"):
            return self.send(*self.journals(path, parameters))
        if (special := server.next_answer()) is not USUAL:
            return self.send(*special)
        self.send(*self.list(parameters))

    def journals(self, path, parameters):
        rows = [{"title": title, "ISSN": issns} for title, issns in self.server.journals.items()]
        if "query" in parameters:
            rows = [row for row in rows if parameters["query"].lower() in row["title"].lower()]
            return says({"message": {"items": rows}})
        found = [row for row in rows if path.removeprefix("/journals/") in row["ISSN"]]
        return says({"message": found[0]}) if found else NOT_FOUND

    def list(self, parameters):
        server = self.server
        filters = [part.partition(":")[::2] for part in parameters["filter"].split(",")]
        days = dict(filters)
        first, last = (days[f"{name}-created-date"] for name in ("from", "until"))
        works = sorted(server.works.values(), key=lambda row: row[0], reverse="sort" in parameters)
        works = [
            {name: work[name] for name in parameters["select"].split(",") if name in work}
            for day, work in works
            if first <= str(day) <= last
            and ("prefix" not in days or work["DOI"].startswith(days["prefix"]))
        ]
        mark = parameters.get("cursor", "*")
        start = 0 if mark == "*" else int(mark.removeprefix("page+"))
        rows = works[start : start + int(parameters["rows"])]
        message = {"total-results": len(works), "items": rows[: len(rows) - server.hidden]}
        if rows:
            message["next-cursor"] = f"page+{start + len(rows)}"
        return says({"status": "ok", "message-type": "work-list", "message": message})


def use(monkeypatch, server):
    """Let all sources of Crossref ask this server, without pauses."""
    monkeypatch.setattr(Crossref.__init__, "__kwdefaults__", server.addresses)
    monkeypatch.setattr(Crossref, "seconds_between", 0.0)
