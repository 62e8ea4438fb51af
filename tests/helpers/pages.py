"""A sample of every page, from tests/data/pages.txt: what the checks of all pages look at.

The addresses are those of the URLconf, so a new one without a sample is found at once. A page that
has several faces, such as the answer to a form, has a sample for each.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from string import Template
from urllib.parse import urlencode

from django.http import HttpResponse
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.urls import URLResolver, get_resolver, resolve

from config import error_views, middleware
from digest.indexing import index_store
from digest.models import Digest, LibraryPaper, PaperEvent, ReaderModel
from digest.planning import plan
from digest.views import access
from subscriptions.actions import change_address, invite
from subscriptions.models import Move, Subscriber
from subscriptions.security import rate_limits, tokens
from tests.factories import make
from tests.factories.make import DAY, MINUTE, NOW, TODAY
from tests.helpers import data_files

#: The panel has pages of its own; at the other, mail providers post what becomes of letters.
ELSEWHERE = ("admin/", "anymail/")


def text_of(response: HttpResponse) -> str:
    """Return the page's words, without its tags."""
    assert response.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def web_copy_of(digest: Digest) -> str:
    """Return where a letter stands on the web, for who has its link."""
    return f"/digests/{tokens.token('digest', digest.public_id)}/"


@dataclass(frozen=True)
class Sample:
    """A page by its path, and what it answers: to a request, or what `made` returns."""

    path: str
    sent: dict | None = None
    made: Callable[[], HttpResponse] | None = None

    def __str__(self):
        return f"{self.path.partition('?')[0]}{' sent in' if self.sent is not None else ''}"

    @property
    def route(self) -> str:
        """Return the route of the path, as the URLconf writes it."""
        return "" if self.made else resolve(self.path.partition("?")[0]).route

    def answer(self, client: Client) -> HttpResponse:
        """Return the page. A redirect is followed, as by a browser."""
        if self.made is not None:
            return self.made()
        if self.sent is None:
            return client.get(self.path, follow=True)
        return client.post(self.path, urlencode(self.sent, doseq=True), FORM, follow=True)


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
    """Make what there is to see: topics, papers, a subscriber with a digest and feedback."""
    for name in ("Graph learning", "Robotics", "Vision"):
        make.topic(name, description=f"All of {name.lower()}.")
    make.topic("Machine learning", slug="arxiv-cs-lg", categories=["cs.LG"], description="CS")
    for number in range(4):
        known = {"authors": ["Ada Example"] * (3 * number), "categories": ["cs.LG", "stat.ML"]}
        known["github"] = "https://github.com/example/graphs" if number else ""
        known |= {"upvotes": number * 700, "is_sample": number == 1}
        make.paper(
            f"Graph networks number {number} <script>alert(1)</script>",
            "On graphs, their nodes and their edges. " * (30 * number + 1),
            **known,
        )
    subscriber = make.subscriber("reader@example.org", interests="graph networks", size=3)
    make.subscriber("new@example.org", confirmed=False)
    make.subscriber("gone@example.org", unsubscribed_at=NOW, next_due_at=None)
    make.subscriber("away@example.org", paused_until=TODAY.replace(day=20))
    make.subscriber("back@example.org", suppressed_at=NOW, suppressed_by="bounced")
    change_address.request(make.subscriber("mover@example.org"), "moved@example.org", now=NOW)
    settled = make.subscriber("settled@example.org", moved_at=NOW)
    done = dict.fromkeys(["asked_at", "old_agreed_at", "new_agreed_at", "done_at"], NOW)
    Move.objects.create(subscriber=settled, new_email=settled.email, **done)
    lab, other = make.group("Lab <b>"), make.group("Journal club")
    make.member(lab, "Ada <b>", subscriber)
    make.member(lab, "Bob", of("settled"))
    make.member(other, of=subscriber)
    invite.invite([invite.Entry("guest@example.org")], {}, lab, inviter="head", now=NOW)
    index_store.renew(NOW)
    plan.plan(NOW)
    pick, saved = Digest.objects.get(subscriber=subscriber).picks.leading()[:2]
    subscriber.feedback.create(paper=pick.paper, value="more", at=NOW)
    subscriber.feedback.create(paper=saved.paper, value="save", at=NOW, saved_at=NOW)
    tomorrow = NOW + DAY
    PaperEvent.objects.create(paper=pick.paper, kind="revised", note="version 2", at=tomorrow)
    LibraryPaper.objects.create(
        subscriber=subscriber, identity="title:1", title="<b>Graphs & nodes", year=2024, at=NOW
    )
    ReaderModel.objects.create(
        subscriber=subscriber,
        terms=["graph", "node"],
        words=["graphs", "nodes"],
        weights=[0.5, -0.25],
    )


