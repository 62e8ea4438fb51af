"""arXiv, Crossref, Europe PMC and ORCID on one loopback address, with a few papers each.

Each request is in `asked`, as (path, parameters, headers with names in lower case).
"""

from dataclasses import replace
from functools import partial
from urllib.parse import unquote
from xml.sax.saxutils import escape

from digest.sources import look_ups
from digest.sources.look_ups import LookUps
from tests.helpers.local_web import web_of
from tests.servers.loopback import JsonConversation, LoopbackServer, says

MISSING = 404, {"Content-Type": "text/plain"}, b"Resource not found."


class LookUpServer(LoopbackServer):
    def __init__(self):
        super().__init__(Conversation)
        self.arxiv: dict[str, tuple[str, str]] = {}  # Titles and abstracts by id.
        self.crossref: dict[str, dict] = {}  # Works by DOI.
        self.europe_pmc: dict[str, dict] = {}  # Results by query.
        self.orcid: dict[str, list] = {}  # Groups of works by ORCID.

    def look_ups(self, **options):
        """Return look-ups that ask this server, with options of Web."""
        names = "arxiv", "crossref", "europe_pmc", "orcid"
        known = dict(zip(names, look_ups.SERVICES.values(), strict=True))
        here = {name: replace(one, base=self.base) for name, one in known.items()}
        web_for = partial(lambda service: web_of(service.hosts, **{"retries": 1} | options))
        return LookUps(web_for, **here)


class Conversation(JsonConversation):
    def do_GET(self):
        path, asked, _ = self.note()
        self.send(*self.server.next_answer() or self.answer(path, asked))

    def answer(self, path, asked):
        server = self.server
        if path == "/api/query":
            found = server.arxiv.get(asked["id_list"])
            return 200, {"Content-Type": "application/atom+xml"}, atom(asked["id_list"], found)
        if path.startswith("/works/"):
            work = server.crossref.get(unquote(path.removeprefix("/works/")))
            return says({"message": work}) if work else MISSING
        if path.startswith("/v3.0/"):
            works = server.orcid.get(path.split("/")[2])
            return says({"group": works}) if works is not None else MISSING
        row = server.europe_pmc.get(asked["query"])
        return says({"hitCount": 1, "resultList": {"result": [row] if row else []}})


def atom(number, texts):
    entry = ""
    if texts:
        title, abstract = map(escape, texts)
        entry = f"<entry><id>http://arxiv.org/abs/{number}v1</id><title>{title}</title>"
        entry += f"<summary>{abstract}</summary><published>2020-01-01T00:00:00Z</published></entry>"
    return f'<feed xmlns="http://www.w3.org/2005/Atom">{entry}</feed>'.encode()


def work(title, year=2020, **ids):
    """Return a group of ORCID with one work, with ids such as doi="10.1000/1"."""
    rows = [{"external-id-type": kind, "external-id-value": value} for kind, value in ids.items()]
    summary = {"title": {"title": {"value": title}}, "publication-date": {"year": {"value": year}}}
    return {"external-ids": {"external-id": rows}, "work-summary": [summary]}
