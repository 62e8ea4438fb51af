"""A sample of every page: what the checks of all pages look at.

The addresses are those of the URLconf, so a new one without a sample is found at once. A page that
has several faces, such as the answer to a form, has a sample for each.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from django.http import HttpResponse
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.urls import URLResolver, get_resolver

from config import errors, policies
from digest import archive, planning
from digest.models import Digest, LibraryPaper, Paper, PaperEvent, ReaderModel
from subscriptions import limits, links, moving, views
from subscriptions.models import Letter, Move, Subscriber
from tests import make
from tests.make import NOW

#: The panel has pages of its own; at the other, mail providers post what becomes of letters.
ELSEWHERE = ("admin/", "anymail/")


def text_of(response: HttpResponse) -> str:
    """Return the page's words, without its tags."""
    assert response.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def web_copy_of(digest: Digest) -> str:
    """Return where a letter stands on the web, for who has its link."""
    return f"/digests/{links.token('digest', digest.public_id)}/"


@dataclass(frozen=True)
class Sample:
    """A page with its address, and what it answers: to a request, or what `made` returns."""

    route: str
    path: str
    sent: dict | None = None
    made: Callable[[], HttpResponse] | None = None

    def __str__(self):
        return f"{self.path.partition('?')[0]}{' sent in' if self.sent is not None else ''}"

    def answer(self, client: Client) -> HttpResponse:
        """Return the page. A redirect is followed, as by a browser."""
        if self.made is not None:
            return self.made()
        if self.sent is None:
            return client.get(self.path, follow=True)
        return client.post(self.path, urlencode(self.sent, doseq=True), FORM, follow=True)


OLD = NOW - timedelta(days=9)
FORM = "application/x-www-form-urlencoded"


def routes(patterns=None, before="") -> Iterator[str]:
    """Yield the route of each address, as the URLconf writes it."""
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = before + str(pattern.pattern)
        if route.startswith(ELSEWHERE):
            continue
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route


def furnish() -> None:
    """Make what there is to see: topics, papers, a reader with a digest who has said something."""
    for name in ("Graph learning", "Robotics", "Vision"):
        make.topic(name, description=f"All of {name.lower()}.")
    make.topic("Machine learning", slug="arxiv-cs-lg", categories=["cs.LG"], description="CS")
    for number in range(4):
        make.paper(
            f"Graph networks number {number} <script>alert(1)</script>",
            "On graphs, their nodes and their edges. " * (30 * number + 1),
            authors=["Ada Example"] * (3 * number),
            categories=["cs.LG", "stat.ML"],
            upvotes=number * 700,
            github="https://github.com/example/graphs" if number else "",
            is_sample=number == 1,
        )
    reader = make.subscriber("reader@example.org", interests="graph networks", size=3)
    make.subscriber("new@example.org", confirmed=False)
    make.subscriber("gone@example.org", unsubscribed_at=NOW, next_due_at=None)
    make.subscriber("away@example.org", paused_until=NOW.date().replace(day=20))
    make.subscriber("back@example.org", suppressed_at=NOW, suppressed_by="bounced")
    moving.ask(make.subscriber("mover@example.org"), "moved@example.org", now=NOW)
    settled = make.subscriber("settled@example.org", moved_at=NOW)
    done = dict.fromkeys(["asked_at", "old_agreed_at", "new_agreed_at", "done_at"], NOW)
    Move.objects.create(subscriber=settled, new_email=settled.email, **done)
    archive.renew(NOW)
    planning.plan(NOW)
    pick = Digest.objects.get(subscriber=reader).picks.leading().first()
    reader.feedback.create(paper=pick.paper, value="more", at=NOW)
    tomorrow = NOW + timedelta(days=1)
    PaperEvent.objects.create(paper=pick.paper, kind="revised", note="version 2", at=tomorrow)
    LibraryPaper.objects.create(
        subscriber=reader, identity="title:1", title="<b>Graphs & nodes", year=2024, at=NOW
    )
    ReaderModel.objects.create(
        subscriber=reader, terms=["graph", "node"], words=["graphs", "nodes"], weights=[0.5, -0.25]
    )


