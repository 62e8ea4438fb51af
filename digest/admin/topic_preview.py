"""Preview in the admin which new papers match a topic that is being edited, and why."""

from datetime import UTC

from django import forms
from django.conf import settings
from django.http import QueryDict
from django.utils import timezone
from django.utils.formats import date_format
from unfold.widgets import UnfoldAdminTextInputWidget

from digest.admin.links import paper_link
from digest.models import Paper
from digest.papers import registry
from digest.planning import slots
from subscriptions import schedule
from subscriptions.models import Topic

MAX_PAPERS = 25
MAX_TITLES = 10  # Of papers that a change adds or removes.


class CategoriesField(forms.CharField):
    """Categories, separated by commas. Cleans to a list of their names."""

    widget = UnfoldAdminTextInputWidget
    parse_names = staticmethod(registry.canonical_categories)

    def prepare_value(self, value):
        return ", ".join(value) if isinstance(value, list) else value

    def clean(self, value):
        try:
            return self.parse_names(super().clean(value).split(","))
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def has_changed(self, initial, data):
        return super().has_changed(self.prepare_value(initial), data)


class QueryForm(forms.Form):
    """The fields of a topic that its matches depend on."""

    query = forms.CharField(max_length=2000, required=False)
    categories = CategoriesField(required=False)

    def clean(self):
        data = super().clean()
        if not self.errors and not data["query"] and not data["categories"]:
            raise forms.ValidationError("Enter a query or categories.")
        return data


def match_context(params: QueryDict | None, saved_topic: Topic | None) -> dict:
    """Return the template context for a topic as it was sent, or as it is saved."""
    if params is None:
        return _matches(saved_topic, None) if saved_topic else {}
    form = QueryForm(params)
    if not form.is_valid():
        return {"errors": [error for errors in form.errors.values() for error in errors]}
    return _matches(Topic(**form.cleaned_data), saved_topic)


def unmatched_topics(topics) -> tuple[list[int], str]:
    """Return the ids of topics that no new paper matches, or the reason why they are unknown."""
    from digest.personalization.profiles import to_interest
    from digest.ranking.parameters import Parameters
    from digest.ranking.retrieval import retrieve

    def find_unmatched(window):
        topic_list = list(topics)
        interests = [to_interest(topic) for topic in topic_list]
        results = retrieve(window.model, window.papers, interests, Parameters.of(settings.RANKING))
        pairs = zip(topic_list, results, strict=True)
        return {"quiet": [topic.pk for topic, result in pairs if not (result.margins >= 0).any()]}

    context = _call_with_window(find_unmatched)
    return context.get("quiet", []), " ".join(context.get("errors", []))


def _matches(topic, saved_topic):
    return _call_with_window(lambda window: _rank_matches(window, topic, saved_topic))


def _call_with_window(rank):
    """Return the context that `rank` makes of the new papers, or one that says why it cannot."""
    # The model, which only pages that rank import.
    from digest.indexing.candidate_windows import announced
    from digest.indexing.model_store import NotFitted, in_use

    try:
        with slots.slot():
            return rank(announced(in_use(), schedule.local_day(timezone.now(), UTC)))
    except slots.Busy:
        return {"errors": ["The server is busy. Try again in a moment."]}
    except NotFitted:
        return {"errors": ["No ranking model yet. The first import of papers makes one."]}


def _rank_matches(window, topic, saved_topic):
    from digest.interests.operators import operators
    from digest.personalization.profiles import to_interest
    from digest.ranking.parameters import Parameters
    from digest.ranking.query import queries
    from digest.ranking.ranking import matches
    from digest.ranking.retrieval import retrieve

    parameters, interest = Parameters.of(settings.RANKING), to_interest(topic)
    ids = window.papers.ids
    choices = matches(window.model, window.papers, interest, MAX_PAPERS, parameters)
    interests = [interest, to_interest(saved_topic)] if saved_topic else [interest]
    results = retrieve(window.model, window.papers, interests, parameters)
    matching_papers = (result.papers[result.margins >= 0] for result in results)
    new_ids, *old_ids = ([ids[paper] for paper in papers] for papers in matching_papers)
    return {
        "table": _match_table(choices),
        "count": len(new_ids),
        "has_no_terms": bool(interest.query.strip()) and not queries(interest.query),
        "ignored_operators": operators(interest.query),
        "considered": len(ids),
        "days": settings.NEW_DAYS,
        "change": _match_changes(new_ids, old_ids[0]) if old_ids else None,
    }


def _match_table(choices):
    papers = Paper.objects.in_bulk([choice.paper for choice in choices])
    rows = []
    for choice in choices:
        if (paper := papers.get(choice.paper)) is None:  # Deleted meanwhile.
            continue
        day = {"content": date_format(paper.day), "class": "whitespace-nowrap"}
        reason = ", ".join(choice.terms) or "its categories"
        rows.append([paper_link(paper), day, f"{choice.score:.2f}", reason])
    return {"headers": ["Paper", "Day", "Score", "Matched terms"], "rows": rows}


def _match_changes(new_ids, old_ids):
    """Return the papers that a change adds and removes, or None if there are none."""
    old_set, new_set = set(old_ids), set(new_ids)
    added = [paper for paper in new_ids if paper not in old_set]
    removed = [paper for paper in old_ids if paper not in new_set]
    if not (added or removed):
        return None
    ids = [*added[:MAX_TITLES], *removed[:MAX_TITLES]]
    titles = dict(Paper.objects.filter(pk__in=ids).values_list("pk", "title"))
    return [
        {
            "sign": sign,
            "count": len(papers),
            "titles": [titles[paper] for paper in papers[:MAX_TITLES] if paper in titles],
            "more": max(0, len(papers) - MAX_TITLES),
        }
        for sign, papers in (("+", added), ("\N{MINUS SIGN}", removed))
    ]
