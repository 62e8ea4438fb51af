"""arXiv: its listings, OAI-PMH, RSS and API."""