def samples() -> list[Sample]:
    """Return the samples of what `furnish` made."""
    reader = of("reader")
    paper = Digest.objects.get(subscriber=reader).picks.leading().first().paper.pk
    other = Paper.objects.exclude(pk=paper).first().pk
    say, topic = "feedback/<str:token>/", "topics/<slug:slug>/"
    return [
        Sample("", "/"),
        Sample("", "/?interests=graph+networks&topics=gone"),
        Sample("", "/?interests=zzyzx"),
        Sample("preview/", "/preview/", {"interests": "graph networks", "topics": "robotics"}),
        Sample("subscribe/", "/subscribe/"),
        Sample("subscribe/", "/subscribe/", {"email": "you@example.org"}),
        Sample("subscribe/", "/subscribe/", {"email": "x", "topics": "x", "timezone": "x"}),
        *[
            Sample("confirm/<str:token>/", f"/confirm/{asked(who, kind)}/")
            for who, kind in [("new", "confirm"), ("gone", "goodbye"), ("back", "bounced")]
        ],
        Sample("confirm/<str:token>/", f"/confirm/{asked('reader', 'confirm')}/"),
        Sample("confirm/<str:token>/", f"/confirm/{asked('new', 'confirm')}/", {}),
        Sample("confirm/<str:token>/", "/confirm/nothing/"),
        *[
            Sample("preferences/<str:token>/", f"/preferences/{token('preferences', who)}/")
            for who in ("reader", "new", "gone", "away", "back")
        ],
        Sample(
            "preferences/<str:token>/",
            f"/preferences/{token('preferences', 'reader')}/",
            {"size": "0", "timezone": "x", "hour": "99", "topics": "x", "mute": "x"},
        ),
        *[
            Sample("move/<str:token>/", f"/move/{links.token(f'move-{side}', whose, NOW)}/", sent)
            for side in ("old", "new")
            for whose in [of("mover").public_id]
            for sent in (None, {})
        ],
        Sample(
            "move/<str:token>/", f"/move/{links.token('move-old', of('mover').public_id, OLD)}/"
        ),
        Sample("preferences/<str:token>/", f"/preferences/{token('preferences', 'mover')}/"),
        # Of one who has moved: what lies in both mailboxes, and what is from before.
        *[
            Sample("move/<str:token>/", f"/move/{links.token(f'move-{side}', settled, NOW)}/")
            for side in ("old", "new")
            for settled in [of("settled").public_id]
        ],
        Sample("preferences/<str:token>/", f"/preferences/{token('preferences', 'settled')}/"),
        *[
            Sample(
                "unsubscribe/<str:token>/", f"/unsubscribe/{token('unsubscribe', 'settled')}/", sent
            )
            for sent in (None, {})
        ],
        Sample("lost/", "/lost/"),
        Sample("lost/", "/lost/", {"email": "x"}),
        Sample("lost/", "/lost/", {"email": "you@example.org"}),
        Sample("unsubscribe/<str:token>/", f"/unsubscribe/{token('unsubscribe', 'reader')}/"),
        Sample("unsubscribe/<str:token>/", f"/unsubscribe/{token('unsubscribe', 'away')}/", {}),
        Sample("topics/", "/topics/"),
        Sample(topic, "/topics/graph-learning/"),
        Sample(topic, "/topics/robotics/"),
        Sample(topic, "/topics/arxiv-cs-lg/"),
        Sample(f"{topic}feed/", "/topics/graph-learning/feed/"),
        Sample("papers/<path:identity>/", f"/papers/{paper}/"),
        Sample("papers/<path:identity>/", "/papers/2501.00001/"),
        Sample("papers/<path:identity>/", "/papers/nothing/"),
        Sample("days/<str:day>/", f"/days/{NOW:%Y-%m-%d}/"),
        Sample("days/<str:day>/", "/days/2020-01-01/"),
        Sample("search/", "/search/"),
        Sample("search/", "/search/?q=graph+networks"),
        Sample("search/", "/search/?q=Ada+Example&order=new"),
        Sample("search/", "/search/?q=xyzzy"),
        Sample("search/", "/search/?q=2501.00001"),
        Sample("search/", "/search/?q=graph&page=9"),
        Sample("feeds/<str:token>/", f"/feeds/{token('feed', 'reader')}/"),
        Sample("sitemap.xml", "/sitemap.xml"),
        Sample("sitemap-<slug:section>.xml", "/sitemap-papers.xml"),
        Sample("digests/<str:token>/", web_copy_of(digest())),
        Sample(say, f"/feedback/{token('feedback', 'reader')}/?paper={paper}&value=less"),
        Sample(say, f"/feedback/{token('feedback', 'reader')}/", {"paper": paper, "value": "save"}),
        Sample("learned/<str:token>/", f"/learned/{token('preferences', 'reader')}/"),
        *[
            Sample("library/<str:token>/", f"/library/{token('preferences', who)}/", sent)
            for who, sent in [
                ("reader", None),
                ("new", None),
                ("reader", {"text": "hello"}),
                ("reader", {"text": "On nodes and edges\nAnother one on edges"}),
                ("reader", {"text": f"On nodes and edges\n{'hello' * 9}"}),
                ("reader", {"text": "\1"}),
                ("reader", {"text": "On nodes and edges\nAnother one on edges", "add": "1"}),
                ("reader", {"text": "On nodes and edges\nAnother one on edges"}),
                ("reader", {"undo": "9"}),
            ]
        ],
        *[
            Sample("saved/<str:token>/", f"/saved/{token('preferences', who)}/{asked}")
            for who, asked in [("reader", ""), ("reader", f"?paper={other}"), ("new", "")]
        ],
        *[
            Sample(f"saved/<str:token>/{kind}/", f"/saved/{token('preferences', 'reader')}/{kind}/")
            for kind in ("bibtex", "ris")
        ],
        Sample("why/<str:token>/", f"/why/{token('preferences', 'reader')}/?paper={paper}"),
        Sample("privacy/", "/privacy/"),
        Sample("imprint/", "/imprint/"),
        Sample("embed/", "/embed/"),
        Sample("robots.txt", "/robots.txt"),
        Sample("healthz/", "/healthz/"),
        Sample("healthz/live/", "/healthz/live/"),
        Sample("metrics", "/metrics"),
        *broken(),
        # The last one, after which there is no such reader.
        Sample(
            "preferences/<str:token>/",
            f"/preferences/{token('preferences', 'reader')}/",
            {"action": "erase"},
        ),
    ]


