"""Templates to MIME."""
