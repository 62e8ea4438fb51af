"""An installation of 0.1.0 upgrades while its worker delivers: nothing is lost or sent twice.

The dumps have rows in every table. The first line of each has what else a test must know, such as
the SQL with which that version's worker went on delivering.
"""

import gzip
import json
import sqlite3
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from hashlib import sha256
from threading import Event

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction

from digest.models import Coverage, Pick
from digest.papers import registry
from digest.personalization import feedback, interests
from digest.planning import plan
from subscriptions.actions import signup
from subscriptions.delivery import messages, queue, worker
from subscriptions.models import Group, Letter, Seal, Subscriber
from subscriptions.security import encryption, suppression_list
from tests.factories import make
from tests.factories.make import DAY, HOUR, NOW, TODAY
from tests.helpers import invariants
from tests.helpers.data_files import DATA

pytestmark = pytest.mark.django_db

#: Columns that a later migration has dropped or filled anew ("table.column"), once two versions
#: did without them: see decision 21.
CHANGED: set[str] = set()
COMMIT_SECONDS = 0.3  # The old worker's last transaction is open for so long during the upgrade.
STATES = {
    **dict.fromkeys(["reader", "german", "monthly", "list", "moving"], "active"),
    **dict.fromkeys(["planned", "claimed", "transmitting", "uncertain"], "active"),
    **dict.fromkeys(["retried", "during", "after", "failed", "missed", "quiet"], "active"),
    **dict.fromkeys(["asked", "invited"], "pending"),
    **dict.fromkeys(["gone", "returning"], "unsubscribed"),
    **dict.fromkeys(["bounced", "complained", "blocked"], "suppressed"),
    "paused": "paused",
}
WAITING = ["planned", "claimed", "retried"]  # Surely not sent by 0.1.0.
UNCERTAIN = ["transmitting", "uncertain"]  # They may have arrived.


@pytest.fixture(scope="module")
def dump():
    """Return the facts of the dump, and its SQL."""
    file = DATA / f"installation-0.1.0.{connection.vendor}.sql.gz"
    sql = gzip.decompress(file.read_bytes()).decode()
    return json.loads(sql.partition("\n")[0].removeprefix("-- ")), sql


@pytest.fixture(scope="module")
def facts(dump):
    return dump[0]


@pytest.fixture(scope="module", autouse=True)
def before(dump, django_db_setup, django_db_blocker, tmp_path_factory):
    """Load the installation into a database of its own, which the tests use instead of theirs, and
    upgrade it. Return the columns of its tables before, and the rows.
    """
    facts, sql = dump
    settings_dict = connection.settings_dict
    with django_db_blocker.unblock(), pytest.MonkeyPatch.context() as patch:
        if connection.vendor == "sqlite":
            name = str(tmp_path_factory.mktemp("installation") / "paperboy.sqlite3")
            with closing(sqlite3.connect(name)) as database:
                database.executescript(sql)
        else:
            name = f"{settings_dict['NAME']}_installation"
            _execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}")
        connection.close()
        patch.setitem(settings_dict, "NAME", name)
        try:
            if connection.vendor == "postgresql":
                _execute(sql)
                connection.close()  # With the settings of the dump.
            columns = _columns()
            rows = _rows(columns, facts["delivering"])
            _upgrade(*facts["transactions"])
            yield columns, rows
        finally:
            connection.close()
            patch.undo()
        if connection.vendor == "postgresql":
            _execute(f"DROP DATABASE {name} WITH (FORCE)")


def _upgrade(during, after):
    """Upgrade while the old worker delivers a letter. Then it delivers another."""
    is_under_way = Event()
    with ThreadPoolExecutor(1) as executor:
        old_worker = executor.submit(_deliver_on, during, is_under_way)
        is_under_way.wait()
        call_command("upgrade")
        old_worker.result()
    _deliver_on(after, Event())


