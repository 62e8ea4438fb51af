import threading
import time
import tracemalloc
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from socket import EAI_NONAME, gaierror

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digest.http import addresses, client
from digest.http.client import Entry, Refused, Unavailable
from tests.factories.harvests import serving
from tests.factories.make import DAY
from tests.helpers.local_web import MemoryCache, OpenGate, web_of
from tests.servers.hostile import BODY, HostileServer

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


class NarrowGate:
    """Lets one through at a time, and the next one so many seconds later."""

    def __init__(self, seconds=0.0):
        self.held, self.seconds = threading.Lock(), seconds

    @contextmanager
    def turn(self):
        with self.held:
            yield
            time.sleep(self.seconds)


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


def test_a_page_comes_with_its_headers_and_its_moment(ask, server):
    kept = {"content-type": "application/xml", "content-length": str(len(BODY))}
    assert ask("/200") == Entry(BODY, kept, fetched_at=NOW)
    assert ask("/etag").headers["link"] == "<a>; rel=x, <b>; rel=y"


def test_the_server_learns_who_asks_for_what_without_a_proxy(ask, server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    ask("/200?a=cs.AI+cs.LG#part", {"b": "[2025 TO 2026]"})
    [(path, headers)] = server.asked
    assert path == "/200?a=cs.AI+cs.LG&b=[2025+TO+2026]"
    assert headers["user-agent"] == "Paperboy test"
    assert headers["host"] == server.host
    assert headers["connection"] == "close"


def test_gzip_is_unpacked(ask):
    assert (ask("/gzip").body, ask("/gzip-members").body) == (BODY, b"<rss></rss>")


# What was asked before


def test_what_did_not_change_is_not_sent_again(ask, server, wall):
    ask("/etag")
    wall.sleep(3600)
    page = ask("/etag")
    assert (page.body, page.fetched_at) == (BODY, wall.at)
    assert [headers.get("if-none-match") for _, headers in server.asked] == [None, '"one"']
    ask("/modified")
    assert ask("/modified").body == BODY
    assert server.asked[-1][1]["if-modified-since"].startswith("Tue, 03 Jun 2025")


@pytest.mark.parametrize("path", ["/200", "/etag"])
def test_a_page_is_asked_for_again_after_its_day_alone(ask, server, wall, path):
    """Which begins anew when the server says that nothing changed."""
    for day in (1, 2):
        ask(path, cache_for=DAY)
        moment = wall.at
        wall.sleep(86_399)
        page = ask(path, cache_for=DAY)
        assert (page.body, page.fetched_at) == (BODY, moment)
        assert len(server.asked) == ask.gate.turns == day
        wall.sleep(1)


def test_a_page_from_the_future_is_asked_for_again(ask, server):
    """The clock was wrong once; it shall not silence a source for a year."""
    ask.cache.put(server.base + "/200", Entry(b"old", {}, NOW + 365 * DAY))
    assert ask("/200", cache_for=DAY).body == BODY


def test_a_page_without_a_marked_end_or_an_age_is_not_kept(ask):
    """It may be the half of one, and would stay that all day."""
    assert ask("/until-close", cache_for=DAY).body == ask("/200").body == BODY
    assert not ask.cache


def test_an_etag_that_can_not_be_said_back_is_left_out(ask, server):
    ask("/odd-etag", cache_for=DAY)
    ask("/odd-etag")
    assert "if-none-match" not in server.asked[1][1]


@pytest.mark.parametrize("path", ["/html,200", "/400,200", "/cut,200"])
def test_no_failure_is_kept(ask, path):
    with pytest.raises((Refused, Unavailable)):
        ask(path, cache_for=DAY, retries=1)
    assert ask(path, cache_for=DAY).body == BODY


# Busy and broken servers


TROUBLES = "429 500 503 cut cut-body cut-chunks garbage endless-head gzip-broken gzip-garbage"


@pytest.mark.parametrize("trouble", TROUBLES.split())
def test_a_passing_trouble_is_waited_out(ask, wall, trouble):
    assert ask(f"/{trouble},{trouble},200").body == BODY
    first, second = wall.slept
    assert 5 <= first <= 6.25
    assert 10 <= second <= 12.5


def test_not_all_addresses_are_asked_again_in_one_moment(ask, wall):
    for number in range(9):  # One of 256 pauses each: two addresses alone may share one.
        ask(f"/503,200?{number}")
    assert len(set(wall.slept)) > 1


PAUSES = [
    *("429+12", "503+12", "ratelimit+12", "429+Sat%2C 07 Jun 2025 12:00:12 GMT"),
    "503+Sat%2C 07 Jun 2025 14:00:12 +0200",
]


@pytest.mark.parametrize("answer", PAUSES)
def test_the_pause_that_the_server_asks_for_is_kept(ask, wall, answer):
    ask(f"/{answer},200")
    assert wall.slept == [12]


@pytest.mark.parametrize("pause", ["0", "soon", "-5", "9" * 5000, "Sat, 07 Jun 2024 12:00:00 GMT"])
def test_a_pause_that_is_none_is_replaced_by_our_own(ask, wall, pause):
    ask(f"/429+{pause.replace(',', '%2C')},200")
    assert 5 <= wall.slept[0] <= 6.25


UNAVAILABLE = [
    ("429+601,200", r"^127\.0\.0\.1 answered 429$", []),  # That is left to a later run.
    ("503+7", r"^127\.0\.0\.1 answered 503$", [7, 7, 7]),
]


@pytest.mark.parametrize(("answer", "said", "slept"), UNAVAILABLE)
def test_it_is_unavailable_after_all_tries_or_a_long_pause(ask, wall, server, answer, said, slept):
    with pytest.raises(Unavailable, match=said) as failure:
        ask(f"/{answer}")
    assert failure.value.retry_after in (601, 7)
    assert wall.slept == slept
    assert len(server.asked) == 1 + len(slept)


def test_a_server_that_is_not_there_is_unavailable(ask, server, wall):
    server.close()
    with pytest.raises(Unavailable, match=r"cannot reach 127\.0\.0\.1"):
        ask("/200")
    assert len(wall.slept) == 3


def test_a_name_without_an_address_is_unavailable(ask):
    def resolve(host):
        raise gaierror(EAI_NONAME, "no such name")

    with pytest.raises(Unavailable, match=r"\(DNS: no such name\)"):
        ask("http://gone.example.org/", hosts={"gone.example.org"}, resolve=resolve)


@pytest.mark.parametrize("host", ["a..example", f"{64 * 'a'}.example"])
def test_a_name_that_no_host_can_have_is_refused(ask, host):
    with pytest.raises(Refused, match="no name of a host"):
        ask(f"http://{host}/", hosts={host}, resolve=None)


NO_DATA = [
    *((f"/{status}", f"answered {status}") for status in (204, 206, 300, 304, 400, 403, 404)),
    *((f"/html{kind}", "sent a web page instead of data") for kind in ("", "-as-xml")),
    ("/brotli", "content encoding 'br'"),
    ("/one-gigabyte", "larger than 20 MB"),
    ("/\ud800", "not a URL"),
]


@pytest.mark.parametrize(("path", "said"), NO_DATA)
def test_an_answer_that_is_no_data_is_final(ask, server, wall, path, said):
    with pytest.raises(Refused, match=said):
        ask(path)
    assert len(server.asked) == (path != "/\ud800")
    assert server.sent < 10_000_000  # What the sockets took before we hung up.
    assert wall.slept == []


# Answers too large, too slow, of the wrong kind


@pytest.mark.slow
def test_what_is_too_large_is_not_read_to_the_end(ask, server):
    with pytest.raises(Refused, match="larger than 20 MB"):
        ask("/endless")
    assert server.sent < 30_000_000


def test_a_body_may_be_as_large_as_the_cap(ask):
    assert ask("/200", max_bytes=len(BODY)).body == BODY
    with pytest.raises(Refused, match="larger"):
        ask("/200", max_bytes=len(BODY) - 1)


@pytest.mark.slow
def test_a_bomb_goes_off_in_small_pieces(ask):
    tracemalloc.start()
    with pytest.raises(Refused, match="larger than 1 MB"):
        ask("/gzip-bomb", max_bytes=1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30_000_000  # The server's own copy is 20 MB of it.


def test_a_body_that_drips_is_refused_in_time(ask):
    begun = time.monotonic()
    with pytest.raises(Refused, match=r"longer than 0\.1 seconds"):
        ask("/slow", max_seconds=0.1)
    assert time.monotonic() - begun < 1


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/slow-head", "/silent"])
def test_a_server_that_does_not_come_to_the_point_is_unavailable(ask, path):
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer in time"):
        ask(path, max_seconds=0.1, retries=1)
    assert time.monotonic() - begun < 1


def test_many_comments_before_what_is_no_web_page_are_read_at_once():
    begun = time.monotonic()
    assert not client.HTML.match(b"<!---->" * 25 + b"<rss>")
    assert client.HTML.match(b"\n<!-- <html> --> <!---->\n<HTML lang=en>")
    assert time.monotonic() - begun < 1


# Where it may go


def test_redirects_within_the_host_are_followed_each_hop_in_its_turn_and_not_for_ever(ask, server):
    assert ask("/go+/go+/200").body == BODY
    assert server.paths() == ["/go+/go+/200", "/go+/200", "/200"]
    assert ask.gate.turns == 3
    with pytest.raises(Refused, match="redirects more than 3 times"):
        ask("/loop")
    assert len(server.asked) == 3 + 4


ELSEWHERE = (
    "http://169.254.169.254/latest/meta-data/ http://127.0.0.1:9/ http://127.0.0.1/ http://[::1]/ "
    "http://localhost/ http://0/ http://2130706433/ //evil.example.org/ file:///etc/passwd "
    "http://evil.example.org\\@127.0.0.1/ ftp://127.0.0.1/ http://[::1 http://a:99999999/"
)


@pytest.mark.parametrize("target", ELSEWHERE.split())
def test_a_redirect_elsewhere_is_refused(ask, server, target):
    with pytest.raises(Refused):
        ask(f"/go+{target}")
    assert len(server.asked) == 1


FORBIDDEN = [
    ("", "https://arxiv.org.evil.example/"),
    ("", "https://EXPORT.arxiv.org:444/"),
    ("", "https://me:secret@export.arxiv.org/"),
    ("", "x"),
    ("https://export.arxiv.org/", "http://export.arxiv.org/"),
    ("HTTPS://export.arxiv.org/", "http://export.arxiv.org/"),
]


@pytest.mark.parametrize(("start", "url"), FORBIDDEN)
def test_only_the_sources_hosts_are_asked_by_https_and_without_password(start, url):
    with pytest.raises(Refused):
        web_of({"export.arxiv.org"})._allowed(url, start or url)


INSIDE = "127.0.0.1 10.0.0.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 ::1 fe80::1%eth0 fd00::1"


INSIDE_ADDRESSES = [
    *INSIDE.split(),
    "::ffff:127.0.0.1",
    "::127.0.0.1",
    "fec0::1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
]


@pytest.mark.parametrize("address", INSIDE_ADDRESSES)
def test_a_name_that_leads_inside_is_refused(ask, server, address):
    """Even where a public address stands beside it: the next answer may have them swapped."""
    name = f"feeds.example.org:{server.server_address[1]}"
    addresses = ["93.184.215.14", address]
    with pytest.raises(Refused, match="not a public address"):
        ask(f"http://{name}/200", hosts={name}, resolve=lambda host: addresses)
    assert server.asked == []


def test_the_addresses_that_were_looked_at_are_those_that_are_asked(ask, server, monkeypatch):
    """A name that changes between two look-ups can't: there is only one."""
    monkeypatch.setattr(addresses, "is_public", lambda address: True)
    name = f"feeds.example.org:{server.server_address[1]}"
    answers = iter([["::1", "127.0.0.1"]])  # Nobody is at the first.
    assert ask(f"http://{name}/200", hosts={name}, resolve=lambda host: next(answers)).body == BODY
    assert server.asked[0][1]["host"] == name


# The gate


def test_while_it_waits_for_a_busy_server_others_may_ask(ask, wall, server):
    gate, free = NarrowGate(), []
    wall.sleep = lambda seconds: free.append(not gate.held.locked())
    ask("/503,200", gate=gate)
    assert free == [True]


# Whatever a server says


@pytest.mark.slow
@given(st.text(alphabet=st.characters(max_codepoint=255)) | st.from_regex(r"\d+ \w+ \d+ [\d:]+ .*"))
def test_no_header_breaks_the_reading_of_a_pause(text):
    for headers in ({"retry-after": text}, {"ratelimit": text}):
        pause = client._retry_after(client._Answer(429, headers), NOW)
        assert pause is None or pause >= 0


@pytest.mark.slow
@given(st.text())
def test_no_redirect_leads_to_another_host(location):
    asker = web_of({"export.arxiv.org"})
    start = "https://export.arxiv.org/a"
    try:
        place = asker._allowed(addresses.joined(start, location), start)
    except Refused:
        return
    assert (place.scheme, place.host) == (b"https", b"export.arxiv.org")
