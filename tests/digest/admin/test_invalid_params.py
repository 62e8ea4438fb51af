"""Rubbish in the panel's addresses and forms: it breaks no page, and shows no more than without."""

import pytest
from django.contrib import admin
from django.contrib.admin import helpers
from django.contrib.auth.models import User
from django.db import transaction
from django.test import RequestFactory
from django.urls import reverse

from subscriptions.admin.base import MAX_SEARCH_LENGTH, BaseModelAdmin
from subscriptions.models import Letter, Sending, Subscriber
from tests.digest.admin.test_roles import (  # noqa: F401
    ROLES,
    furnished,
    make_user,
    routes,
    subscriber_id,
    url_kwargs,
)
from tests.factories import make
from tests.helpers import data_files, services

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("furnished")]

SENT = data_files.load("panel_rubbish.toml")
#: What is no number, day, choice or field, though each looks like one to somebody.
RUBBISH, MORE = SENT["rubbish"], ["9" * 5000, *SENT["more"], "a" * 300]
TAKEN = SENT["list_parameters"]
LOOKUPS = ["", "__startswith", "__in"]


def short(value):
    return ascii(value[:20])


def at_night(*cases):
    return [pytest.param(*one, marks=pytest.mark.nightly) for one in cases]


#: What no database can hold is for each to refuse; what isn't read as a number is so before that.
by_day = [("o", RUBBISH[1]), pytest.param("c", RUBBISH[0], marks=services.once)]
others = [(role, value) for role in ROLES for value in [*RUBBISH, *MORE]]
roles_and_values = pytest.mark.parametrize(
    ("role", "value"), [*by_day, *at_night(*others)], ids=short
)


@pytest.fixture
def visit(client):
    """Return a function that logs in an account of a role, and returns its client: it gets a page
    for an error.
    """

    def log_in(role="o"):
        client.force_login(make_user(role))
        client.raise_request_exception = False
        return client

    return log_in


def addresses(**others):
    """Yield the name and the address of each page, but that which logs out."""
    for name, route in routes():
        if name != "logout" and (not others or "<path:object_id>" in route):
            yield name, reverse(f"admin:{name}", kwargs=url_kwargs(name, route) | others)


def address(model, verb="changelist"):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{verb}")


def lists(role):
    """Yield each list that a role may see: its page, and a request of somebody who has it."""
    request = RequestFactory().get("/")
    request.user = make_user(role, f"looks as {role}")
    for page in admin.site._registry.values():
        if page.model is not Sending and page.has_view_permission(request):  # That is no list.
            yield page, request


def rows_of(response):
    """Return the numbers of the rows that a list shows; none where it answers otherwise."""
    if response.status_code == 200 and "cl" in (response.context or {}):
        return {row.pk for row in response.context["cl"].result_list}
    return set()


def fields_within(model, depth=2):
    """Yield the names of a model's fields, and of those that these lead to."""
    for field in model._meta.get_fields():
        yield field.name
        if field.is_relation and field.related_model and depth > 1:
            for name in fields_within(field.related_model, depth - 1):
                yield f"{field.name}__{name}"


@pytest.mark.slow
@roles_and_values
def test_list_parameters_neither_break_nor_leak(visit, role, value):
    client = visit(role)
    for number, (page, request) in enumerate(lists(role)):
        visible_ids = set(page.get_queryset(request).values_list("pk", flat=True))
        # Django's own are alike in all lists.
        names = [*page.allowed_parameters(request), *(TAKEN if number == 0 else ())]
        for params in [*({name: value} for name in names), dict.fromkeys(TAKEN, value)]:
            answer = client.get(address(page.model), params)
            assert answer.status_code < 500, (page, params)
            assert rows_of(answer) <= visible_ids, (page, params)


@pytest.mark.slow
@roles_and_values
def test_no_page_breaks_on_extra_parameters(visit, role, value):
    client = visit(role)
    params = dict.fromkeys([*TAKEN, *SENT["page_parameters"]], value)
    del params["_to_field"]  # Which is refused at once.
    for name, url in addresses():
        answer = client.get(url, params)
        assert answer.status_code < 500, name
        assert role == "o" or b"@example.org" not in answer.content, name


