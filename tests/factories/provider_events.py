"""What providers post about letters, in the shapes that their documentation gives, and signed.

`EVENTS[esp][kind](letter)` is the event of a kind: delivered, delayed, gone (a hard bounce),
policy, full (a soft one), complained, unsubscribed, opened. `post` sends one as providers do.
"""

import base64
import hashlib
import hmac
import json
import uuid
from datetime import UTC, datetime

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from subscriptions.delivery.transports import esps
from tests.factories.make import NOW

PASSWORD = "events:sesame"
BASIC = "Basic " + base64.b64encode(PASSWORD.encode()).decode()
MAILGUN_KEY = "mailgun-signing-key"
RESEND_KEY = "whsec_" + base64.b64encode(b"resend-signing-key-of-24").decode()
SENDGRID = ec.generate_private_key(ec.SECP256R1())
AS_DER = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
SENDGRID_KEY = base64.b64encode(SENDGRID.public_key().public_bytes(*AS_DER)).decode()
KEYS = {"mailgun": MAILGUN_KEY, "sendgrid": SENDGRID_KEY, "resend": RESEND_KEY}

WORDS = {
    "gone": ("5.1.1", "550 5.1.1 no such user"),
    "policy": ("5.7.1", "550 5.7.1 we don't want it"),
    "full": ("5.2.2", "552 5.2.2 mailbox full"),
}
AT = datetime(2026, 6, 1, 12, 5, tzinfo=UTC)


def handed_back(esp, letter):
    """Return the metadata that an event tells: what the provider reads in the letter's headers."""
    (name, value), *_ = headers_of(letter)
    if esp == "postmark":
        return {name.removeprefix("X-PM-Metadata-"): value}
    return json.loads(value).get("unique_args") or json.loads(value)


def headers_of(letter):
    """Return the headers that the provider of EMAIL_URL finds on a letter."""
    lines = esps.headers(letter.pk, letter.message_id).decode().splitlines()
    return [tuple(line.split(": ", 1)) for line in lines]


def post(client, esp, event, *, at=NOW, headers=None):
    """Post an event as the provider does. What `headers` say is sent instead."""
    body = json.dumps(event).encode()
    sent = {**SIGN[esp](event, body, at), **(headers or {})}
    if esp == "mailgun":
        body = json.dumps({**event, "signature": sent.pop("signature")}).encode()
    url = f"/anymail/{esp}/tracking/"
    return client.post(url, body, content_type="application/json", headers=sent)


# ---- How they sign


def mailgun_signature(event, body, at):
    said, token = str(int(at.timestamp())), event["event-data"]["id"].ljust(50, "x")
    signature = hmac.new(MAILGUN_KEY.encode(), f"{said}{token}".encode(), hashlib.sha256)
    event = {"timestamp": said, "token": token, "signature": signature.hexdigest()}
    return {"signature": event}


def sendgrid_signature(event, body, at):
    said = str(int(at.timestamp()))
    signature = SENDGRID.sign(said.encode() + body, ec.ECDSA(hashes.SHA256()))
    header = "X-Twilio-Email-Event-Webhook"
    signature = base64.b64encode(signature).decode()
    return {f"{header}-Signature": signature, f"{header}-Timestamp": said}


def resend_signature(event, body, at):
    name, said = f"msg_{hashlib.sha256(body).hexdigest()[:20]}", str(int(at.timestamp()))
    key = base64.b64decode(RESEND_KEY.removeprefix("whsec_"))
    signed = hmac.digest(key, f"{name}.{said}.".encode() + body, "sha256")
    signature = f"v1,{base64.b64encode(signed).decode()}"
    return {"svix-id": name, "svix-timestamp": said, "svix-signature": f"v2,AAAA {signature}"}


def sns_headers(event, body, at):
    about = {"x-amz-sns-message-type": event["Type"], "x-amz-sns-message-id": event["MessageId"]}
    return {"Authorization": BASIC} | about


def by_password(event, body, at):
    return {"Authorization": BASIC}


SIGN = dict.fromkeys(["postmark", "brevo"], by_password) | {"mailgun": mailgun_signature}
SIGN |= {"sendgrid": sendgrid_signature, "resend": resend_signature, "ses": sns_headers}


# ---- What they say


def says(common):
    """Return a maker of events of a provider: `common(letter, name, fields)` is what each tells."""
    return lambda name, **fields: lambda letter: common(letter, name, fields)


@says
def postmark(letter, record, fields):
    common = {"RecordType": record, "MessageID": str(uuid.uuid4())}
    return common | {"Metadata": handed_back("postmark", letter)} | fields


def postmark_bounce(kind, code, words):
    fields = {"Type": kind, "TypeCode": code, "ID": uuid.uuid4().int % 2**40, "Details": words}
    return postmark("Bounce", **fields, BouncedAt=AT.isoformat(), Email="reader@example.org")


@says
def mailgun(letter, name, fields):
    data = {
        "event": name,
        "id": f"mailgun-{name}-{fields.get('severity')}-{letter.pk}",
        "timestamp": AT.timestamp(),
        "recipient": "reader@example.org",
        "message": {"headers": {"message-id": letter.message_id.strip("<>")}},
        "user-variables": handed_back("mailgun", letter),
    }
    return {"event-data": data | fields}


def mailgun_failure(reason, kind, severity="permanent"):
    status, words = WORDS.get(kind, ("4.7.0", "451 4.7.0 later"))
    event = {"code": int(words[:3]), "enhanced-code": status, "message": words, "description": ""}
    return mailgun("failed", severity=severity, reason=reason, **{"delivery-status": event})


