"""An HTTP client for sources: with allowed hosts, limits on size and time, and a shared lock.

Each request has its own connection, opened and closed while the gate's lock is held. Uses httpcore2
directly, because a connection must go to the very address that was checked (DNS rebinding), and end
before a deadline, however slowly the server sends.
"""

import gzip
import re
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache as only_once
from hashlib import sha256
from io import BytesIO
from typing import Protocol

import httpcore2

from digest.http import addresses
from digest.http.addresses import Refused

REDIRECTS = {301, 302, 303, 307, 308}
MAX_REDIRECTS = 3
MAX_WAIT = 600.0  # Seconds. A longer Retry-After is left to a later run.
FIRST_WAIT = 5.0  # Seconds, doubled with each attempt.
CONNECT_SECONDS = 10.0
MAX_REPLY = 4_096  # Bytes that are read of the answer to a post.
BROKEN_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)
HTML = re.compile(
    rb"\s*+(?:<!--(?>.*?-->)\s*+)*+<(?:!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL
)


class Unanswered(Exception):
    """A request was sent, or a part of it, and there was no answer."""


class Unavailable(Exception):
    """The source can't answer now. `retry_after`: seconds, if the server named them."""

    def __init__(self, reason: str, retry_after: float | None = None):
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Entry:
    """A response. `fetched_at`: when the source last sent it, or confirmed it by 304."""

    body: bytes
    headers: dict[str, str]  # Names in lower case.
    fetched_at: datetime
    status: int = 200  # Or 304, of a request with `headers`.


class Gate(Protocol):
    """A lock for requests."""

    def turn(self) -> AbstractContextManager[None]:
        """Wait for the lock, and hold it for the block."""
        ...


class Cache(Protocol):
    """A cache of responses."""

    def get(self, key: str) -> Entry | None: ...

    def put(self, key: str, entry: Entry) -> None: ...


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: dict[str, str]
    body: bytes = b""


