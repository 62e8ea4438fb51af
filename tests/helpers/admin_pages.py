"""The panel's pages and forms, as an operator uses them."""

from django.urls import reverse

from digest.models import Digest
from digest.planning import plan
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers.pages import text_of

SUBSCRIBERS = "admin:subscriptions_subscriber_changelist"


def page(panel, row, verb="change"):
    url = f"admin:{row._meta.app_label}_{row._meta.model_name}_{verb}"
    return panel.get(reverse(url, args=[row.pk]))


def form_of(response):
    """Return what a browser would send if the page's form were sent as it stands."""
    data = {}
    forms = [response.context["adminform"].form]
    for formset in response.context["inline_admin_formsets"]:
        forms += [formset.formset.management_form, *formset.formset.forms]
    for form in forms:
        for field in form:
            data[field.html_name] = "" if field.value() is None else field.value()
    return data


def planned_digest():
    """Make a subscriber whose digest of today is written down, and return it."""
    make.paper("Sparse attention for <long> documents")
    make.subscriber(topics=[make.topic("Sparse attention")])
    plan.plan(NOW)
    return Digest.objects.get()


def act_on(panel, subscriber, act, **fields):
    """Press a button on their page and say yes. Return what their page says then."""
    assert f'name="action" value="{act}"' in page(panel, subscriber).text
    asked = panel.post(reverse(SUBSCRIBERS), {"action": act, "_selected_action": [subscriber.pk]})
    assert "Cancel" in text_of(asked)
    return select(panel, act, [subscriber], **fields)


def select(panel, act, subscribers, **fields):
    """Do it to subscribers selected in the list. Return what the next page says."""
    data = {"action": act, "_selected_action": [one.pk for one in subscribers], "confirmed": "yes"}
    return text_of(panel.post(reverse(SUBSCRIBERS), data | fields, follow=True))
