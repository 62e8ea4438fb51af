"""A folder of templates becomes a message.

A letter of kind "digest" lives in templates/email/digest/ as subject.txt, body.txt and body.html.
Nothing here sends, and nothing reads the clock.
"""

import logging
import quopri
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import format_datetime, parseaddr
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.template.loader import render_to_string
from django.utils import timezone, translation

from subscriptions import plaintext, wire

#: Kinds of letters that belong to the list. The others answer what one person did.
LIST_KINDS = frozenset({"digest", "welcome"})
UNSAFE_IN_URL = re.compile(r"[\s<>\"'\\^`{|}]")
#: cssutils writes CSS with an indent that all threads share.
_inlining = threading.Lock()


class NothingToSay(Exception):
    """Raised by a composer instead of returning an empty letter."""


@dataclass(frozen=True)
class Content:
    """What a letter says: its parts in pieces as they travel, and headers that tell what it is.

    `item_ids` name what it is about, for registry.on_reconciled; None where there is no such thing.
    """

    subject: str
    quoted_text: Sequence[bytes]
    quoted_html: Sequence[bytes]
    headers: tuple[tuple[str, str], ...]
    item_ids: Sequence[str] | None = None

    @classmethod
    def of(cls, subject: str, text: str, html: str, headers) -> "Content":
        return cls(subject, [wire.quoted(text)], [wire.quoted(html)], headers)

    @property
    def text(self) -> str:
        return _unquoted(self.quoted_text)

    @property
    def html(self) -> str:
        return _unquoted(self.quoted_html)


def render(kind: str, context: dict, unsubscribe_url: str = "") -> Content:
    """Render the folder of templates of this kind of letter, in the language that is active."""
    subject = plaintext.one_line(
        render_to_string(f"email/{kind}/subject.txt", _common() | context, using="text")
    )
    text, html = rendered(kind, context | {"subject": subject})
    return Content.of(subject, text, html, headers(kind, unsubscribe_url))


def rendered(kind: str, context: dict) -> tuple[str, str]:
    """Return the parts of a letter of this kind: its lines broken, its CSS in its elements."""
    context = _common() | context
    house = {  # Lines of their own, which may be "7. Heaven" and "2. Floor", but are no papers.
        "letterhead": plaintext.unnumbered(settings.SITE_NAME),
        "postal_address": plaintext.unnumbered(", ".join(settings.POSTAL_ADDRESS.split("\n"))),
    }
    text = render_to_string(f"email/{kind}/body.txt", context | house, using="text")
    html = render_to_string(f"email/{kind}/body.html", context, using="html")
    return plaintext.wrapped(plaintext.cleaned(text)), inline_css(plaintext.cleaned(html))


def headers(
    kind: str, unsubscribe_url: str = "", campaign: str = "", language: str | None = None
) -> tuple:
    """Return the headers that tell from whom a letter of this kind is, and what it is.

    The language is the active one where none is given. See RFC 2369, 2919 and 8058 for those of a
    list, RFC 3834 for what keeps machines from answering, and docs/letters.md for the others.
    """
    told = [("From", _written(_from(kind), settings.SITE_NAME))]
    if settings.REPLY_TO_EMAIL:
        told.append(("Reply-To", _written(settings.REPLY_TO_EMAIL, settings.SITE_NAME)))
    domain = settings.MAIL_DOMAIN
    if kind in LIST_KINDS:
        told += [
            ("List-Id", f"Daily papers <daily.{domain}>"),
            ("List-Unsubscribe", f"<{unsubscribe_url}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
        ]
    return (
        *told,
        ("Feedback-ID", f"{campaign}:{kind}:{domain}:paperboy"),
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
        ("Content-Language", language or translation.get_language()),
    )


def as_bytes(content: Content, *, to: str, message_id: str, date: datetime) -> bytes:
    """Return the message as SMTP carries it: CRLF, seven bits, plain text first, HTML last."""
    sender, *others = content.headers
    told = [
        sender,
        ("To", to),
        ("Subject", content.subject),
        ("Date", _date(date, settings.TIME_ZONE)),
        ("Message-ID", message_id),
        *others,
    ]
    boundary = f"=_{message_id.strip('<>').partition('@')[0]}"
    return wire.message(told, content.quoted_text, content.quoted_html, boundary)


def from_address(kind: str = "digest") -> Address:
    """Return who our letters of this kind are from."""
    return _address(_from(kind), settings.SITE_NAME)


def check() -> None:
    """Refuse addresses that no header can hold, before letters wait for them.

    Raises ImproperlyConfigured.
    """
    for name in ("DEFAULT_FROM_EMAIL", "TRANSACTIONAL_FROM_EMAIL", "REPLY_TO_EMAIL"):
        check_address(name)
    if not settings.SITE_URL.isascii() or UNSAFE_IN_URL.search(settings.SITE_URL):
        raise ImproperlyConfigured(
            f"SITE_URL must be written as links are (an international domain in its xn-- form), "
            f"not {settings.SITE_URL!r}."
        )


def check_address(name: str) -> None:
    """Raise ImproperlyConfigured where the setting of this name is neither empty nor an address."""
    try:
        if said := getattr(settings, name):
            _address(said, settings.SITE_NAME)
    except ImproperlyConfigured as error:
        raise ImproperlyConfigured(f"{name}: {error}") from None


def inline_css(html: str) -> str:
    """Return the page with its styles in its elements, as mail programs want them.

    The one place that knows premailer. Rules for small screens and dark mode stay in the head,
    with the classes that they name; nothing is fetched.
    """
    # Imported here: cssutils takes a third of a second, which only those who write letters pay.
    from premailer import Premailer

    with _inlining:
        return Premailer(
            html,
            allow_network=False,
            strip_important=False,
            remove_classes=False,
            keep_style_tags=False,
            disable_validation=True,
            cssutils_logging_level=logging.CRITICAL,
        ).transform(pretty_print=False)


def _common():
    """Return what every letter's templates know."""
    return {
        "site_name": settings.SITE_NAME,
        "site_url": settings.SITE_URL,
        "postal_address": settings.POSTAL_ADDRESS,
    }


def _from(kind):
    is_list = kind in LIST_KINDS
    return settings.DEFAULT_FROM_EMAIL if is_list else settings.TRANSACTIONAL_FROM_EMAIL


@lru_cache(100)
def _date(moment, zone):
    """Return the moment as a header has it, which all letters of a volley share."""
    return format_datetime(timezone.localtime(moment, ZoneInfo(zone)))


@cache
def _written(text, otherwise):
    return str(_address(text, otherwise))


@cache
def _address(text, otherwise):
    name, address = parseaddr(text)
    try:
        address.encode("ascii")
        return Address(display_name=plaintext.one_line(name or otherwise), addr_spec=address)
    except (ValueError, MessageError):
        raise ImproperlyConfigured(
            f"{text!r} is no address that letters can be from, be answered to or come back to. It "
            f"looks like Paperboy <digest@example.org>, an international domain in its xn-- form."
        ) from None


def _unquoted(pieces):
    part = b"".join(pieces)
    return quopri.decodestring(part.replace(b"\r\n", b"\n")).decode()
