"""What letters share: the frame around the papers, and a block for each paper.

Both are stencils, whose holes are what differs from reader to reader: her links, the place a paper
has in her letter, and why it is there. The frame is rendered and inlined once; so is a skeleton for
each shape of papers, those with code for one, which a paper's own words make a block.
"""

import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _

from digest import wording
from digest.models import number_of
from subscriptions import mail, plaintext
from subscriptions.stencil import Skeleton, Stencil, escaped, gap, hole, html_line, text_line

KEPT_SHAPES = 1_000  # There are some hundred, and one for each address that is not plain.
KEPT = 10_000  # Blocks, of some nine kilobytes each.
KEPT_ENTRIES = 100_000  # Of some three hundred octets each, since they share the blocks' bytes.
CUT = "<!-- cut here -->"
#: Addresses that stay as they are in an attribute, but for "&". Any other, such as one with a quote
#: or an umlaut, goes through the templates itself.
PLAIN = re.compile(r"[\w/:.~?=&+,;%#@!$*()\[\]-]+", re.ASCII)

_skeletons: dict[Hashable, "Block"] = {}
_blocks: dict[Hashable, "Block | Entry"] = {}
_entries: dict[Hashable, "Entry"] = {}


class Place(NamedTuple):
    """The language of a letter, and what else its templates say that differs by installation."""

    language: str
    site_name: str
    site_url: str
    postal_address: str


@dataclass(frozen=True)
class Form:
    """How much room a paper has: columns of its title, how many relatives are named, whether one
    link has to do to steer with, where there are three, and whether its summary is there.
    """

    title: int = 240
    relatives: int = 3
    is_tight: bool = False
    has_summary: bool = True


@dataclass(frozen=True)
class Block:
    """A part of a letter, in both of its forms."""

    text: Stencil | Skeleton
    html: Stencil | Skeleton

    def __iter__(self):
        return iter((self.text, self.html))


class Entry(NamedTuple):
    """A paper with the reason why it is in a letter, in pieces that it shares with other entries.

    Its number in the letter stands before the text, and after the first piece of the HTML, of which
    the size is told. The reader's token for feedback stands between the pieces that say something.
    """

    text: tuple[bytes, bytes]
    say_text: tuple[bytes, ...]
    html: tuple[bytes, bytes, bytes]
    say_html: tuple[bytes, ...]
    size: int


@dataclass(frozen=True)
class Markup:
    """A part of a letter as its templates render it: lines not broken, CSS not inlined yet."""

    text: str
    html: str


def place(language: str) -> Place:
    """Return where letters in a language are from."""
    return Place(language, settings.SITE_NAME, settings.SITE_URL, settings.POSTAL_ADDRESS)


def frame(kind: str, place: Place, key: Hashable, parts: Callable[[], dict]) -> Block:
    """Return the letter around its papers. The key tells it from others.

    `parts` returns what its templates get, holes among them.
    """

    def make():
        text, html = mail.rendered(kind, parts())
        return Block(Stencil.cut(text), Stencil.cut(html))

    return _kept_or_made(("frame", kind, key), place, make)


def entries(
    picks: Sequence, form: Form, place: Place, say_url: Callable[[str], str]
) -> list[Entry]:
    """Return the entries of these picks.

    `say_url` returns where something is said of the paper with an id, its token a stand-in.
    """
    where = number_of((place, form))
    keys = [_key(where, pick) for pick in picks]
    known = [_entries.get(key) for key in keys]
    if None not in known:
        return known
    missing = {key: pick for key, pick, one in zip(keys, picks, known, strict=True) if one is None}
    with translation.override(place.language):
        keyed = [((where, *_shown(pick, form)), pick) for pick in missing.values()]
        blocks = _papers(keyed, form, place, say_url)
        new = {
            key: _entry(block, pick)
            for (key, pick), block in zip(missing.items(), blocks, strict=True)
        }
    _keep(_entries, new, KEPT_ENTRIES)
    return [one or new[key] for key, one in zip(keys, known, strict=True)]


