"""How an email is handed over."""