@pytest.mark.slow
@pytest.mark.parametrize("value", [RUBBISH[1], MORE[0], *at_night(*zip(MORE[1:]))], ids=short)
def test_no_page_breaks_on_invalid_ids(visit, value):
    client = visit()
    for name, url in addresses(object_id=value or "_"):
        for answer in (client.get(url), client.post(url, {"_form_submitted": "on"})):
            assert answer.status_code < 500, name


@pytest.mark.slow
@pytest.mark.parametrize(
    "value",
    ["\0", pytest.param("", marks=services.once), *at_night(("a\0b",), *zip([*RUBBISH, *MORE]))],
    ids=short,
)
def test_no_page_breaks_on_invalid_form_data(visit, value):
    client = visit()
    for name, url in addresses():
        with transaction.atomic():
            answer = client.post(url, dict.fromkeys(SENT["form_fields"], value))
            transaction.set_rollback(True)  # So that the next page is shown as much.
        assert answer.status_code < 500, name


@pytest.mark.parametrize("role", ["o", "v"])
def test_lists_allow_only_offered_lookups(role):
    """Else a viewer finds out, letter by letter, what no page shows."""
    pages = admin.site._registry.values()
    assert [page for page in pages if not isinstance(page, BaseModelAdmin)] == []
    for page, request in lists(role):
        offered = page.allowed_parameters(request)
        names = {f"{name}{look}" for name in fields_within(page.model) for look in LOOKUPS}
        assert [one for one in names - offered if page.lookup_allowed(one, "x", request)] == []


def test_lookups_not_offered_are_refused(visit):
    client = visit()
    for url, lookup in SENT["lookups"]:
        answer = client.get(reverse(f"admin:{url}_changelist"), {lookup: "1"})
        assert answer.status_code == 400, lookup


@pytest.mark.slow
def test_too_long_search_shows_all_with_warning(visit):
    client, longest, warning = visit(), "a " * (MAX_SEARCH_LENGTH // 2), "Search for at most 400"
    for page, _ in lists("o"):
        if page.search_fields:
            longest_page, refused = (
                client.get(address(page.model), {"q": words}) for words in (longest, longest + "a")
            )
            assert warning not in longest_page.text, page
            assert warning in refused.text, page
            assert rows_of(refused) == rows_of(client.get(address(page.model))), page


# ---- What is said


def test_missing_list_page_shows_first_with_warning(visit):
    client = visit()
    for number in range(51):
        make.subscriber(f"many{number}@example.org")
    answer = client.get(address(Subscriber), {"p": "99", "state": "active"}, follow=True)
    assert len(rows_of(answer)) == 50
    assert "Unknown filter." in answer.text
    again = client.get(address(Subscriber), {"e": "1", "p": "99"}, follow=True)
    assert len(rows_of(again)) == 50
    # So it is with a subscriber's letters; of the panel's search, there is no such page.
    letter = Letter.objects.get(subscriber=subscriber_id("reader"))
    first = reverse("admin:subscriptions_letter_change", args=[letter.pk])
    page = reverse("admin:subscriptions_subscriber_change", args=[letter.subscriber_id])
    for number in ("\u00b2", "00", "9" * 5000, "99"):
        assert first in client.get(page, {"letters-page": number}).text, short(number)
    search = reverse("admin:search")
    assert "Subscribers" in client.get(search, {"s": "subscr"}).text
    for number in ("99", "0", "-1", "abc", "\u00b2", "9" * 5000):
        assert client.get(search, {"s": "subscr", "page": number}).status_code == 404, short(number)


@pytest.mark.slow
def test_action_on_missing_rows_does_nothing(visit):
    client, sent = visit(), {"confirmed": "yes", "until": "2026-06-20"}
    for act, number in [
        *(("pause_selected", one) for one in ["abc", "", "\0", "1, 2", "9" * 5000, "\u00b2"]),
        *((act, "9" * 30) for act in ("pause_selected", "erase_selected", "plan_anew_selected")),
    ]:
        rows = {"action": act, helpers.ACTION_CHECKBOX_NAME: [subscriber_id("reader"), number]}
        answer = client.post(address(Subscriber), sent | rows, follow=True)
        assert "Nothing was done." in answer.content.decode(), (act, short(number))
    assert Subscriber.objects.get(pk=subscriber_id("reader")).paused_until is None
    assert User.objects.get(username="the-operator").logentry_set.count() == 0
