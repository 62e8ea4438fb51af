"""Admin pages of subscriptions. The page of topics is in digest.admin: it shows matching papers."""

from subscriptions.admin import (  # noqa: F401
    audit_log,
    groups,
    letters,
    messages,
    sending,
    subscribers,
    users,
)
