"""A digest becomes an email."""
