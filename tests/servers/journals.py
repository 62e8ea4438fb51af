"""A journal's feed on loopback, in three formats, Crossref, and Europe PMC.

`items` are dicts with title, doi, authors, day and summary, and where it matters link and journal,
or are XML. What is in `answers` is sent first instead of the feed; `works` are Crossref's by DOI or
Elsevier's id, or answers; `abstracts` are Europe PMC's by DOI; `asked` tells the paths, and
`searched` the queries.
"""

from datetime import UTC, date, datetime
from email.utils import format_datetime
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from digest.sources.journals import Journal
from tests.servers.loopback import USUAL, JsonConversation, LoopbackServer, says

TODAY = date(2026, 6, 3)
SPACES = (
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:prism="http://prismstandard.org/namespaces/basic/2.0/" '
    'xmlns:content="http://purl.org/rss/1.0/modules/content/"'
)
FORMATS = ("rss1", "rss2", "atom")
ABSTRACT = f"Bread rises. {'We bake it again and measure it. ' * 4}".strip()


class JournalServer(LoopbackServer):
    """`kind` is the format of the feed."""

    def __init__(self, kind="rss1"):
        super().__init__(Conversation, TODAY)
        self.kind, self.items, self.works = kind, [], {}
        self.abstracts, self.searched, self.abstracts_from = {}, [], self.base

    def source(self, **options):
        options = {"completes": False, "crossref": self.base} | options
        journal = Journal("bread", "Journal of Bread", f"{self.base}/feed", **options)
        journal.abstracts_from = self.abstracts_from
        return journal

    def add(self, number=1, **fields):
        usual = {"title": f"Paper {number}", "doi": f"10.1000/bread.{number}", "day": "2026-05-30"}
        self.items.append(usual | {"authors": ["Ada Roe", "Kay Doe"], "summary": ABSTRACT} | fields)

    def feed(self):
        xml_of = {"rss1": _rss1, "rss2": _rss2, "atom": _atom}[self.kind]
        items = "".join(one if isinstance(one, str) else xml_of(one) for one in self.items)
        title = "<title>Journal of Bread</title>"
        if self.kind == "rss1":
            root = "<rdf:RDF xmlns='http://purl.org/rss/1.0/'", f"<channel>{title}</channel>{items}"
            return f"{root[0]} {SPACES}>{root[1]}</rdf:RDF>"
        if self.kind == "rss2":
            return f"<rss version='2.0' {SPACES}><channel>{title}{items}</channel></rss>"
        return f"<feed xmlns='http://www.w3.org/2005/Atom' {SPACES}>{title}{items}</feed>"


class Conversation(JsonConversation):
    def do_GET(self):
        server, path = self.server, unquote(urlsplit(self.path).path)
        query = parse_qs(urlsplit(self.path).query)
        if path.startswith("/europepmc/"):
            server.searched += query["query"]
            rows = [
                {"doi": doi.upper(), "abstractText": text}
                for doi, text in server.abstracts.items()
                if f'DOI:"{doi}"' in query["query"][0]
            ]
            return self.send(*says({"hitCount": len(rows), "resultList": {"result": rows}}))
        server.asked.append(path)
        if path == "/works":
            ids = [each.removeprefix("alternative-id:") for each in query["filter"][0].split(",")]
            works = [server.works[each] for each in ids if each in server.works]
            return self.send(*says({"message": {"items": works}}))
        if path.startswith("/works/"):
            work = server.works.get(path.removeprefix("/works/"), (404, {}, b"Resource not found."))
            return self.send(*(work if isinstance(work, tuple) else says({"message": work})))
        if (special := server.next_answer()) is not USUAL:
            return self.send(*special)
        body = server.feed().encode()
        tag = f'"{hash(body)}"'
        if self.headers.get("If-None-Match") == tag:
            return self.send(304, {"ETag": tag}, b"")
        self.send(200, {"ETag": tag, "Content-Type": "application/rss+xml"}, body)


def _elements(**texts):
    tags = ((name.replace("_", ":"), text) for name, text in texts.items() if text)
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for tag, text in tags)


def _fields(item, creator="dc_creator"):
    return _elements(prism_publicationName=item.get("journal")) + "".join(
        _elements(**{creator: name}) for name in item["authors"]
    )


def _rss1(item):
    link = item.get("link", "http://bread.example/1")
    doi = item["doi"] and f"doi:{item['doi']}"
    texts = {"title": item["title"], "link": link, "dc_identifier": doi, "dc_date": item["day"]}
    body = _elements(**texts, description=item["summary"]) + _fields(item)
    return f'<item rdf:about="{escape(link)}">{body}</item>'


def _rss2(item):
    day = format_datetime(datetime.fromisoformat(item["day"]).replace(tzinfo=UTC))
    texts = {"title": item["title"], "prism_doi": item["doi"], "pubDate": day}
    return f"<item>{_elements(**texts, description=item['summary'])}{_fields(item)}</item>"


def _atom(item):
    names = "".join(f"<author>{_elements(name=name)}</author>" for name in item["authors"])
    texts = {"title": item["title"], "id": f"https://doi.org/{item['doi']}"}
    texts |= {"published": f"{item['day']}T12:00:00Z", "summary": item["summary"]}
    return f"<entry>{_elements(**texts)}{names}</entry>"