@says
def sendgrid(letter, name, fields):
    common = {"event": name, "email": "reader@example.org", "timestamp": int(AT.timestamp())}
    common["smtp-id"] = f"<{uuid.uuid4()}@geopod-ismtpd-1>"
    common["sg_event_id"] = f"{name}-{fields.get('status')}"
    return [common | handed_back("sendgrid", letter) | fields]


def sendgrid_bounce(kind, how):
    status, words = WORDS[kind]
    return sendgrid("bounce", type=how, status=status, reason=words)


@says
def brevo(letter, name, fields):
    common = {"event": name, "email": "reader@example.org", "ts_epoch": int(AT.timestamp() * 1000)}
    common["message-id"] = f"<{uuid.uuid4()}@smtp-relay.mailin.fr>"
    return common | dict(headers_of(letter)) | fields


@says
def resend(letter, name, fields):
    data = {"email_id": "56761188-7520-42d8-8898-ff6fc54ce618", "to": ["reader@example.org"]}
    data["created_at"] = AT.isoformat()
    data["headers"] = [{"name": name, "value": value} for name, value in headers_of(letter)]
    return {"type": f"email.{name}", "created_at": AT.isoformat(), "data": data | fields}


def resend_bounce(kind, sub, words):
    return resend("bounced", bounce={"type": kind, "subType": sub, "message": words})


@says
def ses(letter, name, fields):
    mail = {"messageId": "0102017e8f-000000", "destination": ["reader@example.org"]}
    mail["headers"] = [{"name": name, "value": value} for name, value in headers_of(letter)]
    event = json.dumps({"eventType": name, "mail": mail, name.lower(): fields})
    common = {"Type": "Notification", "MessageId": str(uuid.uuid5(uuid.NAMESPACE_DNS, event))}
    return common | {"Message": event, "Timestamp": "2026-06-01T12:05:00.000Z"}


def ses_bounce(kind, sub, what):
    status, words = WORDS[what]
    recipient = {"emailAddress": "reader@example.org", "action": "failed", "status": status}
    recipient["diagnosticCode"] = f"smtp; {words}"
    return ses("Bounce", bounceType=kind, bounceSubType=sub, bouncedRecipients=[recipient])


SUPPRESSED = {"Origin": "Recipient", "SuppressSending": True}
SUPPRESSED["SuppressionReason"] = "ManualSuppression"
ABUSE = {"complainedRecipients": [{"emailAddress": "reader@example.org"}]}
ABUSE["complaintFeedbackType"] = "abuse"
EVENTS = {
    "postmark": {
        "delivered": postmark("Delivery", DeliveredAt=AT.isoformat(), Details="250 ok"),
        "delayed": postmark_bounce("Transient", 2, "smtp;451 4.7.0 later"),
        "gone": postmark_bounce("HardBounce", 1, f"smtp;{WORDS['gone'][1]}"),
        "policy": postmark_bounce("SoftBounce", 4096, f"smtp;{WORDS['policy'][1]}"),
        "full": postmark_bounce("SoftBounce", 4096, f"smtp;{WORDS['full'][1]}"),
        "complained": postmark("SpamComplaint", Type="SpamComplaint", BouncedAt=AT.isoformat()),
        "unsubscribed": postmark("SubscriptionChange", ChangedAt=AT.isoformat(), **SUPPRESSED),
        "opened": postmark("Open", FirstOpen=True, ReceivedAt=AT.isoformat()),
    },
    "mailgun": {
        "delivered": mailgun("delivered", **{"delivery-status": {"code": 250, "message": "OK"}}),
        "delayed": mailgun_failure("generic", "later", "temporary"),
        "gone": mailgun_failure("bounce", "gone"),
        "policy": mailgun_failure("bounce", "policy"),
        "full": mailgun_failure("generic", "full"),
        **{name: mailgun(name) for name in ("complained", "unsubscribed", "opened")},
    },
    "sendgrid": {
        "delivered": sendgrid("delivered", response="250 OK"),
        "delayed": sendgrid("deferred", response="451 4.7.0 later", attempt="5"),
        "gone": sendgrid_bounce("gone", "bounce"),
        "policy": sendgrid_bounce("policy", "blocked"),
        "full": sendgrid_bounce("full", "blocked"),
        "complained": sendgrid("spamreport"),
        "unsubscribed": sendgrid("unsubscribe"),
        "opened": sendgrid("open", useragent="x"),
    },
    "brevo": {
        "delivered": brevo("delivered"),
        "delayed": brevo("deferred", reason="451 4.7.0 later"),
        "gone": brevo("hard_bounce", reason=WORDS["gone"][1]),
        "policy": brevo("soft_bounce", reason=WORDS["policy"][1]),
        "full": brevo("soft_bounce", reason=WORDS["full"][1]),
        "complained": brevo("spam"),
        "unsubscribed": brevo("unsubscribe"),
        "opened": brevo("unique_opened"),
    },
    "resend": {  # In words of its own, and not those of the mail server.
        "delayed": resend("delivery_delayed"),
        "gone": resend_bounce("Permanent", "General", "The mail server sent a hard bounce."),
        "full": resend_bounce("Transient", "MailboxFull", "The recipient's inbox was full."),
        **{name: resend(name) for name in ("delivered", "complained", "opened")},
    },
    "ses": {
        "delivered": ses("Delivery", recipients=["reader@example.org"], smtpResponse="250 ok"),
        "gone": ses_bounce("Permanent", "General", "gone"),
        "policy": ses_bounce("Permanent", "General", "policy"),
        "full": ses_bounce("Transient", "MailboxFull", "full"),
        "complained": ses("Complaint", **ABUSE),
        "opened": ses("Open", userAgent="x"),
    },
}
