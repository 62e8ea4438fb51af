"""Who may do what in the panel: each of its addresses, asked by each role, against one table."""

import re
from html import unescape
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.urls import URLResolver, resolve, reverse

from digest.models import Coverage, Digest, Harvest, Paper, SourceConfig
from digest.operations import roles
from digest.planning import plan
from subscriptions.actions import signup
from subscriptions.delivery import transitions
from subscriptions.models import Attempt, Letter, LetterFact, Sending, Subscriber, Topic
from subscriptions.security import suppression_list
from tests.factories import make
from tests.factories.make import DAY, NOW, TODAY
from tests.helpers import services
from tests.helpers.admin_pages import form_of
from tests.helpers.data_files import cases
from tests.helpers.tables import everything

#: The roles that a GET, and an empty POST, of each route admits; n has no role.
TABLE = cases("panel_roles")["routes"]

pytestmark = [pytest.mark.django_db, services.once]

ROLES = {"o": "operator", "c": "curator", "v": "viewer", "n": None}


@pytest.fixture
def furnished():
    """Give every page something to show, and every act someone to be done to."""
    Harvest.objects.create(source="arxiv", today=NOW, started_at=NOW, touched_at=NOW)
    SourceConfig.objects.create(name="z", title="Z", feed_url="http://127.0.0.1:9/")
    Coverage.objects.create(
        source="arxiv", category="cs.LG", day=NOW, state="fresh", checked_at=NOW
    )
    make.paper("Graphs")
    make.topic("Graphs")
    make.subscriber("reader@example.org", interests="graphs")
    make.subscriber("failed@example.org", interests="graphs")
    plan.plan(NOW)
    failed = Letter.objects.get(subscriber__email="failed@example.org")
    transitions.end([failed], "failed", "refused: 554 no", NOW)
    LetterFact.objects.create(letter=failed, kind="delayed", noted_at=NOW, via="mail", key="x")
    LetterFact.objects.all().update(letter=Letter.objects.exclude(pk=failed.pk).get())
    make.subscriber("back@example.org", suppressed_at=NOW, suppressed_by="bounced")
    make.subscriber("away@example.org", paused_until=TODAY + 9 * DAY)
    signup.record_consent(
        make.subscriber("new@example.org", confirmed=False), "asked", CONSENT_SOURCE, NOW
    )
    suppression_list.add("gone@example.org", "asked", NOW)
    make.subscriber(channel="json", title="Lab room", paused_until=TODAY + 9 * DAY)
    Sending.objects.create(pk=1)
    make.member(make.group("Lab"), "Ada")
    make.message()
    someone = User.objects.create(username="someone")
    LogEntry.objects.create(user=make_user("v", "writer"), action_flag=1, object_repr="x")
    assert not someone.logentry_set.exists()


CONSENT_SOURCE = signup.ConsentSource("test")


def make_user(role, name=None):
    """Make an account of a role, by its letter in the table."""
    user = User.objects.create(username=name or f"the-{ROLES[role]}", is_staff=True)
    if ROLES[role]:
        user.groups.add(Group.objects.get(name=ROLES[role]))
    return user


def subscriber_id(name):
    return Subscriber.objects.get(email=f"{name}@example.org").pk


def url_kwargs(name, route):
    """Return what the address of a page names: the row, and what else."""
    someone = User.objects.get(username="someone").pk
    special = {
        "view_on_site": {
            "content_type_id": ContentType.objects.get_for_model(Paper).pk,
            "object_id": Paper.objects.get().pk,
        },
        "app_list": {"app_label": "digest"},
        "digest_digest_preview": {"digest_id": Digest.objects.first().pk, "part": "text"},
        "auth_user_password_change": {"id": someone},
    }
    if name in special or "<path:object_id>" not in route:
        return special.get(name, {})
    if name.startswith("subscriptions_subscriber_"):
        return {"object_id": subscriber_id("reader")}
    if name.startswith("auth_user"):
        return {"object_id": someone}
    if name.startswith("subscriptions_topic"):
        return {"object_id": Topic.objects.curated().get().pk}
    return {"object_id": apps.get_model(*name.split("_")[:2]).objects.last().pk}


def routes(patterns=None, before=""):
    """Yield the name and the route of each address of the panel."""
    for pattern in admin.site.get_urls() if patterns is None else patterns:
        route = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        elif pattern.name is not None:
            yield pattern.name, route
        else:  # What leads to a row's page, and what is found nowhere.
            assert route.endswith("/<path:object_id>/") or route == "(?P<url>.*)$"


