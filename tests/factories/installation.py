"""An installation with rows in every table, dumped for tests/test_upgrade_installation.py.

To dump one of this version, for the database of DATABASE_URL, which must be empty:

    manage.py shell --no-imports -c "from tests.factories import installation; installation.dump()"
"""

import gzip
import html
import json
import re
import sqlite3
import subprocess
from contextlib import closing
from email import message_from_bytes, policy
from hashlib import sha256
from itertools import chain
from types import SimpleNamespace
from unittest.mock import patch

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group as Role
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from digest import models
from digest.indexing import index_store
from digest.operations import daily_stats, heartbeats
from digest.papers import registry, summaries
from digest.personalization import (
    feedback,
    interests,
    library,
    reading_list,
    recommendations,
    zotero,
)
from digest.planning import plan
from digest.topics import starter_topics
from subscriptions.actions import (
    change_address,
    erase,
    groups,
    invite,
    moderation,
    preferences,
    signup,
)
from subscriptions.actions.preferences import TopicSelection
from subscriptions.bounces import process
from subscriptions.bounces.parse import Report
from subscriptions.delivery import (
    circuit_breaker,
    messages,
    outcomes,
    queue,
    rendering,
    sweep,
    transitions,
    worker,
)
from subscriptions.delivery.transports.base import DeliveryResult
from subscriptions.models import Channel, Consent, Letter, Message, Subscriber
from subscriptions.security import api_tokens, encryption
from tests.factories import make
from tests.factories.make import DAY, HOUR, MINUTE, NOW, TODAY
from tests.factories.planning import observed
from tests.factories.themes import MOLECULES, ROADS, others, theme
from tests.helpers.data_files import DATA

SOURCE = signup.ConsentSource("sign-up form", "192.0.2.1", "I’d like a daily email.")
WORDS = "graph neural networks"
#: Of all kinds, and nothing that is looked up.
INTERESTS = f"""We forecast how congestion spreads on roads, and train models on molecules.
words: {WORDS}
topic: Sea ice
author: Emmy Noether
cs.RO
paper: 2606.09001
paper: On bread | {make.about("bread")}
not: surveys"""
#: Subscribers whose digest of today is due at noon, by what has become of it.
UNDER_WAY = ["planned", "claimed", "transmitting", "uncertain", "retried", "during", "after"]
ENDED = ["failed", "missed", "quiet"]
#: The emails whose links the tests open.
LINKED = [
    *("digest to reader", "message to reader", "confirm to reader"),
    *("confirm to asked", "confirm to returning", "confirm to gone", "goodbye to gone"),
    *("bounced to bounced", "move to moving", "move to moved"),
]
LINK = re.compile(rf"{settings.SITE_URL}(/[^\s\"<>]+)")


def dump() -> None:
    """Make the installation, and write its dump to tests/data."""
    clock = SimpleNamespace(now=NOW - 3 * DAY)
    with (
        patch.object(timezone, "now", lambda: clock.now),
        patch("subscriptions.delivery.clock.database_now", lambda: clock.now),
        patch.object(settings, "SECRET_KEY", "the-key-of-an-installation-of-version-0.1.0"),
    ):
        call_command("upgrade")
        facts = _fill(clock)
        _refuse_empty_tables()
        if connection.vendor == "postgresql":
            name = connection.settings_dict["NAME"]
            command = ["pg_dump", "--inserts", "--rows-per-insert=50", "-Ox"]
            address = ["-h", connection.settings_dict["HOST"], "-U", "postgres", name]
            text = subprocess.run([*command, *address], capture_output=True, check=True).stdout
            # psql's own commands, and settings that older servers don't know.
            lines = text.decode().splitlines(keepends=True)
            text = "".join(line for line in lines if not line.startswith(("\\", "SET ", "--")))
        else:
            with closing(sqlite3.connect(connection.settings_dict["NAME"])) as database:
                text = "\n".join(database.iterdump())
        facts["transactions"] = [_deliver_on(letter_id) for letter_id in facts["delivering"]]
    content = f"-- {json.dumps(facts)}\n{text}".encode()
    file = DATA / f"installation-0.1.0.{connection.vendor}.sql.gz"
    file.write_bytes(gzip.compress(content, mtime=0))


