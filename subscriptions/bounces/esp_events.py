"""What a provider posts to us about letters, read: whether it is the provider, and what it tells.

Anymail knows each provider's words; what they mean for a letter is decided here. Only who has an
ESP configured imports this.
"""

import hashlib
import hmac
import json
import re
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from urllib.request import urlopen

from anymail.exceptions import AnymailError, AnymailWebhookValidationFailure
from anymail.signals import EventType, RejectReason
from anymail.webhooks import amazon_ses, brevo, mailgun, postmark, resend, sendgrid
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.crypto import constant_time_compare

from subscriptions.bounces.parse import SAID_CHARACTERS, Report, cleaned
from subscriptions.delivery import message_ids
from subscriptions.delivery.transports import esps
from subscriptions.delivery.transports.esps import Esp
from subscriptions.delivery.transports.smtp_replies import grade_of, status_in

#: So old may a signed event be: some providers sign once, and try for hours to be heard.
STALE = timedelta(hours=24)
#: Standard Webhooks, which Resend signs by, signs each try anew.
STALE_TRY = timedelta(minutes=5)
SNS_URL = re.compile(r"https://sns\.[a-z0-9-]+\.amazonaws\.com/")
CONFIRM_SECONDS = 10
#: What is raised by fields that are missing, or hold something else than they should.
NONSENSE = (
    *(ValueError, TypeError, KeyError, AttributeError, IndexError),
    *(OverflowError, RecursionError),
)


class Forged(Exception):
    """It is not from the provider, or too old to tell."""


class Unreadable(Exception):
    """It is from the provider, and makes no sense."""


def reports_in(request, esp: Esp, now: datetime) -> list[Report]:
    """Return what a request of the provider tells of letters. Raises Forged or Unreadable.

    What tells nothing of a letter's fate, such as that it was opened, is left out.
    """
    try:
        view = _view(esp)
        view.setup(request)
        view.run_validators(request)
        _refuse_stale(request, esp, now)
    except AnymailWebhookValidationFailure as error:
        raise Forged(str(error)) from None
    except (AnymailError, *NONSENSE) as error:
        raise Forged(type(error).__name__) from None
    try:
        events = view.parse_events(request)
        return [report for event in events if (report := _report(event, esp)) is not None]
    except (AnymailError, ImproperlyConfigured) as error:
        raise Unreadable(str(error.args[:1])[:SAID_CHARACTERS]) from None  # All of it, maybe.
    except NONSENSE as error:
        raise Unreadable(type(error).__name__) from None


def check(esp: Esp) -> None:
    """Refuse, at the start, keys that can't be. Raises ImproperlyConfigured."""
    if settings.WEBHOOK_SECRET and ":" not in settings.WEBHOOK_SECRET:
        raise ImproperlyConfigured("WEBHOOK_SECRET must say USER:PASSWORD.")
    try:
        _view(esp)
        if esp.name == "resend":
            _key_of_resend()
    except ValueError:
        raise ImproperlyConfigured(f"WEBHOOK_SIGNING_KEY is none of {esp.title}'s.") from None


# ---- Whether it is the provider


def _refuse_stale(request, esp, now):
    """Anymail looks at signatures alone: whoever has seen an event could tell it for ever."""
    match esp.name:
        case "mailgun":
            said = json.loads(request.body)["signature"]["timestamp"]
        case "sendgrid":
            said = request.headers["X-Twilio-Email-Event-Webhook-Timestamp"]
        case "resend":
            return _check_standard_webhook(request, now)
        case _:
            return
    if abs(now - _moment(said)) > STALE:
        raise Forged("stale")


def _check_standard_webhook(request, now):
    """Check a signature as standardwebhooks.com has it, for which anymail wants a library."""
    parts = (request.headers[f"svix-{part}"] for part in ("id", "timestamp", "signature"))
    name, said, signatures = parts
    if abs(now - _moment(said)) > STALE_TRY:
        raise Forged("stale")
    signed = f"{name}.{said}.".encode() + request.body
    ours = b64encode(hmac.digest(_key_of_resend(), signed, "sha256")).decode()
    if not any(constant_time_compare(f"v1,{ours}", one) for one in signatures.split()):
        raise Forged("signature")


def _key_of_resend() -> bytes:
    """Raises ValueError."""
    return b64decode(settings.WEBHOOK_SIGNING_KEY.removeprefix("whsec_"), validate=True)


def _moment(said) -> datetime:
    return datetime.fromtimestamp(float(said), UTC)