def _execute(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _deliver_on(transactions, is_under_way):
    """Go on with a claimed letter by the SQL of the worker of 0.1.0."""
    final_check, acceptance = transactions
    try:
        with transaction.atomic():
            _execute(*final_check)
        with transaction.atomic():
            _execute(*acceptance)
            is_under_way.set()
            time.sleep(COMMIT_SECONDS)
    finally:
        is_under_way.set()
        connection.close()


def _columns():
    """Return the columns of each table."""
    with connection.cursor() as cursor:
        description = connection.introspection.get_table_description
        return {
            table: [column.name for column in description(cursor, table)]
            for table in connection.introspection.table_names(cursor)
        }


def _rows(columns, delivering):
    """Return how often each row is in each table, except letters that are being delivered."""
    quoted = connection.ops.quote_name
    rows = {}
    with connection.cursor() as cursor:
        for table, names in columns.items():
            kept = [name for name in names if f"{table}.{name}" not in CHANGED]
            sql = f"SELECT {', '.join(map(quoted, kept))} FROM {quoted(table)}"
            if table == Letter._meta.db_table:
                sql += f" WHERE id NOT IN ({', '.join(map(str, delivering))})"
            cursor.execute(sql)
            rows[table] = Counter(tuple(map(str, row)) for row in cursor.fetchall())
    return rows


@pytest.fixture(autouse=True)
def secret(settings, facts):
    settings.SECRET_KEY = facts["secret_key"]


@pytest.fixture
def reader():
    return subscriber("reader")


def subscriber(name):
    return Subscriber.objects.get(email=f"{name}@example.org")


def pass_time(clock, until):
    """Let the service run every hour."""
    while clock.now < until:
        clock.now += HOUR
        queue.sweep(clock.now)
        messages.write_due(clock.now)
        plan.plan(clock.now)
        worker.deliver_due(lambda: clock.now, media=[Letter.EMAILS])


def sent_to(outbox, kind):
    """Return the names of those to whom emails of a kind went, each as often as it got one."""
    ids = Letter.objects.filter(kind=kind).values_list("message_id", flat=True)
    return sorted(one["To"].partition("@")[0] for one in outbox() if one["Message-ID"] in {*ids})


def test_upgrade_keeps_every_row(before, facts):
    columns, rows = before
    now = _columns()
    dropped = {f"{table}.{name}" for table in columns for name in {*columns[table]} - {*now[table]}}
    assert dropped <= CHANGED
    after = _rows(columns, facts["delivering"])
    lost = {table: rows[table] - after[table] for table in rows}
    assert all(rows.values())
    assert {table: rows for table, rows in lost.items() if rows} == {}


def test_upgrade_keeps_states_and_settings():
    people = Subscriber.objects.people()
    states = {one.email.partition("@")[0]: one.state_at(NOW) for one in people}
    assert states == STATES
    german = subscriber("german")
    schedule = (german.timezone, german.hour, german.weekdays, german.size)
    assert schedule == ("Europe/Berlin", 18, 0b0011111, 7)
    assert (german.language, german.summary_language, german.wants_near) == ("de", "de", True)
    assert (german.wants_quiet_days, german.takes_messages) == (True, False)
    assert subscriber("monthly").is_monthly
    assert subscriber("bounced").suppressed_by == "bounced"
    assert subscriber("blocked").suppressed_reason == "They asked by phone."
    accounts = User.objects.values_list("username", "groups__name", "is_superuser")
    roles = [(name, name, False) for name in ("curator", "operator", "viewer")]
    assert sorted(accounts, key=str) == [("ada", None, True), *roles]


def test_upgrade_keeps_interests(reader):
    followed, muted = interests.stored_lines(reader)
    assert [line.partition(" | ")[0] for line in followed] == [
        "We forecast how congestion spreads on roads, and train models on molecules.",
        "words: graph neural networks",
        "author: Emmy Noether",
        "cs.RO",
        "2606.09001",
        "paper: On bread",
    ]
    assert muted == ["surveys", "tea", "author: Ada Example"]
    assert [topic.slug for topic in reader.topics.curated()] == ["sea-ice"]


def test_upgrade_keeps_feedback_and_libraries(reader, client, facts):
    opinions = reader.feedback.order_by("at").values_list("paper__title", "value", "note")
    assert sorted(value for _, value, _ in opinions) == ["less", "more", "save"]
    assert ("On rings", "save", "Read chapter two.") in opinions
    assert [word["word"] for word in feedback.removed_words(reader)] == ["time"]
    assert "molecules" in [word["word"] for word in feedback.learned_words(reader)]
    assert reader.library.count() == 2
    assert encryption.decrypt(reader.zotero_library.secret) == "a-key-of-zotero"
    headers = {"Authorization": f"Bearer {facts['api_token']}"}
    saved = client.get("/api/v1/saved/", headers=headers).json()
    assert "On rings" in [paper["title"] for paper in saved["papers"]]


def test_upgrade_keeps_groups_and_channels():
    lab = Group.objects.get()
    members = [(one.name, one.joined_at is not None) for one in lab.memberships.order_by("pk")]
    assert members == [("Ada", True), ("Ben", True), ("Eve", False)]
    assert lab.mailing_list == subscriber("list")
    assert encryption.decrypt(lab.channel.secret).endswith("/hooks/of-the-lab")


def test_links_of_sent_emails_answer_as_before(client, facts):
    for email, links in facts["links"].items():
        assert {link: client.get(link).status_code for link in links} == links, email


@pytest.mark.parametrize(
    ("email", "page", "name", "state"),
    [
        ("digest to reader", "unsubscribe", "reader", "unsubscribed"),
        ("confirm to asked", "confirm", "asked", "active"),
        ("confirm to returning", "confirm", "returning", "active"),
        ("goodbye to gone", "confirm", "gone", "active"),
        ("bounced to bounced", "confirm", "bounced", "active"),
    ],
)
def test_actions_of_sent_emails_still_work(client, facts, email, page, name, state):
    answer = client.post(link_of(facts, email, page))
    assert answer.status_code in (200, 302)
    assert subscriber(name).state_at(NOW) == state


def link_of(facts, email, page):
    (link,) = [one for one in facts["links"][email] if one.startswith(f"/{page}/")]
    return link


def test_feedback_and_settings_by_sent_emails_still_work(client, facts, reader):
    paper = Pick.objects.filter(subscriber=reader, basis="topic").last().paper
    feedback_link = link_of(facts, "digest to reader", "feedback").partition("?")[0]
    client.post(feedback_link, {"paper": paper.pk, "value": "less"})
    assert reader.feedback.get(paper=paper).value == "less"
    preferences_link = link_of(facts, "digest to reader", "preferences").partition("#")[0]
    client.post(preferences_link, {"interests": "coral reefs", "save_interests": "1"})
    assert list(reader.own_topics.values_list("query", flat=True)) == ["coral reefs"]


def test_sent_change_of_address_can_still_be_confirmed(client, facts):
    for email in ("move to moving", "move to moved"):
        client.post(link_of(facts, email, "move"))
    assert subscriber("moved").state_at(NOW) == "active"


def test_blocked_address_stays_blocked():
    assert Seal.objects.count() == 3
    assert suppression_list.contains("erased@example.org", NOW)
    assert suppression_list.was_invited("invited@example.org")
    for name in ("erased", "complained", "blocked"):
        source, request = signup.ConsentSource("test"), signup.SignUpRequest()
        address = f"{name}@example.org"
        assert signup.subscribe(address, request, source=source, now=NOW) is None


def test_letters_of_old_worker_are_accepted(facts):
    letters = Letter.objects.filter(pk__in=facts["delivering"])
    assert len(letters) == 2
    for letter in letters:
        assert (letter.state, letter.last_reply) == ("accepted", "250 2.0.0 Queued")
        states = letter.events.values_list("new_state", flat=True)
        assert list(states) == ["planned", "claimed", "transmitting", "accepted"]


def test_open_letters_are_sent_once_and_digests_continue(clock, outbox, data_dir, facts):
    pass_time(clock, NOW + 8 * HOUR)
    today = sorted([*WAITING, *UNCERTAIN, "german"])
    assert sent_to(outbox, "digest") == today
    assert sent_to(outbox, "message") == ["reader"]
    sent = Counter(
        sha256(file.read_bytes()).hexdigest() for file in (data_dir / "outbox").iterdir()
    )
    assert [sent[facts["frozen"][name]] for name in UNCERTAIN] == [1, 1]
    assert not Letter.objects.filter(Letter.EMAILS).open().exists()

    papers_at = NOW + 12 * HOUR
    for number in range(3):
        make.paper(f"Graph neural networks of {number}", id=f"2606.1{number}", now=papers_at)
    make.paper("Sourdough at night", id="2606.13", now=papers_at)
    fields = {"announced": 10, "stored": 10, "checked_at": papers_at}
    Coverage.objects.bulk_create(
        Coverage(source="arxiv", category=category, day=TODAY + DAY, state="fresh", **fields)
        for category in registry.arxiv_categories()
    )
    pass_time(clock, NOW + timedelta(days=1, hours=5))
    active = [name for name, state in STATES.items() if state == "active" and name != "monthly"]
    assert sent_to(outbox, "digest") == sorted(today + active)
    digests = Letter.objects.filter(Letter.EMAILS, day=TODAY + DAY)
    assert set(digests.values_list("state", flat=True)) == {"accepted"}
    assert invariants.broken(clock.now) == {}
