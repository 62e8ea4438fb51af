"""Fragments that many emails share: the frame around the papers, and an entry for each paper.

Both have holes for what differs between subscribers: links, the number of a paper, and the reason.
The frame is rendered and inlined once. So is a skeleton for each shape of papers (those with code
share one). A skeleton becomes a fragment when a paper's texts are filled in.
"""

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.safestring import mark_safe

from digest import wording
from digest.models import number_of
from subscriptions.mail import plaintext, render
from subscriptions.mail.byte_templates import (
    EncodedBytes,
    GapTemplate,
    HoleTemplate,
    escaped,
    html_line,
    line_slot,
    text_line,
    text_slot,
)

MAX_SKELETONS = 1_000  # There are some hundred, and one for each address that is not plain.
MAX_FRAGMENTS = 10_000  # Of some nine kilobytes each.
MAX_ENTRIES = 100_000  # Of some three hundred bytes each, since they share the fragments' bytes.
CUT = "<!-- cut here -->"
LEADING = 3  # How many papers have authors, a summary and facts. The others are brief.
BRIEF_COLUMNS = 90  # Two lines on a phone.
#: Addresses that are not escaped in an attribute, except "&". Any other, such as one with a quote
#: or an umlaut, goes through the templates itself.
PLAIN = re.compile(r"[\w/:.~?=&+,;%#@!$*()\[\]-]+", re.ASCII)

_skeletons: dict[Hashable, "Fragment"] = {}
_fragments: dict[Hashable, "Fragment | PaperEntry"] = {}
_entries: dict[Hashable, "PaperEntry"] = {}


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

    text: HoleTemplate | GapTemplate
    html: HoleTemplate | GapTemplate


class PaperEntry(NamedTuple):
    """A paper with the reason for it, in pieces that it shares with other entries.

    Attributes:
        text: what stands after the paper's number, with a hole for its link.
        html: with holes for the number and the tokens.
        note_text, note_html: the reason, which fills a hole of both.
        size: bytes of the HTML.
    """

    text: HoleTemplate
    html: HoleTemplate
    note_text: EncodedBytes
    note_html: EncodedBytes
    size: int


@dataclass(frozen=True)
class Markup:
    """A part of an email as its templates render it: lines not wrapped, CSS not inlined yet."""

    text: str
    html: str


def letter_site(language: str) -> LetterSite:
    return LetterSite(language, settings.SITE_NAME, settings.SITE_URL, settings.POSTAL_ADDRESS)


def frame(kind: str, site: LetterSite, key: Hashable, context: Callable[[], dict]) -> Fragment:
    """Return the email around its papers. `context` returns what its templates get, with holes.

    Contexts with equal keys must be equal.
    """

    def make():
        text, html = render.render_parts(kind, context())
        return Fragment(HoleTemplate.compile(text), HoleTemplate.compile(html))

    return _cached_fragment(("frame", kind, key), site, make)


def entries(
    picks: Sequence, density: Density, site: LetterSite, urls: Callable[[str], dict[str, str]]
) -> list[PaperEntry]:
    """Return the entries of these picks.

    `urls` returns the addresses of the actions on a paper id, with stand-ins for the tokens.
    """
    where = number_of((site, density))
    keys = [  # In few steps: each email asks for each of its picks.
        (
            where,
            pick.position > LEADING,
            pick.position > 9,  # One digit or two: a digest has fifty papers at most.
            pick.paper.printed,
            _key_of_relatives(pick),
            pick.basis,
            pick.topic_name,
            pick.group,
            tuple(pick.terms),
        )
        for pick in picks
    ]

    def make(missing):
        with translation.override(site.language):
            papers = _paper_entries(missing, where, density, site, urls)
            return [_with_note(*pair) for pair in zip(papers, missing, strict=True)]

    return _cached(_entries, MAX_ENTRIES, keys, picks, make)


def heading(site: LetterSite) -> Fragment:
    """Return the heading over a section of papers, with a hole for its name."""
    return _fragment("group", lambda: {"name": line_slot("name")}, "", site)


def news(events: Sequence[dict], site: LetterSite) -> Fragment:
    """Return what happened to saved papers (`wording.event_context`)."""
    key = tuple(tuple(event.values()) for event in events)
    return _fragment("news", lambda: {"news": events}, key, site)


class PaperText(NamedTuple):
    """What every email shows of a paper: words, each on one line, and addresses."""

    words: dict[str, str]
    addresses: dict[str, str]
    is_tight: bool
    is_brief: bool

    @classmethod
    def of(cls, pick, density: Density, urls: dict[str, str]) -> "PaperText":
        paper, relatives = pick.paper, pick.folded
        is_brief = pick.position > LEADING
        named = 0 if is_brief else density.relatives
        authors = wording.authors(paper.authors) if density.has_summary else ""
        summary = _summary(pick, density)
        words = {
            "position": str(pick.position),
            "title": plaintext.shortened(paper.title, density.title),
            "authors": "" if is_brief else authors,
            "summary": plaintext.shortened(summary or authors, BRIEF_COLUMNS)
            if is_brief
            else summary,
            "origin": plaintext.one_line(wording.origin(paper)),
            "facts": "" if is_brief else wording.facts(pick),
            "on_same_idea": wording.on_same_idea(len(relatives), named),
            "and_more": wording.and_more(len(relatives), named),
            "note": _note(pick),
        }
        project = (paper.hugging_face or {}).get("project_page", "")
        addresses = {
            "paper_id": paper.pk,
            "link": paper.link,
            "github": "" if is_brief else paper.github,
            "project": "" if is_brief or density.is_tight else project,
            **urls,
        }
        for number, relative in enumerate(relatives[:named]):
            words[f"title_{number}"] = wording.relative(relative, paper)
            addresses[f"link_{number}"] = relative.link
        return cls(words, addresses, density.is_tight, is_brief)

    def with_gaps(self) -> "PaperText":
        """Return its shape: gaps for all words and plain addresses, holes for what isn't filled."""
        words = {name: text and text_slot(name) for name, text in self.words.items()}
        words["note"] = words["note"] and line_slot("note")
        words |= {name: line_slot(name) for name in ("number", "short_url")}
        addresses = {
            name: text_slot(name) if PLAIN.fullmatch(address) else address
            for name, address in self.addresses.items()
        }
        return self._replace(words=words, addresses=addresses)

    def key(self) -> Hashable:
        return (*self[2:], *self.words.items(), *self.addresses.items())

    def context(self) -> dict:
        """Return the context of the paper's templates."""
        relatives = [
            {"title": self.words[f"title_{number}"], "link": self.addresses[f"link_{number}"]}
            for number in range(sum(name.startswith("link_") for name in self.addresses))
        ]
        flags = {"is_tight": self.is_tight, "is_brief": self.is_brief}
        return {**self.words, **self.addresses, "relatives": relatives, **flags}