class Resend(resend.ResendTrackingWebhookView):
    """Its signature is checked above."""

    warn_if_no_basic_auth = False

    def __init__(self, **kwargs):
        self._svix_webhook = None
        super(resend.SvixWebhookValidationMixin, self).__init__(**kwargs)


class Ses(amazon_ses.AmazonSESTrackingWebhookView):
    """Without boto3, which anymail wants to confirm the subscription."""

    auto_confirm_enabled = True

    def __init__(self, **kwargs):
        super(amazon_ses.AmazonSESBaseWebhookView, self).__init__(**kwargs)

    def auto_confirm_sns_subscription(self, sns_message):
        """Open the address that confirms it. The password says that the operator subscribed us."""
        if not SNS_URL.match(url := sns_message["SubscribeURL"]):
            raise ValueError("the subscription is to be confirmed elsewhere than at Amazon SNS")
        urlopen(url, timeout=CONFIRM_SECONDS).close()  # noqa: S310


def _view(esp):
    """Return anymail's view of the provider's events, with the secrets of the settings."""
    secret = {"webhook_secret": settings.WEBHOOK_SECRET or []}
    key = settings.WEBHOOK_SIGNING_KEY
    match esp.name:
        case "postmark":
            return postmark.PostmarkTrackingWebhookView(**secret)
        case "mailgun":
            return mailgun.MailgunTrackingWebhookView(webhook_signing_key=key, **secret)
        case "sendgrid":
            secret["tracking_webhook_verification_key"] = key
            return sendgrid.SendGridTrackingWebhookView(**secret)
        case "brevo":
            return brevo.BrevoTrackingWebhookView(**secret)
        case "resend":
            return Resend(**secret)
        case "ses":
            return Ses(**secret)


# ---- What it tells


#: What an event tells of a letter. A rejection depends on its reason.
KINDS = {
    EventType.QUEUED: "relayed",
    EventType.SENT: "relayed",
    EventType.DEFERRED: "delayed",
    EventType.DELIVERED: "delivered",
    EventType.BOUNCED: "bounced",
    EventType.FAILED: "bounced",
    EventType.REJECTED: "bounced",
    EventType.COMPLAINED: "complained",
    EventType.UNSUBSCRIBED: "unsubscribed",
}
#: Why a provider sent nothing: what it remembers of earlier letters, its own or of others.
REJECTIONS = {RejectReason.SPAM: "complained", RejectReason.UNSUBSCRIBED: "unsubscribed"}
#: The providers' own words for an address that is none.
GONE = {
    "postmark": lambda told: told.get("Type") in ("HardBounce", "BadEmailAddress"),
    "mailgun": lambda told: told["event-data"].get("reason") in ("bounce", "suppress-bounce"),
    "sendgrid": lambda told: told.get("type") == "bounce",
    "brevo": lambda told: told.get("event") in ("hard_bounce", "invalid_email"),
    "resend": lambda told: told["data"].get("bounce", {}).get("type") == "Permanent",
    "ses": lambda told: told.get("bounce", {}).get("bounceType") == "Permanent",
}


def _report(event, esp) -> Report | None:
    kind = KINDS.get(event.event_type)
    if event.event_type == EventType.REJECTED:
        kind = REJECTIONS.get(event.reject_reason, kind)
    if kind is None:
        return None
    said = event.mta_response or event.description or ""
    status = status_in(said)
    letter_id, message_id = esps.marked(event.metadata or {})
    message_id = message_id or str(event.message_id or "")
    if not message_ids.is_ours(message_id):  # Others may mark theirs with numbers, too.
        letter_id, message_id = None, ""
    own = event.event_id or f"{letter_id} {message_id} {event.message_id} {event.timestamp}"
    name = f"{esp.name}\n{event.event_type}\n{own}".encode("utf-8", "replace")
    at = event.timestamp  # Not all say in which zone.
    return Report(
        kind=kind,
        addresses=(),
        message_id=message_id,
        name=hashlib.sha256(name).hexdigest(),
        via=esp.name,
        grade=_grade(event, esp, status) if kind == "bounced" else "",
        status=status,
        said=cleaned(said),
        at=at and at.replace(tzinfo=at.tzinfo or UTC),
        letter_id=letter_id,
    )


def _grade(event, esp, status) -> str:
    """Trust the mail server's status before the provider's own word, which is coarser."""
    if status and not status.endswith(".0.0"):
        return grade_of(status)
    gone_before = event.reject_reason in (RejectReason.BOUNCED, RejectReason.INVALID)
    if event.event_type == EventType.REJECTED:
        return "hard" if gone_before else "policy"
    return "hard" if GONE[esp.name](event.esp_event) else "soft"
