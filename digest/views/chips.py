"""How the interests that somebody typed were read, as HTML: a chip for each entry, but prose as it
was typed, with the phrases marked by which papers are ranked.

A button sends the line of its entry and, on further lines, what replaces it (nothing removes it; an
empty line adds to the entries), or "~" and a phrase that is left out of a text or used again:
`apply_edit` returns the form with that change, whatever else has changed in it since.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.template.loader import render_to_string
from django.utils.text import Truncator
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from digest.interests import entries as entry_lines
from digest.interests.entries import (
    AUTHOR,
    CATEGORY,
    ORCID,
    PAPER,
    TEXT,
    TOPIC,
    UNREAD,
    WORDS,
    Entry,
)
from digest.interests.phrases import phrases, struck_phrases, toggle
from digest.papers.identifiers import find_reference
from digest.personalization import interests
from digest.personalization.added_papers import parse_entry, texts_of
from digest.planning.slots import Busy, slot
from digest.ranking.authors import INSTITUTION, SUFFIXES
from digest.ranking.query import ADDRESS, MAX_NAME
from digest.ranking.text import terms
from digest.sources.arxiv.taxonomy import CATEGORIES, categories_named
from digest.views.forms.fields import QueriesField
from digest.views.forms.interests import InterestsForm
from subscriptions.actions.preferences import TopicSelection
from subscriptions.models import Subscriber, Topic
from subscriptions.models.topics import MAX_QUERIES

FIELDS = ("interests", "muted_interests")
MAX_CHIP_LENGTH = 60  # Characters of a chip.
MAX_BROADER = 3  # Suggested phrases, and as many topics.
MAX_UNKNOWN = 5  # Unknown words in a hint.
MAX_SUGGESTIONS = 3  # Of a page: each compares a word with all known ones.
SEARCH_KINDS = (WORDS, AUTHOR, CATEGORY)
MIN_FOREIGN = 5  # Matches of FOREIGN, from which on a text is not English.
#: Letters of other scripts, and words that sentences in German and French have.
FOREIGN = re.compile(
    r"[^\W\d_a-z\u00aa-\u024f\u0370-\u03ff]|\b(?:"
    r"und|oder|mit|für|von|zur|zum|über|der|das|dem|des|ein|eine|et|ou|avec|pour|dans|les|aux|une|du"
    r")\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Hint:
    """A remark on an entry, with a list, and a button that writes `line` instead of it."""

    text: str
    button: str = ""
    line: str = ""
    items: Sequence[str] = ()


@dataclass(frozen=True)
class Part:
    """A part of a text. A `phrase` can be left out, or is left out, if it `is_struck`."""

    text: str
    phrase: str = ""
    is_struck: bool = False


@dataclass(frozen=True)
class Chip:
    """An entry as the page shows it. `line` is read as this entry again.

    `parts`: of prose. `unwanted`: phrases of prose to which somebody says no.
    """

    entry: Entry
    line: str = ""
    count: int | None = None
    hint: Hint | None = None
    title: str = ""  # Of a paper.
    parts: Sequence[Part] = ()
    unwanted: Sequence[str] = ()

    @property
    def short_text(self) -> str:
        return Truncator(self.title or _name(self.entry)).chars(MAX_CHIP_LENGTH)

    @property
    def text(self) -> str:
        kind = self.entry.kind
        labels = {TOPIC: _("topic: %s"), TEXT: _("text: %s"), UNREAD: _("can’t read: %s")}
        labels |= {PAPER: _("like “%s”"), ORCID: _("papers of %s")}
        labels[AUTHOR] = _("institution: %s") if _is_institution(self.entry) else _("by %s")
        text = labels.get(kind, "%s") % self.short_text
        codes = categories_named(self.entry.text) if kind == CATEGORY else ()
        if len(codes) == 1 and (name := CATEGORIES.get(codes[0])):
            text = _("papers of %(code)s: %(name)s") % {"code": codes[0], "name": name}
        return _("muted: %s") % text if self.entry.is_muted else text


def _is_institution(entry):
    return entry.text.startswith(INSTITUTION)


def _name(entry):
    """Return the author or institution that an entry follows, or its text."""
    return entry.text.partition(": ")[2] if entry.kind == AUTHOR else entry.text


def chips_of_form(form: InterestsForm, now) -> dict[str, str]:
    """Return the chips of the fields of a form, as HTML by the name of the field."""
    if form.is_bound and not form.is_valid():
        return {}
    subscriber = form.subscriber
    entries_by_field = {name: _read(name, form[name].value() or "", subscriber) for name in FIELDS}
    try:
        with slot():
            counts = count_matches(entries_by_field["interests"], now, subscriber=subscriber)
    except Busy:
        counts = {}
    mutes = entries_by_field["muted_interests"]
    return {
        name: render(name, entries, counts, subscriber=subscriber, mutes=mutes)
        for name, entries in entries_by_field.items()
    }


def count_matches(entries: Sequence[Entry], now, window=None, subscriber=None) -> dict[Entry, int]:
    """Return how many papers of the last week match each entry. Empty without a model."""
    # The model and numpy, which only processes that rank import.
    from digest.indexing import model_store
    from digest.personalization.profiles import examples_of, to_interest
    from digest.planning import preview

    searchable = [entry for entry in entries if not entry.is_muted and entry.kind != UNREAD]
    topics = _topics_of(searchable, subscriber)
    examples = examples_of(topics.values())
    entry_interests = {entry: to_interest(topics[entry], examples=examples) for entry in searchable}
    try:
        counts = preview.match_counts([*entry_interests.values()], now, window)
    except model_store.NotFitted:
        return {}
    return {
        entry: counts[interest]
        for entry, interest in entry_interests.items()
        if interest in counts and (interest.examples or entry.kind not in (PAPER, ORCID))
    }


def _topics_of(entries, subscriber=None) -> dict[Entry, Topic]:
    """Return the topic of each entry: the curated one, the subscriber's own, or an unsaved one."""
    slugs = {entry.slug for entry in entries if entry.slug}
    curated = Topic.objects.in_bulk(slugs, field_name="slug")
    has_papers = subscriber and any(entry.kind in (PAPER, ORCID) for entry in entries)
    topics = subscriber.own_topics.select_related("added_paper") if has_papers else ()
    own_topics = {(topic.kind, topic.query): topic for topic in topics}
    return {
        entry: curated.get(entry.slug)
        or own_topics.get((entry.kind, entry.text))
        or Topic(name=entry.text[:MAX_NAME], query=entry.text, kind=entry.kind)
        for entry in entries
    }


