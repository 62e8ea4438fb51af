"""Admin pages of subscriptions. Those of subscribers, channels and topics are in digest.admin."""

from subscriptions.admin import audit_log, groups, letters, messages, sending, users  # noqa: F401
