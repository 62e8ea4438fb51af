"""Bounces, complaints and provider webhooks."""