def render(
    name: str,
    entries: Sequence[Entry],
    counts: dict[Entry, int],
    action: str = "",
    subscriber: Subscriber | None = None,
    mutes: Sequence[Entry] = (),
) -> str:
    """Return the chips of a field's entries, as HTML. Their buttons send the form to `action`.

    `mutes`: the entries of the field of muted ones.
    """
    presenter, topics = _EntryPresenter(), _topics_of(entries, subscriber)
    texts = texts_of(topics.values())
    muted = {_name(entry).casefold() for entry in [*entries, *mutes] if entry.is_muted}
    chips = []
    for entry, line in zip(entries, _written(name, entries), strict=True):
        title, _abstract = texts.get(entry.text, ("", ""))
        is_unresolved = entry.kind in (PAPER, ORCID) and not title
        hint = _look_up_hint(topics[entry]) if is_unresolved else presenter.hint(entry)
        if _is_institution(entry) and counts.get(entry) == 0:
            message = _("No recent paper names it. Only %s and some journals say the institutions.")
            hint = Hint(message % "bioRxiv, medRxiv, Europe PMC, Hugging Face")
        chip = Chip(entry, " ".join(line.split()), counts.get(entry), hint, title)
        if entry.kind == TEXT and not entry.is_muted:
            unwanted = [p.text for p in phrases(entry.text) if p.is_unwanted]
            unwanted = [text for text in dict.fromkeys(unwanted) if text.casefold() not in muted]
            chip = replace(chip, parts=presenter.parts(entry.text), unwanted=unwanted)
        chips.append(chip)
    context = {
        "texts": [chip for chip in chips if chip.parts],
        "chips": [chip for chip in chips if not chip.parts],
        "name": name,
        "action": action,
    }
    return render_to_string("digest/_entries.html", context)


def plain_chips(selection: TopicSelection) -> str:
    """Return what is followed and muted as chips without buttons, as HTML."""
    entries = []
    for topics, queries, is_muted in (
        (selection.follow, selection.interests, False),
        (selection.mute, selection.muted_interests, True),
    ):
        entries += [Entry(selection.kinds.get(query, ""), query, is_muted) for query in queries]
        entries += [Entry(TOPIC, topic.name, is_muted) for topic in topics]
    texts = texts_of(_topics_of(entries).values())
    chips = [Chip(entry, title=texts.get(entry.text, ("", ""))[0]) for entry in entries]
    has_orcid = any(entry.kind == ORCID for entry in entries)
    return render_to_string("digest/_interests.html", {"chips": chips, "has_orcid": has_orcid})


