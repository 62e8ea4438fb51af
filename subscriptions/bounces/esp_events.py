"""Authenticate and parse the events that a mail provider (ESP) posts about letters.

Anymail parses each provider's format; this module decides what events mean for a letter. It is only
imported if a provider is configured.
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

from subscriptions.bounces.parse import MAX_REPLY_LENGTH, Report, clean_reply
from subscriptions.delivery import message_ids
from subscriptions.delivery.transports import esps
from subscriptions.delivery.transports.esps import Esp
from subscriptions.delivery.transports.smtp_replies import grade_of, status_in

#: Of a signed event: some providers sign once, and retry for hours.
MAX_AGE = timedelta(hours=24)
#: Resend uses Standard Webhooks, which signs each attempt anew.
MAX_ATTEMPT_AGE = timedelta(minutes=5)
SNS_URL = re.compile(r"https://sns\.[a-z0-9-]+\.amazonaws\.com/")
CONFIRM_SECONDS = 10
#: Raised for missing or malformed fields.
MALFORMED = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)


class ForgedRequest(Exception):
    """The request is not from the provider, or too old to be sure."""


class UnreadableRequest(Exception):
    """The request is from the provider, and malformed."""


def reports_in(request, esp: Esp, now: datetime) -> list[Report]:
    """Return the reports in a provider's request. Raises ForgedRequest or UnreadableRequest.

    Other events, such as that a letter was opened, are left out.
    """
    try:
        view = _view(esp)
        view.setup(request)
        view.run_validators(request)
        _refuse_stale(request, esp, now)
    except AnymailWebhookValidationFailure as error:
        raise ForgedRequest(str(error)) from None
    except (AnymailError, *MALFORMED) as error:
        raise ForgedRequest(type(error).__name__) from None
    try:
        events = view.parse_events(request)
        return [report for event in events if (report := _report(event, esp)) is not None]
    except (AnymailError, ImproperlyConfigured) as error:
        # It may contain the whole request.
        raise UnreadableRequest(str(error.args[:1])[:MAX_REPLY_LENGTH]) from None
    except MALFORMED as error:
        raise UnreadableRequest(type(error).__name__) from None


def check(esp: Esp) -> None:
    """Raise ImproperlyConfigured for malformed secrets."""
    if settings.WEBHOOK_SECRET and ":" not in settings.WEBHOOK_SECRET:
        raise ImproperlyConfigured("WEBHOOK_SECRET must be like user:password.")
    try:
        _view(esp)
    except ValueError:
        raise ImproperlyConfigured(f"WEBHOOK_SIGNING_KEY is not a key of {esp.title}.") from None


# ---- Authentication


def _refuse_stale(request, esp, now):
    """Raise ForgedRequest for old events, which could be replayed. Anymail checks the signature."""
    match esp.name:
        case "mailgun":
            timestamp = json.loads(request.body)["signature"]["timestamp"]
        case "sendgrid":
            timestamp = request.headers["X-Twilio-Email-Event-Webhook-Timestamp"]
        case "resend":
            timestamp = request.headers["svix-timestamp"]
        case _:
            return
    max_age = MAX_ATTEMPT_AGE if esp.name == "resend" else MAX_AGE
    if abs(now - datetime.fromtimestamp(float(timestamp), UTC)) > max_age:
        raise ForgedRequest("stale")


class Resend(resend.ResendTrackingWebhookView):
    """Checks a signature of Standard Webhooks, for which Anymail needs a further library."""

    warn_if_no_basic_auth = False

    def __init__(self, webhook_signing_key, **kwargs):
        self._svix_webhook = None
        self._key = b64decode(webhook_signing_key.removeprefix("whsec_"), validate=True)
        super(resend.SvixWebhookValidationMixin, self).__init__(**kwargs)

    def validate_request(self, request):
        event_id, timestamp, signatures = (
            request.headers[f"svix-{part}"] for part in ("id", "timestamp", "signature")
        )
        signed = f"{event_id}.{timestamp}.".encode() + request.body
        expected = "v1," + b64encode(hmac.digest(self._key, signed, "sha256")).decode()
        if not any(constant_time_compare(expected, signature) for signature in signatures.split()):
            raise AnymailWebhookValidationFailure("signature")


class Ses(amazon_ses.AmazonSESTrackingWebhookView):
    """Confirms a subscription without boto3."""

    auto_confirm_enabled = True

    def __init__(self, **kwargs):
        super(amazon_ses.AmazonSESBaseWebhookView, self).__init__(**kwargs)

    def auto_confirm_sns_subscription(self, sns_message):
        """Open the URL that confirms it. The password shows that the operator subscribed us."""
        if not SNS_URL.match(url := sns_message["SubscribeURL"]):
            raise ValueError("the subscription is to be confirmed elsewhere than at Amazon SNS")
        urlopen(url, timeout=CONFIRM_SECONDS).close()  # noqa: S310


VIEWS = {
    "postmark": postmark.PostmarkTrackingWebhookView,
    "mailgun": mailgun.MailgunTrackingWebhookView,
    "sendgrid": sendgrid.SendGridTrackingWebhookView,
    "brevo": brevo.BrevoTrackingWebhookView,
    "resend": Resend,
    "ses": Ses,
}


def _view(esp):
    """Return Anymail's view for the provider, with the secrets of the settings."""
    key = settings.WEBHOOK_SIGNING_KEY
    keys = {"webhook_signing_key": key, "tracking_webhook_verification_key": key}
    return VIEWS[esp.name](webhook_secret=settings.WEBHOOK_SECRET or [], **keys)


