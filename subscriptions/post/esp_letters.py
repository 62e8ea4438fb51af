"""A frozen letter as anymail hands it to a provider: its very bytes where that takes them.

Else, it is taken apart again into what the provider is told: subject, bodies, headers. Only who has
an ESP configured imports this.
"""

import uuid
from email import message_from_bytes, policy

from anymail.backends import brevo, mailgun, postmark, resend, sendgrid
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMultiAlternatives

from subscriptions.post.esps import Account, Esp
from subscriptions.post.line import Envelope

#: What every provider writes itself, where it is told a letter's parts.
WRITTEN_ANEW = frozenset(
    {
        "from",
        "to",
        "subject",
        "reply-to",
        "date",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
        "dkim-signature",
    }
)
SPACE_OF_KEYS = uuid.UUID("6f1b0ad4-6d2b-4c1e-9c0a-52d1f3a6b7c8")


def backend_for(account: Account):
    """Return anymail's backend, closed. Raises ImproperlyConfigured."""
    return BACKENDS[account.esp.name](**account.options)


def message_of(envelope: Envelope, mime: bytes, esp: Esp) -> EmailMultiAlternatives:
    """Return the letter as anymail takes it, with marks by which its events will name it."""
    parsed = message_from_bytes(mime, policy=policy.default)
    parts = (parsed.get_body((kind,)).get_content() for kind in ("plain", "html"))
    text, html = (part.replace("\r\n", "\n") for part in parts)
    leaves_out = WRITTEN_ANEW | esp.own_headers
    headers = {name: str(value) for name, value in parsed.items() if name.lower() not in leaves_out}
    message = FrozenMessage(
        subject=str(parsed["Subject"]),
        body=text,
        from_email=str(parsed["From"]),
        to=[envelope.recipient],
        reply_to=[str(parsed["Reply-To"])] if parsed["Reply-To"] else [],
        headers=headers | esp.extra_headers,
        alternatives=[(html, "text/html")],
    )
    message.mime, message.message_id = mime, parsed["Message-ID"].strip()
    message.metadata = {"letter": str(envelope.letter_id), "message_id": message.message_id}
    if esp.takes_tracking:
        message.track_opens = message.track_clicks = False
    return message


class FrozenMessage(EmailMultiAlternatives):
    """A letter whose bytes are made. `message_id` is that of the letter."""

    mime: bytes
    message_id: str

    def message(self, **kwargs):
        return FrozenMime(self.mime)


class FrozenMime:
    """What anymail's backend for SES takes for a message: its bytes stay, headers come before."""

    def __init__(self, mime):
        self.mime = mime
        self.added = []

    def walk(self):
        return []

    def __setitem__(self, name, value):
        self.added.append(f"{name}: {value}\r\n".encode("ascii"))

    def as_bytes(self):
        return b"".join(self.added) + self.mime


class Mailgun(mailgun.EmailBackend):
    def build_message_payload(self, message, defaults):
        return MailgunMime(message, defaults, self)


class MailgunMime(mailgun.MailgunPayload):
    """Mailgun's messages.mime: the letter as a file, besides to whom it goes and our marks."""

    def get_api_endpoint(self):
        return f"{super().get_api_endpoint()}.mime"

    def serialize_data(self):
        data = super().serialize_data()
        self.files = [("message", ("message.mime", self.message.mime, "message/rfc822"))]
        return {name: value for name, value in data.items() if name.startswith(("to", "o:", "v:"))}


class Resend(resend.EmailBackend):
    def build_message_payload(self, message, defaults):
        payload = super().build_message_payload(message, defaults)
        payload.headers["Idempotency-Key"] = message.message_id.strip("<>")
        return payload


class Brevo(brevo.EmailBackend):
    """Brevo keeps keys, which must be UUIDs, for half an hour."""

    def build_message_payload(self, message, defaults):
        payload = super().build_message_payload(message, defaults)
        payload.data["headers"]["idempotencyKey"] = str(
            uuid.uuid5(SPACE_OF_KEYS, message.message_id)
        )
        return payload


def _ses(**options):
    try:
        from anymail.backends import amazon_ses  # It wants boto3, which only SES needs.
    except ImproperlyConfigured:
        raise ImproperlyConfigured(
            "EMAIL_URL: Amazon SES needs boto3, of the dependency group esp: `uv sync --group esp`."
        ) from None
    return amazon_ses.EmailBackend(**options)


BACKENDS = {
    "postmark": postmark.EmailBackend,
    "mailgun": Mailgun,
    "sendgrid": sendgrid.EmailBackend,
    "brevo": Brevo,
    "resend": Resend,
    "ses": _ses,
}
