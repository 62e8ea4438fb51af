"""Events that email providers post, in the shapes of their documentation, and signed.

`EVENTS[esp][kind](letter)` is the event of a kind: delivered, delayed, gone (a hard bounce),
policy, full (a soft one), complained, unsubscribed, opened. The shapes are in
tests/data/provider_events.json. `post` sends an event as the provider does.
"""

import base64
import hashlib
import hmac
import json
import uuid
from functools import partial

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from subscriptions.delivery.transports import esps
from tests.factories.make import NOW
from tests.helpers import data_files

PASSWORD = "events:sesame"
BASIC = "Basic " + base64.b64encode(PASSWORD.encode()).decode()
MAILGUN_KEY = "mailgun-signing-key"
RESEND_KEY = "whsec_" + base64.b64encode(b"resend-signing-key-of-24").decode()
SENDGRID = ec.generate_private_key(ec.SECP256R1())
AS_DER = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
SENDGRID_KEY = base64.b64encode(SENDGRID.public_key().public_bytes(*AS_DER)).decode()
KEYS = {"mailgun": MAILGUN_KEY, "sendgrid": SENDGRID_KEY, "resend": RESEND_KEY}
TEMPLATES = data_files.load("provider_events.json")


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


def event_of(esp, kind, letter):
    """Return an event as the provider's documentation shapes it, with this letter's data."""
    fields = headers_of(letter)
    values = {
        '"HEADERS"': json.dumps([{"name": name, "value": value} for name, value in fields]),
        '"FIELDS"': json.dumps(dict(fields)),
        '"METADATA"': json.dumps(handed_back(esp, letter)),
        '"NUMBER"': str(uuid.uuid4().int % 2**40),
        "MESSAGE_ID": letter.message_id.strip("<>"),
        "LETTER_ID": str(letter.pk),
        "UUID": str(uuid.uuid4()),
    }
    text = json.dumps(TEMPLATES[esp][kind])
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    event = json.loads(text)
    for part in event if isinstance(event, list) else [event]:
        part |= part.pop("merged", {})
    if esp == "ses":
        event["Message"] = json.dumps(event["Message"])
    return event


EVENTS = {esp: {kind: partial(event_of, esp, kind) for kind in TEMPLATES[esp]} for esp in TEMPLATES}