# ---- Events


#: The kind of report for an event. That of a rejection depends on its reason.
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
#: Rejections because of earlier letters, ours or of others.
REJECTIONS = {RejectReason.SPAM: "complained", RejectReason.UNSUBSCRIBED: "unsubscribed"}
#: Whether a provider's event says that the address does not exist.
IS_GONE = {
    "postmark": lambda event: event.get("Type") in ("HardBounce", "BadEmailAddress"),
    "mailgun": lambda event: event["event-data"].get("reason") in ("bounce", "suppress-bounce"),
    "sendgrid": lambda event: event.get("type") == "bounce",
    "brevo": lambda event: event.get("event") in ("hard_bounce", "invalid_email"),
    "resend": lambda event: event["data"].get("bounce", {}).get("type") == "Permanent",
    "ses": lambda event: event.get("bounce", {}).get("bounceType") == "Permanent",
}


def _report(event, esp) -> Report | None:
    kind = KINDS.get(event.event_type)
    if event.event_type == EventType.REJECTED:
        kind = REJECTIONS.get(event.reject_reason, kind)
    if kind is None:
        return None
    reply = event.mta_response or event.description or ""
    status = status_in(reply)
    letter_id, message_id = esps.letter_of_metadata(event.metadata or {})
    message_id = message_id or str(event.message_id or "")
    if not message_ids.is_ours(message_id):  # Other senders may use such ids, too.
        letter_id, message_id = None, ""
    event_id = event.event_id or f"{letter_id} {message_id} {event.message_id} {event.timestamp}"
    identity = f"{esp.name}\n{event.event_type}\n{event_id}".encode("utf-8", "replace")
    moment = event.timestamp  # Some have no time zone.
    return Report(
        kind=kind,
        addresses=(),
        message_id=message_id,
        key=hashlib.sha256(identity).hexdigest(),
        via=esp.name,
        grade=_grade(event, esp, reply) if kind == "bounced" else "",
        status=status,
        reply=clean_reply(reply),
        at=moment and moment.replace(tzinfo=moment.tzinfo or UTC),
        letter_id=letter_id,
    )


def _grade(event, esp, reply) -> str:
    """Return the grade by the mail server's reply, or else by the provider's verdict."""
    is_rejected = event.event_type == EventType.REJECTED
    had_bounced = event.reject_reason in (RejectReason.BOUNCED, RejectReason.INVALID)
    is_gone = had_bounced if is_rejected else IS_GONE[esp.name](event.esp_event)
    verdict = "hard" if is_gone else "policy" if is_rejected else "soft"
    return grade_of(status_in(reply), reply, verdict)
