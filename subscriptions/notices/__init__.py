"""Transactional emails: confirmation, welcome, goodbye."""
