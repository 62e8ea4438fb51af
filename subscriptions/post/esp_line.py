"""A line to a provider's API: one request for each letter, in a thread of its own.

All is ready at the fence; the request is the step that can't be taken back. What comes of it is
judged by what can be known: an answer, or that it surely never left. All else is unknown.
"""

import logging
import re
import socket
import threading
import time
from contextlib import suppress

import requests
import urllib3
from anymail.exceptions import AnymailAPIError, AnymailError, AnymailRecipientsRefused

from subscriptions.post import esp_letters
from subscriptions.post.esps import Account
from subscriptions.post.line import Envelope, Line, Verdict
from subscriptions.post.reports import cleaned

logger = logging.getLogger(__name__)

DEADLINE = 180  # Seconds for a letter, with what is waited for while the provider is busy.
BUSY_TRIES, BUSY_SECONDS, BUSY_MOST = 6, 1.0, 10.0

#: Answers about us, whatever the letter: no way in, not paid, no such domain.
NO_WAY_IN = frozenset({401, 402, 403, 404, 405})
#: With these, the letter surely was not taken, and another would not be either, for now.
NOT_NOW = frozenset({408, 409, 425, 429, 503})
#: Postmark says in its own codes, under 422, that we may not send.
POSTMARK_NO_WAY_IN = frozenset({10, 100, 400, 401, 405, 412, 413})
#: What is wrong with who sends is wrong with all letters.
_OF_SENDER = re.compile(r"\bsenders?\b|[`'\"]from[`'\"]|\bnot verified\b|\bunverified\b", re.I)
_GONE_BEFORE = re.compile(r"\bduplicat|invalid_idempotent_request", re.I)


class EspTransport:
    def __init__(self, account: Account):
        self.account = account
        self.connections = account.connections
        esp_letters.backend_for(account)  # Refuse what can't be, before letters are lost to it.

    def open(self) -> Line:
        return EspLine(self.account)


class EspLine:
    wants_write = False

    def __init__(self, account: Account):
        self.esp = account.esp
        self.state = "free"
        self.verdict: Verdict | None = None
        self.waiting_since = time.monotonic()
        self._backend = esp_letters.backend_for(account)
        self._backend.open()
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)

    def fileno(self) -> int | None:
        return None if self.state == "closed" else self._bell.fileno()

    def is_fresh(self, now: float) -> bool:
        return self.state == "free"

    def begin(self, envelope: Envelope, mime: bytes) -> None:
        self.verdict = None
        try:
            self._message = esp_letters.message_of(envelope, mime, self.esp)
        except Exception as error:  # It costs its own letter.
            logger.exception("letter %s: can't be told to %s", envelope.letter_id, self.esp.title)
            return self._end(Verdict("refused", "message", f"{type(error).__name__}, telling it"))
        self.state = "fence"

    def finish(self) -> None:
        self.state, self.waiting_since = "answering", time.monotonic()
        self._call = Call(self._backend, self._message, self.esp, self._ringer)
        threading.Thread(target=self._call.run, daemon=True).start()

    def withdraw(self) -> None:
        self._end(None)

    def pump(self, now: float) -> None:
        if self.state != "answering":
            return
        with suppress(BlockingIOError):
            self._bell.recv(1)
        if self._call.verdict is not None:
            self._end(self._call.verdict)
        elif now - self.waiting_since > DEADLINE:
            self.close()
            self.verdict = Verdict("unknown", "api", f"{self.esp.title}: no answer")

    def close(self) -> None:
        if self.state == "closed":
            return
        is_answering, self.state = self.state == "answering", "closed"
        self._bell.close()
        if is_answering:
            self._call.abandon()
        else:
            self._ringer.close()
            self._backend.close()

    def _end(self, verdict):
        self.verdict, self.state = verdict, "free"


