"""A subscriber's data: all of it is exported, and none is left after erasing."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from django.apps import apps
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, transaction
from django.urls import reverse

from digest.models import AddedPaper, ReaderModel
from digest.operations import retention
from digest.personalization import feedback, library, reading_list, recommendations, zotero
from digest.planning import plan
from subscriptions.actions import change_address, erase, export, signup
from subscriptions.actions.preferences import TopicSelection
from subscriptions.bounces import inbound
from subscriptions.delivery import queue, transitions, worker
from subscriptions.delivery.transitions import zstd
from subscriptions.models import Invitation, Letter, MimeBatch, Seal, Subscriber
from subscriptions.security import suppression_list, tokens
from tests.factories import make, returned_mail
from tests.factories.make import DAY, HOUR, MINUTE, NOW
from tests.helpers.tables import everything
from tests.subscriptions.delivery.steps import claim, letter_to

pytestmark = pytest.mark.django_db

CONSENT_SOURCE = signup.ConsentSource(via="a test", ip="192.0.2.77", wording="Send me papers.")
ADDRESS = "Ada.Lovelace@analytical-engine.example"
INLINES = "preferences", "consents", "letters", "zotero_library"
#: What is exported in other words, or is of use to the post office alone.
EXPORTED_OTHERWISE = {
    "Subscriber": {"weekdays", "secret"},
    "Letter": {"mime_offset", "mime_size"},
    "ApiToken": {"hash"},
    "ZoteroLibrary": {"secret"},
    "Message": {"written_by", "receivers", "last_subscriber"},
}


def act(client, action="save", **sent):
    subscriber = Subscriber.objects.get(email=ADDRESS)
    return client.post(tokens.preferences_url(subscriber), {"action": action, **sent})


def a_life(client):
    """Do all that a subscriber and the operator can. Return the subscriber."""
    for number in range(12):
        make.paper(f"Graph networks {number}", upvotes=number)
    topic = make.topic("Robots")
    client.post("/subscribe/", {"email": ADDRESS, "interests": "graph networks", "hour": "9"})
    subscriber = Subscriber.objects.get()
    Invitation.objects.create(subscriber=subscriber, invited_by="you", at=NOW)
    client.post(tokens.answer_url(subscriber, "confirm", subscriber.asked_at))
    for now in (NOW, NOW + DAY):
        make.paper(f"Graph networks of day {now.day}")
        plan.plan(now)
        worker.deliver_due(lambda now=now: now)
    act(client, topics=topic.slug, interests="graph networks\nspiking neurons", mute=[], size="3")
    topic = subscriber.own_topics.last()
    AddedPaper.objects.create(topic=topic, title="A paper", abstract="Long", works=["Another"])
    papers = [pick.paper for pick in subscriber.picks.all()]
    for paper, value in zip(papers, ["more", "less", "save", "save"], strict=False):
        feedback.record(subscriber, paper, value, NOW + HOUR)
    reading_list.annotate(subscriber, papers[2], note="Read section 4", labels="to cite")
    reading_list.mark_read(subscriber, papers[2], NOW + HOUR)
    library.add(subscriber, "On the nodes of graphs", NOW + HOUR)
    zotero.connect(subscriber, "users/475425", "P9NiFoyLeZu2bZNvvuQPDWsd", NOW + HOUR)
    learned = {"terms": ["graph", "node"], "words": ["graphs", "nodes"], "weights": [0.5, -0.25]}
    ReaderModel.objects.filter(subscriber=subscriber).update(**learned, fitted_at=NOW)
    feedback.remove_word(subscriber, "node")
    act(client, "token")
    lab = make.group("Lab", mailing_list=subscriber)
    group = make.group()
    member, colleague = make.member(group, of=subscriber), make.member(group, "Grace")
    act(client, "join", membership=member.pk, name="Countess Lovelace")
    message = {"kind": "message", "operator_message": make.message(group=lab)}
    subscriber.letters.create(**message, created_at=NOW, next_try_at=NOW, closes_at=NOW + DAY)
    for sender, receiver in ((member, colleague), (colleague, member)):
        sent = {"membership_id": str(receiver.pk), "paper": papers[0], "note": "A punched card"}
        recommendations.recommend(sender.subscriber, **sent, now=NOW)
    client.post(tokens.unsubscribe_url(subscriber))
    goodbye = subscriber.letters.get(kind="goodbye")
    undo = {"kind": "goodbye", "source": CONSENT_SOURCE, "now": NOW + 2 * HOUR}
    signup.confirm(subscriber, goodbye.created_at, **undo)
    said = f"450 4.2.1 <{ADDRESS}>: try again"
    subscriber.letters.filter(kind="digest").update(last_reply=said, message_id="<d.1@x>")
    letter = subscriber.letters.filter(kind="digest").first()
    group_of_report = returned_mail.group(status="4.2.2")
    report = returned_mail.report(returned_mail.address_of(letter), group_of_report)
    inbound.receive(report, NOW + 2 * HOUR)
    form = {f"{name}-{count}_FORMS": "0" for name in INLINES for count in ("TOTAL", "INITIAL")}
    form |= {"timezone": "Asia/Tokyo", "hour": "8", "size": "4", "language": "en"}
    client.post(reverse("admin:subscriptions_subscriber_change", args=[subscriber.pk]), form)
    change_address.request(subscriber, f"new-{ADDRESS}", now=NOW + 2 * HOUR)
    worker.deliver_due(lambda: NOW + 2 * HOUR)
    queue.sweep(NOW + 3 * HOUR)
    subscriber.refresh_from_db()
    return subscriber


# ---- What they take with them


def rows_of(row, seen=None):
    """Yield a row and all that belongs to it, by the foreign keys that lead to it."""
    seen = set() if seen is None else seen
    if (type(row), row.pk) in seen:
        return
    seen.add((type(row), row.pk))
    yield row
    for relation in row._meta.related_objects:
        if relation.many_to_many:
            continue
        for one in relation.related_model._base_manager.filter(**{relation.field.name: row}):
            yield from rows_of(one, seen)


def test_export_has_every_column_of_the_subscribers_rows(panel):
    """By their foreign keys, so that whoever adds a table adds it to the export."""
    a_life(panel)
    Subscriber.objects.update(suppressed_reason="mailbox unknown", pending_settings={"hour": 3})
    response = act(panel, "export")
    assert response["Content-Disposition"].startswith("attachment")
    exported = response.json()
    rows = list(rows_of(Subscriber.objects.get(email=ADDRESS)))
    looked_at = {type(row) for row in rows}
    for model in apps.get_models():
        leads_to = {field.related_model for field in model._meta.concrete_fields}
        assert model in looked_at or not leads_to & looked_at, model
    for row in rows:
        values = {
            field.column: field.value_from_object(row)
            for field in row._meta.concrete_fields
            if not (field.is_relation or field.primary_key)
            and field.name not in EXPORTED_OTHERWISE.get(type(row).__name__, ())
        }
        stored = json.loads(json.dumps(values, cls=DjangoJSONEncoder))
        assert any(stored.items() <= one.items() for one in objects_in(exported)), (row, stored)

    (noted,) = exported["changed_by_operators"]
    assert (noted["whose"], noted["what"][:16]) == (ADDRESS, "Changed Time zon")
    assert "you" not in noted.values()

    others = export.export(make.subscriber("stranger@example.org", confirmed=False))
    assert {name for name, of in others.items() if isinstance(of, list) and of} == {"weekdays"}


def objects_in(exported):
    """Yield every JSON object in what was exported."""
    if isinstance(exported, dict):
        yield exported
        exported = list(exported.values())
    if isinstance(exported, list):
        for one in exported:
            yield from objects_in(one)


# ---- What is left


def files_with(text, *folders):
    """Return the files in which the text stands, in either case; letters in the outbox aside."""
    files = [path for folder in folders for path in Path(folder).rglob("*") if path.is_file()]
    read = {path: path.read_bytes().lower() for path in files if "outbox" not in path.parts}
    return [path for path, octets in read.items() if text.lower().encode() in octets]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("for_good", [False, True])
def test_erased_subscriber_leaves_no_trace_in_database_or_files(panel, data_dir, for_good):
    a_life(panel)
    name = Path(connection.settings_dict["NAME"])
    database = [data_dir]
    if connection.vendor == "sqlite":
        database = [data_dir, name.parent]
        assert files_with(ADDRESS, name.parent)
    assert any(ADDRESS in repr(rows) for rows in everything().values())

    assert act(panel, "erase", **{"never_again": "yes"} if for_good else {}).status_code == 200

    queue.sweep(NOW + 2 * DAY)
    assert [path.name for path in files_with(ADDRESS, *database)] == []
    left = {model._meta.db_table: rows for model, rows in everything().items() if rows}
    assert ADDRESS.lower() not in repr(left).lower()
    assert "analytical" not in repr(left).lower()
    assert "spiking neurons" not in repr(left)
    assert not re.search("Countess|punched card", repr(left))
    assert "192.0.2.77" not in repr(left)
    tables = {table for table in left if table.startswith(("subscriptions_", "digest_"))}
    others = {"digest_paper", "subscriptions_topic", "digest_fittedmodel", "digest_lock"}
    others |= {
        f"subscriptions_{table}" for table in ("group", "membership", "message", "subscriber")
    }
    assert tables - others - {"digest_sourceconfig"} == {
        "subscriptions_attempt",
        *(["subscriptions_seal"] if for_good else []),
    }


@pytest.mark.django_db(transaction=True)
def test_write_ahead_log_is_truncated_by_the_hourly_purge():
    if connection.vendor != "sqlite":
        pytest.skip("about the log of SQLite")
    file = Path(connection.settings_dict["NAME"])
    subscriber = make.subscriber(ADDRESS)
    with closing(sqlite3.connect(file)) as busy:
        busy.execute("BEGIN")
        busy.execute("SELECT count(*) FROM subscriptions_subscriber").fetchone()
        erase.erase(subscriber, now=NOW)
        assert files_with(ADDRESS, file.parent)
    retention.purge(NOW)
    assert not files_with(ADDRESS, file.parent)


def test_erasing_removes_only_the_subscribers_email_from_a_batch():
    letters = [claim(letter_to(email)) for email in (ADDRESS, "other@example.org")]
    mimes = {one.pk: b"To: %s\r\n" % one.subscriber.email.encode() for one in letters}
    freeze = transitions.FrozenMessage
    frozen = {pk: freeze(mime, f"<{pk}@x>", NOW) for pk, mime in mimes.items()}
    with transaction.atomic():
        arrived, waiting = transitions.final_check(letters, frozen, NOW).passed
    transitions.accept([arrived], ["250 ok"], NOW)
    transitions.put_back(waiting, NOW)
    erase.erase(arrived.subscriber, now=NOW)
    assert ADDRESS.encode() not in zstd.decompress(MimeBatch.objects.get().mime)
    assert transitions.frozen_bytes(waiting) == b"To: other@example.org\r\n"


@pytest.mark.parametrize(("url", "stay"), [("file:", True), ("smtp://127.0.0.1:25", False)])
def test_page_says_what_is_kept_and_erased(client, settings, url, stay):
    settings.EMAIL_URL, settings.CONTACT_EMAIL = url, "hello@papers.example.org"
    make.subscriber(ADDRESS)
    page = act(client, "erase", never_again="yes").text
    assert "counts of requests are deleted within 14 days" in page
    assert ("Emails that were written to files stay" in page) == stay
    assert "nobody can sign it up again" in page
    assert "mailto:hello@papers.example.org" in page


# ---- Suppression entries


def erased(for_good=False, **fields):
    subscriber = make.subscriber(ADDRESS, **fields)
    erase.erase(subscriber, now=NOW, for_good=for_good)
    return Seal.objects.values_list("reason", flat=True).first()


def sign_up(address=ADDRESS, now=NOW + HOUR):
    request = signup.SignUpRequest(TopicSelection(interests=["bread"]))
    return signup.subscribe(address, request, source=CONSENT_SOURCE, now=now)


BOUNCED = {"suppressed_at": NOW, "suppressed_by": "bounced"}
SUPPRESSED_FOREVER = [({}, None), ({"unsubscribed_at": NOW}, None), ({"confirmed": False}, None)]
SUPPRESSORS = Subscriber.Suppression.values
SUPPRESSED_FOREVER += [(BOUNCED | {"suppressed_by": by}, by) for by in SUPPRESSORS]
SUPPRESSED_FOREVER += [({"suppressed_at": NOW}, "complained")]
SUPPRESSED_FOREVER += [({"for_good": True} | fields, "asked") for fields in ({}, BOUNCED)]


@pytest.mark.parametrize(("fields", "why"), SUPPRESSED_FOREVER)
def test_erasing_leaves_a_suppression_entry_for_blocked_addresses(fields, why):
    assert erased(**fields) == why


LISTED = [("Ada.Lovelace", {"for_good": True}), ("ADA.LOVELACE", {"suppressed_at": NOW})]


@pytest.mark.parametrize(("local", "fields"), LISTED)
def test_suppressed_address_gets_no_letters_and_an_ordinary_page(client, local, fields):
    erased(**fields)
    spelling = f"{local}@analytical-engine.example"
    other = f"x{spelling[1:]}"
    pages = [
        client.post("/subscribe/", {"email": email}).text.replace(email, "…")
        for email in (spelling, other)
    ]
    assert len(set(pages)) == 1
    assert Letter.objects.get().subscriber.email.lower() == other.lower()
    assert Subscriber.objects.count() == 1


def test_bounced_address_is_tried_again_after_a_week():
    erased(suppressed_at=NOW, suppressed_by="bounced")
    assert sign_up(f"x{ADDRESS}") is not None
    assert sign_up(now=NOW + 7 * DAY) is None
    assert sign_up(now=NOW + 7 * DAY + MINUTE) is not None
    erase.erase(Subscriber.objects.get(email=ADDRESS), now=NOW, for_good=True)
    assert sign_up(now=NOW + 4000 * DAY) is None


def test_permanent_suppression_is_not_replaced_by_a_temporary_one():
    for why in ("bounced", "asked", "bounced"):
        suppression_list.add(ADDRESS, why, NOW)
    assert Seal.objects.get().reason == "asked"


def test_expired_suppression_entry_is_deleted():
    suppression_list.add(ADDRESS, "bounced", NOW)
    suppression_list.add("other@example.org", "complained", NOW)
    retention.purge(NOW + 8 * DAY)
    assert [kept.reason for kept in Seal.objects.all()] == ["complained"]


def test_suppression_entry_is_valid_while_its_secret_is_listed(settings):
    settings.SECRET_KEY = "old"
    suppression_list.add(ADDRESS, "asked", NOW)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", ["old"]
    assert suppression_list.contains(ADDRESS, NOW)
    settings.SECRET_KEY_FALLBACKS = []
    assert not suppression_list.contains(ADDRESS, NOW)


def test_operator_finds_and_deletes_a_suppression_entry_by_address(panel):
    for address in (ADDRESS, "other@example.org"):
        suppression_list.add(address, "asked", NOW)
    url = reverse("admin:subscriptions_seal_changelist")
    found = {
        asked: [entry.seal for entry in panel.get(url, {"q": asked}).context["cl"].result_list]
        for asked in (ADDRESS.lower(), "nobody", "")
    }
    assert [len(entries) for entries in found.values()] == [1, 0, 2]
    delete = {"action": "delete_selected", "_selected_action": found[ADDRESS.lower()]}
    panel.post(url, delete | {"post": "yes"})
    assert not suppression_list.contains(ADDRESS, NOW)
    assert suppression_list.contains("other@example.org", NOW)