def _refuse_empty_tables():
    for model in apps.get_models(include_auto_created=True):
        if not model._base_manager.exists():
            raise ValueError(f"{model._meta.label} has no row")


def _deliver_on(letter_id):
    """Go on with a claimed letter as its worker does. Return the SQL of its two transactions."""
    letter = Letter.objects.get(pk=letter_id)
    frozen = _frozen(letter)
    transactions = []
    with connection.execute_wrapper(lambda *execution: _record(transactions[-1], *execution)):
        transactions.append([])
        _pass_final_check(letter, frozen)
        transactions.append([])
        with transaction.atomic():
            transitions.accept([letter], ["250 2.0.0 Queued"], NOW + MINUTE)
    return transactions


def _record(statements, execute, sql, params, many, context):
    if sql.startswith("BEGIN"):
        pass
    elif connection.vendor == "postgresql":
        statements.append(connection.ops.compose_sql(sql, params))
    else:
        statements.append(connection.ops.last_executed_query(context["cursor"], sql, params))
    return execute(sql, params, many, context)


def _frozen(letter):
    ((_, frozen),) = chain.from_iterable(rendering.render_letters([letter], NOW))
    return frozen


def _pass_final_check(letter, frozen):
    with transaction.atomic():
        assert transitions.final_check([letter], {letter.pk: frozen}, NOW).passed


def _claim(letter):
    with transaction.atomic():
        ((claimed,), _) = transitions.claim(NOW, 1, [letter.pk])
    return claimed


# ---- The data


def _fill(clock) -> dict:
    """Make the data. Return what tests must know besides: ids, bytes, links and tokens."""
    starter_topics.make_topics()
    _make_accounts()
    _make_papers(clock.now)
    _sign_up_all(clock.now)
    token = _use_everything(clock.now)
    for number, hours in enumerate([71, 48, 29, 24, 5]):
        clock.now = NOW - hours * HOUR
        theme(MOLECULES, 3 + 2 * number, 2, now=clock.now)
        theme(ROADS, 3 + 2 * number, 2, now=clock.now)
        _tick(clock.now)
    _note_operations(NOW - HOUR)
    clock.now = NOW
    plan.plan(NOW)
    facts = _make_states() | {"links": _links()}
    return facts | {"secret_key": settings.SECRET_KEY, "api_token": token}


def _make_accounts():
    ada = User.objects.create_superuser("ada", password=None)
    for name in ("operator", "curator", "viewer"):
        account = User.objects.create(username=name, is_staff=True)
        account.groups.add(Role.objects.get(name=name))
        account.user_permissions.add(Permission.objects.get(codename="view_figures"))
    panel = Client(SERVER_NAME="127.0.0.1")
    panel.force_login(ada)
    topic = {"name": "Sea ice", "slug": "sea-ice", "query": "sea ice", "is_offered": "on"}
    topic["categories"] = "physics.ao-ph"
    answer = panel.post("/admin/subscriptions/topic/add/", topic)
    assert answer.status_code == 302


def _make_papers(now):
    past = TODAY - 20 * DAY
    others(2, day=past, now=now)
    theme(MOLECULES, 0, 3, day=past, now=now)
    theme(ROADS, 0, 3, day=past, now=now)
    index_store.renew(now)
    fields = {"authors": ["Emmy Noether"], "categories": ["cs.RO", "math.RA"], "version": 2}
    fields |= {"doi": "10.1000/1", "github": "https://code.example/rings", "upvotes": 40}
    ring = make.paper("On rings", id="2606.09001", now=now, **fields)
    observed(ring, {-4: 3, -3: 40})
    ring.events.create(kind="revised", note="2", at=now)
    vector = bytes(range(64))
    models.PaperEmbedding.objects.create(paper=ring, model="tiny", changed_at=now, vector=vector)
    written = {"title": "Über Ringe", "text": "Ringe werden untersucht.", "model": "tiny"}
    written |= {"source": summaries.source_hash(ring), "prompt": 1, "day": now.date(), "calls": 1}
    ring.summaries.create(language="de", **written)
    make.paper("Rings of sea ice", id="2606.09002", now=now)
    make.paper("On sourdough", id="2606.09003", now=now)


