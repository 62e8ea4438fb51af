"""The admin pages of the digest app, and the admin's first page."""

from digest.admin import channels, dashboard, digests, papers, source_configs, topics  # noqa: F401
