"""A folder of templates becomes a message.

A letter of kind "digest" lives in templates/email/digest/ as subject.txt, body.txt and body.html.
Nothing here sends, and nothing reads the clock.
"""

import logging
import re
from dataclasses import dataclass, field
from datetime import datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import parseaddr

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone

from subscriptions import plaintext

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class NothingToSay(Exception):
    """Raised by a composer instead of returning an empty letter."""


@dataclass(frozen=True)
class Content:
    """What a letter says, before anyone's name is on it."""

    subject: str
    text: str
    html: str
    headers: dict[str, str] = field(default_factory=dict)


class WirePolicy(EmailPolicy):
    """SMTP's line ends, and two repairs of how the standard policy folds headers.

    It makes encoded-words of a long address, which no mail program reads as one (RFC 2047, 5): such
    headers stay on their line, which may have 998 octets (RFC 5322, 2.1.1). In long subjects of
    other scripts it makes encoded-words of 76 octets, where 75 are allowed.
    """

    VERBATIM = frozenset({"list-unsubscribe", "message-id", "list-help"})

    def fold(self, name, value):
        if name.lower() in self.VERBATIM:
            return f"{name}: {value}{self.linesep}"
        if name.lower() == "subject":
            header = Header(value, maxlinelen=75, header_name=name)
            return f"{name}: {header.encode(linesep=self.linesep)}{self.linesep}"
        return super().fold(name, value)

    def fold_binary(self, name, value):
        return self.fold(name, value).encode("ascii")


WIRE = WirePolicy(linesep="\r\n", cte_type="7bit")


def render(kind: str, context: dict, headers: dict[str, str] | None = None) -> Content:
    """Render the folder of templates of this kind of letter."""
    folder = f"email/{kind}"
    context = {
        "site_name": settings.SITE_NAME,
        "site_url": settings.SITE_URL,
        "postal_address": settings.POSTAL_ADDRESS,
        **context,
    }
    subject = one_line(render_to_string(f"{folder}/subject.txt", context, using="text"))
    context["subject"] = subject
    text = render_to_string(f"{folder}/body.txt", context, using="text")
    html = render_to_string(f"{folder}/body.html", context, using="html")
    return Content(
        subject=subject,
        text=plaintext.wrapped(CONTROLS.sub("", text)),
        html=inline_css(CONTROLS.sub("", html)),
        headers=headers or {},
    )


def list_headers(unsubscribe_url: str) -> dict[str, str]:
    """Return what marks a letter as one of a list that a click leaves (RFC 2369, 2919, 8058)."""
    return {
        "List-Id": f"Daily papers <daily.{settings.MAIL_DOMAIN}>",
        "List-Unsubscribe": f"<{unsubscribe_url}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def as_bytes(content: Content, *, to: str, message_id: str, date: datetime) -> bytes:
    """Return the message as SMTP carries it: CRLF, seven bits, plain text first, HTML last."""
    message = EmailMessage(policy=WIRE)
    message["From"] = from_address()
    message["To"] = Address(addr_spec=to)
    message["Subject"] = content.subject
    message["Date"] = timezone.localtime(date, timezone.get_default_timezone())
    message["Message-ID"] = message_id
    for name, value in content.headers.items():
        message[name] = value
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(content.text, cte="quoted-printable")
    message.add_alternative(content.html, subtype="html", cte="quoted-printable")
    return message.as_bytes()


def from_address() -> Address:
    """Return who our letters are from."""
    name, address = parseaddr(settings.DEFAULT_FROM_EMAIL)
    return Address(display_name=name or settings.SITE_NAME, addr_spec=address)


def one_line(text: str) -> str:
    """Return the text as a header can hold it: one line, no control character."""
    return " ".join(CONTROLS.sub(" ", text).split())


def inline_css(html: str) -> str:
    """Return the page with its styles in its elements, as mail programs want them.

    The one place that knows premailer. Rules for small screens and dark mode stay in the head,
    with the classes that they name; nothing is fetched.
    """
    # Imported here: cssutils takes a third of a second, which only those who write letters pay.
    from premailer import Premailer

    return Premailer(
        html,
        allow_network=False,
        strip_important=False,
        remove_classes=False,
        keep_style_tags=False,
        disable_validation=True,
        cssutils_logging_level=logging.CRITICAL,
    ).transform()