def _sign_up(name, text=WORDS, *, muted="", now, confirms=True, **fields):
    email = f"{name}@example.org"
    selection = TopicSelection.of(interests.read(text, muted), [], [])
    letter = signup.subscribe(email, signup.SignUpRequest(selection), source=SOURCE, now=now)
    queue.deliver(letter.pk, now)
    if confirms:
        signup.confirm(letter.subscriber, letter.created_at, source=SOURCE, now=now)
    return preferences.change(letter.subscriber, None, fields, now=now)


def _sign_up_all(now):
    _sign_up("reader", INTERESTS, muted="words: tea\nauthor: Ada Example", size=5, now=now)
    zone = {"timezone": "Europe/Berlin", "hour": 18, "weekdays": 0b0011111}
    texts = {"language": "de", "summary_language": "de"}
    shown = {"wants_quiet_days": True, "wants_near": True, "takes_messages": False}
    _sign_up("german", now=now, size=7, **zone, **texts, **shown)
    _sign_up("monthly", now=now, is_monthly=True)
    _sign_up("paused", now=now, paused_until=TODAY + 30 * DAY)
    for name in [*UNDER_WAY, *ENDED]:
        _sign_up(name, "sourdough" if name == "quiet" else WORDS, now=now, hour=12)
    for name in ("gone", "returning", "bounced", "complained", "blocked", "moving", "erased"):
        _sign_up(name, now=now)
    form = {"email": "asked@example.org", "interests": WORDS, "hour": 9, "timezone": "Asia/Tokyo"}
    answer = Client(SERVER_NAME="127.0.0.1").post("/subscribe/", form)
    assert answer.status_code == 200
    worker.deliver_due(lambda: now)


def _use_everything(now) -> str:
    """Let subscribers and the operator use what there is. Return the reader's token of the API."""
    reader = Subscriber.objects.get(email="reader@example.org")
    german = Subscriber.objects.get(email="german@example.org")
    titles = "molecule|intersections|On rings"
    molecule, road, ring = models.Paper.objects.filter(title__regex=titles).order_by("pk")[:3]
    for paper, value in [(molecule, "more"), (road, "less"), (ring, "save"), (molecule, "save")]:
        feedback.record(reader, paper, value, now)
    reading_list.annotate(reader, ring, note="Read chapter two.", labels="rings, algebra")
    reading_list.mark_read(reader, ring, now)
    library.add(reader, (DATA / "library.bib").read_text(), now)
    zotero.connect(reader, "users/475425", "a-key-of-zotero", now)
    feedback.learn(now)
    feedback.remove_word(reader, models.ReaderModel.objects.get(subscriber=reader).terms[0])
    topic = reader.own_topics.get(query__startswith="On bread")
    models.AddedPaper.objects.create(topic=topic, title="On bread", abstract=make.about("bread"))

    lab = make.group("Lab")
    for member, name in ((reader, "Ada"), (german, "Ben")):
        groups.join(groups.invite(lab, member, now), name, source=SOURCE, now=now)
    invite.set_list(lab, "list@example.org", inviter="ada", now=now)
    entry = invite.Entry("invited@example.org", name="Eve", interests=WORDS)
    invite.invite([entry], {"hour": 8}, lab, inviter="ada", note="Join us.", now=now)
    worker.deliver_due(lambda: now)
    signup.confirm(lab.mailing_list, now, source=SOURCE, now=now)
    secret = encryption.encrypt("https://chat.example.org/hooks/of-the-lab")
    lab.channel = Channel(channel="json", title="The lab", secret=secret)
    moderation.add_channel(lab.channel, source=SOURCE, now=now)
    lab.save()
    colleague = recommendations.colleagues(german).get()
    dough = models.Paper.objects.get(title="On sourdough")
    recommendations.recommend(german, str(colleague.pk), dough, "Have a look.", now)
    for subject, at in (("Maintenance", now), ("Seminar", NOW)):
        fields = {"text": "On Monday.", "group": lab, "written_by": "ada", "receivers": 2}
        messages.schedule(Message(subject=subject, **fields), at)
    return api_tokens.make(reader, now)


def _tick(now):
    """Plan and deliver what is due, and count the days."""
    plan.plan(now)
    queue.sweep(now)
    messages.write_due(now)
    worker.deliver_due(lambda: now, media=[Letter.EMAILS])
    daily_stats.count_days(now)


