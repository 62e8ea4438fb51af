"""The post office: claims, fences, records, and what is left of a letter when something breaks."""
