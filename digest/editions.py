"""The new papers of a day, as the ranking reads them. Made once, and kept while nothing changes."""

from dataclasses import dataclass

import numpy as np
from django.db.models import Count, Max

from digest import fitting
from digest.models import Paper
from digest.ranking.choice import Edition
from digest.ranking.model import TfidfModel
from digest.sources.taxonomy import merged


@dataclass(frozen=True)
class Issue:
    """The day's papers: `ids` in the edition's order, and where each id stands in it."""

    day: object
    model: TfidfModel
    edition: Edition
    ids: list[str]
    places: dict[str, int]


_last: tuple[tuple, Issue] | None = None


def issue_of(day, now, *, may_store=True) -> Issue:
    """Return the papers that are new on `day` with the model in use.

    Asks three queries at most. Where no model is in use, one is fitted, and stored if it may be.
    """
    global _last
    checksum, model = fitting.current(now, may_store=may_store)
    papers = Paper.objects.new_on(day)
    state = papers.aggregate(count=Count("pk"), changed=Max("changed_at"))
    key = (checksum, day, state["count"], state["changed"])
    if not checksum or _last is None or _last[0] != key:
        _last = (key, _make(day, model, papers))
    return _last[1]


def _make(day, model, papers):
    rows = list(
        papers.order_by("pk").values("pk", "title", "abstract", "day", "upvotes", "categories")
    )
    edition = Edition(
        vectors=model.transform([fitting.document(row["title"], row["abstract"]) for row in rows]),
        ages=np.array([(day - row["day"]).days for row in rows], dtype=float),
        upvotes=np.array([row["upvotes"] or 0 for row in rows], dtype=float),
        fields=[(row["categories"] or [""])[0].split(".")[0] for row in rows],
        categories=[tuple(merged(row["categories"])) for row in rows],
    )
    ids = [row["pk"] for row in rows]
    return Issue(day, model, edition, ids, {paper: place for place, paper in enumerate(ids)})
