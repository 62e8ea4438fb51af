"""arXiv on loopback: its RSS feeds, OAI-PMH lists and query API, made from lists of papers by day.

A paper is a dict with id, title, abstract, authors and categories; where it matters also kind
(new, cross, replace), version, comments, license, doi, journal_ref, withdrawn. `today`
is the day that the feeds show; later days don't exist yet. `faults` spoils a feed ("cs", or "rss"
for all), "oai" or "api"; what is in `answers` is sent first, an answer a request; `asked` tells
what was asked for, when, and how many connections were open. As arXiv does, it answers 406 to
requests without Accept, and, with `window`, to two requests after each so many.
"""

import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from pathlib import Path
from string import Template
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from tests.servers.loopback import USUAL, JsonConversation, LoopbackServer

TEMPLATES = Path(__file__).with_name("arxiv_templates")
EASTERN = ZoneInfo("America/New_York")
PHYSICS = {"astro-ph", "cond-mat", "gr-qc", "hep-ex", "hep-lat", "hep-ph", "hep-th", "math-ph"}
PHYSICS |= {"nlin", "nucl-ex", "nucl-th", "physics", "quant-ph"}

WEB_PAGE = b"<!DOCTYPE html>\n<html><head><title>arXiv</title></head><body>Oops</body></html>"
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(
        b'<!ENTITY %c "%s">' % (letter, b"&%c;" % (letter - 1) * 10) for letter in b"bcdefghi"
    )
    + b"]><rss><channel><title>&i;</title></channel></rss>"
)
DEEP = b"<rss>" * 200_000 + b"</rss>" * 200_000
SIZE, NO_SIZE = "<size>97kb</size>", "<size>0kb</size><source_type>I</source_type>"
SPOILED = {"html": WEB_PAGE, "cut": b"<rss><channel><item><title>On"}


@dataclass
class Asked:
    path: str
    at: float
    connections: int


@dataclass
class Known:
    """A paper as the lists have it: its latest state, when it was changed, and its versions."""

    paper: dict
    changed: date
    versions: list[datetime] = field(default_factory=list)


class ArxivServer(LoopbackServer):
    def __init__(self, days, *, today, page_size=2_000):
        super().__init__(Conversation, today)
        self.days, self.page_size = days, page_size
        self.feed_size = 2_000
        self.faults, self.answers, self.window = {}, defaultdict(deque), None
        self.connections, self.lock = 0, threading.Lock()
        self.tokens = set()
        self.deleted = set()
        self.after_page = lambda number: None  # What happens once so many pages were sent.
        self.pages = 0

    @property
    def addresses(self):
        """Where the source finds what it asks for: keyword arguments of ArXiv."""
        return {
            "rss": f"{self.base}/rss",
            "oai": f"{self.base}/oai",
            "api": f"{self.base}/api/query",
        }

    def paths(self, start="/"):
        return [asked.path for asked in self.asked if asked.path.startswith(start)]

    def answer(self, path, params):
        """Return status, headers and body."""
        service = path.split("/")[1]
        if self.answers[service] and (answer := self.answers[service].popleft()) is not USUAL:
            return answer
        if service == "rss":
            return self.feed(unquote(path.removeprefix("/rss/")))
        if self.faults.get(service) in SPOILED:
            return found(SPOILED[self.faults[service]])
        return found(self.list(params) if service == "oai" else self.query(params))

    # RSS

    def feed(self, targets):
        fault = self.faults.get(targets) or self.faults.get("rss")
        if fault in SPOILED:
            return found(SPOILED[fault])
        day = max((day for day in self.days if day < self.today), default=self.today)
        day = day if fault == "stale" else self.today
        papers = [] if fault == "empty" else self.days.get(day, [])
        items = [rss_item(paper, kind, day) for paper, kind in announced(papers, targets)]
        items = items[: self.feed_size]
        if fault == "broken item" and items:
            items.insert(1, items[0].replace("<title>", "<name>").replace("</title>", "</name>"))
            items[0] = items[0].replace(">oai:arXiv.org:", ">oai:what is this ")
        body = rss_channel(targets, self.today, items).encode()
        if fault == "not utf-8":
            body = body.replace(b"</title>", b" caf\xe9</title>", 2)  # The channel's and an item's.
        return found(body)

    # OAI-PMH

    def list(self, params):
        if "resumptionToken" in params:
            token = params["resumptionToken"]
            if len(params) > 2 or token not in self.tokens:
                return oai(error("badResumptionToken", "The value of the token is expired."))
            params = {key: value[0] for key, value in parse_qs(unquote(token)).items()}
        begin, skip = date.fromisoformat(params["from"]), int(params.pop("skip", 0))
        rows = [row for row in self.known() if row.changed >= begin and is_in(row, params)]
        page = rows[skip : skip + self.page_size]
        if not page:
            return oai(error("noRecordsMatch", "The combination results in an empty list."))
        token = self.next_token(rows, skip, params)
        body = "".join(map(self.oai_record, page))
        self.pages += 1
        self.after_page(self.pages)
        return oai(f"<ListRecords>{body}{token}</ListRecords>")

    def next_token(self, rows, skip, params):
        """As arXiv makes them: they hold the question, and what to skip of the day they are at."""
        end = skip + self.page_size
        if end >= len(rows):
            return "<resumptionToken/>" if skip else ""
        day = rows[end].changed
        if day == rows[skip].changed:
            question = params | {"skip": end}
        else:
            of_day = sum(row.changed == day for row in rows[skip:end])
            question = params | {"from": day, "skip": of_day}
        token = quote(urlencode({"verb": "ListRecords"} | question))
        self.tokens.add(token)
        expires = f"{self.today + timedelta(days=1)}T00:00:00Z"
        return f"<resumptionToken expires='{expires}'>{escape(token)}</resumptionToken>"

    def known(self):
        """Return what was announced until today, sorted as the lists are: by day and id."""
        known = {}
        for day in sorted(day for day in self.days if day <= self.today):
            for paper in self.days[day]:
                row = known.setdefault(paper["id"], Known(paper, day))
                row.paper, row.changed = row.paper | paper, day
                while len(row.versions) < version_of(paper):
                    row.versions.append(submitted(paper, day, is_first=not row.versions))
        return sorted(known.values(), key=lambda row: (row.changed, row.paper["id"]))

    def oai_record(self, row):
        is_deleted = row.paper["id"] in self.deleted
        status = ' status="deleted"' if is_deleted else ""
        body = "" if is_deleted else oai_raw(row)
        return (
            f"<record><header{status}><identifier>oai:arXiv.org:{row.paper['id']}</identifier>"
            f"<datestamp>{row.changed}</datestamp></header>{body}</record>"
        )

    # The query API

    def query(self, params):
        ids = [text for text in params.get("id_list", "").split(",") if text]
        known = {row.paper["id"]: row for row in self.known()}
        entries = [atom_entry(known[text]) for text in ids if text in known]
        return atom("".join(entries[: int(params.get("max_results", 10))]), len(entries))