def undo_button(name: str, params: Mapping[str, str], action: str = "") -> str:
    """Return the button that brings back what a button of a chip has removed, as HTML."""
    context = {"name": name, "line": params.get(f"removed_{name}", ""), "action": action}
    return render_to_string("digest/_undo.html", context)


def broader_suggestions(entries: Sequence[Entry], now, window) -> list[tuple[str, str]]:
    """Return shorter phrases that papers of the last week match, and topics with their words.

    Each with the value of a button that follows it: a phrase instead of its entry, a topic beside
    the entries.
    """
    presenter = _EntryPresenter()
    longer_lines: dict[Entry, str] = {}
    entry_terms: set[str] = set()
    for entry, line in zip(entries, _written("interests", entries), strict=True):
        if entry.is_muted or entry.kind != WORDS:
            continue
        entry_terms.update(terms(entry.text))
        if presenter.knows_papers and presenter.vocabulary.suggestion(entry.text):
            continue  # Its chip offers the right spelling.
        words = entry.text.split()
        for shorter in (words[:-1], words[1:]):
            for phrase in phrases(" ".join(shorter)):
                longer_lines.setdefault(Entry(WORDS, phrase.text), line)
    counts = count_matches([*longer_lines], now, window)
    term_counts = {
        topic.name: len(entry_terms & {*terms(f"{topic.name} {topic.query}")})
        for topic in Topic.objects.offered().by_subject()
    }
    edits = [(entry.text, f"{longer_lines[entry]}\n{entry.text}") for entry in _top(counts)]
    return [*edits, *((name, f"\n{TOPIC}: {name}") for name in _top(term_counts))]


def _top(counts):
    """Return the keys with the highest counts above zero."""
    return [key for key, count in Counter(counts).most_common(MAX_BROADER) if count]


def searchable_lines(entries: Sequence[Entry]) -> list[str]:
    """Return the lines of entries all of whose words occur in papers, to search earlier papers."""
    presenter = _EntryPresenter()
    if not presenter.knows_papers:
        return []
    followed = [entry for entry in entries if not entry.is_muted and entry.kind in SEARCH_KINDS]
    return [entry.text for entry in followed if not presenter.unknown_words(entry)]


def apply_edit(params: QueryDict, subscriber: Subscriber | None = None) -> QueryDict:
    """Return the fields that a form sent, with the change that a chip's button requests."""
    params = params.copy()
    for name in FIELDS:
        with suppress(ValidationError):  # The form says what is wrong.
            # Papers of a bibliography become lines.
            text = params[name] = QueriesField().clean(params.get(name, ""))
            if edit := params.get(f"edit_{name}"):
                entries = _read(name, text, subscriber)
                counts = Counter(entry.is_muted for entry in entries)
                if max(counts.values(), default=0) > MAX_QUERIES:
                    continue  # Not all were read.
                lines, params[f"removed_{name}"] = _edited(entries, _written(name, entries), edit)
                params[name] = "\n".join(dict.fromkeys(lines))
    return params


def _edited(entries, lines, edit):
    """Return the lines with the change of a button, and the line that it removes, if any."""
    old, *new = edit.splitlines()
    keys = [" ".join(line.split()) for line in lines]
    if old in keys:
        place = keys.index(old)
        return [*lines[:place], *new, *lines[place + 1 :]], "" if new else old
    if old.startswith("~"):
        pairs = zip(entries, lines, strict=True)
        return [toggle(line, old[1:]) if e.kind == TEXT else line for e, line in pairs], ""
    return lines if old else [*lines, *new], ""


def _read(name, text, subscriber):
    fields = ("", text) if name == "muted_interests" else (text, "")
    return interests.read(*fields, subscriber) if text.strip() else []


def _written(name, entries):
    # numpy, which only processes that read interests import.
    from digest.indexing import vocabulary

    if name == "muted_interests":
        entries = [replace(entry, is_muted=False) for entry in entries]
    return entry_lines.written(entries, vocabulary.current())


