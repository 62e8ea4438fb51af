"""What subscribers and operators do: sign up, change, move, erase."""
