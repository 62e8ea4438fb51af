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
    url = reverse(f"admin:subscriptions_subscriber_{act}", args=[subscriber.pk])
    asked = panel.get(url)
    assert url in page(panel, subscriber).content.decode()
    assert "Cancel" in text_of(asked)
    assert "HX-Redirect" in panel.post(url, {"_form_submitted": "on"} | fields)
    return text_of(page(panel, subscriber))
