"""Post messages to channels.

A channel's address is a secret: no reply contains any part of it, nor of the service's answer.
Replies say what the operator can do.
"""

import json
import re
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone

from digest.http import client
from subscriptions.delivery.transports.base import DeliveryResult
from subscriptions.models import Subscriber
from subscriptions.security.encryption import UnreadableSecret, decrypt

MAX_SECONDS = 30.0
#: How the body of a 2xx reports a failure: in a member of a JSON object, or in its first words.
ERRORS, SUCCESSES = ("error", "errors", "errcode", "error_code"), ("ok", "success")
FAILURE = re.compile(
    r"(?i)[\"'\s]*(?:[^\W_]+[\s:,_-]+){0,6}?(?<!\bno[\s_-])(?<!\b0[\s_-])"
    r"(?:fail(?:ed|ure)?|error|rejected|denied|invalid)(?![^\W_])"
)
#: The status of another server that the body names, and words for a failure that will pass.
NAMED_STATUS = re.compile(r"(?i)(?:error|status|code|http)[\W_a-z]{0,20}([45]\d\d)\b")
PASSING = re.compile(r"(?i)too many|rate.?limit|throttl|tempora|try again|unavailable|busy")
NOT_ALLOWED = "not a public web address. If the host is yours, add it to ALLOWED_PRIVATE_HOSTS."
DELETED = "the webhook was deleted, or its key is wrong. Make a new one and enter its address."
NO_ANSWER = "no answer in time. Check whether the service runs, and whether the address is right."
REMEDIES = {
    400: "it refuses the message. Check the kind of channel, and whether the room still exists.",
    **dict.fromkeys((401, 403, 404, 410), DELETED),
    **dict.fromkeys((301, 302, 303, 307, 308), "a redirect. Enter the address that it leads to."),
    **dict.fromkeys((500, 502, 504), "a fault of the service, which may have taken the message."),
    424: "a service behind it failed. See its log, and give each channel a key of its own.",
    429: "too many messages at present.",
    503: "the service is unavailable at present.",
}
#: Apprise's answer 204: it sent nothing.
NOTHING_STORED = "answered 204: it has no services under this key. Check the key."


def post(channel: Subscriber, body: bytes) -> DeliveryResult:
    """Post a message once and return the outcome. Raises nothing.

    A Telegram chat's ID is added to the message. After an answer that does not say whether the
    message was taken, the outcome is unknown. A 2xx whose body reports a failure counts as the
    status that the body names.
    """
    try:
        address = decrypt(channel.secret)
        if channel.chat_id:
            body = json.dumps({"chat_id": channel.chat_id, **json.loads(body)}).encode()
        request = {"private_hosts": settings.ALLOWED_PRIVATE_HOSTS, "max_seconds": MAX_SECONDS}
        request |= {"user_agent": f"Paperboy/0.1 (+{settings.SITE_URL})", "now": timezone.now}
        http_status, retry_after, answer = client.post(address, body, **request)
    except UnreadableSecret as error:
        return DeliveryResult("deferred", "post", f"{error}.")
    except client.Refused:
        return DeliveryResult("refused", "post", NOT_ALLOWED)
    except client.Unavailable as failure:
        reason = str(failure).replace(urlsplit(address).hostname or address, "the host")
        return DeliveryResult("deferred", "post", f"no connection ({reason}). Check the network.")
    except client.Unanswered:
        return DeliveryResult("unknown", "post", NO_ANSWER)
    except Exception as error:  # Its text may have the address.
        return DeliveryResult("unknown", "post", f"failed with {type(error).__name__}")
    if (channel.channel, http_status) == (Subscriber.Channel.APPRISE, 204):
        return DeliveryResult("refused", "post", NOTHING_STORED)
    members = _json_object(answer)
    status, reply = http_status, f"answered {http_status}"
    if 200 <= http_status < 300:
        status = _reported_failure(members, answer.decode(errors="replace"))
        if status is None:
            return DeliveryResult("accepted", "post", reply)
        reply += f", but the body reports a failure ({status})"
    reply += f": {REMEDIES.get(status, 'see the documentation of the service.')}"
    if status in (429, 503):
        pauses = [pause for pause in (retry_after, _retry_after(members)) if pause is not None]
        return DeliveryResult("deferred", "post", reply, retry_after=max(pauses, default=None))
    is_refused = 300 <= status < 500
    return DeliveryResult("refused" if is_refused else "unknown", "post", reply)


def _json_object(answer: bytes) -> dict:
    """Return the object that the body is, or {}."""
    try:
        members = json.loads(answer)
    except (ValueError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}


def _reported_failure(members: dict, text: str) -> int | None:
    """Return the status of the failure that the body of a 2xx reports, or None."""
    has_failed = any(map(members.get, ERRORS)) or False in map(members.get, SUCCESSES)
    words = members.get("status", "") if members else text
    if not has_failed and not FAILURE.match(str(words)):
        return None
    if named := NAMED_STATUS.search(text):
        return int(named[1])
    return 429 if PASSING.search(text) else 400


def _retry_after(members: dict) -> float | None:
    """Return the pause in the body of Telegram's 429, or of Discord's, in seconds."""
    parameters = members.get("parameters")
    wait = (parameters if isinstance(parameters, dict) else members).get("retry_after")
    is_number = isinstance(wait, int | float) and not isinstance(wait, bool)
    return wait if is_number and wait >= 0 else None