class _EntryPresenter:
    """Finds the phrases of an entry's text that rank papers, and a hint about the entry."""

    def __init__(self) -> None:
        # numpy, which only processes that read interests import.
        from digest.indexing import vocabulary

        self.vocabulary = vocabulary.current()
        self.knows_papers = isinstance(self.vocabulary, vocabulary.PaperVocabulary)
        self.suggestions = 0

    def parts(self, text: str) -> list[Part]:
        """Return the parts of a text: those are phrases that rank papers, or that are struck."""
        subjects = [phrase for phrase in phrases(text) if not phrase.is_unwanted]
        if self.knows_papers:
            telling = [one for one in subjects if self.vocabulary.is_telling(one.text)]
            subjects = telling or subjects
        struck = struck_phrases(text)
        parts, end = [], 0
        for phrase in sorted([*struck, *subjects], key=lambda phrase: phrase.start):
            is_struck = phrase in struck
            parts += [Part(text[end : phrase.start]), Part(phrase.text, phrase.text, is_struck)]
            end = phrase.end
        return [*parts, Part(text[end:])]

    def hint(self, entry: Entry) -> Hint | None:
        kind, text = entry.kind, entry.text
        if kind == UNREAD:
            return Hint(_why_unread(text))
        if kind == PAPER:
            return None
        if kind == TOPIC:
            line = f"not: {WORDS}: {text}" if entry.is_muted else f"{WORDS}: {text}"
            return Hint(_("One of our topics."), _("Search for the words instead"), line)
        is_known = kind == CATEGORY or _is_institution(entry)
        if is_known or entry.is_muted or not self.knows_papers:
            return None
        if kind == TEXT:
            text = " ".join(entry_lines.lines_of(kind, text))
            entry = replace(entry, text=text)
        unknown_words = self.unknown_words(entry)
        if kind == AUTHOR:
            message = _(
                "No author named %s. Check the spelling; if papers have only an initial, "
                "add the last name."
            )
            return Hint(message % " ".join(unknown_words)) if unknown_words else None
        return self._words_hint(text, unknown_words, is_text=kind == TEXT)

    def unknown_words(self, entry: Entry) -> list[str]:
        """Return the words of an entry that no author's name has, or no paper."""
        if _is_institution(entry):
            return [_name(entry)]  # The index has no affiliations.
        if entry.kind != AUTHOR:
            return self.vocabulary.unknown_words(entry.text)
        words = dict.fromkeys(word.strip(",.") for word in _name(entry).split())
        has_name = self.vocabulary.index.has_name
        return [word for word in words if word.casefold() not in SUFFIXES and not has_name(word)]

    def _words_hint(self, text, unknown_words, *, is_text):
        # numpy, which only processes that read interests import.
        from digest.indexing.vocabulary import MOSTLY_UNKNOWN

        if is_text and len(unknown_words) < MOSTLY_UNKNOWN * len({*terms(text)}):
            is_foreign = len(FOREIGN.findall(text)) >= MIN_FOREIGN
            return Hint(_("Papers are in English: try English words.")) if is_foreign else None
        if unknown_words and not is_text and self.suggestions < MAX_SUGGESTIONS:
            self.suggestions += 1
            if suggestion := self.vocabulary.suggestion(text):
                return Hint(_("Did you mean"), f"{suggestion}?", suggestion)
        words, author = text.split(), f"author: {text}"
        is_name = entry_lines.NAME.fullmatch(text) and 1 < len(words) <= entry_lines.MAX_NAME_WORDS
        if not unknown_words:
            is_author = is_name and len(self.vocabulary.index.named(text, or_initials=True))
            message = _("Also the name of an author.")
            return Hint(message, _("Follow the author"), author) if is_author else None
        if is_name and all(word[0].isupper() for word in words):
            message = _("No recent paper mentions %s.") % text
            return Hint(message, _("Follow an author of this name"), author)
        message = _("No recent paper mentions %s.") % ", ".join(unknown_words[:MAX_UNKNOWN])
        if FOREIGN.search(text) or get_language() != "en":
            message = f"{message} {_('Papers are in English: try English words.')}"
        return Hint(message)


def _look_up_hint(topic: Topic) -> Hint:
    """Return what is known of a paper or an ORCID that has to be looked up."""
    lookup = getattr(topic, "added_paper", None)
    if lookup and lookup.works:
        titles = [parse_entry(work)[0] for work in lookup.works]
        message = ngettext("We found %d paper.", "We found %d papers.", len(titles)) % len(titles)
        lines = "\n".join(f"{PAPER}: {work}" for work in lookup.works)
        return Hint(message, _("These are mine: add them"), lines, titles)
    if lookup and not lookup.due_at:
        return Hint(_("Not found. Paste the titles of papers instead."))
    if topic.pk:
        return Hint(_("Being looked up."))
    if topic.kind == ORCID:
        message = _("Its papers are looked up once your address is confirmed.")
        return Hint(f"{message} {_('Then choose yours in your preferences.')}")
    return Hint(_("Looked up once your address is confirmed and this is saved."))


def _why_unread(text):
    if text.endswith(":"):
        return _("Write what you look for after the colon: author:Emmy Noether.")
    if find_reference(text):
        return _("We don’t have this paper. Paste its title and abstract instead.")
    if ADDRESS.search(text):
        return _("We can’t read this page. Write author:Your Name, or paste titles of papers.")
    return _("Too short or too general. Use words from titles or abstracts.")
