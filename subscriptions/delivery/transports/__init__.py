"""Transports: a mail server, or files in the outbox."""
