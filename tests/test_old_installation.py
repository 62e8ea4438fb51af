"""An installation of commit 6bbade4 upgrades: nothing is lost, and its processes go on beside it.

The functions of that commit made the data: the first line of the file has its secret key and
tokens of its emails, the others have the columns and rows of each table.
"""

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor

from digest.models import LibraryPaper, Pick
from digest.personalization import feedback
from digest.personalization.profiles import profiles_of
from digest.planning import plan
from subscriptions.actions import signup
from subscriptions.delivery import queue, worker
from subscriptions.forms import InterestsForm
from subscriptions.models import Letter, Subscriber, Topic
from subscriptions.security import suppression_list, tokens
from tests.factories import make
from tests.factories.make import NOW
from tests.helpers import data_files
from tests.test_migrations import INSTALLED

pytestmark = pytest.mark.django_db

FACTS, *LINES = map(json.loads, data_files.text("installation-6bbade4.jsonl").splitlines())
TOKENS = FACTS["tokens"]
STATES = {
    **dict.fromkeys(["active", "german", "merged", "unmoved", "moving"], "active"),
    **dict.fromkeys(["planned", "claimed", "transmitting", "uncertain"], "active"),
    **dict.fromkeys(["retried", "failed"], "active"),
    **{"paused": "paused", "pending": "pending", "gone": "unsubscribed"},
    **{"returning": "unsubscribed", "bounced": "suppressed", "complained": "suppressed"},
}
WAITING = ["planned", "claimed", "retried"]  # Surely not sent at 6bbade4.
UNCERTAIN = ["transmitting", "uncertain"]


def tables():
    """Return the columns and rows of each table in the file, by the names of their models."""
    found, rows = {}, []
    for line in LINES:
        if isinstance(line, dict):
            rows = []
            found[line["model"]] = (line["fields"], rows)
        else:
            rows.append(line)
    return found


def columns():
    """Return each table's columns: whether an INSERT may leave the column out."""
    with connection.cursor() as cursor:
        return {
            table: {
                column.name: bool(column.null_ok or column.default is not None)
                for column in connection.introspection.get_table_description(cursor, table)
            }
            for table in connection.introspection.table_names(cursor)
        }


def load(apps):
    models = []
    with transaction.atomic():
        for label, (names, rows) in tables().items():
            model = apps.get_model(label)
            fields = {field.attname: field for field in model._meta.concrete_fields}
            named = (zip(names, row, strict=True) for row in rows)
            model.objects.bulk_create(
                model(**{name: fields[name].to_python(value) for name, value in pairs})
                for pairs in named
            )
            models.append(model)
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), models):
            cursor.execute(statement)


@pytest.fixture(scope="module", autouse=True)
def old_columns(django_db_setup, django_db_blocker, tmp_path_factory):
    """Build the installation in a file or schema of its own, upgrade it, and use it instead of the
    tests' database. Return the columns that it had before.
    """
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        if connection.vendor == "sqlite":
            file = tmp_path_factory.mktemp("installation") / "paperboy.sqlite3"
            patch.setitem(connection.settings_dict, "NAME", str(file))
        else:
            with connection.cursor() as cursor:
                cursor.execute("DROP SCHEMA IF EXISTS installation CASCADE")
                cursor.execute("CREATE SCHEMA installation")
            options = connection.settings_dict["OPTIONS"]
            ours = f"{options['options']} -c search_path=installation"
            patch.setitem(options, "options", ours)
        connection.close()
        executor = MigrationExecutor(connection)
        leaves = executor.loader.graph.leaf_nodes()
        state = executor.migrate([(app, INSTALLED.get(app, name)) for app, name in leaves])
        load(state.apps)
        before = columns()
        call_command("upgrade")
        yield before
        connection.close()


@pytest.fixture(autouse=True)
def secret(settings):
    settings.SECRET_KEY = FACTS["secret_key"]


def subscriber(name):
    return Subscriber.objects.get(email=f"{name}@example.org")


def pass_time(clock, until):
    """Let a worker pass every ten minutes."""
    while clock.now < until:
        clock.now += timedelta(minutes=10)
        plan.plan(clock.now)
        queue.sweep(clock.now)
        worker.deliver_due(lambda: clock.now)


def sent_to(outbox):
    """Return the names of those to whom emails went, each as often as it got one, sorted."""
    return sorted(letter["To"].partition("@")[0] for letter in outbox())


def test_old_version_finds_its_columns_after_the_upgrade(old_columns):
    now = columns()
    for table, before in old_columns.items():
        if table == "subscriptions_provider":
            continue  # Removed before the first release.
        assert before.keys() <= now[table].keys(), table
        for column, is_optional in now[table].items():
            assert is_optional or before.get(column) is False, (table, column)


def test_upgrade_keeps_every_row():
    from django.apps import apps

    models = {model._meta.db_table: model for model in apps.get_models() if not model._meta.proxy}
    labels = {"admin.logentry": "django_admin_log"}  # Where the table's name is another.
    for label, (_, rows) in tables().items():
        if label == "subscriptions.provider":
            continue
        table = labels.get(label, label.replace(".", "_"))
        assert models[table].objects.count() == len(rows), label


