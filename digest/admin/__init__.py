"""The admin pages of the digest app, and the admin's first page."""

from digest.admin import dashboard, digests, papers, source_configs, sources, subscribers, topics  # noqa: F401