def heading(name: str, place: Place) -> Block:
    """Return the heading over a group of papers, which is named so."""
    return _shared("group", lambda: {"name": wording.heading(name)}, name, place)


def news(told: Sequence[dict], place: Place) -> Block:
    """Return what happened to papers that a reader saved, as wording.told says it."""
    key = tuple(tuple(one.values()) for one in told)
    return _shared("news", lambda: {"news": told}, key, place)


class Told(NamedTuple):
    """What is said of a paper, whoever reads it: words, each on one line, and addresses."""

    words: dict[str, str]
    addresses: dict[str, str]
    is_tight: bool

    @classmethod
    def of(cls, pick, form: Form, say_url: str) -> "Told":
        paper, relatives = pick.paper, pick.folded
        words = {
            "position": str(pick.position),
            "title": plaintext.shortened(paper.title, form.title),
            "authors": wording.authors(paper.authors) if form.has_summary else "",
            "summary": _summary(pick, form),
            "origin": plaintext.one_line(wording.origin(paper)),
            "facts": wording.facts(pick),
            "on_same_idea": wording.on_same_idea(len(relatives), form.relatives),
            "and_more": wording.and_more(len(relatives), form.relatives),
        }
        addresses = {
            "paper_id": paper.pk,
            "link": paper.link,
            "github": paper.github,
            "project": "" if form.is_tight else (paper.hugging_face or {}).get("project_page", ""),
            "say_url": say_url,
        }
        for number, one in enumerate(relatives[: form.relatives]):
            words[f"title_{number}"] = wording.relative(one, paper)
            addresses[f"link_{number}"] = one.link
        return cls(words, addresses, form.is_tight)

    def with_gaps(self) -> "Told":
        """Return the shape of it: a gap for whatever is said, and addresses that aren't plain."""
        words = {name: said and gap(name) for name, said in self.words.items()}
        addresses = {
            name: gap(name) if PLAIN.fullmatch(address) else address
            for name, address in self.addresses.items()
        }
        return Told(words, addresses, self.is_tight)

    def key(self) -> Hashable:
        return (self.is_tight, *self.words.items(), *self.addresses.items())

    def context(self) -> dict:
        """Return it as the templates get it."""
        relatives = [
            {"title": self.words[f"title_{number}"], "link": self.addresses[f"link_{number}"]}
            for number in range(sum(name.startswith("link_") for name in self.addresses))
        ]
        return {**self.words, **self.addresses, "relatives": relatives, "is_tight": self.is_tight}


def paper(pick, form: Form, say_url: str) -> dict:
    """Return what the templates of a paper get for this pick."""
    why = pick.why
    own = {"number": f"{pick.position}.", "why": why, "reason": _reason(why)}
    return Told.of(pick, form, say_url).context() | own


def _reason(why):
    """Return why a paper is in a letter, as its text part says it."""
    return _("Why: %s") % why


def markup(name: str, context: dict) -> Markup:
    """Render one of the digest's partial templates."""
    path = f"email/digest/_{name}"
    return Markup(
        text=render_to_string(f"{path}.txt", context, using="text"),
        html=render_to_string(f"{path}.html", context, using="html"),
    )


def _entry(entry, pick):
    """Return the entry with the reason for this pick."""
    said = pick.why
    why, reason = html_line(said), text_line(_reason(said), "    ")
    (before, _), (head, middle, _) = entry.text, entry.html
    return Entry(
        text=(before, reason),
        say_text=entry.say_text,
        html=(head, middle, why),
        say_html=entry.say_html,
        size=entry.size + len(why),
    )


def _papers(keyed, form, place, say_url):
    """Return the entries of papers without a reason, by key and pick."""
    known = [_blocks.get(key) for key, _ in keyed]
    missing = {key: pick for (key, pick), one in zip(keyed, known, strict=True) if one is None}
    told = [Told.of(pick, form, say_url(pick.paper_id)) for pick in missing.values()]
    skeletons = _skeletons_of([one.with_gaps() for one in told], place)
    new = {
        key: _filled(skeleton, one)
        for key, skeleton, one in zip(missing, skeletons, told, strict=True)
    }
    _keep(_blocks, new, KEPT)
    return [one or new[key] for (key, _), one in zip(keyed, known, strict=True)]


