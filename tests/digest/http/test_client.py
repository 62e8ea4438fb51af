import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from socket import EAI_NONAME, gaierror

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.http import addresses, client
from digest.http.client import Entry, Refused, Unavailable
from tests.factories.harvests import serving
from tests.factories.make import DAY
from tests.helpers.data_files import cases
from tests.helpers.local_web import MemoryCache, OpenGate, web_of
from tests.servers.hostile import BODY, HostileServer

CASES, ANSWERS = cases("http_addresses"), cases("http_answers")

NOW = datetime(2025, 6, 7, 12, 0, tzinfo=UTC)

server = serving(HostileServer)


class Clock:
    """Time passes by sleeping alone."""

    def __init__(self):
        self.at, self.slept = NOW, []

    def now(self):
        return self.at

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def wall():
    return Clock()


@pytest.fixture
def ask(server, wall):
    """Return a function that asks the server for a path, by a Web that tests may shape."""
    made = {"gate": OpenGate(), "cache": MemoryCache()}

    def ask(path, params=None, cache_for=timedelta(0), **options):
        options = {"hosts": {server.host}, **made, **options}
        url = server.base + path if path.startswith("/") else path
        asker = web_of(now=wall.now, sleep=wall.sleep, **options)
        return asker.get(url, params, cache_for=cache_for)

    ask.gate, ask.cache = made["gate"], made["cache"]
    return ask


# What goes well


def test_page_has_headers_and_fetch_time(ask, server):
    headers = {"content-type": "application/xml", "content-length": str(len(BODY))}
    assert ask("/200") == Entry(BODY, headers, fetched_at=NOW)
    assert ask("/etag").headers["link"] == "<a>; rel=x, <b>; rel=y"


