"""A paper among others, as the pages of topics, days and searches list it, and previews in brief.

A page has dozens of lines, which differ in their words alone. So the template is rendered once for
each shape of a line, with gaps, as letters are (decision 19); a paper's words are put into the
gaps. The templates may ask of a word only whether it is empty.
"""

from collections.abc import Sequence
from functools import lru_cache
from html import escape

from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import Truncator
from django.utils.translation import get_language

from digest import wording
from digest.models import Paper, Pick
from subscriptions.stencil import GAP, gap

FIELDS = 4  # Categories of a paper that are named.
BEGINNING = 45  # Words of an abstract.
FACTS = ("is_withdrawn", "is_sample")


def line(
    paper: Paper,
    *,
    level: int,
    title: str = "",
    byline: str = "",
    snippet: str = "",
    terms: Sequence[str] = (),
    dated: bool = False,
) -> SafeString:
    """Return a paper's line: its title as a heading of this level, and what else is said of it.

    What isn't given is as the paper has it. Texts are escaped, unless they are HTML already.
    """
    words = {
        "address": paper.get_absolute_url(),
        "title": title or paper.title,
        "byline": byline or paper.byline,
        "terms": ", ".join(terms),
        "snippet": snippet or Truncator(paper.abstract).words(BEGINNING, truncate=" …"),
        "iso": paper.day.isoformat() if dated else "",
        "day": paper.day_in_words if dated else "",
        "votes": wording.upvotes(paper.upvotes) if paper.upvotes else "",
        "link": paper.link,
        "read_at": paper.read_at,
        "github": paper.github,
    }
    for number, name in enumerate(paper.fields[:FIELDS]):
        words[f"field_{number}"] = name
    return _filled("digest/_line.html", paper, level, words)


def brief(pick: Pick, *, level: int, unfolds: bool = False) -> SafeString:
    """Return the paper of a pick in brief: its title as a heading of this level, its authors, why
    it is there, and where it `unfolds`, its abstract behind a click.
    """
    paper = pick.paper
    words = {
        "address": paper.get_absolute_url(),
        "title": paper.title,
        "byline": paper.byline,
        "why": pick.why,
        "abstract": paper.abstract if unfolds else "",
    }
    return _filled("_brief.html", paper, level, words)


def _filled(template, paper, level, words):
    said = tuple(name for name, word in words.items() if word)
    facts = tuple(name for name in FACTS if getattr(paper, name))
    escaped = {name: _escaped(words[name]) for name in said}
    skeleton = _skeleton(template, get_language(), level, said, facts)
    return mark_safe(skeleton % escaped)  # noqa: S308, all of it is escaped


def _escaped(text):
    return text if isinstance(text, SafeString) else escape(text)


@lru_cache(1_000)
def _skeleton(
    template: str, language: str, level: int, said: Sequence[str], facts: Sequence[str]
) -> str:
    """Return the lines of one shape, which say these words, as a format."""
    gaps = {name: gap(name) for name in said}
    fields = [gaps[name] for name in said if name.startswith("field_")]
    context = {**gaps, **dict.fromkeys(facts, True), "fields": fields, "level": level}
    rendered = render_to_string(template, context)
    return GAP.sub(r"%(\1)s", rendered.replace("%", "%%"))
