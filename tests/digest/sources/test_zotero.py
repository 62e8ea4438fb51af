"""Libraries in Zotero: addresses, pages, versions, items, and what goes wrong."""

from datetime import UTC, date, datetime

import pytest

from digest.http.client import Refused, Unavailable
from digest.sources.base import MalformedFeed
from digest.sources.zotero import path_of
from tests.factories.harvests import serving
from tests.helpers.data_files import cases
from tests.helpers.local_web import MemoryCache, web_of
from tests.servers.loopback import recorded
from tests.servers.zotero import PATH, ZoteroServer, item

CASES = cases("zotero_addresses")

server = serving(ZoteroServer)


def read(server, known=0, key="", most=300, **options):
    web = web_of(server.source().hosts, retries=1, **options)
    return server.source().read(web, PATH, key, known, most)


def titles(library):
    return [record.title for _, _, record in library.papers]


# ---- Addresses


def test_address_yields_a_path_without_host():
    assert {path_of(address) for address in CASES["groups"]} == {"groups/2373"}
    assert path_of("475425") == "users/475425"
    collections = {path_of(address) for address in CASES["collections"]}
    assert collections == {"groups/2373/collections/AB12CD34"}
    assert {path_of(address) for address in CASES["invalid"]} == {""}


# ---- Pages and versions


def test_all_pages_are_read_newest_first(server):
    for number in range(250):
        server.add(number)
    library = read(server)
    assert titles(library) == [f"Soups of kind {number}" for number in reversed(range(250))]
    assert (library.version, library.wait) == (250, 0)
    assert [asked["start"] for _, asked, _ in server.asked] == ["0", "100", "200"]


@pytest.mark.parametrize(("kind", "papers", "pages"), [("book", 300, 3), ("note", 0, 10)])
def test_only_latest_items_are_requested(server, kind, papers, pages):
    server.items = {f"KEY{number:05}": item(number, itemType=kind) for number in range(5_000)}
    assert titles(read(server)) == [f"Soups of kind {4999 - n}" for n in range(papers)]
    assert len(server.asked) == pages


def test_unchanged_library_is_not_transferred(server):
    server.add()
    assert read(server, known=1) == (1, None, 0)
    server.add(2)
    assert len(titles(read(server, known=1))) == 2


def test_library_changed_during_reading_is_postponed(server):
    for number in range(150):
        server.add(number)
    server.during.extend([lambda: None, lambda: server.add(999)])
    with pytest.raises(Unavailable, match="changed while it was read"):
        read(server)


def test_key_is_sent_in_header_without_caching(server):
    server.add()
    server.key, cache = "secret", MemoryCache()
    assert titles(read(server, key="secret", cache=cache)) == ["Soups of kind 1"]
    ((path, params, headers),) = server.asked
    assert headers["zotero-api-key"] == "secret"
    assert "secret" not in f"{path}{params}"
    assert not cache


# ---- Items


@pytest.mark.parametrize(("data", "identity"), CASES["items"])
def test_item_becomes_a_record(server, data, identity):
    server.add(1, **data)
    ((key, at, record),) = read(server).papers
    assert (key, at) == ("KEY00001", datetime(2026, 5, 1, 0, 1, tzinfo=UTC))
    assert (record.title, record.abstract) == ("Soups of kind 1", "How soup 1 is made.")
    assert record.day == date(2024, 1, 1)
    assert record.id == identity or (identity is None and record.id.startswith("title:"))


# ---- What goes wrong

ERRORS = {error.__name__: error for error in (Unavailable, Refused, MalformedFeed)}


@pytest.mark.parametrize(("answer", "error", "more"), CASES["wrong_answers"])
def test_wrong_responses_raise_their_errors(server, answer, error, more):
    server.add()
    server.answers.append(recorded(answer))
    with pytest.raises(ERRORS[error]) as failed:
        read(server)
    assert {name: getattr(failed.value, name) for name in more} == more
    assert len(server.asked) == 1


@pytest.mark.parametrize(("backoff", "wait"), [("120", 120), ("soon", 0), ("-5", 0)])
def test_requested_pause_is_returned(server, backoff, wait):
    server.add()
    server.backoff = backoff
    assert read(server).wait == read(server, known=1).wait == wait
