"""The panel's pages of the upper room, and its first page."""

from digest.admin import digests, papers, readers, sources, today, topics  # noqa: F401
