"""Mail providers (ESPs): which one EMAIL_URL names, and the headers that each wants.

Providers post to our webhook what became of an email (esp_events.py). Most of them replace the
Message-ID of an email that comes by SMTP. So each email has a header with its mark, which the
provider returns with every event.
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
    def authenticates_events(self) -> bool:
        """Return whether a secret authenticates its events. Without one, they are refused."""
        return bool(settings.WEBHOOK_SIGNING_KEY if self.signs_events else settings.WEBHOOK_SECRET)


_PROVIDERS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
ESPS = {name: Esp(name, **fields) for name, fields in _PROVIDERS.items()}


@cache
def esp_of(email_url: str) -> Esp | None:
    """Return the provider whose SMTP server EMAIL_URL names, if it is known."""
    host = urlsplit(email_url).hostname or ""
    return next((esp for esp in ESPS.values() if fnmatchcase(host, esp.hosts)), None)


def headers(letter_id: int, message_id: str) -> bytes:
    """Return the header lines that the provider of EMAIL_URL wants, or nothing.

    The mark is the letter's id and the part before the @ of its Message-ID: only those who have
    seen the letter know both.
    """
    esp = esp_of(settings.EMAIL_URL)
    if esp is None:
        return b""
    mark = f"{letter_id}-{message_id.strip('<>').partition('@')[0]}"
    lines = (f"{name}: {value.replace('%s', mark)}\r\n" for name, value in esp.headers)
    return "".join(lines).encode("ascii")


def letter_of_metadata(metadata: dict) -> tuple[int | None, str]:
    """Return a letter's id and Message-ID from the metadata of an event: None and "" if foreign."""
    id_text, _, local = str(metadata.get("letter", "")).partition("-")
    if not (local and id_text.isdecimal() and len(id_text) < 19):
        return None, ""
    return int(id_text), f"<{local}@{settings.MAIL_DOMAIN}>"
