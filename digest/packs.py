"""Packs of topics: topics of the house as a file (TOML), to be passed on, kept and read back.

A pack is looked at before it is applied, each topic by itself: a bad one is refused with its line
and a reason, and the others are none the worse. Reading the same pack again changes nothing.
Readers' own topics are in no pack, and no pack changes one.
"""

import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from digest.sources import taxonomy
from subscriptions.models import Topic, sayable

FORMAT = 1
LARGEST = 500_000  # Bytes of a pack,
MOST = 1_000  # topics in it,
LONGEST_QUERY = 2_000  # and characters of a query, as in the panel's form.

#: The keys of a topic in a pack: the model's field, and what it must be.
KEYS = {
    "slug": ("slug", str, "text"),
    "name": ("name", str, "text"),
    "description": ("description", str, "text"),
    "query": ("query", str, "text"),
    "categories": ("categories", list, "a list of names"),
    "offered": ("is_offered", bool, "true or false"),
}
FIELDS = [name for name, _, _ in KEYS.values()]
HEADER = re.compile(r"^[ \t]*\[\[[ \t]*topic[ \t]*\]\]", re.MULTILINE)
#: a.b.c.d…: Python reads such a key in the square of its length, which is minutes for a large file.
LONG_KEY = re.compile(r"""(?:\.[ \t]*(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*){20}""")


class Unreadable(Exception):
    """The file is no pack, and why."""


@dataclass
class Entry:
    """A topic of a pack, and what it means here: new, changed, same or refused.

    `where` says where it stands in the file; `changes` what each changed key was and becomes.
    """

    where: str
    slug: str
    state: str = "refused"
    reason: str = ""
    changes: dict[str, tuple] = field(default_factory=dict)
    topic: Topic | None = None


class Refused(Exception):
    """A topic of a pack is none, and why."""


# ---- Out


def written(topics: Iterable[Topic]) -> str:
    """Return topics of the house as a pack."""
    parts = [f"# Topics for Paperboy: see docs/extending.md\nformat = {FORMAT}\n"]
    for topic in topics:
        lines = [f"{key} = {_toml(getattr(topic, name))}\n" for key, (name, _, _) in KEYS.items()]
        parts.append("".join(["[[topic]]\n", *lines]))
    return "\n".join(parts)


def _toml(value):
    """Return a text, a list of texts or a yes as TOML, which writes them as JSON does but for one
    character.
    """
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


# ---- In


def read(content: bytes) -> list[Entry]:
    """Return the topics of a pack, each with what applying it would do. Raises Unreadable."""
    tables, lines = _tables(content)
    slugs = [str(table.get("slug", "")) for table in tables]
    there = Topic.objects.filter(owner=None, slug__in=sayable(slugs)).select_related("merged_into")
    known = {topic.slug: topic for topic in there}
    seen: dict[str, str] = {}
    entries = []
    for number, (table, slug) in enumerate(zip(tables, slugs, strict=True), start=1):
        entry = Entry(f"line {lines[number - 1]}" if lines else f"topic {number}", slug[:80])
        try:
            if slug in seen:
                raise Refused(f"this slug stands in {seen[slug]} already")
            _compare(entry, table, known.get(slug))
        except Refused as reason:
            entry.reason = str(reason)
        seen.setdefault(slug, entry.where)
        entries.append(entry)
    return entries


def apply(content: bytes) -> list[Entry]:
    """Make and change topics as a pack says. Return what was done. Raises Unreadable."""
    try:
        with transaction.atomic():
            entries = read(content)
            new = [entry.topic for entry in entries if entry.state == "new"]
            changed = [entry.topic for entry in entries if entry.state == "changed"]
            Topic.objects.bulk_create(new)
            Topic.objects.bulk_update(changed, FIELDS, batch_size=100)
            return entries
    except IntegrityError as error:
        raise Unreadable("Somebody made one of these topics at this moment: try again.") from error


def _tables(content):
    """Return the topics of a file as they are written, and the lines where they begin, if known."""
    if len(content) > LARGEST:
        raise Unreadable(f"The file is larger than {LARGEST:,} bytes.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Unreadable(f"The file is not in UTF-8: see line {line}.") from error
    if found := LONG_KEY.search(text):
        line = text.count("\n", 0, found.start()) + 1
        raise Unreadable(f"Too many words are joined by dots in line {line}.")
    try:
        told = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise Unreadable(f"The file is no TOML: {why}.") from error
    if told.get("format") != FORMAT or isinstance(told["format"], bool):
        raise Unreadable(f"The file doesn't say “format = {FORMAT}”, as packs of topics do.")
    if unknown := told.keys() - {"format", "topic"}:
        raise Unreadable(f"A pack has no key “{min(unknown)}”: topics begin with [[topic]].")
    tables = told.get("topic")
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise Unreadable("There is no topic in the file: each begins with [[topic]].")
    if len(tables) > MOST:
        raise Unreadable(f"The file has more than {MOST:,} topics.")
    lines = [text.count("\n", 0, found.start()) + 1 for found in HEADER.finditer(text)]
    return tables, lines if len(lines) == len(tables) else []  # Else some stand in a text.


def _compare(entry, table, known):
    """Say in the entry what its topic would change. What it leaves out stays as it is."""
    if known is not None and known.merged_into is not None:
        raise Refused(f"it was merged into “{known.merged_into}”")
    given = _fields(table)
    topic = known or Topic(is_offered=True)
    was = {key: getattr(topic, name) for key, (name, _, _) in KEYS.items()}
    for key, value in given.items():
        setattr(topic, KEYS[key][0], value)
    _check(topic)
    entry.topic = topic
    if known is None:
        entry.state = "new"
    else:
        changes = {key: (was[key], value) for key, value in given.items() if was[key] != value}
        entry.changes, entry.state = changes, "changed" if changes else "same"


def _fields(table: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of a topic with values of the right type."""
    for key, value in table.items():
        if key not in KEYS:
            raise Refused(f"a topic has no key “{key}”; it has {', '.join(KEYS)}")
        _, wanted, said = KEYS[key]
        if not isinstance(value, wanted):
            raise Refused(f"{key} must be {said}")
    if missing := [key for key in ("slug", "name") if not table.get(key, "").strip()]:
        raise Refused(f"it has no {missing[0]}")
    return table | {
        key: _categories(value) if key == "categories" else value.strip()
        for key, value in table.items()
        if key != "offered"
    }


def _categories(names):
    for name in names:
        if not isinstance(name, str) or not taxonomy.named(name):
            raise Refused(f"arXiv has no category called {str(name)[:40]!r}")
    return list(dict.fromkeys(taxonomy.NAMES[name.strip().lower()] for name in names))


def _check(topic):
    """Refuse a topic that the panel's form would not take."""
    for key in ("name", "description"):
        if not getattr(topic, key).isprintable():
            raise Refused(f"{key} must be one line, without control characters")
    if "\0" in topic.query:
        raise Refused("query has a NUL character")
    if len(topic.query) > LONGEST_QUERY:
        raise Refused(f"query has more than {LONGEST_QUERY:,} characters")
    try:
        topic.clean_fields(exclude=["owner", "merged_into"])
        topic.clean()
    except ValidationError as error:
        raise Refused(_said(error)) from error


def _said(error):
    """Return what is wrong, as part of a sentence: the model's own words are whole ones."""
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages).removesuffix(".")
    name, errors = next(iter(error.message_dict.items()))
    return f"{name}: {errors[0]}".removesuffix(".")
