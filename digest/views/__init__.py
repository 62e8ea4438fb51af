"""Public pages, feeds and search."""
