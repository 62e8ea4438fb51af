"""Who is due, and what goes into whose digest."""
