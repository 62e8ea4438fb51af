"""Post messages to the web addresses of channels, which are secrets: no reply has any part of one.

A reply says what to do, since operators read it.
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
ADVICE = {
    400: "it refuses the message. Check the kind of channel, and whether the room still exists.",
    **dict.fromkeys((401, 403, 404, 410), GONE),
    **dict.fromkeys((301, 302, 303, 307, 308), "a redirect. Enter the address that it leads to."),
    **dict.fromkeys((500, 502, 504), "a fault of the service, which may have taken the message."),
    **dict.fromkeys((429, 503), "too many messages at present. It is tried again later."),
}


def post(address: str, body: bytes) -> DeliveryResult:
    """Post a message once, and return what became of it. Raises nothing.

    What follows # in the address is Telegram's chat, and goes into the message. After an answer
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
    reply = f"answered {status}: {ADVICE.get(status, 'see the documentation of the service.')}"
    if 200 <= status < 300:
        return DeliveryResult("accepted", "post", f"answered {status}")
    if status in (429, 503):
        return DeliveryResult("deferred", "post", reply, retry_after=retry_after)
    is_refused = 300 <= status < 500
    return DeliveryResult("refused" if is_refused else "unknown", "post", reply)
