"""The ranking: strings and arrays in, scores and positions out. No Django, clock or database."""