def markup(name: str, context: dict) -> Markup:
    """Render one of the digest's partial templates."""
    path = f"email/digest/_{name}"
    return Markup(
        text=render_to_string(f"{path}.txt", context, using="text"),
        html=render_to_string(f"{path}.html", context, using="html"),
    )


def _with_note(entry, pick):
    note = _note(pick)
    html = html_line(note)
    return entry._replace(
        note_text=text_line(note, "    "), note_html=html, size=entry.size + len(html)
    )


def _note(pick):
    return wording.note(pick.reason, is_brief=pick.position > LEADING)


def _paper_entries(picks, where, density, site, urls):
    """Return entries without a reason."""
    keys = [
        (
            where,
            pick.position > LEADING,
            len(str(pick.position)),
            bool(_note(pick)),
            pick.basis in wording.VOTE_BASES,
            pick.paper.printed,
            _key_of_relatives(pick),
            _summary(pick, density),
        )
        for pick in picks
    ]

    def make(missing):
        texts = [PaperText.of(pick, density, urls(pick.paper_id)) for pick in missing]
        skeletons = _skeletons_of([text.with_gaps() for text in texts], site)
        return [_fill(*pair) for pair in zip(skeletons, texts, strict=True)]

    return _cached(_fragments, MAX_FRAGMENTS, keys, picks, make)


def _skeletons_of(shapes, site):
    """Return the skeletons of these shapes. Those that are new are inlined together."""

    def make(missing):
        parts = [markup("paper", shape.context()) for shape in missing]
        return [
            Fragment(GapTemplate.of_text(part.text), GapTemplate.of_html(html, shape.addresses))
            for part, html, shape in zip(parts, _inline(parts), missing, strict=True)
        ]

    keys = [(site, shape.key()) for shape in shapes]
    return _cached(_skeletons, MAX_SKELETONS, keys, shapes, make)


def _fill(skeleton, paper_text):
    """Return the entry of a paper, without a reason."""
    words = {**paper_text.words, **paper_text.addresses}
    text = skeleton.text.fill(words)
    html = skeleton.html.fill({name: escaped(word) for name, word in words.items()})
    (before, hole), *pairs = text.pairs
    before = before[len(paper_text.words["position"]) :]  # Other numbers are as wide.
    return PaperEntry(
        text=replace(text, pairs=((before, hole), *pairs)),
        html=html,
        note_text=EncodedBytes(),
        note_html=EncodedBytes(),
        size=html.size,
    )


def _fragment(name, context, key, site):
    """Return a rendered template. Contexts with equal keys must be equal."""

    def make():
        part = markup(name, context())
        text = plaintext.wrapped(plaintext.cleaned(part.text)).rstrip("\n")
        (html,) = _inline([part])
        return Fragment(HoleTemplate.compile(text), HoleTemplate.compile(html))

    return _cached_fragment((name, key), site, make)


def _inline(parts):
    """Return the HTML of rendered parts, with the styles of the digest's frame in its elements."""
    joined = CUT.join(f"\n{part.html}\n" for part in parts)
    _, html = render.render_parts("digest", {"papers": mark_safe(f"{CUT}{joined}{CUT}")})  # noqa: S308
    return [part.strip("\n") for part in html.split(CUT)[1:-1]]


def _summary(pick, density):
    return wording.summary(pick.paper, pick.terms) if density.has_summary else ""


def _key_of_relatives(pick):
    return tuple([(relative.id, relative.title, relative.link) for relative in pick.folded])


def _cached_fragment(key, site, make):
    def make_translated(_):
        with translation.override(site.language):
            return [make()]

    (fragment,) = _cached(_fragments, MAX_FRAGMENTS, [(*key, site)], [None], make_translated)
    return fragment


def _cached(cache, limit, keys, values, make):
    """Return what the cache has for each key. What is missing is made of its value, together.

    Other threads may clear the cache, or make the same, at the same time.
    """
    found = [cache.get(key) for key in keys]
    if None not in found:
        return found
    missing = {
        key: value for key, value, known in zip(keys, values, found, strict=True) if known is None
    }
    new = dict(zip(missing, make(missing.values()), strict=True))
    if len(cache) + len(new) > limit:
        cache.clear()
    cache.update(new)
    return [known or new[key] for key, known in zip(keys, found, strict=True)]
