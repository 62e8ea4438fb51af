"""A library in Zotero kept in step: connecting, reading when due, failures, and what is learned."""

from functools import partial
from types import SimpleNamespace

import lxml.html
import pytest

from digest.models import LibraryPaper, Lock, ReaderModel, ZoteroLibrary
from digest.personalization import feedback, library, zotero
from subscriptions.actions import erase, export
from subscriptions.security.encryption import decrypt
from tests.factories import make
from tests.factories.harvests import serving
from tests.factories.libraries import address, known_to, words_of
from tests.factories.make import DAY, HOUR, MINUTE, NOW
from tests.helpers.local_web import web_of
from tests.servers.loopback import DOWN, USUAL, says, web_page
from tests.servers.zotero import PATH, ZoteroServer

pytestmark = pytest.mark.django_db

KEY = "P9NiFoyLeZu2bZNvvuQPDWsd"
server = serving(ZoteroServer)


@pytest.fixture
def subscriber():
    return make.subscriber()


@pytest.fixture
def someone(subscriber, server):
    """A subscriber whose library in Zotero has two papers, and was read."""
    server.add(1)
    server.add(2)
    zotero.connect(subscriber, PATH, "", NOW)
    read(server)
    return subscriber


def read(server, now=NOW, *, is_pause_over=True):
    """Read what is due, one request an attempt."""
    if is_pause_over:
        Lock.objects.all().delete()
    web = web_of(server.source().hosts, retries=1)
    zotero.read_libraries(server.source(), web, lambda: now)


def state(subscriber):
    return ZoteroLibrary.objects.get(subscriber=subscriber)


def post(client, subscriber, **sent):
    return client.post(address(subscriber), sent, follow=True)


# ---- In step


def test_library_is_read_every_six_hours(someone, server):
    assert known_to(someone) == ["Soups of kind 2", "Soups of kind 1"]
    assert (state(someone).version, state(someone).read_at, state(someone).problem) == (2, NOW, "")
    server.add(3)
    read(server, NOW + 6 * HOUR - MINUTE)
    assert len(known_to(someone)) == 2
    read(server, NOW + 6 * HOUR)
    assert known_to(someone)[0] == "Soups of kind 3"


def test_changes_and_deletions_are_synchronized(someone, server):
    server.add(1, title="Soups with bread")
    server.delete(2)
    read(server, NOW + DAY)
    assert known_to(someone) == ["Soups with bread"]
    counter = ReaderModel.objects.get().feedback_count
    read(server, NOW + 2 * DAY)
    assert ReaderModel.objects.get().feedback_count == counter  # Nothing is learned anew.


def test_uploaded_paper_is_not_duplicated_by_zotero(someone, server):
    library.add(someone, "Soups of kind 1\nSoups of kind 3", NOW)
    server.add(3)
    read(server, NOW + DAY)
    assert sorted(known_to(someone)) == [f"Soups of kind {number}" for number in (1, 2, 3)]
    library.remove(someone, someone.library.filter(zotero_key=""))
    read(server, NOW + 2 * DAY)
    assert someone.library.exclude(zotero_key="").count() == 3


# ---- When, and by whom


def test_library_is_not_read_after_unsubscribing(someone, server):
    someone.unsubscribed_at = NOW
    someone.save()
    server.asked.clear()
    read(server, NOW + DAY)
    assert not server.asked


@pytest.mark.parametrize(
    ("answer", "later"),
    [(USUAL, 6 * HOUR), ((429, {"Retry-After": "900000000"}, b""), DAY), ((429, {}, b""), HOUR)],
)
def test_requested_pause_holds_for_all_libraries(someone, server, answer, later):
    server.backoff = "600"
    server.answers.append(answer)
    read(server, NOW + DAY)
    assert state(someone).next_read_at == NOW + DAY + later
    server.asked.clear()
    for one in (someone, make.subscriber()):
        zotero.connect(one, PATH, "", NOW)
    read(server, NOW + DAY, is_pause_over=False)
    assert not server.asked


def test_failed_reading_is_retried_with_backoff(someone, server):
    server.answers.extend([DOWN, DOWN, DOWN])
    now, waits = NOW + DAY, []
    for _ in range(3):
        read(server, now)
        waits.append(state(someone).next_read_at - now)
        now += waits[-1]
    assert waits == [HOUR, DAY, DAY]
    read(server, now)
    assert (state(someone).problem, state(someone).next_read_at) == ("", now + 6 * HOUR)
    assert len(known_to(someone)) == 2


