"""Plan digests: who is due, and which papers they get."""
