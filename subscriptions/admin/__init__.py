"""Admin pages of subscriptions. The page of topics is in digest.admin: it shows matching papers."""

from subscriptions.admin import audit_log, groups, letters, sending, subscribers, users  # noqa: F401
