"""Mail providers (ESPs): which one EMAIL_URL leads to, and the headers that each wants.

Providers post to us what became of an email (esp_events.py). Most of them replace the Message-ID of
what they are handed over SMTP, so each email carries its mark in a header that comes back with
every event about it.
"""

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from django.conf import settings


@dataclass(frozen=True)
class Esp:
    """A mail provider, as esps.toml describes it."""

    name: str
    title: str
    hosts: str
    email_url: str
    headers: list[list[str]]
    signs_events: bool = False

    @property
    def is_guarded(self) -> bool:
        """Return whether a setting tells its events from others. Without, nobody is listened to."""
        return bool(settings.WEBHOOK_SIGNING_KEY if self.signs_events else settings.WEBHOOK_SECRET)


ESPS = {
    name: Esp(name, **told)
    for name, told in tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8")).items()
}


@cache
def esp_of(email_url: str) -> Esp | None:
    """Return the provider whose SMTP server EMAIL_URL names, if it is one that we know."""
    host = urlsplit(email_url).hostname or ""
    return next((esp for esp in ESPS.values() if fnmatchcase(host, esp.hosts)), None)


def headers(letter_id: int, message_id: str) -> bytes:
    """Return the header lines that the provider of EMAIL_URL wants, or nothing.

    The mark is the letter's number and what stands before the @ in its Message-ID: only who has
    seen the letter can name both.
    """
    esp = esp_of(settings.EMAIL_URL)
    if esp is None:
        return b""
    mark = f"{letter_id}-{message_id.strip('<>').partition('@')[0]}"
    lines = (f"{name}: {value.replace('%s', mark)}\r\n" for name, value in esp.headers)
    return "".join(lines).encode("ascii")


def marked(metadata: dict) -> tuple[int | None, str]:
    """Return the letter's number and its Message-ID from what came back with an event.

    Before emails were sent over SMTP alone, the Message-ID had a field of its own.
    """
    number, _, local = str(metadata.get("letter", "")).partition("-")
    message_id = f"<{local}@{settings.MAIL_DOMAIN}>" if local else metadata.get("message_id")
    is_number = message_id and number.isdecimal() and len(number) < 19
    return (int(number) if is_number else None), str(message_id or "")
