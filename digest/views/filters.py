"""Filters of lists of papers, and their compact view, as a page's URL names them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from urllib.parse import urlencode

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from digest.models import Paper
from digest.models.papers import CATEGORY
from digest.numbers import grouped

QUERY_PARAMS = ("field", "since", "code", "view")
PERIODS = {7: _("Past week"), 30: _("Past month"), 365: _("Past year")}
MAX_FIELDS = 25  # Of the form.


@dataclass(frozen=True)
class Filters:
    """What a visitor wants to see of a list."""

    field: str = ""
    days: int = 0
    has_code: bool = False
    is_compact: bool = False

    @classmethod
    def of(cls, params) -> "Filters":
        """Return the filters of a query string. Unknown values are ignored."""
        field = params.get("field", "")[:100]
        return cls(
            field if CATEGORY.fullmatch(field) else "",
            next((days for days in PERIODS if str(days) == params.get("since")), 0),
            params.get("code") == "1",
            params.get("view") == "compact",
        )

    @property
    def hides_papers(self) -> bool:
        return bool(self.field or self.days or self.has_code)

    @property
    def labels(self) -> list:
        """Return what is set, as the form names it."""
        code, view = self.has_code and _("With code"), self.is_compact and _("Titles only")
        return list(filter(None, [self.field, PERIODS.get(self.days), code, view]))

    @property
    def query(self) -> str:
        params = {"field": self.field, "since": self.days, "code": int(self.has_code)}
        params["view"] = "compact" if self.is_compact else ""
        return urlencode({name: value for name, value in params.items() if value})

    def passes(self, paper) -> bool:
        """Return whether a paper is to be shown. Ignores `days`."""
        is_in_field = not self.field or self.field in paper.categories
        return is_in_field and bool(paper.github or not self.has_code)

    def passing_ids(self, ids: Sequence[str]) -> set[str]:
        """Return the ids of the papers that are to be shown. Runs one query."""
        papers = Paper.objects.filter(pk__in=ids)
        if self.days:
            papers = papers.filter(day__gt=timezone.localdate() - timedelta(days=self.days))
        rows = papers.values_list("pk", "categories", "github", named=True)
        return {row.pk for row in rows if self.passes(row)}

    def context(self, papers: Iterable, *, is_dated: bool = False) -> dict:
        """Return what _filters.html shows, with the number of these papers in each field."""
        names = chain.from_iterable(paper.categories for paper in papers)
        counts = Counter(name for name in names if CATEGORY.fullmatch(name))
        fields = counts.most_common(MAX_FIELDS)
        if self.field and self.field not in dict(fields):
            fields.append((self.field, counts[self.field]))
        periods = PERIODS.items() if is_dated else ()
        options = [(name, grouped(count)) for name, count in sorted(fields)]
        return {"filters": self, "fields": options, "periods": periods}


NO_FILTERS = Filters()
