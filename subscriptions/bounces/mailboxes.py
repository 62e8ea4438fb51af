"""The mailbox that letters come back to, emptied: a Maildir, an mbox file, or one behind IMAP.

A message leaves it only once what it tells is committed; who dies between reads it again, which
changes nothing. What told of a letter is removed. All else is moved beside, to "Useless": some of
it may have been written by people, and nothing of theirs is thrown away.
"""

import imaplib
import logging
import mailbox
import os
import re
import ssl
from collections import Counter
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError

from subscriptions.bounces import inbound
from subscriptions.bounces.parse import MOST_OCTETS
from subscriptions.db import is_lock_timeout
from subscriptions.delivery.transports.smtp import is_here

logger = logging.getLogger(__name__)

MOST = 1_000  # Messages in one go.
SECONDS = 60  # For each answer of an IMAP server.
USELESS = "Useless"
TELLING = ("recorded", "known")
HELD = "held"


class Trouble(Exception):
    """The mailbox can't be used. Says why, in words that hold no password."""


#: Each has `open`, a context manager that raises Trouble; `messages`, which yields a name and the
#: bytes of each message, cut off at MOST_OCTETS; `remove`, which deletes one by its name; and
#: `put_by`, which moves one to the useless ones.
type Mailbox = Maildir | Mbox | Imap


def empty(box: Mailbox, now) -> Counter[str]:
    """Read and remove what came back. Return how many messages told what, by their outcome.

    Raises Trouble, and what inbound.receive raises: the message in question stays.
    """
    counts: Counter[str] = Counter()
    with box.open():
        for name, mime in box.messages():
            try:
                outcome = inbound.receive(mime, now)
            except OperationalError as error:
                if not is_lock_timeout(error):
                    raise
                outcome = HELD  # Somebody has its reader's row: it stays for the next time.
            if outcome != HELD:
                (box.remove if outcome in TELLING else box.put_by)(name)
            counts[outcome] += 1
            if counts.total() >= MOST:
                break
    return counts


def empty_ours(now) -> None:
    """Empty the mailbox that the operator names, if any, and tell the log where it can't be."""
    if not settings.BOUNCE_MAILBOX:
        return
    try:
        counts = empty(open_mailbox(settings.BOUNCE_MAILBOX), now)
    except Trouble as trouble:
        logger.error("BOUNCE_MAILBOX can't be read: %s", trouble)
    else:
        logger.info("read from BOUNCE_MAILBOX: %s", dict(counts))


def open_mailbox(url: str) -> Mailbox:
    """Return the mailbox that BOUNCE_MAILBOX names. Raises ImproperlyConfigured."""
    kind, _, path = url.partition(":")
    if kind in ("maildir", "mbox") and Path(path).is_absolute():
        return (Maildir if kind == "maildir" else Mbox)(Path(path))
    if kind in ("imap", "imaps"):
        return _imap(url)
    raise ImproperlyConfigured(
        "BOUNCE_MAILBOX is none that we can read. It may be maildir:/home/bounces/Maildir, "
        "mbox:/var/mail/bounces, or imaps://user:password@mail.example.org/INBOX."
    )


# ---- On this machine


@dataclass
class Maildir:
    """A folder of files, one for each message."""

    path: Path

    @contextmanager
    def open(self):
        try:
            os.listdir(self.path / "new")
            yield self
        except OSError as error:
            raise Trouble(f"{self.path}: {error.strerror}") from None

    def messages(self):
        for folder in ("new", "cur"):
            for file in sorted((self.path / folder).iterdir()):
                with suppress(FileNotFoundError), file.open("rb") as message:  # Or another took it.
                    yield file, message.read(MOST_OCTETS)

    def remove(self, name):
        name.unlink(missing_ok=True)

    def put_by(self, name):
        folder = self.path / f".{USELESS}"
        for part in ("new", "cur", "tmp"):
            (folder / part).mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            os.replace(name, folder / "cur" / name.name)