@pytest.mark.parametrize(
    "meanwhile",
    [
        *(zotero.disconnect, library.forget, feedback.reset, partial(erase.erase, now=NOW)),
        *(partial(zotero.connect, path=path, key=KEY, now=NOW) for path in ("groups/7", PATH)),
    ],
)
def test_reading_is_discarded_when_library_changed(subscriber, server, meanwhile):
    zotero.connect(subscriber, PATH, "", NOW)
    server.add(1)
    row = state(subscriber)
    web = web_of(server.source().hosts)
    reading = server.source().read(web, PATH, "", 0, 300)
    slow = SimpleNamespace(read=lambda *_: (meanwhile(subscriber), reading)[1])
    zotero.read(row, slow, web, NOW)
    assert not LibraryPaper.objects.exists()
    assert {row.version for row in ZoteroLibrary.objects.all()} <= {0}


# ---- Keys and failures, as the page tells them


def test_private_library_key_is_never_shown(client, subscriber, server, caplog):
    server.key = KEY
    assert "within minutes" in words_of(post(client, subscriber, zotero=PATH))
    for key, problem in (("wrong", "refused"), (KEY, ""), ("", "")):
        zotero.connect(subscriber, PATH, key, NOW)
        read(server)
        assert state(subscriber).problem == problem
    page, exported = client.get(address(subscriber)).text, str(export.export(subscriber))
    assert PATH in exported
    for text in (page, exported, caplog.text, state(subscriber).secret):
        assert KEY not in text
    assert state(subscriber).secret not in page + exported + caplog.text


def test_key_survives_rotation_of_the_secret(client, subscriber, server, settings):
    server.key = KEY
    zotero.connect(subscriber, PATH, KEY, NOW)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", [settings.SECRET_KEY]
    read(server)
    assert state(subscriber).problem == ""
    settings.SECRET_KEY_FALLBACKS = []
    read(server, NOW + DAY)
    assert "can no longer be decrypted" in words_of(client.get(address(subscriber)))
    zotero.connect(subscriber, PATH, KEY, NOW)
    assert decrypt(state(subscriber).secret) == KEY


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((403, {}, b""), "Make the library public, or enter a key"),
        ((404, {}, b""), "Zotero has no such library."),
        ((412, {}, b""), "Zotero could not be reached."),
        (DOWN, "Zotero could not be reached."),
        (web_page(), "Zotero’s answer could not be read."),
        (says({}), "Zotero’s answer could not be read."),
    ],
)
def test_failures_are_explained_and_papers_kept(client, someone, server, answer, words):
    server.answers.append(answer)
    read(server, NOW + DAY)
    response = client.get(address(someone))
    assert response.status_code == 200
    (alert,) = lxml.html.fromstring(response.content).xpath("//*[@role='alert']")
    assert words in " ".join(alert.text_content().split())
    assert len(known_to(someone)) == 2


# ---- The page


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"zotero": "https://www.zotero.org/ada"}, "does not contain the user ID"),
        ({"zotero": "http://127.0.0.1:8000/users/1"}, "Enter the address of a group library"),
        ({"zotero": PATH, "key": "a\r\nHost: x"}, "not a key of Zotero"),
    ],
)
def test_invalid_address_or_key_stays_in_form(client, subscriber, sent, words):
    response = client.post(address(subscriber), sent)
    assert response.status_code == 400
    assert words in words_of(response)
    field = lxml.html.fromstring(response.content).get_element_by_id("id_zotero")
    assert field.get("value") == sent["zotero"]
    assert not ZoteroLibrary.objects.exists()


def test_library_can_be_connected_changed_and_disconnected(client, someone, server):
    library.add(someone, "On all the breads", NOW)
    post(client, someone, zotero=PATH)
    assert (state(someone).next_read_at, len(known_to(someone))) == (NOW, 3)
    post(client, someone, zotero="https://www.zotero.org/groups/2373/soups")
    assert (state(someone).path, state(someone).version) == ("groups/2373", 0)
    assert known_to(someone) == ["On all the breads"]
    server.path = "groups/2373"
    read(server, state(someone).next_read_at)
    assert len(known_to(someone)) == 3
    post(client, someone, all="disconnect")
    assert known_to(someone) == ["On all the breads"]
    assert not ZoteroLibrary.objects.exists()


def test_collection_is_kept_in_step_until_it_is_deleted(client, subscriber, server):
    server.collections = {"ABCD2345"}
    server.add(1)
    server.add(2, collections=["ABCD2345"])
    server.add(3, collections=["ABCD2345"])
    post(client, subscriber, zotero=f"{PATH}/collections/ABCD2345")
    now = state(subscriber).next_read_at
    read(server, now)
    assert known_to(subscriber) == ["Soups of kind 3", "Soups of kind 2"]
    server.add(3)
    read(server, now + DAY)
    assert known_to(subscriber) == ["Soups of kind 2"]
    server.collections.clear()
    read(server, now + 2 * DAY)
    assert (state(subscriber).problem, known_to(subscriber)) == ("missing", ["Soups of kind 2"])
    post(client, subscriber, zotero=PATH)
    assert known_to(subscriber) == []


# ---- What is learned