def is_let_in(response):
    assert response.status_code < 500
    is_sent_away = response.status_code == 302 and response["Location"].startswith("/admin/login")
    return response.status_code not in (403, 404, 405) and not is_sent_away


def walk(client):
    """Yield what each address answers to a GET and to an empty POST. To log out comes last."""
    for name, route in sorted(routes(), key=lambda found: found[0] == "logout"):
        url = reverse(f"admin:{name}", kwargs=url_kwargs(name, route))
        yield name, client.get(url), client.post(url)


def test_table_lists_every_route():
    assert {name for name, _ in routes()} == set(TABLE)


@pytest.mark.parametrize(
    "role", [*(pytest.param(one, marks=pytest.mark.slow) for one in "oc"), *"vn"]
)
def test_each_route_admits_roles_in_table(furnished, client, role):
    """Who is no operator meets no subscriber, and changes nothing by an empty form."""
    client.force_login(make_user(role))
    User.objects.update(last_login=None)
    before = everything()
    for name, got, sent in walk(client):
        assert [is_let_in(got), is_let_in(sent)] == [role in whom for whom in TABLE[name]], name
        assert role == "o" or "@example.org" not in got.text + sent.text, name
    if role != "o":
        User.objects.update(last_login=None)
        after = everything()
        assert {table for table in after if before[table] != after[table]} <= {Session, Attempt}


def links_of(response):
    """Yield where the links of a page lead within the panel: one of each page and its parameters,
    whatever these are.
    """
    for link in re.findall(r'href="([^"]+)"', response.content.decode()):
        parts = urlsplit(urljoin(response.request["PATH_INFO"], unescape(link)))
        if parts.path.startswith("/admin/") and not parts.netloc and "logout" not in parts.path:
            name = resolve(parts.path).view_name
            yield (name, *parse_qs(parts.query)), f"{parts.path}?{parts.query}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "role", ["o", *(pytest.param(one, marks=pytest.mark.nightly) for one in "cvn")]
)
def test_links_lead_only_to_permitted_pages(furnished, client, role):
    client.force_login(make_user(role))
    pages = [
        client.get(reverse(f"admin:{name}", kwargs=url_kwargs(name, route)))
        for name, route in routes()
        if name != "logout" and role in TABLE[name][0]
    ]
    links = dict(link for page in pages if page.status_code == 200 for link in links_of(page))
    for link in links.values():
        assert client.get(link).status_code in (200, 302), link


@pytest.mark.parametrize(
    ("name", "lookup"),
    [
        ("digest_sourceconfig", "feed_url__startswith"),
        ("digest_paper", "picks__digest__subscriber__email__startswith"),
        ("subscriptions_topic", "owner__email__startswith"),
    ],
)
def test_lists_are_not_filtered_by_what_they_hide(client, name, lookup):
    client.force_login(make_user("c"))
    assert client.get(reverse(f"admin:{name}_changelist"), {lookup: "h"}).status_code == 400


# ---- The roles themselves


def test_migration_restores_roles_and_keeps_other_groups():
    others = Group.objects.create(name="others")
    right = Permission.objects.get(codename="delete_subscriber")
    for group in (Group.objects.get(name="viewer"), others):
        group.permissions.add(right)
    call_command("migrate", verbosity=0)
    assert list(others.permissions.all()) == [right]
    assert Group.objects.count() == 4
    expected = {f"digest.view_{model}" for model in roles.VIEWED_MODELS}
    changes = {f"subscriptions.{action}_topic" for action in ("view", "add", "change", "delete")}
    for role, names in [("viewer", expected), ("curator", expected | changes)]:
        held = Group.objects.get(name=role).permissions.all()
        assert {f"{one.content_type.app_label}.{one.codename}" for one in held} == names
    held = Group.objects.get(name="operator").permissions
    assert not held.filter(codename="add_group", content_type__app_label="auth").exists()
    held = held.values_list("codename", flat=True)
    assert {"erase", "delete_subscriber", "view_logentry", "add_user"} - set(held) == {"erase"}
    assert not {"change_permission", "delete_logentry"} & set(held)


# ---- Nobody gives more than they have


HASH = f"pbkdf2_sha256$1$salt${'h' * 43}="
WORDS = {"usable_password": "true", "password1": "a long one", "password2": "a long one"}


def page_of(user, verb="change"):
    return reverse(f"admin:auth_user_{verb}", args=[user.pk])


