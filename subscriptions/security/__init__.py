"""Tokens, rate limits, suppression list."""
