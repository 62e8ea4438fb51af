"""What comes back: bounces, complaints, webhooks of providers."""
