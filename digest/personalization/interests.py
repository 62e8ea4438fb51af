"""The entries of a subscriber, and those of the fields of a form."""

from collections.abc import Collection
from dataclasses import replace

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from digest.interests import entries
from digest.interests.entries import PAPER, TEXT, WORDS, Entry, Vocabulary
from digest.interests.phrases import phrases
from digest.models import Paper
from digest.papers.identifiers import find_reference
from digest.personalization import library
from digest.sources import bibliographies
from digest.sources.records import Record
from subscriptions import child_process
from subscriptions.models import Subscriber, TopicPreference
from subscriptions.models.topics import MAX_QUERIES, MAX_QUERY_LENGTH

#: Characters of a field, without papers. A tenth of a second is enough to read them.
MAX_LENGTH = MAX_QUERY_LENGTH


def read(text: str, muted_text: str = "", subscriber: Subscriber | None = None) -> list[Entry]:
    """Return the entries of both fields. A line of a stored entry stands for that entry.

    Of a field with more than MAX_QUERIES entries, not all are read. Raises ValidationError.
    """
    # numpy, which only processes that read interests import.
    from digest.indexing import vocabulary

    vocab, stored = vocabulary.current(), stored_entries(subscriber) if subscriber else []
    follows, mutes = (dict(zip(*part, strict=True)) for part in _written(stored, vocab))
    _refuse_long_text(text, follows)
    _refuse_long_text(muted_text, mutes)
    followed = entries.read(text, vocab, follows, MAX_QUERIES)
    muted = entries.read(muted_text, vocab, mutes, MAX_QUERIES)
    muted = [replace(part, is_muted=True) for entry in muted for part in _unwanted(entry)]
    distinct_entries: dict[tuple, Entry] = {}
    for entry in [*followed, *muted]:
        distinct_entries.setdefault(entry.key, entry)
    return [*distinct_entries.values()]


def _unwanted(entry: Entry) -> list[Entry]:
    """Return what an entry mutes: of a text, the phrases to which somebody says no, if any."""
    found = phrases(entry.text) if entry.kind == TEXT else ()
    return [Entry(WORDS, phrase.text) for phrase in found if phrase.is_unwanted] or [entry]


def _refuse_long_text(text: str, stored: Collection[str]) -> None:
    """Raise ValidationError for a text that takes long to read. Papers and stored lines don't."""
    lines = [line for line in text.splitlines() if line not in stored]
    length = sum(len(line) for line in lines if not line.startswith(f"{PAPER}: "))
    if length > MAX_LENGTH:
        raise ValidationError(_("Please keep to %(limit)d characters.") % {"limit": MAX_LENGTH})


def expand_bibliography(text: str) -> str:
    """Return a text with a line for each paper of a bibliography that it contains.

    Raises ValidationError.
    """
    entries_text, other_lines = bibliographies.split_entries(text)
    if not entries_text:
        return text
    try:
        bibliography = bibliographies.read(entries_text)
    except child_process.ParseError as error:
        raise ValidationError(library.parse_error_message(error)) from error
    if bibliography.unread_count:
        names = ", ".join(bibliography.unread_names)
        raise ValidationError(_("These entries could not be read: %s") % names)
    records = library.complete(bibliography.records)
    ids = [record.id for record in records]
    stored_ids = {*Paper.objects.filter(pk__in=ids).values_list("pk", flat=True)}
    lines = [record.id if record.id in stored_ids else _description(record) for record in records]
    return "\n".join([*other_lines, *(f"{PAPER}: {line}"[:MAX_QUERY_LENGTH] for line in lines)])


def _description(record: Record) -> str:
    """Return the title of a paper with the abstract, or with a reference to look it up."""
    if record.abstract:
        return f"{record.title} | {record.abstract}"
    arxiv_id = f"arXiv:{record.id}" if find_reference(record.id) else ""
    return f"{record.title} {f'doi:{record.doi}' if record.doi else arxiv_id}".strip()


def stored_entries(subscriber: Subscriber) -> list[Entry]:
    """Return the entries that a subscriber saved, in their order."""
    preferences = subscriber.preferences.filter(topic__owner=subscriber).order_by("pk")
    rows = preferences.values_list("topic__kind", "topic__query", "stance")
    mute = TopicPreference.Stance.MUTE
    return [Entry(kind, query, is_muted=stance == mute) for kind, query, stance in rows]


def stored_lines(subscriber: Subscriber) -> tuple[list[str], list[str]]:
    """Return the lines of a subscriber's entries, and of their muted ones."""
    # numpy, which only processes that read interests import.
    from digest.indexing import vocabulary

    vocab, stored = vocabulary.current(), stored_entries(subscriber)
    (lines, _follows), (muted_lines, _mutes) = _written(stored, vocab)
    return lines, muted_lines


def _written(stored: list[Entry], vocab: Vocabulary) -> list[tuple[list[str], list[Entry]]]:
    """Return the lines and the entries of the field of interests, and of that of muted ones."""
    fields = []
    for is_muted in (False, True):
        of_field = [entry for entry in stored if entry.is_muted == is_muted]
        unmuted = [replace(entry, is_muted=False) for entry in of_field]
        fields.append((entries.written(unmuted, vocab), of_field))
    return fields
