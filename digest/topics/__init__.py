"""Curated topics: the starter set and topic files."""
