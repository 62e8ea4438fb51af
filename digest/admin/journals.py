"""The form that adds journals by name, ISSN, DOI prefix, feed or file, and what it understood."""

import json
from collections.abc import Iterator
from typing import NamedTuple

from django import forms
from unfold import widgets

from digest.http.client import Refused, Unavailable, Web
from digest.sources import crossref, journal_lists
from digest.sources.base import MalformedFeed
from digest.sources.crossref import Crossref
from digest.sources.journal_lists import Journal
from subscriptions import child_process

TEXT_HELP = "One per line: Physical Review B, 2469-9950, 10.26434 or https://journal.example/rss."
FILE_HELP = "Feeds from a feed reader, or a table with titles and ISSNs, prefixes or addresses."
LISTED_HELP = "Click with Ctrl (⌘) held to choose several."


class Row(NamedTuple):
    """A journal to choose. `value`: JSON for `SourceForm`. With a problem, it can't be chosen."""

    journal: Journal
    is_chosen: bool = True
    problem: str = ""

    @property
    def value(self) -> str:
        title, address, ids = self.journal
        return json.dumps({"title": title, "feed_url": address, "crossref_ids": ids})


def _choices():
    groups = journal_lists.known().items()
    return [(group, [(one.ids, one.title) for one in journals]) for group, journals in groups]


class JournalsForm(forms.Form):
    text = forms.CharField(
        label="Names, ISSNs, DOI prefixes or feeds",
        required=False,
        help_text=TEXT_HELP,
        widget=widgets.UnfoldAdminTextareaWidget,
    )
    listed = forms.MultipleChoiceField(
        label="Journals by field",
        required=False,
        choices=_choices,
        help_text=LISTED_HELP,
        widget=widgets.UnfoldAdminSelectMultipleWidget({"size": 12}),
    )
    file = forms.FileField(
        label="OPML or CSV file",
        required=False,
        help_text=FILE_HELP,
        widget=widgets.UnfoldAdminFileFieldWidget,
    )

    def clean_file(self):
        file = self.cleaned_data["file"]
        return _read(file.read()) if file else []

    def clean_text(self):
        return _read(self.cleaned_data["text"].encode())

    def clean(self):
        data = super().clean()
        listed = [Journal("", ids=ids) for ids in data.get("listed", [])]
        self.journals = [*data.get("text", []), *listed, *data.get("file", [])]
        if not self.journals and not self.errors:
            raise forms.ValidationError("Enter journals, choose some, or choose a file.")
        return data


def _read(data):
    try:
        return [Journal(*row) for row in child_process.run_limited(journal_lists.read, data)]
    except child_process.ParseError as error:
        raise forms.ValidationError(str(error)) from error


def rows(journals: list[Journal], source: Crossref, web: Web) -> Iterator[Row]:
    """Yield what may be meant by each journal. Crossref is asked for unknown names and ISSNs."""
    for journal in journals:
        try:
            found = _find(journal, source, web)
        except (MalformedFeed, Refused, Unavailable, ValueError) as error:
            yield Row(journal, problem=str(error))
            continue
        if not found:
            yield Row(journal, problem="Crossref has no such journal")
        exact = [one for one in found if one.title.casefold() == journal.title.casefold()]
        for one in found:
            yield Row(one, is_chosen=len(found) == 1 or [one] == exact)


def _find(journal, source, web) -> list[Journal]:
    ids = ", ".join(crossref.parse_ids(journal.ids))
    if journal.address or (ids and journal.title):
        return [journal._replace(title=journal.title or journal.address[:200], ids=ids)]
    text = ids or journal.title
    if known := journal_lists.find(text):
        return known
    if ids.startswith("10."):
        return [Journal(ids, ids=ids)]
    return [
        Journal(title, ids=issns)
        for title, issns in source.find_journals(web, text.split(", ")[0] if ids else text)
    ]
