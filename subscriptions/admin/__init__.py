"""Admin pages of subscriptions. The page of topics is in digest.admin: it shows matching papers."""

from subscriptions.admin import audit_log, groups, letters, messages, sending, subscribers, users  # noqa: F401
