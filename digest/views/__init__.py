"""Public pages with their forms, feeds and the API."""
