"""Channels: rooms of chats and webhooks, to which digests are posted."""