class Conversation(JsonConversation):
    protocol_version = "HTTP/1.1"

    def setup(self):
        self.is_counted = True
        with self.server.lock:
            self.server.connections += 1
        super().setup()

    def finish(self):
        super().finish()
        self.is_over()

    def is_over(self):
        """Count the connection no more: before its last bytes, after which the next may come."""
        with self.server.lock:
            self.server.connections -= self.is_counted
            self.is_counted = False

    def do_GET(self):
        server = self.server
        server.asked.append(Asked(self.path, time.monotonic(), server.connections))
        parts = urlsplit(self.path)
        params = {key: value[0] for key, value in parse_qs(parts.query).items()}
        is_throttled = (
            server.window and (len(server.asked) - 1) % (server.window + 2) >= server.window
        )
        if is_throttled or not self.headers.get("Accept"):
            self.send(406, {}, b"")
            return
        status, headers, body = server.answer(parts.path, params)
        if status == 200 and self.headers.get("If-None-Match") == headers["ETag"]:
            status, body = 304, b""
        self.send(status, headers, body)

    def end_headers(self):
        super().end_headers()
        if self.close_connection:
            self.is_over()


def found(body):
    body = body.encode() if isinstance(body, str) else body
    kind = "text/html" if body is WEB_PAGE else "text/xml; charset=utf-8"
    return 200, {"Content-Type": kind, "ETag": f'"{sha256(body).hexdigest()[:16]}"'}, body


def unavailable():
    """Return the answer of a server that has had enough."""
    return 503, {}, b"<html><body>Retry</body></html>"


def announced(papers, targets):
    """Return the papers that the feed of these archives and categories has, with their kinds."""
    targets = set(targets.split("+"))
    chosen = []
    for paper in papers:
        names = {(name, name.partition(".")[0]) for name in paper["categories"]}
        if not any(targets & set(pair) for pair in names):
            continue
        kind, primary = paper.get("kind", "new"), paper["categories"][0]
        if not targets & {primary, primary.partition(".")[0]}:
            kind = {"new": "cross", "replace": "replace-cross"}.get(kind, kind)
        chosen.append((paper, kind))
    order = ["new", "cross", "replace", "replace-cross"]
    return sorted(chosen, key=lambda pair: order.index(pair[1]))


def version_of(paper):
    return paper.get("version") or (2 if paper.get("kind", "new").startswith("replace") else 1)


