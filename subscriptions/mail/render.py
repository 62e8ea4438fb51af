"""Render a folder of templates to an email.

The templates of kind "confirm" are templates/email/confirm/: subject.txt, body.txt and body.html.
"""

import quopri
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import format_datetime, parseaddr
from functools import cache, lru_cache
from urllib.parse import quote, urljoin
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.template.loader import render_to_string
from django.utils import timezone, translation

from subscriptions.mail import kinds, mime, plaintext

UNSAFE_IN_URL = re.compile(r"[\s<>\"'\\^`{|}]")


class NoContent(Exception):
    """A composer has no content for a letter."""


@dataclass(frozen=True)
class Content:
    """An email without recipient and date. The parts are encoded, in pieces to be joined.

    `payload` is a message to a channel, which has no parts and headers.
    """

    subject: str
    quoted_text: Sequence[bytes]
    quoted_html: Sequence[bytes]
    headers: tuple[tuple[str, str], ...]
    payload: bytes = b""

    @classmethod
    def of(cls, subject: str, text: str, html: str, headers) -> "Content":
        return cls(subject, [mime.quoted(text)], [mime.quoted(html)], headers)

    @property
    def text(self) -> str:
        return self.payload.decode() or _unquoted(self.quoted_text)

    @property
    def html(self) -> str:
        return _unquoted(self.quoted_html)


def render(
    kind: str, context: dict, unsubscribe_url: str = "", unsubscribe_address: str = ""
) -> Content:
    """Render the templates of a kind in the active language. The last two are as for `headers`."""
    subject = plaintext.one_line(
        render_to_string(f"email/{kind}/subject.txt", _common_context() | context, using="text")
    )
    text, html = render_parts(kind, context | {"subject": subject})
    return Content.of(subject, text, html, headers(kind, unsubscribe_url, unsubscribe_address))


def render_parts(kind: str, context: dict) -> tuple[str, str]:
    """Return the text with its lines broken, and the HTML."""
    context = _common_context() | context
    lines = {  # They may be "7. Heaven" and "2. Floor", but must not look like papers.
        "letterhead": plaintext.unnumbered(settings.SITE_NAME),
        "postal_address": plaintext.unnumbered(", ".join(settings.POSTAL_ADDRESS.split("\n"))),
    }
    text = render_to_string(f"email/{kind}/body.txt", context | lines, using="text")
    html = render_to_string(f"email/{kind}/body.html", context, using="html")
    return plaintext.wrapped(plaintext.cleaned(text)), plaintext.cleaned(html)


def headers(
    kind: str,
    unsubscribe_url: str = "",
    unsubscribe_address: str = "",
    campaign: str = "",
    language: str | None = None,
) -> tuple:
    """Return the headers of a kind of letter, except recipient, subject, date and id.

    The language is the active one by default. An email to `unsubscribe_address` unsubscribes.
    See RFC 2369, 2919 and 8058 for the headers of a list, RFC 3834 for those that stop automatic
    replies, and docs/email.md for the others.
    """
    pairs = [("From", str(from_address(kind)))]
    if settings.REPLY_TO_EMAIL:
        pairs.append(("Reply-To", str(_address(settings.REPLY_TO_EMAIL, settings.SITE_NAME))))
    domain = settings.MAIL_DOMAIN
    if kinds.rules_of(kind).is_list:
        list_name = "Messages <messages" if kind == "message" else "Daily papers <daily"
        pairs.append(("List-Id", f"{list_name}.{domain}>"))
        if settings.SITE_URL:
            pairs += [
                ("List-Unsubscribe", list_unsubscribe(unsubscribe_url, unsubscribe_address)),
                ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ]
    return (
        *pairs,
        ("Feedback-ID", f"{campaign}:{kind}:{domain}:paperboy"),
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
        ("Content-Language", language or translation.get_language()),
    )


def list_unsubscribe(url: str, address: str) -> str:
    """Return the value of List-Unsubscribe (RFC 2369). RFC 8058 uses the https address."""
    return f"<{url}>, <mailto:{quote(address, safe='@+')}>" if address else f"<{url}>"


def as_bytes(content: Content, *, to: str, message_id: str, date: datetime) -> bytes:
    """Return the message for SMTP: CRLF, seven bits, plain text first."""
    sender, *other_headers = content.headers
    all_headers = [
        sender,
        ("To", to),
        ("Subject", content.subject),
        ("Date", _date_header(date, settings.TIME_ZONE)),
        ("Message-ID", message_id),
        *other_headers,
    ]
    boundary = f"=_{message_id.strip('<>').partition('@')[0]}"
    return mime.message(all_headers, content.quoted_text, content.quoted_html, boundary)


def from_address(kind: str = "digest") -> Address:
    is_list = kinds.rules_of(kind).is_list
    sender = settings.DEFAULT_FROM_EMAIL if is_list else settings.TRANSACTIONAL_FROM_EMAIL
    return _address(sender, settings.SITE_NAME)


def check() -> None:
    """Raise ImproperlyConfigured for settings that no header can hold."""
    for name in ("DEFAULT_FROM_EMAIL", "TRANSACTIONAL_FROM_EMAIL", "REPLY_TO_EMAIL"):
        check_address(name)
    if not settings.SITE_URL.isascii() or UNSAFE_IN_URL.search(settings.SITE_URL):
        raise ImproperlyConfigured(
            f"SITE_URL must be written as links are (an international domain in its xn-- form), "
            f"not {settings.SITE_URL!r}."
        )


def check_address(name: str) -> None:
    """Raise ImproperlyConfigured if the setting of this name is neither empty nor an address."""
    try:
        if value := getattr(settings, name):
            _address(value, settings.SITE_NAME)
    except ImproperlyConfigured as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None


def _common_context():
    """The context of all templates."""
    return {
        "site_name": settings.SITE_NAME,
        "site_url": settings.SITE_URL,
        "postal_address": settings.POSTAL_ADDRESS,
        "logo_url": settings.LOGO_URL and urljoin(settings.SITE_URL, settings.LOGO_URL),
    }


@lru_cache(100)  # Letters that are frozen together share it.
def _date_header(moment, zone):
    return format_datetime(timezone.localtime(moment, ZoneInfo(zone)))


@cache
def _address(text, default_name):
    name, address = parseaddr(text)
    try:
        address.encode("ascii")
        return Address(display_name=plaintext.one_line(name or default_name), addr_spec=address)
    except (ValueError, MessageError):
        raise ImproperlyConfigured(
            f"{text!r} is no address that letters can be from, be answered to or come back to. It "
            f"looks like Paperboy <digest@example.org>, an international domain in its xn-- form."
        ) from None


def _unquoted(pieces):
    part = b"".join(pieces)
    return quopri.decodestring(part.replace(b"\r\n", b"\n")).decode()