class Web:
    """An HTTP client.

    Parameters:
        hosts: names ("export.arxiv.org") for the usual port, or with a port ("127.0.0.1:8080"). A
            name with a private address is refused, but an address in `hosts` is allowed. None: all
            hosts with public addresses, and `private_hosts`.
        retries: the number of attempts.
        resolve: returns the addresses of a name.
    """

    def __init__(
        self,
        *,
        hosts: frozenset[str] | None,
        private_hosts: frozenset[str] = frozenset(),
        gate: Gate,
        cache: Cache,
        user_agent: str,
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
        retries: int = 4,
        max_bytes: int = 20_000_000,
        max_seconds: float = 30.0,
        resolve: Callable[[str], list[str]] | None = None,
    ):
        self.hosts, self.private_hosts, self.gate, self.cache = hosts, private_hosts, gate, cache
        self.user_agent, self.now, self.sleep = user_agent, now, sleep
        self.retries, self.max_bytes, self.max_seconds = retries, max_bytes, max_seconds
        self.resolve = resolve or addresses.resolved

    def get(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        *,
        cache_for: timedelta = timedelta(0),
        retries: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Entry:
        """Return a response, from the cache if it is younger than `cache_for`.

        `retries` replaces the number of attempts. A request with `headers`, which may have a key,
        neither reads the cache nor stores its response there.

        Raises Refused or Unavailable.
        """
        url = addresses.with_params(url, params or {})
        if headers:
            answer = self.retried(lambda: self._follow(url, headers), url, retries)
            return Entry(answer.body, answer.headers, self.now(), answer.status)
        cached = self.cache.get(url)
        if cached and timedelta(0) <= self.now() - cached.fetched_at < cache_for:
            return cached
        conditions = _conditions(cached.headers if cached else {})
        answer = self.retried(lambda: self._follow(url, conditions), url, retries)
        if answer.status == 304 and cached:
            entry = Entry(cached.body, {**cached.headers, **answer.headers}, self.now())
            self.cache.put(url, entry)
            return entry
        entry = Entry(answer.body, answer.headers, self.now())
        # Without the length of the body, it may be incomplete.
        is_whole = "content-length" in answer.headers or "transfer-encoding" in answer.headers
        if is_whole and answer.body and (cache_for or _conditions(answer.headers)):
            self.cache.put(url, entry)
        return entry

    def retried[T](self, attempt: Callable[[], T], url: str, retries: int | None = None) -> T:
        """Return what `attempt` returns, tried again after growing pauses if it is Unavailable."""
        retries = retries or self.retries
        for attempt_number in range(1, retries + 1):
            try:
                return attempt()
            except Unavailable as failure:
                delay = failure.retry_after or 0.0
                if attempt_number == retries or delay > MAX_WAIT:
                    raise
                self.sleep(delay or _pause(url, attempt_number))
        raise AssertionError("retries must be at least 1")

    def _follow(self, url, conditions):
        first_url = url
        for _ in range(MAX_REDIRECTS + 1):
            target = self._allowed(url, first_url)
            answer = self._exchange(target, conditions)
            if answer.status not in REDIRECTS or "location" not in answer.headers:
                return self._validated(answer, target, bool(conditions))
            url = addresses.joined(url, answer.headers["location"])
        raise Refused(f"{target.host.decode()} redirects more than {MAX_REDIRECTS} times")

    def _allowed(self, url, start) -> httpcore2.URL:
        """Return the parsed URL. Raises Refused."""
        parts, port = addresses.parts_of(url, start)
        host = parts.hostname or ""
        if self.hosts is None:
            addresses.check(url, self.private_hosts)
        is_usual_port = port == addresses.PORTS[parts.scheme]
        names = {f"{host}:{port}", *([host] if is_usual_port else [])}
        if self.hosts is not None and names.isdisjoint(self.hosts):
            raise Refused(f"{url[:200]!r} is not on a host of this source")
        return _url_of(parts, port)

    def _exchange(self, target, conditions) -> _Answer:
        headers = {
            "User-Agent": self.user_agent,
            "Accept": "*/*",  # Without it, arXiv answers 406.
            "Accept-Encoding": "gzip",
            "Connection": "close",  # One connection at a time, of all workers.
            **conditions,
        }
        host = target.host.decode()
        with self.gate.turn():
            # An address in `hosts` was written by a programmer.
            is_trusted = host in self.private_hosts or (self.hosts and addresses.is_address(host))
            backend = _Wire(self.resolve, time.monotonic() + self.max_seconds, bool(is_trusted))
            pool = httpcore2.ConnectionPool(ssl_context=_ssl_context(), network_backend=backend)
            has_answered = False
            try:
                with pool, pool.stream("GET", target, headers=headers) as response:
                    has_answered = True
                    return self._read(response)
            except httpcore2.TimeoutException:
                if has_answered:  # Too slow; it would be so again.
                    reason = f"{host} took longer than {self.max_seconds:g} seconds for one answer"
                    raise Refused(reason) from None
                raise Unavailable(f"{host} did not answer in time") from None
            except (httpcore2.NetworkError, httpcore2.ProtocolError, *BROKEN_GZIP) as error:
                raise Unavailable(f"cannot reach {host} ({error})") from error

    def _read(self, response) -> _Answer:
        headers = _headers(response)
        if response.status != 200:
            return _Answer(response.status, headers)
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 15 or int(length) > self.max_bytes):
            raise Refused(self._too_big())
        body = bytearray()
        for chunk in response.iter_stream():
            body += chunk
            if len(body) > self.max_bytes:
                raise Refused(self._too_big())
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding in ("gzip", "x-gzip"):
            unzipped = gzip.GzipFile(fileobj=BytesIO(body)).read(self.max_bytes + 1)
            if len(unzipped) > self.max_bytes:  # A gzip bomb.
                raise Refused(self._too_big())
            return _Answer(200, headers, unzipped)
        if encoding != "identity":
            raise Refused(f"unexpected content encoding {encoding[:40]!r}")
        return _Answer(200, headers, bytes(body))

    def _too_big(self):
        return f"the answer is larger than {self.max_bytes / 1_000_000:g} MB"

    def _validated(self, answer, target, was_conditional) -> _Answer:
        """Return a valid response. Raises Refused or Unavailable."""
        host, status = target.host.decode(), answer.status
        pause = _retry_after(answer, self.now())
        # arXiv also throttles by 406, others by 403.
        is_throttled = status in (406, 429) or (status == 403 and pause is not None)
        if is_throttled or status >= 500:
            raise Unavailable(f"{host} answered {status}", pause)
        if status != 200 and not (status == 304 and was_conditional):
            raise Refused(f"{host} answered {status}", status)
        kind = answer.headers.get("content-type", "").lower()
        if kind.startswith(("text/html", "application/xhtml")) or HTML.match(answer.body[:2000]):
            raise Refused(f"{host} sent a web page instead of data")
        return answer


def post(
    url: str,
    body: bytes,
    *,
    private_hosts: frozenset[str],
    user_agent: str,
    now: Callable[[], datetime],
    max_seconds: float,
    max_bytes: int = MAX_REPLY,
    **headers: str,
) -> tuple[int, float | None, bytes]:
    """Post JSON, once, with more headers.

    Return the status, the pause that the server asked for, in seconds, and the start of the body.

    Follows no redirect. A body that is cut off is no error. Raises Refused for an address that is
    not allowed, Unavailable if nothing was sent, and Unanswered if the request may have arrived.
    Only the text of Refused has parts of the address besides its host.
    """
    url = addresses.with_params(url, {})
    addresses.check(url, private_hosts)
    parts, port = addresses.parts_of(url, url)
    is_trusted = parts.hostname in private_hosts
    wire = _Wire(addresses.resolved, time.monotonic() + max_seconds, is_trusted)
    headers = {"Accept": "*/*", "Content-Type": "application/json"} | headers
    headers |= {"User-Agent": user_agent, "Connection": "close"}
    try:
        with (
            httpcore2.ConnectionPool(ssl_context=_ssl_context(), network_backend=wire) as pool,
            pool.stream("POST", _url_of(parts, port), headers=headers, content=body) as response,
        ):
            start = _start_of_body(response, max_bytes)
            answer = _Answer(response.status, _headers(response), start)
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        kind = Unanswered if wire.has_sent else Unavailable
        raise kind(str(error)) from None
    return answer.status, _retry_after(answer, now()), answer.body


