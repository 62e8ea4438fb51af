"""Read the mailbox for bounces: a Maildir, an mbox file, or a folder on an IMAP server.

A message is removed once its report is committed. After a crash in between it is read again, which
changes nothing. Messages that are no reports are moved to a folder "Useless", since people may have
written them.
"""

import imaplib
import logging
import mailbox
import os
import re
import ssl
from collections import Counter
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError

from subscriptions.bounces import inbound
from subscriptions.bounces.parse import MAX_OCTETS
from subscriptions.db import is_lock_timeout
from subscriptions.delivery.transports.smtp import is_local_host

logger = logging.getLogger(__name__)

MAX_MESSAGES = 1_000  # In one run.
TIMEOUT = 60  # Seconds, for each reply of an IMAP server.
USELESS = "Useless"  # The folder of messages that are no reports.
REPORT_OUTCOMES = ("recorded", "known")
HELD = "held"


class MailboxError(Exception):
    """The mailbox cannot be used. The message says why, without the password."""


#: Each has these methods: `open`, a context manager that raises MailboxError; `messages`, which
#: yields the name and the bytes (at most MAX_OCTETS) of each message; `remove`, which deletes a
#: message by its name; and `set_aside`, which moves it to the useless ones.
type Mailbox = LocalMailbox | Imap


def empty(box: Mailbox, now) -> Counter[str]:
    """Process and remove the messages. Return the number of messages by outcome.

    Raises MailboxError, and the errors of inbound.receive, whose message stays in the mailbox.
    """
    counts: Counter[str] = Counter()
    with box.open():
        for key, mime in box.messages():
            try:
                outcome = inbound.receive(mime, now)
            except OperationalError as error:
                if not is_lock_timeout(error):
                    raise
                outcome = HELD  # The subscriber's row is locked: it stays for the next run.
            if outcome != HELD:
                (box.remove if outcome in REPORT_OUTCOMES else box.set_aside)(key)
            counts[outcome] += 1
            if counts.total() >= MAX_MESSAGES:
                break
    return counts


def empty_configured(now) -> None:
    """Empty the mailbox of BOUNCE_MAILBOX, if set. Log if it cannot be read."""
    if not settings.BOUNCE_MAILBOX:
        return
    try:
        counts = empty(mailbox_for(settings.BOUNCE_MAILBOX), now)
    except MailboxError as error:
        logger.error("Cannot read BOUNCE_MAILBOX: %s", error)
    else:
        logger.info("Read from BOUNCE_MAILBOX: %s", dict(counts))


def mailbox_for(url: str) -> Mailbox:
    """Return the mailbox that BOUNCE_MAILBOX names. Raises ImproperlyConfigured."""
    kind, _, path = url.partition(":")
    if kind in ("maildir", "mbox") and Path(path).is_absolute():
        return LocalMailbox(Path(path), is_maildir=kind == "maildir")
    with suppress(ValueError):  # A # that is not encoded would end the URL in its password.
        url_parts = urlsplit(url)
        port, folder = url_parts.port, unquote(url_parts.path).strip("/") or "INBOX"
        is_imap = kind in ("imap", "imaps") and url_parts.hostname and url_parts.username
        if is_imap and folder.isascii():
            default_tls = "implicit" if kind == "imaps" else "none"
            tls = parse_qs(url_parts.query).get("tls", [default_tls])[0]
            if tls not in ("implicit", "starttls") and not is_local_host(url_parts.hostname):
                raise ImproperlyConfigured(
                    "BOUNCE_MAILBOX would send its password unencrypted. Use imaps:// or "
                    "?tls=starttls."
                )
            port = port or (993 if tls == "implicit" else 143)
            user, password = unquote(url_parts.username), unquote(url_parts.password or "")
            return Imap(url_parts.hostname, port, user, password, folder, tls)
    raise ImproperlyConfigured(
        "BOUNCE_MAILBOX must be like maildir:/home/bounces/Maildir, mbox:/var/mail/bounces, or "
        "imaps://user:password@mail.example.org/INBOX, the folder in ASCII. Percent-encode special "
        "characters in user and password: # is %23."
    )


# ---- On this machine