@dataclass
class Mbox:
    """One file, locked as mail servers do. It is rewritten when all is read."""

    path: Path
    _box: mailbox.mbox = field(init=False, repr=False)
    _useless: list[bytes] = field(init=False, default_factory=list, repr=False)

    @contextmanager
    def open(self):
        try:
            self._box = mailbox.mbox(self.path, create=False)
            with closing(self._box):
                self._box.lock()
                try:
                    yield self
                finally:
                    self._keep_useless()  # Before the file is rewritten, as it is closed.
        except (OSError, mailbox.Error) as error:
            raise Trouble(f"{self.path}: {error}") from None

    def messages(self):
        for key in list(self._box.iterkeys()):
            with self._box.get_file(key) as message:
                yield key, message.read(MOST_OCTETS).replace(b"\n>From ", b"\nFrom ")

    def remove(self, name):
        self._box.remove(name)

    def put_by(self, name):
        self._useless.append(self._box.get_bytes(name))
        self._box.remove(name)

    def _keep_useless(self):
        if self._useless:
            with closing(mailbox.mbox(f"{self.path}.{USELESS.lower()}")) as beside:
                for message in self._useless:
                    beside.add(message)
            self._useless = []


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
                self._do("SELECT", self._server.select(_quoted(self.folder)))
                yield self
                self._server.expunge()
            finally:
                self._server.shutdown()
        except (imaplib.IMAP4.error, OSError) as error:
            raise Trouble(f"{self.host}: {error}") from None

    def _log_in(self):
        """By PLAIN (RFC 4616), which takes all letters, where it is offered, else by LOGIN."""
        said = f"\0{self.user}\0{self.password}".encode()
        try:
            if "AUTH=PLAIN" in self._server.capabilities:
                self._server.authenticate("PLAIN", lambda _: said)
            else:
                self._server.login(_quoted(self.user), self.password)
        except UnicodeEncodeError:
            raise Trouble(f"{self.host}: it takes ASCII alone in user and password") from None
        except imaplib.IMAP4.error:  # Some servers repeat what they were told.
            raise Trouble(f"{self.host}: it does not let us in") from None

    def _connect(self):
        context = ssl.create_default_context()
        if self.tls == "implicit":
            return imaplib.IMAP4_SSL(self.host, self.port, ssl_context=context, timeout=SECONDS)
        server = imaplib.IMAP4(self.host, self.port, timeout=SECONDS)
        if self.tls == "starttls":
            server.starttls(context)
        return server

    def messages(self):
        found = self._do("SEARCH", self._server.uid("SEARCH", "UNDELETED"))
        for uid in found[0].split()[:MOST]:
            told = self._do(
                "FETCH", self._server.uid("FETCH", uid, f"(BODY.PEEK[]<0.{MOST_OCTETS}>)")
            )
            bodies = [part[1] for part in told if isinstance(part, tuple)]
            if bodies:  # Else, somebody removed it in this moment.
                yield uid, bodies[0]

    def remove(self, name):
        self._do("STORE", self._server.uid("STORE", name, "+FLAGS.SILENT", r"(\Deleted)"))

    def put_by(self, name):
        for folder in (USELESS, f"INBOX.{USELESS}", f"INBOX/{USELESS}"):
            self._server.create(folder)  # It says no where there is one.
            if self._server.uid("COPY", name, folder)[0] == "OK":
                return self.remove(name)
        raise Trouble(f"{self.host}: make a folder {USELESS} beside {self.folder}")

    def _do(self, verb, answer):
        kind, told = answer
        if kind != "OK":
            raise Trouble(f"{self.host}: {verb} was answered {kind}")
        return told


def _imap(url) -> Imap:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ImproperlyConfigured(
            "BOUNCE_MAILBOX holds a port that is no number, or a bracket. What is no letter and no "
            "digit in user and password stands there as %23 for # does."
        ) from None
    is_secure = parts.scheme == "imaps"
    tls = parse_qs(parts.query).get("tls", ["implicit" if is_secure else "none"])[0]
    folder = unquote(parts.path).strip("/") or "INBOX"
    if not (parts.hostname and parts.username and folder.isascii()):
        raise ImproperlyConfigured(
            "BOUNCE_MAILBOX must say imaps://user:password@host/FOLDER, the folder in ASCII."
        )
    if tls not in ("implicit", "starttls") and not is_here(parts.hostname):
        raise ImproperlyConfigured(
            "BOUNCE_MAILBOX would send its password in the clear: use imaps://, or ?tls=starttls."
        )
    port = port or (993 if tls == "implicit" else 143)
    user, password = unquote(parts.username), unquote(parts.password or "")
    return Imap(parts.hostname, port, user, password, folder, tls)


def _quoted(name) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