def test_upgrade_keeps_states_and_settings():
    subscribers = Subscriber.objects.all()
    assert {one.email: one.state_at(NOW) for one in subscribers} == {
        f"{name}@example.org": state for name, state in STATES.items()
    }
    stances = subscriber("active").preferences.values_list("topic__name", "stance", "weight")
    assert set(stances) == {
        ("Graph networks", "follow", 2.5),
        ("cs.LG: Machine Learning", "follow", 1.0),
        ("sour bread", "follow", 1.0),
        ("Sea ice", "mute", 1.0),
    }
    german = subscriber("german")
    settings = (german.timezone, german.hour, german.weekdays, german.language)
    assert settings == ("Europe/Berlin", 18, 0b0011111, "de")


def test_old_interests_are_read_as_phrases():
    paused = subscriber("paused")
    (profile,) = profiles_of([paused])
    assert [(one.lines, one.categories, one.authors) for one in profile.follows] == [
        (("Graph networks",), (), ()),
        (("batteries", "catalysts"), (), ()),
        (("graph networks", "sea ice"), (), ()),
        ((), (), ("Emmy Noether",)),
        ((), ("cs.RO",), ()),
        (('"sea ice"',), (), ()),
        (("Emmy Noether",), (), ()),
    ]
    assert [one.authors for one in profile.mutes] == [(), ("Ada Example",)]


def test_saving_the_page_keeps_old_interests(client):
    paused = subscriber("paused")
    before = list(paused.preferences.order_by("pk").values_list("topic", "topic__kind", "stance"))
    form = InterestsForm.of(paused).initial
    lines = {name: "\r\n".join(form[name]) for name in ("interests", "muted_interests")}
    address = tokens.preferences_url(paused)
    client.post(address, {**form, **lines, "save_interests": "1"})
    after = paused.preferences.order_by("pk").values_list("topic", "topic__kind", "stance")
    assert list(after) == before


def test_feedback_and_learned_words_are_kept():
    active = subscriber("active")
    assert sorted(active.feedback.values_list("value", flat=True)) == ["less", "more", "save"]
    assert LibraryPaper.objects.filter(subscriber=active).count() == 2
    assert "bread" in [word["word"] for word in feedback.learned_words(active)]
    assert [word["word"] for word in feedback.removed_words(active)] == ["part"]


@pytest.mark.parametrize(
    ("old", "new", "follower"),
    [("old-corals", "coral-reefs", "merged"), ("polar-seas", "sea-ice", "unmoved")],
)
def test_merged_topic_redirects_and_moves_followers(client, old, new, follower):
    assert client.get(f"/topics/{old}/").headers["Location"].endswith(f"/topics/{new}/")
    assert not Topic.objects.curated().filter(slug=old).exists()
    assert [topic.slug for topic in subscriber(follower).topics.all()] == [new]


@pytest.mark.parametrize(
    ("address", "name", "state"),
    [
        (f"/unsubscribe/{TOKENS['unsubscribe']}/", "active", "unsubscribed"),
        (f"/confirm/{TOKENS['confirm']}/", "pending", "active"),
        (f"/confirm/{TOKENS['return']}/", "returning", "active"),
        (f"/confirm/{TOKENS['goodbye']}/", "gone", "active"),
        (f"/move/{TOKENS['move']}/", "moved", "active"),
    ],
)
def test_actions_of_old_links_still_work(client, address, name, state):
    assert client.get(address).status_code == 200
    assert client.post(address).status_code in (200, 302)
    assert subscriber(name).state_at(NOW) == state
    assert name != "moved" or not Subscriber.objects.filter(email__startswith="moving").exists()


def test_pages_of_old_links_still_open(client):
    page = client.get(f"/preferences/{TOKENS['preferences']}/").text
    assert "sour bread" in page
    assert client.get(f"/digests/{TOKENS['digests']}/").status_code == 200
    sent = {"paper": "2606.00001", "value": "more"}
    client.post(f"/feedback/{TOKENS['feedback']}/", sent)
    assert subscriber("active").feedback.get(paper="2606.00001").value == "more"


def test_blocked_address_stays_blocked():
    assert suppression_list.contains("erased@example.org", NOW)
    for name in ("erased", "complained"):
        source, request = signup.ConsentSource("test"), signup.SignUpRequest()
        address = f"{name}@example.org"
        assert signup.subscribe(address, request, source=source, now=NOW) is None


def test_open_letters_are_sent_once_and_digests_continue(clock, outbox):
    pass_time(clock, NOW + timedelta(hours=8))
    assert sent_to(outbox) == sorted(WAITING + UNCERTAIN)
    for letter in outbox():
        name = letter["To"].partition("@")[0]
        frozen = f"Frozen at 6bbade4 for {name}." in letter.as_string()
        assert frozen is (name in UNCERTAIN)
    assert not Letter.objects.open().exists()
    ends = Letter.objects.filter(day=NOW.date()).values_list("subscriber__email", "state")
    assert [email for email, state in ends if state != "accepted"] == ["failed@example.org"]

    for number, what in enumerate(["graph networks", "coral reefs", "sea ice"], start=1):
        make.paper(f"More on {what}", id=f"2606.1{number}", now=NOW + timedelta(hours=12))
    pass_time(clock, NOW + timedelta(days=1, hours=5))
    day = NOW.date() + timedelta(days=1)
    names = [name for name, state in STATES.items() if state == "active"]
    assert sent_to(outbox) == sorted(WAITING + UNCERTAIN + names)
    states = Letter.objects.filter(day=day).values_list("state", flat=True)
    assert list(states) == len(names) * ["accepted"]
    picks = Pick.objects.filter(digest__day=day, subscriber=subscriber("unmoved"))
    assert "More on sea ice" in picks.values_list("paper__title", flat=True)