def _skeletons_of(shapes, place):
    """Return the skeletons of these shapes. Those that are new are inlined together."""
    keyed = [((place, shape.key()), shape) for shape in shapes]
    known = [_skeletons.get(key) for key, _ in keyed]
    missing = {key: shape for (key, shape), one in zip(keyed, known, strict=True) if one is None}
    if not missing:
        return known
    holes = {name: hole(name) for name in ("number", "why", "reason")}
    parts = [markup("paper", shape.context() | holes) for shape in missing.values()]
    made = [
        Block(Skeleton.of_text(part.text), Skeleton.of_html(html, shape.addresses))
        for part, html, shape in zip(parts, _inlined(parts), missing.values(), strict=True)
    ]
    new = dict(zip(missing, made, strict=True))
    _keep(_skeletons, new, KEPT_SHAPES)
    return [one or new[key] for (key, _), one in zip(keyed, known, strict=True)]


def _filled(skeleton, told):
    """Return the entry of the paper of which this is told, without a reason."""
    words = {**told.words, **told.addresses}
    text = skeleton.text.filled(words)
    html = skeleton.html.filled({name: escaped(said) for name, said in words.items()})
    (before, _), *say_text = text.pairs
    (head, _), (middle, _), *say_html = html.pairs
    return Entry(
        text=(before[len(told.words["position"]) :], b""),  # Others are as wide.
        say_text=(*(part for part, _ in say_text), text.last),
        html=(head, middle, b""),
        say_html=(*(part for part, _ in say_html), html.last),
        size=html.size,
    )


def _shared(name, context, key, place):
    """Return the block of a template without holes. The key tells what it gets as context."""

    def make():
        part = markup(name, context())
        text = plaintext.wrapped(plaintext.cleaned(part.text)).rstrip("\n")
        (html,) = _inlined([part])
        return Block(Stencil.cut(text), Stencil.cut(html))

    return _kept_or_made((name, key), place, make)


def _inlined(parts):
    """Return the HTML of rendered parts, with the styles of the digest's frame in its elements."""
    laid_out = CUT.join(f"\n{part.html}\n" for part in parts)
    _, html = mail.rendered("digest", {"papers": mark_safe(f"{CUT}{laid_out}{CUT}")})  # noqa: S308
    return [one.strip("\n") for one in html.split(CUT)[1:-1]]


def _shown(pick, form):
    """Return what tells one block from another: what it shows, and how wide its place is."""
    return (
        len(str(pick.position)),
        pick.basis in wording.TOLD_BY_VOTES,
        pick.paper.printed,
        _told_of(pick.folded),
        _summary(pick, form),
    )


def _summary(pick, form):
    return wording.summary(pick.paper, pick.terms) if form.has_summary else ""


def _key(where, pick):
    """Return what tells one entry from another, quickly: each letter asks for each of its picks."""
    return (
        where,
        pick.position > 9,  # One digit or two: a digest has fifty papers at most.
        pick.paper.printed,
        _told_of(pick.folded),
        pick.basis,
        pick.topic_name,
        pick.group,
        tuple(pick.terms),
    )


def _told_of(relatives):
    return tuple([(relative.id, relative.title, relative.link) for relative in relatives])


def _kept_or_made(key, place, make):
    key = (*key, place)
    block = _blocks.get(key)
    if block is None:
        with translation.override(place.language):
            block = make()
        _keep(_blocks, {key: block}, KEPT)
    return block


def _keep(kept, new, limit):
    """Keep these. Other threads may have thrown out all, or made the same meanwhile."""
    if len(kept) + len(new) > limit:
        kept.clear()
    kept.update(new)
