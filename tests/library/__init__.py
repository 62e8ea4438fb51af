"""A reader's library: her bibliography is read, kept, and learned from."""
