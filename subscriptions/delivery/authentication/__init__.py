"""The DNS records that email needs."""