def test_request_bypasses_proxies_and_names_client(ask, server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    ask("/200?a=cs.AI+cs.LG#part", {"b": "[2025 TO 2026]"})
    [(path, headers)] = server.asked
    assert path == "/200?a=cs.AI+cs.LG&b=[2025+TO+2026]"
    assert headers["user-agent"] == "Paperboy test"
    assert headers["host"] == server.host
    assert headers["connection"] == "close"
    assert headers["accept"] == "*/*"


def test_gzip_is_unpacked(ask):
    assert (ask("/gzip").body, ask("/gzip-members").body) == (BODY, b"<rss></rss>")


# What was asked before


def test_unchanged_page_is_not_transferred_again(ask, server, wall):
    ask("/etag")
    wall.sleep(3600)
    page = ask("/etag")
    assert (page.body, page.fetched_at) == (BODY, wall.at)
    assert [headers.get("if-none-match") for _, headers in server.asked] == [None, '"one"']
    ask("/modified")
    assert ask("/modified").body == BODY
    assert server.asked[-1][1]["if-modified-since"].startswith("Tue, 03 Jun 2025")


@pytest.mark.parametrize("path", ["/200", "/etag"])
def test_cached_page_expires_after_a_day(ask, server, wall, path):
    """Which begins anew when the server says that nothing changed."""
    for day in (1, 2):
        ask(path, cache_for=DAY)
        moment = wall.at
        wall.sleep(86_399)
        page = ask(path, cache_for=DAY)
        assert (page.body, page.fetched_at) == (BODY, moment)
        assert len(server.asked) == ask.gate.turns == day
        wall.sleep(1)


@pytest.mark.parametrize("path", ["/html,200", "/400,200", "/cut,200"])
def test_failures_are_not_cached(ask, path):
    with pytest.raises((Refused, Unavailable)):
        ask(path, cache_for=DAY, retries=1)
    assert ask(path, cache_for=DAY).body == BODY


# Busy and broken servers


@pytest.mark.parametrize(("path", "pauses"), ANSWERS["retried"])
def test_temporary_failures_are_retried_after_their_pause(ask, wall, path, pauses):
    assert ask(path).body == BODY
    for slept, (least, most) in zip(wall.slept, pauses, strict=True):
        assert least <= slept <= most


@pytest.mark.parametrize(("path", "error", "pause", "slept"), ANSWERS["unavailable"])
def test_host_is_unavailable_after_retries_or_long_pause(
    ask, wall, server, path, error, pause, slept
):
    with pytest.raises(Unavailable, match=error) as failure:
        ask(path)
    assert (failure.value.retry_after, wall.slept) == (pause, slept)
    assert len(server.asked) == 1 + len(slept)


def test_closed_port_is_unavailable(ask, server, wall):
    server.close()
    with pytest.raises(Unavailable, match=r"cannot reach 127\.0\.0\.1"):
        ask("/200")
    assert len(wall.slept) == 3


def test_unresolvable_name_is_unavailable(ask):
    def resolve(host):
        raise gaierror(EAI_NONAME, "no such name")

    with pytest.raises(Unavailable, match=r"\(DNS: no such name\)"):
        ask("http://gone.example.org/", hosts={"gone.example.org"}, resolve=resolve)


@pytest.mark.parametrize(("path", "error"), [*ANSWERS["no_data"], ("/\ud800", "not a URL")])
def test_response_without_data_is_not_retried(ask, server, wall, path, error):
    with pytest.raises(Refused, match=error):
        ask(path)
    assert len(server.asked) == (path != "/\ud800")
    assert server.sent < 10_000_000  # What the sockets took before we hung up.
    assert wall.slept == []


# Answers too large, too slow, of the wrong kind


@pytest.mark.slow
def test_endless_body_is_cut_off(ask, server):
    with pytest.raises(Refused, match="larger than 20 MB"):
        ask("/endless")
    assert server.sent < 30_000_000


@pytest.mark.slow
def test_gzip_bomb_uses_little_memory(ask):
    tracemalloc.start()
    with pytest.raises(Refused, match="larger than 1 MB"):
        ask("/gzip-bomb", max_bytes=1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30_000_000  # The server's own copy is 20 MB of it.


def test_dripping_body_is_refused_in_time(ask):
    begun = time.monotonic()
    with pytest.raises(Refused, match=r"longer than 0\.1 seconds"):
        ask("/slow", max_seconds=0.1)
    assert time.monotonic() - begun < 1


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/slow-head", "/silent"])
def test_slow_server_is_unavailable(ask, path):
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer in time"):
        ask(path, max_seconds=0.1, retries=1)
    assert time.monotonic() - begun < 1


# Where it may go


def test_redirects_within_host_are_followed_with_limit(ask, server):
    assert ask("/go+/go+/200").body == BODY
    assert server.paths() == ["/go+/go+/200", "/go+/200", "/200"]
    assert ask.gate.turns == 3
    with pytest.raises(Refused, match="redirects more than 3 times"):
        ask("/loop")
    assert len(server.asked) == 3 + 4


@pytest.mark.parametrize("target", CASES["elsewhere"])
def test_redirect_to_other_host_is_refused(ask, server, target):
    with pytest.raises(Refused):
        ask(f"/go+{target}")
    assert len(server.asked) == 1


@pytest.mark.parametrize(("start", "url"), CASES["forbidden"])
def test_only_allowed_https_hosts_are_requested(start, url):
    with pytest.raises(Refused):
        web_of({"export.arxiv.org"})._allowed(url, start or url)


@pytest.mark.parametrize("address", CASES["private"])
def test_name_resolving_to_private_address_is_refused(ask, server, address):
    """Even where a public address stands beside it: the next answer may have them swapped."""
    name = f"feeds.example.org:{server.server_address[1]}"
    addresses = ["93.184.215.14", address]
    with pytest.raises(Refused, match="not a public address"):
        ask(f"http://{name}/200", hosts={name}, resolve=lambda host: addresses)
    assert server.asked == []


def test_checked_addresses_are_the_ones_connected_to(ask, server, monkeypatch):
    """A name that changes between two look-ups can't: there is only one."""
    monkeypatch.setattr(addresses, "is_public", lambda address: True)
    name = f"feeds.example.org:{server.server_address[1]}"
    answers = iter([["::1", "127.0.0.1"]])  # Nobody is at the first.
    assert ask(f"http://{name}/200", hosts={name}, resolve=lambda host: next(answers)).body == BODY
    assert server.asked[0][1]["host"] == name


# The gate


# Whatever a server says


@pytest.mark.slow
@given(st.text(alphabet=st.characters(max_codepoint=255)) | st.from_regex(r"\d+ \w+ \d+ [\d:]+ .*"))
def test_any_pause_header_is_parsed(text):
    for headers in ({"retry-after": text}, {"ratelimit": text}):
        pause = client._retry_after(client._Answer(429, headers), NOW)
        assert pause is None or pause >= 0


@pytest.mark.slow
@given(st.text())
def test_no_redirect_leaves_the_host(location):
    asker = web_of({"export.arxiv.org"})
    start = "https://export.arxiv.org/a"
    try:
        place = asker._allowed(addresses.joined(start, location), start)
    except Refused:
        return
    assert (place.scheme, place.host) == (b"https", b"export.arxiv.org")