def test_operator_assigns_role_to_new_account(client):
    client.force_login(make_user("o"))
    client.post(reverse("admin:auth_user_add"), {"username": "ada"} | WORDS)
    ada = User.objects.get(username="ada")
    role = Group.objects.get(name="curator")
    sent = form_of(client.get(page_of(ada))) | {"is_staff": "on", "groups": [role.pk]}
    assert client.post(page_of(ada), sent).status_code == 302
    ada.refresh_from_db()
    assert (ada.is_staff, list(ada.groups.all())) == (True, [role])


def beyond_operators():
    """Return a permission that operators don't have."""
    return Permission.objects.get(codename="add_group", content_type__app_label="auth")


def test_operator_cannot_grant_more_than_own_rights(client):
    me, other = make_user("o"), make_user("v")
    client.force_login(me)
    every = list(Permission.objects.values_list("pk", flat=True))
    for user in (me, other):
        sent = form_of(client.get(page_of(user)))
        sent |= {"is_superuser": "on", "user_permissions": every}
        sent |= {"groups": list(user.groups.values_list("pk", flat=True))}
        assert client.post(page_of(user), sent).status_code == 302
        user.refresh_from_db()
        assert not user.is_superuser
        assert not user.user_permissions.exists()
    more = Group.objects.create(name="more")
    more.permissions.add(beyond_operators())
    response = client.get(page_of(other))
    assert "more" not in dict(response.context["adminform"].form.fields["groups"].choices).values()
    answered = client.post(page_of(other), form_of(response) | {"groups": [more.pk]})
    assert "groups" in answered.context["adminform"].form.errors
    assert not other.groups.filter(pk=more.pk).exists()


def beyond():
    """Yield accounts that have more than an operator, also locked out."""
    right = beyond_operators()
    for is_active in (True, False):
        yield User.objects.create(
            username=f"root-{is_active}", password=HASH, is_superuser=True, is_active=is_active
        )
        more = User.objects.create(username=f"more-{is_active}", is_staff=True, is_active=is_active)
        more.user_permissions.add(right)
        yield more


def test_operator_cannot_change_more_privileged_accounts(client):
    client.force_login(make_user("o"))
    for user in beyond():
        before = User.objects.filter(pk=user.pk).values().get()
        page = client.get(page_of(user))
        assert page.status_code == 200
        assert not user.password or user.password[-20:] not in page.text
        for verb, sent in [
            ("change", {"username": "x", "is_active": "on", "groups": []}),
            ("password_change", WORDS),
            ("delete", {"post": "yes"}),
        ]:
            assert client.post(page_of(user, verb), sent).status_code == 403, (user, verb)
        assert User.objects.filter(pk=user.pk).values().get() == before


def test_account_with_log_entries_cannot_be_deleted(furnished, client):
    client.force_login(User.objects.create(username="root", is_staff=True, is_superuser=True))
    writer = User.objects.get(username="writer")
    assert client.post(page_of(writer, "delete"), {"post": "yes"}).status_code == 403
    someone = User.objects.get(username="someone")
    many = {"action": "delete_selected", "_selected_action": [writer.pk, someone.pk], "post": "yes"}
    client.post(reverse("admin:auth_user_changelist"), many)
    assert client.post(page_of(someone, "delete"), {"post": "yes"}).status_code == 302
    assert list(User.objects.filter(username__in=["writer", "someone"])) == [writer]


def test_dashboard_and_menu_match_permissions(furnished, client):
    subscribers = reverse("admin:subscriptions_subscriber_changelist")
    for role in ROLES:
        client.force_login(make_user(role))
        response = client.get(reverse("admin:index"))
        cards = response.context["cards"]
        assert len(cards) == (0 if role == "n" else 5)
        rows = [(row["url"], True) for card in cards for row in card["rows"] if row["url"]]
        menu = [one for group in response.context["sidebar_navigation"] for one in group["items"]]
        for url, may in set(rows) | {(str(one["link"]), one["has_permission"]) for one in menu}:
            assert is_let_in(client.get(url)) == may, (role, url)
        rows += [(url, True) for _, url in response.context.get("plots", ()) if url]
        assert ("You have no role yet" in response.text) == (role == "n")
        assert ("First steps" in response.text) == (role == "o")
        assert (subscribers in response.text) == (role == "o")
    response = client.get(subscribers)  # Who may not see it is led back.
    assert response.status_code == 403
    assert "Your account has no role that allows this page." in response.text
    assert f'href="{reverse("admin:index")}"' in response.text
