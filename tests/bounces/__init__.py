"""What comes back by mail, and what it does: facts about letters, and letters kept from readers."""