def broken() -> list[Sample]:
    """Return the pages for what goes wrong, those too that no request of a test leads to."""
    request = RequestFactory().get("/")
    made = {
        "400.html": lambda: errors.unreadable(request, None),
        "403.html": lambda: errors.forbidden(request, None),
        "403_csrf.html": lambda: errors.form_unproven(request),
        "404.html": lambda: errors.not_found(request, None),
        **{
            f"429 {door} {by}": lambda door=door, by=by: views.too_many(
                request, limits.TooMany(door, by, timedelta(minutes=5))
            )
            for door in ("sign-up", "log-in")
            for by in ("network", "all", "store")
        },
        "500.html": lambda: errors.broken(request),
        "503.html": lambda: errors.page(request, 503),
        "410": lambda: HttpResponse(
            render_to_string(
                "subscriptions/bad_link.html", policies.site(request) | {"expired": True}
            ),
            status=410,
        ),
    }
    return [Sample("", f"/{name}", made=page) for name, page in made.items()]


def of(name):
    return Subscriber.objects.get(email=f"{name}@example.org")


def digest():
    return Digest.objects.get(subscriber=of("reader"))


def token(purpose, name):
    return links.token(purpose, of(name).public_id)


def asked(name, kind):
    """Return the token of a letter of this kind, as the reader's state lets it ask."""
    reader = of(name)
    moments = {Letter.Kind.GOODBYE: reader.unsubscribed_at, Letter.Kind.BOUNCED: NOW}
    return links.token(kind, reader.public_id, moments.get(kind, reader.asked_at))
