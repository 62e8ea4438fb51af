"""The admin pages of the digest app, and the admin's first page."""

from digest.admin import digests, papers, readers, sources, today, topics  # noqa: F401
