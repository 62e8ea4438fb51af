"""What letters share, rendered and inlined once: the frame, and a block for each paper.

Both are stencils, whose holes are what differs from reader to reader: her links, the place a paper
has in her letter, and why it is there.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.safestring import mark_safe
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from digest import wording
from subscriptions import mail, plaintext
from subscriptions.stencil import Stencil, hole, html_line, text_line

KEPT = 10_000  # Blocks, of some nine kilobytes each.
KEPT_ENTRIES = 100_000  # Of some three hundred octets each, since they share the blocks' bytes.
CUT = "<!-- cut here -->"

_blocks: dict[Hashable, "Block"] = {}
_entries: dict[Hashable, "Entry"] = {}


@dataclass(frozen=True)
class Form:
    """How much room a paper has: columns of its summary and its title, how many relatives are
    named, and whether one link has to do to steer with, where there are three.
    """

    summary: int
    title: int = 240
    relatives: int = 3
    is_tight: bool = False


@dataclass(frozen=True)
class Block:
    """A part of a letter, in both of its forms."""

    text: Stencil
    html: Stencil

    def __iter__(self):
        return iter((self.text, self.html))


@dataclass(frozen=True)
class Entry:
    """A paper with the reason why it is in a letter, in pieces to be joined with its number there.

    The number stands before the text, and between head and tail of the HTML, whose size is told.
    """

    text: tuple[bytes, ...]
    head: bytes
    tail: tuple[bytes, ...]
    size: int


@dataclass(frozen=True)
class Markup:
    """A part of a letter as its templates render it: lines not broken, CSS not inlined yet."""

    text: str
    html: str


def frame(kind: str, key: Hashable, parts: Callable[[], dict]) -> Block:
    """Return the letter around its papers. The key tells it from others.

    `parts` returns what its templates get, holes among them.
    """

    def make():
        text, html = mail.rendered(kind, parts())
        return Block(Stencil.cut(text), Stencil.cut(html))

    return _kept_or_made(("frame", kind, *_place(), key), make)


def entries(picks: Sequence, form: Form, say_url: Callable[[str], str]) -> list[Entry]:
    """Return the entries of these picks.

    `say_url` returns where something is said of the paper with an id, its token a stand-in.
    """
    place = ("paper", *_place(), form)
    keys = [(place, *_shown(pick), pick.reason) for pick in picks]
    known = [_entries.get(key) for key in keys]
    if None not in known:
        return known
    missing = {key: pick for key, pick, one in zip(keys, picks, known, strict=True) if one is None}
    blocks = _papers([(key[:-1], pick) for key, pick in missing.items()], form, say_url)
    new = {
        key: _entry(block, pick) for (key, pick), block in zip(missing.items(), blocks, strict=True)
    }
    _keep(_entries, new, KEPT_ENTRIES)
    return [one or new[key] for key, one in zip(keys, known, strict=True)]


def heading(name: str) -> Block:
    """Return the heading over a group of papers."""
    return _shared("group", {"name": name}, name)


def news(told: Sequence[dict]) -> Block:
    """Return what happened to papers that a reader saved, as wording.told says it."""
    return _shared("news", {"news": told}, tuple(tuple(one.values()) for one in told))


def paper(pick, form: Form, say_url: str) -> dict:
    """Return what the templates of a paper get for this pick."""
    relatives = pick.folded
    return {
        "paper": pick.paper,
        "position": pick.position,
        "number": f"{pick.position}.",
        "why": pick.why,
        "reason": reason_of(pick),
        "title": plaintext.shortened(pick.paper.title, form.title),
        "authors": wording.authors(pick.paper.authors) if form.summary else "",
        "summary": plaintext.summary(pick.paper.abstract, form.summary),
        "origin": wording.origin(pick.paper),
        "facts": wording.facts(pick),
        "relatives": [
            {"title": plaintext.shortened(one.title, wording.RELATIVE), "link": one.link}
            for one in relatives[: form.relatives]
        ],
        "on_same_idea": wording.on_same_idea(len(relatives), form.relatives),
        "and_more": wording.and_more(len(relatives), form.relatives),
        "say_url": say_url,
        "is_tight": form.is_tight,
    }


def reason_of(pick) -> str:
    """Return why a paper is in a letter, as its text part says it."""
    return _("Why: %s") % pick.why


def markup(name: str, context: dict) -> Markup:
    """Render one of the digest's partial templates."""
    path = f"email/digest/_{name}"
    return Markup(
        text=render_to_string(f"{path}.txt", context, using="text"),
        html=render_to_string(f"{path}.html", context, using="html"),
    )


def _entry(block, pick):
    """Return the block with the reason in it."""
    ((before, _),), after = block.text.pairs, block.text.last
    (head, _), (middle, _) = block.html.pairs
    why, reason = html_line(pick.why), text_line(reason_of(pick), "    ")
    return Entry(
        text=(before, reason, after),
        head=head,
        tail=(middle, why, block.html.last),
        size=block.html.size + len(why),
    )


def _papers(keyed, form, say_url):
    """Return the blocks of papers, by key and pick. Those that are new are inlined together."""
    known = [_blocks.get(key) for key, _ in keyed]
    missing = {key: pick for (key, pick), one in zip(keyed, known, strict=True) if one is None}
    holes = {name: hole(name) for name in ("number", "why", "reason")}
    contexts = [paper(pick, form, say_url(pick.paper_id)) for pick in missing.values()]
    made = _cut([markup("paper", one | holes) for one in contexts]) if contexts else []
    new = {
        key: replace(block, text=_unnumbered(block.text, pick.position))
        for (key, pick), block in zip(missing.items(), made, strict=True)
    }
    _keep(_blocks, new, KEPT)
    return [one or new[key] for (key, _), one in zip(keyed, known, strict=True)]


def _unnumbered(text, position):
    """Return the stencil without the number with which it begins. Others are as wide."""
    (first, name), *others = text.pairs
    return replace(text, pairs=((first.removeprefix(b"%d" % position), name), *others))


def _shared(name, context, key):
    """Return the block of a template without holes. The key tells its context."""
    return _kept_or_made((name, *_place(), key), lambda: _cut([markup(name, context)])[0])


def _cut(parts):
    """Return rendered parts as blocks, with the styles of the digest's frame in their elements."""
    laid_out = CUT.join(f"\n{part.html}\n" for part in parts)
    _, html = mail.rendered("digest", {"papers": mark_safe(f"{CUT}{laid_out}{CUT}")})  # noqa: S308
    htmls = html.split(CUT)[1:-1]
    return [
        Block(
            Stencil.cut(plaintext.wrapped(plaintext.cleaned(part.text)).rstrip("\n")),
            Stencil.cut(html.strip("\n")),
        )
        for part, html in zip(parts, htmls, strict=True)
    ]


def _shown(pick):
    """Return what tells one block from another: what it shows, and how wide its place is."""
    return (
        len(str(pick.position)),
        pick.basis in wording.TOLD_BY_VOTES,
        pick.paper.printed,
        tuple([(relative.title, relative.link) for relative in pick.folded]),
    )


def _place():
    """Return what else the templates say, and what changes between installations."""
    return get_language(), settings.SITE_NAME, settings.SITE_URL, settings.POSTAL_ADDRESS


def _kept_or_made(key, make):
    block = _blocks.get(key)
    if block is None:
        block = make()
        _keep(_blocks, {key: block}, KEPT)
    return block


def _keep(kept, new, limit):
    """Keep these. Other threads may have thrown out all, or made the same meanwhile."""
    if len(kept) + len(new) > limit:
        kept.clear()
    kept.update(new)