def submitted(paper, day, *, is_first):
    """Return when a version was submitted: the working morning before it was announced. The first
    one of a paper that was announced earlier: in the middle of the month that its id tells."""
    if is_first and paper.get("kind", "new") != "new":
        return datetime(2000 + int(paper["id"][:2]), int(paper["id"][2:4]), 15, 12, tzinfo=UTC)
    day -= timedelta(days=1)
    while day.weekday() > 4:
        day -= timedelta(days=1)
    return datetime(day.year, day.month, day.day, 15, tzinfo=UTC)


def filled(template, **values):
    """Return a template with these values. Texts must be escaped."""
    text = (TEMPLATES / f"{template}.xml").read_text()
    return Template(text).substitute(values)


def escaped(paper):
    """Return the texts of a paper for XML."""
    texts = {name: escape(paper[name]) for name in ("id", "title", "abstract")}
    return texts | {"authors": escape(", ".join(paper["authors"]))}


def rss_channel(targets, day, items):
    built = datetime(day.year, day.month, day.day, 0, 0, 11, tzinfo=EASTERN).astimezone(UTC)
    return filled(
        "rss_channel",
        targets=targets,
        names=", ".join(targets.split("+")),
        built=format_datetime(built),
        midnight=rss_date(day),
        items="".join(items),
    )


def rss_item(paper, kind, day):
    lines = (f"      <category>{name}</category>\n" for name in paper["categories"])
    fields = {"versioned": f"{paper['id']}v{version_of(paper)}", "kind": kind, "day": rss_date(day)}
    fields["license"] = paper.get("license", "http://arxiv.org/licenses/nonexclusive-distrib/1.0/")
    fields["doi"] = element("arxiv:DOI", paper.get("doi"))
    fields["journal_ref"] = element("arxiv:journal_reference", paper.get("journal_ref"))
    return filled("rss_item", **escaped(paper), **fields, categories="".join(lines))


def rss_date(day):
    return format_datetime(datetime(day.year, day.month, day.day, tzinfo=EASTERN))


def element(name, text):
    return f"<{name}>{escape(str(text))}</{name}>\n" if text else ""


def oai(inner):
    return filled("oai", inner=inner)


def error(code, said):
    return f"<error code='{code}'>{said}</error>"


def is_in(row, params):
    """Return whether the paper is in the set that is asked for, if one is."""
    asked = params.get("set", "")
    sets = [set_of(name) for name in row.paper["categories"]]
    return any(f"{name}:".startswith(f"{asked}:" if asked else "") for name in sets)


def set_of(category):
    archive = category.partition(".")[0]
    return f"{'physics' if archive in PHYSICS else archive}:{category.replace('.', ':')}"


def oai_raw(row):
    paper = row.paper
    kept = len(row.versions) - bool(paper.get("withdrawn"))
    versions = "".join(
        f'<version version="v{number}"><date>{moment:%a, %d %b %Y %H:%M:%S} GMT</date>'
        + (SIZE if number <= kept else NO_SIZE)
        + "</version>"
        for number, moment in enumerate(row.versions, start=1)
    )
    names = ("comments", "journal-ref", "doi", "license")
    fields = {"categories": " ".join(paper["categories"])}
    fields |= {name: paper.get(name.replace("-", "_")) for name in names}
    fields |= {"abstract": paper["abstract"]}
    return filled(
        "oai_raw",
        **escaped(paper),
        submitter=escape(paper["authors"][0]),
        versions=versions,
        fields="".join(element(*field) for field in fields.items()),
    )


def atom(entries, total):
    return filled("atom", entries=entries, total=total)


def atom_error(said):
    return filled("atom_error", code=said.replace(" ", "_"), said=escape(said))


def atom_entry(row):
    paper = row.paper
    categories = "".join(
        f'<category term="{name}" scheme="http://arxiv.org/schemas/atom"/>'
        for name in [*paper["categories"], "68T07", "I.2.6; I.5.1"]
    )
    authors = "".join(f"<author>{element('name', name)}</author>" for name in paper["authors"])
    return filled(
        "atom_entry",
        **escaped(paper) | {"authors": authors},
        versioned=f"{paper['id']}v{len(row.versions)}",
        updated=f"{row.versions[-1]:%Y-%m-%dT%H:%M:%SZ}",
        published=f"{row.versions[0]:%Y-%m-%dT%H:%M:%SZ}",
        comment=element("arxiv:comment", paper.get("comments")),
        journal_ref=element("arxiv:journal_ref", paper.get("journal_ref")),
        doi=element("arxiv:doi", paper.get("doi")),
        primary=paper["categories"][0],
        categories=categories,
    )
