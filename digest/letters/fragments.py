"""Fragments that many emails share: the frame around the papers, and an entry for each paper.

Both have holes for what differs between subscribers: links, the number of a paper, and the reason.
They are in the active language, which is that of `LetterSite`.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import NamedTuple

from django.conf import settings
from django.template.loader import render_to_string

from digest import wording
from digest.models import number_of
from subscriptions.mail import mime, plaintext, render
from subscriptions.mail.byte_templates import HoleTemplate, line_slot

MAX_CACHED = 20_000  # At most half of them are papers, of some nine kilobytes each.
LEADING = 3  # How many papers have facts and a larger title. The others are brief.

_cache: dict[Hashable, "Fragment | tuple[Fragment, str]"] = {}


class LetterSite(NamedTuple):
    """The language of an email, and what its templates say of the installation."""

    language: str
    site_name: str
    site_url: str
    postal_address: str


@dataclass(frozen=True)
class Density:
    """How much space a paper has.

    Attributes:
        title: columns of its title.
        relatives: how many of the papers on the same idea are named, of the leading papers.
        is_tight: whether it has one link for all actions, instead of four.
        has_summary: whether its authors and summary are shown.
    """

    title: int = 240
    relatives: int = 2
    is_tight: bool = False
    has_summary: bool = True


@dataclass(frozen=True)
class Fragment:
    """A part of an email, as text and as HTML."""

    text: HoleTemplate
    html: HoleTemplate


def letter_site(language: str) -> LetterSite:
    return LetterSite(language, settings.SITE_NAME, settings.SITE_URL, settings.POSTAL_ADDRESS)


def frame(kind: str, site: LetterSite, key: Hashable, context: Callable[[], dict]) -> Fragment:
    """Return the email around its papers. `context` returns what its templates get, with holes.

    Contexts with equal keys must be equal.
    """

    def make():
        return Fragment(*map(HoleTemplate.compile, render.render_parts(kind, context())))

    return _cached(("frame", kind, key, site), make)


def entries(
    picks: Sequence,
    density: Density,
    site: LetterSite,
    day: date,
    urls: Callable[[str], dict[str, str]],
) -> list[tuple[Fragment, str]]:
    """Return of each pick the paper, without its number in the text, and the reason.

    `day` is that of the email. `urls` returns the addresses of the actions on a paper id, with
    stand-ins for the tokens.
    """
    density_id = number_of((site, density))
    return [
        _cached(
            (  # In few steps: each email asks for each of its picks.
                density_id,
                pick.position > LEADING,
                pick.position > 9,  # One digit or two: a digest has fifty papers at most.
                pick.paper.email_content_key,
                pick.paper.day if pick.paper.day != day else None,
                tuple([(paper.id, paper.title, paper.link) for paper in pick.folded]),
                pick.basis,
                pick.topic_name,
                pick.group,
                pick.like_title,
                tuple(pick.terms),
            ),
            partial(_entry, pick, density, density_id, day, urls),
        )
        for pick in picks
    ]


def _entry(pick, density, density_id, day, urls):
    context = paper_context(pick, density, day) | urls(pick.paper_id)
    note, width = context["note"], len(str(pick.position))
    context |= {name: line_slot(name) for name in ("number", "short_url")}
    # The same for all positions and reasons, so that they share the paper.
    context |= {"position": "0" * width, "note": note and line_slot("note")}
    return _cached((density_id, str(context)), partial(_rendered, "paper", context, width)), note


def heading(site: LetterSite) -> Fragment:
    """Return the heading over a section of papers, with a hole for its name."""
    return _cached(("group", site), partial(_rendered, "group", {"name": line_slot("name")}))


def news(events: Sequence[dict], site: LetterSite) -> Fragment:
    """Return what happened to saved papers (`wording.event_context`)."""
    key = tuple(tuple(event.values()) for event in events)
    return _cached(("news", key, site), partial(_rendered, "news", {"news": events}))


def paper_context(pick, density: Density, day: date) -> dict:
    """Return what a paper's templates show, each text on one line, in the active language.

    `day` is that of the email: the date of a paper is shown if it differs.
    """
    paper, relatives = pick.paper, pick.folded
    is_brief = pick.position > LEADING
    shown_relatives = 0 if is_brief else density.relatives
    origin = plaintext.one_line(wording.origin(paper))
    if paper.day != day:
        origin = f"{origin} · {wording.day(paper.day)}"
    project = (paper.hugging_face or {}).get("project_page", "")
    return {
        "paper_id": paper.pk,
        "position": pick.position,
        "is_brief": is_brief,
        "is_tight": density.is_tight,
        "title": plaintext.shortened(wording.title(paper), density.title),
        "authors": wording.authors(paper.authors) if density.has_summary else "",
        "summary": wording.summary(paper, pick.terms) if density.has_summary else "",
        "summary_by": wording.summary_by(paper) if density.has_summary else "",
        "own_title": plaintext.shortened(paper.title, density.title),
        "page": settings.SITE_URL + paper.get_absolute_url(),
        "origin": origin,
        "facts": "" if is_brief else wording.facts(pick),
        "on_same_idea": wording.on_same_idea(len(relatives), shown_relatives),
        "and_more": wording.and_more(len(relatives), shown_relatives),
        "note": wording.note(pick.reason, is_brief=is_brief),
        "link": paper.link,
        "pdf": "" if density.is_tight else paper.pdf,
        "full_text": "" if density.is_tight else paper.full_text,
        "github": "" if density.is_tight else paper.github,
        "project": "" if is_brief or density.is_tight else project,
        "relatives": [
            {"title": wording.relative(relative, paper), "link": relative.link}
            for relative in relatives[:shown_relatives]
        ],
    }


def markup(name: str, context: dict) -> tuple[str, str]:
    """Render one of the digest's partial templates. Return text, its lines not broken, and HTML."""
    path = f"email/digest/_{name}"
    text = render_to_string(f"{path}.txt", context, using="text")
    html = render_to_string(f"{path}.html", context, using="html")
    return plaintext.cleaned(text).strip("\n"), plaintext.cleaned(html).strip("\n")


def _rendered(name, context, skipped_chars=0):
    """Return a fragment, without the first `skipped_chars` characters of its text."""
    text, html = markup(name, context)
    encoded = mime.quoted(plaintext.wrapped(text).rstrip("\n"))[skipped_chars:]
    return Fragment(HoleTemplate.of(encoded, len(encoded)), HoleTemplate.compile(html))


def _cached(key, make):
    """Return what the cache has for this key. Other threads may clear the cache at any time."""
    value = _cache.get(key)
    if value is None:
        value = make()
        if len(_cache) >= MAX_CACHED:
            _cache.clear()
        _cache[key] = value
    return value