@dataclass
class LocalMailbox:
    """A Maildir or, locked as mail servers do and rewritten at the end, an mbox file."""

    path: Path
    is_maildir: bool

    @contextmanager
    def open(self):
        try:
            os.stat(self.path / "new" if self.is_maildir else self.path)
            with ExitStack() as self._open_boxes:
                self._box = self._open_box(self.path)
                self._box.lock()
                yield self
        except (OSError, mailbox.Error) as error:
            text = getattr(error, "strerror", None) or error
            raise MailboxError(f"{self.path}: {text}") from None

    def messages(self):
        for key in list(self._box.iterkeys()):
            with suppress(KeyError, FileNotFoundError):  # Another process took it.
                mime = self._box.get_bytes(key)[:MAX_OCTETS]
                yield key, mime.replace(b"\n>From ", b"\nFrom ")  # As mbox files have it.

    def remove(self, key):
        self._box.discard(key)

    def set_aside(self, key):
        with suppress(KeyError, FileNotFoundError):
            self._useless.add(self._box.get_bytes(key))
            self._box.remove(key)

    @cached_property
    def _useless(self):
        """The useless messages beside this mailbox. They are on disk before it is rewritten."""
        path = self.path / f".{USELESS}" if self.is_maildir else f"{self.path}.{USELESS.lower()}"
        return self._open_box(path)

    def _open_box(self, path):
        box = (mailbox.Maildir if self.is_maildir else mailbox.mbox)(path)
        return self._open_boxes.enter_context(closing(box))


# ---- Elsewhere


@dataclass
class Imap:
    """A folder on an IMAP server (RFC 3501, RFC 9051)."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    folder: str
    tls: str  # implicit, starttls or none.

    @contextmanager
    def open(self):
        try:
            self._server = self._connect()
            try:
                self._log_in()
                self._data_of("SELECT", self._server.select(_quoted(self.folder)))
                yield self
                self._server.expunge()
            finally:
                self._server.shutdown()
        except (imaplib.IMAP4.error, OSError) as error:
            raise MailboxError(f"{self.host}: {error}") from None

    def _log_in(self):
        """Use PLAIN (RFC 4616), which allows all characters, if it is offered, else LOGIN."""
        credentials = f"\0{self.user}\0{self.password}".encode()
        try:
            if "AUTH=PLAIN" in self._server.capabilities:
                self._server.authenticate("PLAIN", lambda _: credentials)
            else:
                self._server.login(_quoted(self.user), self.password)
        except UnicodeEncodeError:
            raise MailboxError(f"{self.host}: user and password must be ASCII") from None
        except imaplib.IMAP4.error:  # Some servers repeat the password.
            raise MailboxError(f"{self.host}: it refuses user or password") from None

    def _connect(self):
        context = ssl.create_default_context()
        if self.tls == "implicit":
            return imaplib.IMAP4_SSL(self.host, self.port, ssl_context=context, timeout=TIMEOUT)
        server = imaplib.IMAP4(self.host, self.port, timeout=TIMEOUT)
        if self.tls == "starttls":
            server.starttls(context)
        return server

    def messages(self):
        response = self._data_of("SEARCH", self._server.uid("SEARCH", "UNDELETED"))
        for uid in response[0].split()[:MAX_MESSAGES]:
            query = f"(BODY.PEEK[]<0.{MAX_OCTETS}>)"
            parts = self._data_of("FETCH", self._server.uid("FETCH", uid, query))
            bodies = [part[1] for part in parts if isinstance(part, tuple)]
            if bodies:  # Else it was removed at this moment.
                yield uid, bodies[0]

    def remove(self, uid):
        self._data_of("STORE", self._server.uid("STORE", uid, "+FLAGS.SILENT", r"(\Deleted)"))

    def set_aside(self, uid):
        for folder in (USELESS, f"INBOX.{USELESS}", f"INBOX/{USELESS}"):
            self._server.create(folder)  # Fails if it exists.
            if self._server.uid("COPY", uid, folder)[0] == "OK":
                return self.remove(uid)
        raise MailboxError(f"{self.host}: create a folder {USELESS} beside {self.folder}")

    def _data_of(self, command, response):
        status, data = response
        if status != "OK":
            raise MailboxError(f"{self.host}: {command} was answered {status}")
        return data


def _quoted(name) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
