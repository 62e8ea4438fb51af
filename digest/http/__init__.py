"""Requests to the hosts of others. Known to all, and knows nothing of Paperboy."""