class Call:
    """One request, with the waiting that a busy provider asks for. Rings when it is over."""

    def __init__(self, backend, message, esp, ringer):
        self.backend, self.message, self.esp, self.ringer = backend, message, esp, ringer
        self.verdict: Verdict | None = None
        self.is_abandoned = False

    def run(self) -> None:
        verdict = Verdict("unknown", "api", f"{self.esp.title}: the request broke")
        try:
            verdict = self._send()
        except Exception:
            logger.exception("a letter to %s: nobody knows", self.esp.title)
        self.verdict = verdict
        with suppress(OSError):
            self.ringer.send(b".")
        if self.is_abandoned:
            self._tidy()

    def abandon(self) -> None:
        """Leave it to itself. Whoever is last tidies up."""
        self.is_abandoned = True
        if self.verdict is not None:
            self._tidy()

    def _tidy(self):
        self.ringer.close()
        self.backend.close()

    def _send(self) -> Verdict:
        for turn in range(BUSY_TRIES):
            try:
                self.backend.send_messages([self.message])
            except AnymailRecipientsRefused as error:
                return Verdict("refused", "api", _told(self.esp, error), "address")
            except AnymailAPIError as error:
                if (wait := _asked_to_wait(error)) is None or turn == BUSY_TRIES - 1:
                    return judge(error, self.esp)
                time.sleep(wait)
            except AnymailError as error:  # It never left: the letter can't be told.
                return Verdict("refused", "message", _told(self.esp, error))
            else:
                ids = self.message.anymail_status.message_id
                return Verdict("accepted", "api", f"{self.esp.title} took it: {ids}"[:300])
        raise AssertionError("unreachable")


def _asked_to_wait(error) -> float | None:
    """Return for how many seconds a busy provider wants us to wait; None where it is not busy, or
    wants more than a letter can.
    """
    if _status(error) != 429:
        return None
    said = getattr(error.response, "headers", {}).get("Retry-After", "")
    wait = float(said) if re.fullmatch(r"\d{1,4}(\.\d+)?", said) else BUSY_SECONDS
    return wait if wait <= BUSY_MOST else None


def judge(error: AnymailAPIError, esp) -> Verdict:
    """Return what became of a letter whose request brought no acceptance."""
    status, said = _status(error), _told(esp, error)
    if status is None:
        return _without_answer(error, said)
    if _GONE_BEFORE.search(said) and status in (400, 409):
        return Verdict("accepted", "api", said)  # Its key says that this letter left before.
    if status in NOT_NOW:
        return Verdict("deferred", "api", said, "us")
    if status >= 500:  # Some have sent the letter all the same.
        return Verdict("unknown", "api", said, "us")
    if status in NO_WAY_IN or _is_about_us(error, said):
        return Verdict("deferred", "auth", said, "us")
    if status >= 400:
        return Verdict("refused", "api", said)
    return Verdict("unknown", "api", said)  # A yes that can't be read.


def _without_answer(error, said) -> Verdict:
    """Return what is known where no answer came: that it never left, or nothing."""
    if _never_left(error.__cause__):
        return Verdict("deferred", "connect", said, "us")
    return Verdict("unknown", "api", said)


def _never_left(cause) -> bool:
    if isinstance(cause, requests.ConnectTimeout):
        return True
    if isinstance(cause, requests.exceptions.SSLError):  # Which may also come amid an answer.
        return "CERTIFICATE_VERIFY_FAILED" in str(cause)
    if isinstance(cause, requests.ConnectionError):
        reason = getattr(cause.args[0] if cause.args else None, "reason", None)
        return isinstance(reason, urllib3.exceptions.NewConnectionError)
    names = {kind.__name__ for kind in type(cause).__mro__}  # botocore's, which may not be there.
    return bool(names & {"EndpointConnectionError", "ConnectTimeoutError", "NoCredentialsError"})


def _status(error) -> int | None:
    if isinstance(error.response, dict):  # boto3's.
        return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return error.status_code


def _is_about_us(error, said) -> bool:
    if _postmark_code(error) in POSTMARK_NO_WAY_IN:
        return True
    return bool(_OF_SENDER.search(said))


def _postmark_code(error):
    with suppress(Exception):
        return error.response.json().get("ErrorCode")
    return None


def _told(esp, error) -> str:
    """Return the provider's words without addresses, and without what we had told it."""
    status = _status(error) if isinstance(error, AnymailAPIError) else None
    code = f" HTTP {status}" if status else ""
    return cleaned(f"{esp.title}:{code} {_words(error)}")


def _words(error) -> str:
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        told = response.get("Error", {})
        return f"{told.get('Code', '')} {told.get('Message', '')}"
    text = getattr(response, "text", "")
    if text:
        return text
    return type(error.__cause__).__name__ if error.__cause__ else str(error.args[0])