def _start_of_body(response, max_bytes) -> bytes:
    body = bytearray()
    with suppress(httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError):
        for chunk in response.iter_stream():
            body += chunk
            if len(body) >= max_bytes:
                break
    return bytes(body[:max_bytes])


def _url_of(parts, port) -> httpcore2.URL:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = (parts.hostname or "").encode()
    return httpcore2.URL(scheme=parts.scheme.encode(), host=host, port=port, target=target.encode())


class _Wire(httpcore2.NetworkBackend):
    """Connects until the deadline, and to public addresses only unless the host is trusted."""

    has_sent = False  # Whether any part of a request may have been sent.

    def __init__(self, resolve, deadline: float, is_trusted: bool):
        self.resolve, self.deadline, self.is_trusted = resolve, deadline, is_trusted

    def connect_tcp(self, host, port, timeout=None, local_address=None, socket_options=None):
        failure: Exception = httpcore2.ConnectError(f"{host} has no address")
        for address in self._checked(host):
            seconds = min(CONNECT_SECONDS, _seconds_left(self.deadline, httpcore2.ConnectTimeout))
            try:
                stream = httpcore2.SyncBackend().connect_tcp(address, port, seconds)
                return _Stream(stream, self)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    def _checked(self, host):
        try:
            ips = [host] if addresses.is_address(host) else self.resolve(host)
        except OSError as error:
            raise httpcore2.ConnectError(f"DNS: {error.strerror or error}") from error
        except UnicodeError:  # An empty label, or one of more than 63 characters.
            raise Refused(f"{host[:200]!r} is no name of a host") from None
        private = [ip for ip in ips if not addresses.is_public(ip)]
        if private and not self.is_trusted:
            raise Refused(f"{host} resolves to {private[0]}, which is not a public address")
        return ips


class _Stream(httpcore2.NetworkStream):
    """A connection with a deadline for all its steps."""

    def __init__(self, stream: httpcore2.NetworkStream, wire: _Wire):
        self.stream, self.wire, self.deadline = stream, wire, wire.deadline

    def read(self, max_bytes, timeout=None):
        return self.stream.read(max_bytes, _seconds_left(self.deadline, httpcore2.ReadTimeout))

    def write(self, buffer, timeout=None):
        seconds = _seconds_left(self.deadline, httpcore2.WriteTimeout)
        self.wire.has_sent = True
        self.stream.write(buffer, seconds)

    def start_tls(self, ssl_context, server_hostname=None, timeout=None):
        seconds = _seconds_left(self.deadline, httpcore2.ConnectTimeout)
        return _Stream(self.stream.start_tls(ssl_context, server_hostname, seconds), self.wire)

    def get_extra_info(self, info):
        return self.stream.get_extra_info(info)

    def close(self):
        self.stream.close()


def _seconds_left(deadline, error_class):
    """Return the seconds until the deadline. Raises `error_class`."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise error_class("the time is over")
    return seconds


_ssl_context = only_once(httpcore2.default_ssl_context)


def _headers(response) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _conditions(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the request headers for a conditional request."""
    names = {"If-None-Match": "etag", "If-Modified-Since": "last-modified"}
    return {
        condition: headers[header]
        for condition, header in names.items()
        if header in headers and headers[header].isascii()
    }


def _retry_after(answer, now) -> float | None:
    """Return the pause that the server asked for, in seconds: as a number, a date or a limit."""
    pause = (answer.headers.get("retry-after") or answer.headers.get("backoff", "")).strip()
    if not pause:
        limit_match = re.search(r"\br=0;\s*t=(\d{1,9})\b", answer.headers.get("ratelimit", ""))
        return float(limit_match[1]) if limit_match else None
    if re.fullmatch(r"\d{1,9}", pause):
        return float(pause)
    try:
        moment = parsedate_to_datetime(pause)
    except (ValueError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


def _pause(url, number):
    """Return 5 s, 10 s, 20 s…, each up to a quarter longer, so that not all come back at once."""
    chance = sha256(f"{number} {url}".encode()).digest()[0] / 256
    return FIRST_WAIT * 2 ** (number - 1) * (1 + chance / 4)
