"""Post messages to channels.

A channel's address is a secret: no reply contains any part of it. Replies say what the operator can
do.
"""

import json
from urllib.parse import urlsplit

from django.conf import settings
from django.utils import timezone

from digest.sources import http
from subscriptions.delivery.transports.base import DeliveryResult

MAX_SECONDS = 30.0
NOT_ALLOWED = "not a public web address. If the host is yours, add it to ALLOWED_PRIVATE_HOSTS."
GONE = "the webhook was deleted, or its key is wrong. Make a new one and enter its address."
NO_ANSWER = "no answer in time. Check whether the service runs, and whether the address is right."
REMEDIES = {
    400: "it refuses the message. Check the kind of channel, and whether the room still exists.",
    **dict.fromkeys((401, 403, 404, 410), GONE),
    **dict.fromkeys((301, 302, 303, 307, 308), "a redirect. Enter the address that it leads to."),
    **dict.fromkeys((500, 502, 504), "a fault of the service, which may have taken the message."),
    429: "too many messages at present.",
    503: "the service is unavailable at present.",
}


def post(address: str, body: bytes) -> DeliveryResult:
    """Post a message once and return the outcome. Raises nothing.

    The fragment of a Telegram address is the chat ID; it is added to the message. After an answer
    that does not say whether the message was taken, the outcome is unknown.
    """
    try:
        if chat_id := address.partition("#")[2]:
            body = json.dumps({"chat_id": chat_id, **json.loads(body)}).encode()
        request = {"private_hosts": settings.ALLOWED_PRIVATE_HOSTS, "max_seconds": MAX_SECONDS}
        request |= {"user_agent": f"Paperboy/0.1 (+{settings.SITE_URL})", "now": timezone.now}
        status, retry_after = http.post(address, body, **request)
    except http.Refused:
        return DeliveryResult("refused", "post", NOT_ALLOWED)
    except http.Unavailable as failure:
        why = str(failure).replace(urlsplit(address).hostname or address, "the host")
        return DeliveryResult("deferred", "post", f"no connection ({why}). Check the network.")
    except http.Unanswered:
        return DeliveryResult("unknown", "post", NO_ANSWER)
    except Exception as error:  # Its text may have the address.
        return DeliveryResult("unknown", "post", f"failed with {type(error).__name__}")
    reply = f"answered {status}: {REMEDIES.get(status, 'see the documentation of the service.')}"
    if 200 <= status < 300:
        return DeliveryResult("accepted", "post", f"answered {status}")
    if status in (429, 503):
        return DeliveryResult("deferred", "post", reply, retry_after=retry_after)
    is_refused = 300 <= status < 500
    return DeliveryResult("refused" if is_refused else "unknown", "post", reply)
