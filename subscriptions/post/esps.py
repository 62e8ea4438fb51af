"""The mail providers with an API (ESPs) that EMAIL_URL may name: who they are, and what they take.

Each is reached through django-anymail, which is imported where one is configured and nowhere else.
A further one is one more entry here, and its answers and events in the tests.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from subscriptions.post.servers import connections_told, is_here

MOST_CONNECTIONS = 50
CONNECT_SECONDS, ANSWER_SECONDS = 10, 60


@dataclass(frozen=True)
class Esp:
    """A provider, as the post office needs to know it.

    `key` is what anymail calls its secret, `allows` what EMAIL_URL may say besides, by anymail's
    name. Mailgun and Amazon SES take a letter's very bytes; the others are told its parts, and
    write the headers of `own_headers` themselves. `again` is how long the same letter may be handed
    over again: it keeps such apart by a key.
    """

    name: str
    title: str
    key: str
    allows: Mapping[str, str] = field(default_factory=lambda: {"api": "api_url"})
    connections: int = 10
    own_headers: frozenset[str] = frozenset()
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    takes_tracking: bool = False  # It can be told, of each letter, not to track readers.
    again: timedelta = timedelta()
    signs_events: bool = False


#: Providers that write a Message-ID of their own, whatever they are told.
NAMES_LETTERS = frozenset({"message-id"})

ESPS = {
    esp.name: esp
    for esp in (
        Esp(
            "postmark",
            "Postmark",
            key="server_token",
            allows={"api": "api_url", "stream": "message_stream"},
            extra_headers={"X-PM-KeepID": "true"},  # Our Message-ID stays.
            takes_tracking=True,
        ),
        Esp(
            "mailgun",
            "Mailgun",
            key="api_key",
            takes_tracking=True,
            signs_events=True,
        ),
        Esp("sendgrid", "SendGrid", key="api_key", takes_tracking=True, signs_events=True),
        Esp("brevo", "Brevo", key="api_key", own_headers=NAMES_LETTERS),
        Esp(
            "resend",
            "Resend",
            key="api_key",
            connections=2,  # It takes few letters a second.
            own_headers=NAMES_LETTERS,
            again=timedelta(hours=23),  # It keeps keys for a day.
            signs_events=True,
        ),
        Esp(
            "ses",
            "Amazon SES",
            key="",
            allows={"api": "endpoint_url", "configuration_set": "configuration_set_name"},
        ),
    )
}


@dataclass(frozen=True)
class Account:
    """A provider, and how we get in. `options` are those of anymail's backend."""

    esp: Esp
    options: Mapping[str, object] = field(repr=False)
    connections: int


def names_one(email_url: str) -> bool:
    """Return whether EMAIL_URL names a provider."""
    return _name_in(email_url) in ESPS


def _name_in(email_url):
    """Return the name that it begins with, also where nothing follows."""
    return email_url.partition(":")[0].lower()


@cache
def account_of(email_url: str) -> Account:
    """Return the account that EMAIL_URL names. Raises ImproperlyConfigured, without its key."""
    try:
        parts = urlsplit(email_url)
    except ValueError:
        raise ImproperlyConfigured(
            "EMAIL_URL holds a bracket: in a key, it stands as %5B or %5D."
        ) from None
    esp = ESPS[_name_in(email_url)]
    asked = dict(parse_qsl(parts.query))
    connections = connections_told(asked.pop("connections", str(esp.connections)), MOST_CONNECTIONS)
    if unknown := asked.keys() - esp.allows.keys():
        raise ImproperlyConfigured(
            f"EMAIL_URL: {esp.title} knows nothing of {', '.join(sorted(unknown))}."
        )
    if "api" in asked:
        _refuse_in_the_clear(asked["api"])
    options = {esp.allows[name]: value for name, value in asked.items()}
    user, _, where = parts.netloc.rpartition("@")
    options |= _way_in(esp, unquote(user), where, options)
    return Account(esp, options, connections)


def _way_in(esp, user, where, options) -> dict:
    if esp.name == "ses":
        return {"client_params": _of_ses(user, where, options)}
    timeout = {"timeout": (CONNECT_SECONDS, ANSWER_SECONDS)}
    if esp.name == "mailgun":
        if not (user and where):
            raise ImproperlyConfigured("EMAIL_URL must say mailgun://KEY@DOMAIN.")
        return timeout | {"api_key": user, "sender_domain": where}
    key = user or unquote(where)
    if not key:
        raise ImproperlyConfigured(f"EMAIL_URL must say {esp.name}://KEY.")
    return timeout | {esp.key: key}


def _of_ses(user, region, options) -> dict:
    """Return what boto3's client is told. Without a key, it looks for one where AWS keeps them.

    It tries again by itself, and would send a letter twice of which it got no answer: not here.
    """
    if not region:
        raise ImproperlyConfigured("EMAIL_URL must say ses://KEY_ID:SECRET@REGION or ses://REGION.")
    params = {
        "region_name": region,
        "config": {
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": ANSWER_SECONDS,
            "retries": {"total_max_attempts": 1},
        },
    }
    if "endpoint_url" in options:
        params["endpoint_url"] = options.pop("endpoint_url")
    if user:
        key_id, _, secret = user.partition(":")
        params |= {"aws_access_key_id": key_id, "aws_secret_access_key": secret}
    return params


def _refuse_in_the_clear(api):
    """The key goes there with each letter."""
    parts = urlsplit(api)
    if parts.scheme != "https" and not (parts.scheme == "http" and is_here(parts.hostname)):
        raise ImproperlyConfigured("EMAIL_URL: api must be an https address.")
