"""Admin pages of subscriptions. The page of topics is in digest.admin: it shows matching papers."""

from subscriptions.admin import letters, operators, sending, subscribers, trail  # noqa: F401