#: Fields of the preferences, none of them valid.
WRONG = dict.fromkeys(["hour", "language", "mute", "quiet", "timezone", "topics"], "x")
WRONG |= {"size": "0", "pause_until": "3000-01-01", "interests": "x\n" * 99}


def samples() -> list[Sample]:
    """Return the samples of what `furnish` made."""
    subscriber = of("reader")
    digest = Digest.objects.get(subscriber=subscriber)
    values = {
        "paper": digest.picks.leading().first().paper.pk,
        "web_copy": web_copy_of(digest),
        "membership": subscriber.memberships.get(joined_at=None).pk,
        "wrong": json.dumps(WRONG).strip("{}"),
    }
    for one in Subscriber.objects.all():
        name = one.email.partition("@")[0]
        for purpose in ("preferences", "unsubscribe", "feedback", "feed"):
            values[f"{purpose}_{name}"] = tokens.token(purpose, one.public_id)
        for side, moment in (("old", NOW), ("new", NOW), ("expired", NOW - 9 * DAY)):
            purpose = "move-new" if side == "new" else "move-old"
            values[f"{side}_{name}"] = tokens.token(purpose, one.public_id, moment)
        moments = {"confirm": one.asked_at, "goodbye": one.unsubscribed_at, "bounced": NOW}
        for kind, moment in moments.items():
            values[f"{kind}_{name}"] = tokens.token(kind, one.public_id, moment)
    found = []
    for line in data_files.load("pages.txt"):
        path, _, form = Template(line).substitute(values).partition(" ")
        found.append(Sample(path, json.loads(form) if form else None))
    # After the last one, there is no such subscriber.
    erase = Sample(f"/preferences/{values['preferences_reader']}/", {"action": "erase"})
    return [*found, *broken(), erase]


def broken() -> list[Sample]:
    """Return the pages for what goes wrong, those too that no request of a test leads to."""
    request = RequestFactory().get("/")
    made = {
        "400.html": lambda: error_views.bad_request(request, None),
        "403.html": lambda: error_views.forbidden(request, None),
        "403_csrf.html": lambda: error_views.csrf_failure(request),
        "404.html": lambda: error_views.not_found(request, None),
        **{
            f"429 {endpoint} {by}": lambda endpoint=endpoint, by=by: access.too_many(
                request, rate_limits.TooManyAttempts(endpoint, by, 5 * MINUTE)
            )
            for endpoint in ("sign-up", "log-in")
            for by in ("network", "all", "store")
        },
        "500.html": lambda: error_views.server_error(request),
        "503.html": lambda: error_views.page(request, 503),
        "410": lambda: HttpResponse(
            render_to_string("bad_link.html", middleware.site(request) | {"expired": True}),
            status=410,
        ),
    }
    return [Sample(f"/{name}", made=page) for name, page in made.items()]


def of(name):
    return Subscriber.objects.get(email=f"{name}@example.org")


# ---- What every answer tells the browser to refuse

STRICT = {
    "default-src": "'none'",
    **dict.fromkeys(
        ["script-src", "style-src", "font-src", "connect-src", "form-action"], "'self'"
    ),
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
FRAMED = STRICT | {"frame-ancestors": "*"}  # On any site.


def policy_of(response):
    parts = (part.strip().partition(" ") for part in response["Content-Security-Policy"].split(";"))
    return {name: value for name, _, value in parts}


def is_guarded(response, policy=STRICT):
    """Return whether the answer, whatever it is, bears all headers."""
    assert policy_of(response).items() >= policy.items()
    assert response["X-Content-Type-Options"] == "nosniff"
    frame_options = [None] if policy is FRAMED else ["DENY", "SAMEORIGIN"]
    assert response.get("X-Frame-Options") in frame_options
    assert response["Referrer-Policy"] in ("same-origin", "no-referrer")
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"
    assert response["Strict-Transport-Security"] == "max-age=31536000"
    assert "geolocation=()" in response["Permissions-Policy"]
    return True


def is_secret(response):
    assert "no-store" in response["Cache-Control"]
    assert response["Referrer-Policy"] == "no-referrer"
    assert response["X-Robots-Tag"] == "noindex, nofollow"
    return True