def _note_operations(at):
    """Note what harvests and the watch over the installation leave behind."""
    counts = {"records": 10, "new": 9, "changed": 1, "ended_at": at, "result": "9 new papers."}
    make.harvest(at=at, **counts)
    make.harvest("huggingface", at, state="running", cursor="page 2")
    note_lists(TODAY, at)
    url = "https://papers.example/list"
    headers = {"etag": '"1"'}
    models.Response.objects.create(key="1", url=url, headers=headers, body=b"x", fetched_at=at)
    heartbeats.beat(heartbeats.TICK, at)
    heartbeats.record_key(at)
    fields = {"raised_at": at, "holds_until": at, "text": "Hugging Face fails."}
    models.Alarm.objects.create(name="source", subject="huggingface", **fields)
    circuit_breaker.stop("ada", at)
    circuit_breaker.resume("ada", at + MINUTE)


def note_lists(day, at):
    """Note that all papers that arXiv announced on a day are stored."""
    fields = {"announced": 10, "stored": 10, "checked_at": at}
    models.Coverage.objects.bulk_create(
        models.Coverage(source="arxiv", category=category, day=day, state="fresh", **fields)
        for category in registry.arxiv_categories()
    )


def _make_states() -> dict:
    """Bring subscribers and letters into all states."""
    people = {one.email.partition("@")[0]: one for one in Subscriber.objects.people()}
    letters = {name: people[name].letters.filter(day=TODAY).first() for name in people}

    signup.unsubscribe(people["gone"].public_id, source=SOURCE, now=NOW - HOUR)
    signup.record_reason(people["gone"].public_id, Consent.Reason.TOO_MANY)
    signup.unsubscribe(people["returning"].public_id, source=SOURCE, now=NOW - HOUR)
    _sign_up("returning", "sea ice", now=NOW - MINUTE, confirms=False)
    for name, kind, grade in (("bounced", "bounced", "hard"), ("complained", "complained", "")):
        message_id = letters[name].message_id
        report = Report(kind, (), message_id, key=name, via="mail", grade=grade, status="5.1.1")
        process.record(report, NOW - HOUR)
    moderation.ask_if_address_works(people["bounced"], now=NOW)
    report = Report("delivered", (), letters["reader"].message_id, key="reader", via="mail")
    process.record(report, NOW - HOUR)
    moderation.suppress(people["blocked"], "They asked by phone.", now=NOW)
    erase.erase(people["erased"], now=NOW, for_good=True)
    change_address.request(people["moving"], "moved@example.org", now=NOW)
    waiting = Letter.objects.due(NOW).filter(day=None)
    worker.deliver_due(lambda: NOW, [letter.pk for letter in waiting])

    refusal = DeliveryResult("refused", "rcpt", "554 5.7.1 No")
    outcomes.record_result(_claim(letters["failed"]), NOW, refusal)
    deferral = DeliveryResult("deferred", "rcpt", "451 4.7.1 Later")
    outcomes.record_result(_claim(letters["retried"]), NOW, deferral)
    transitions.end([letters["missed"]], "missed", "its day ended first", NOW)
    frozen = {}
    for name in ("transmitting", "uncertain"):
        letter = _claim(letters[name])
        message = _frozen(letter)
        _pass_final_check(letter, message)
        frozen[name] = sha256(message.mime).hexdigest()
    sweep.mark_uncertain(letter, NOW, note="no answer")
    for name in ("claimed", "during", "after"):
        _claim(letters[name])
    delivering = [letters[name].pk for name in ("during", "after")]  # Of the upgrade.
    return {"delivering": delivering, "frozen": frozen}


def _links() -> dict[str, dict[str, int]]:
    """Return the links of each kind of email to some, one to each page, with its answer."""
    links, client = {}, Client(SERVER_NAME="127.0.0.1")
    for file in sorted((settings.DATA_DIR / "outbox").iterdir()):
        email = message_from_bytes(file.read_bytes(), policy=policy.default)
        title = f"{file.name.partition('-')[0]} to {email['To'].partition('@')[0]}"
        if title in LINKED:
            parts = [email.get_body([kind]).get_content() for kind in ("plain", "html")]
            found = LINK.findall(html.unescape("\n".join(parts)))
            pages = {link[:4]: link for link in found}  # There are three kinds of /e/.
            links[title] = {link: client.get(link).status_code for link in pages.values()}
    return links
